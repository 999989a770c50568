"""Handover: listening sockets that go from one process to the next.

A process that comes after another takes the sockets themselves, not their addresses:
the clients that wait on them wait for whoever accepts next, and none is turned away. The
one before goes on until the one after it serves, and then drains. It is asked over a
unix socket, one message a listening socket, with its descriptor beside it. A service
manager that opens sockets (systemd.socket(5)) hands them over when it starts us.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, NamedTuple, Protocol, final

import msgspec

from trailproxy.build import BindError, Seat
from trailproxy.core.address import Address, parse_address
from trailproxy.net.listener import bind
from trailproxy.net.tasks import spawn

_log: Final = logging.getLogger("trailproxy")
_FIRST_DESCRIPTOR: Final = 3  # of those that a service manager passes (sd_listen_fds(3))
_MOST_DESCRIPTORS: Final = 1024
_MESSAGE: Final = 1024  # octets; a seat is an address and a name
_LEND_S: Final = 5.0  # for all sockets to cross
_SETTLE_S: Final = 60.0  # for the process after us to serve
_LET_GO_S: Final = 5.0  # for the one before us to stop accepting
_ALL: Final = b"all"  # there are no more sockets
_SERVING: Final = b"serving"  # the process after us needs us no more
_GONE: Final = b"gone"  # and we have stopped


class Loan(NamedTuple):
    """A listening socket, and what the other process has to know of it."""

    seat: Seat
    socket: socket.socket
    shared: bool  # somebody else accepts from it when we are both gone


class Holder(Protocol):
    """Who has listening sockets: a proxy, or the supervisor of many."""

    def lend(self) -> list[Loan]:
        """Return copies of all of them; they are the caller's."""
        ...

    async def settled(self) -> None:
        """Return when all that is configured is served."""
        ...

    def hand_over(self) -> None:
        """Drain: another process accepts from our sockets by now."""
        ...


@final
class Heritage:
    """Listening sockets that were open before we came."""

    def __init__(self, loans: Iterable[Loan] = ()) -> None:
        self._loans: Final = {loan.seat: loan for loan in loans}

    def add(self, loans: Iterable[Loan]) -> None:
        """Have more of them."""
        self._loans.update({loan.seat: loan for loan in loans})

    def take(self, seat: Seat) -> Loan | None:
        """Return the socket for a seat, which is the caller's; None when there is none."""
        return self._loans.pop(seat, None)

    def close(self) -> list[Address]:
        """Close what nobody has taken; return where that was."""
        left = [seat[0] for seat in self._loans]
        for loan in self._loans.values():
            loan.socket.close()
        self._loans.clear()
        return left


@final
class Succession:
    """The process before us, and the one after us.

    Attributes:
        heritage: what was handed to us.
    """

    def __init__(self, path: str | None, environ: MutableMapping[str, str]) -> None:
        """Take what a service manager hands to us, or who runs at `path`.

        What the service manager says in `environ` is for this process and taken out.

        Raises:
            BindError: somebody is there and hands nothing over, or nobody ever could be.
        """
        self.heritage: Final = Heritage(_passed(environ))
        self._path: Final = path
        self._before: socket.socket | None = None
        self._offer: Offer | None = None
        if path is None:
            return
        try:
            self._before = _connect(path)
            if self._before is not None:
                self.heritage.add(_borrow(self._before))
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            self.heritage.close()
            if self._before is not None:
                self._before.close()
            raise BindError([f"handover: {path}: {error}"]) from error

    def begin(self, holder: Holder) -> None:
        """See the process before us off once `holder` serves; then wait for the one after us."""
        spawn(self._succeed(holder), "succession")

    def close(self) -> None:
        """Nobody comes after us any more."""
        if self._offer is not None:
            self._offer.close()

    async def _succeed(self, holder: Holder) -> None:
        await holder.settled()
        for address in self.heritage.close():
            _log.warning("nothing is configured for the socket we were given at %s", address)
        if self._before is not None:
            await _see_off(self._before)
        if self._path is not None:
            self._offer = Offer(self._path, holder)


async def _see_off(before: socket.socket) -> None:
    """Have the process before us stop accepting, and drain."""
    loop = asyncio.get_running_loop()
    with before:
        before.setblocking(False)
        # it may have ended by itself, which is as good
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LET_GO_S):
                await loop.sock_sendall(before, _SERVING)
                await loop.sock_recv(before, _MESSAGE)
    _log.info("the process before us drains")


def _passed(environ: MutableMapping[str, str]) -> Iterable[Loan]:
    """Take the descriptors of sd_listen_fds(3), if they are meant for us."""
    given = {name: environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES")}
    if given["PID"] != str(os.getpid()) or not given["FDS"].isdigit():
        return
    count = min(int(given["FDS"]), _MOST_DESCRIPTORS)
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=descriptor)
        yield Loan((_address_of(passed), ""), passed, shared=True)


def _address_of(bound: socket.socket) -> Address:
    name: Any = bound.getsockname()
    return Address(path=name) if bound.family == socket.AF_UNIX else Address(name[0], name[1])


def _connect(path: str) -> socket.socket | None:
    """Return a connection to the process that is there; None when there is none."""
    if not os.access(os.path.dirname(path), os.W_OK):
        raise ValueError(
            "there is no such folder, or we may not write to it; make it, and give it to our user"
        )
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        raise ValueError("is no socket; take it away, or choose another path")
    before = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before.settimeout(_LEND_S)
    try:
        before.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        before.close()
        return None
    return before


def _borrow(before: socket.socket) -> Iterable[Loan]:
    while True:
        message, descriptors, _, _ = socket.recv_fds(before, _MESSAGE, 1)
        if message == _ALL:
            return
        if not descriptors:
            raise ValueError("the process there has ended, or hands no sockets over")
        address, name, shared = msgspec.json.decode(message, type=tuple[str, str, bool])
        lent = socket.socket(fileno=descriptors[0])
        yield Loan((parse_address(address), name), lent, shared)


@final
class Offer:
    """Our sockets, for the process that comes after us."""

    def __init__(self, path: str, holder: Holder) -> None:
        """Be there at `path`; only who runs under our user can come.

        Raises:
            ListenError: the path is not to be had.
        """
        self._holder: Final = holder
        self._path: Final = path
        self._socket: Final = bind(Address(path=path), kind=socket.SOCK_SEQPACKET)
        os.chmod(path, 0o600)  # before it listens: nobody can have come yet
        self._socket.listen(1)
        self._waiting: Final = spawn(self._wait(), "handover")

    def close(self) -> None:
        """Be there no more; the path goes too, unless it is somebody else's by now."""
        if self._waiting.done():
            return
        self._waiting.cancel()
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    async def _wait(self) -> None:
        """Offer the sockets to one process after the other, until one of them serves."""
        loop = asyncio.get_running_loop()
        while True:
            after, _ = await loop.sock_accept(self._socket)
            with after:
                if await self._give(after):
                    self._socket.close()
                    self._holder.hand_over()
                    with contextlib.suppress(OSError):
                        await loop.sock_sendall(after, _GONE)
                    return
            _log.warning("a process took our sockets and did not come to serve; we go on")

    async def _give(self, after: socket.socket) -> bool:
        """Lend everything; return whether the other process serves it."""
        loans = self._holder.lend()
        _log.info("handing %d sockets over", len(loans))
        try:
            await asyncio.to_thread(_lend, after, loans)
            after.setblocking(False)
            async with asyncio.timeout(_SETTLE_S):
                return await asyncio.get_running_loop().sock_recv(after, _MESSAGE) == _SERVING
        except (OSError, TimeoutError):
            return False
        finally:
            for loan in loans:
                loan.socket.close()


def _lend(after: socket.socket, loans: list[Loan]) -> None:
    after.settimeout(_LEND_S)
    for (address, name), lent, shared in loans:
        message = msgspec.json.encode((str(address), name, shared))
        socket.send_fds(after, [message], [lent.fileno()])
    after.sendall(_ALL)
