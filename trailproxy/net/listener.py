"""Listener: bind, accept, stop. What a connection then does is its host's business."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Refusal, Side
from trailproxy.core.identity import Guests, tell
from trailproxy.core.record import Observer, Tally
from trailproxy.core.stream import Host
from trailproxy.net.certificate import read_peer
from trailproxy.net.connection import PATIENCE, AsyncConnection, Patience
from trailproxy.net.door import Crowd, CrowdLimits, Door, client_of
from trailproxy.net.remedy import remedy
from trailproxy.net.tasks import spawn
from trailproxy.net.tls import ServerTls
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode

if TYPE_CHECKING:
    import ssl

_log: Final = logging.getLogger("trailproxy")
_BACKLOG: Final = 1024
_HANDSHAKE_S: Final = 10.0
_MOST_LOGGED: Final = 500  # characters about who was refused
_NOT_LET_IN: Final = "the client certificate has none of the names that are let in"


class ListenError(Exception):
    """An address cannot be bound; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenParams:
    """What accepted connections are like."""

    #: Given the peer's address, "http" or "https", and what is to be told of its certificate.
    make_host: Callable[[str, str, bytes], Host]
    name: str = ""  # what metrics and logs call the listener
    tls: ServerTls | None = None
    guests: Guests | None = None  # who is let in, of those with a certificate; None: all
    codec: str = "native"
    wire: WireParams = field(default_factory=WireParams)
    patience: Patience = PATIENCE
    crowd: CrowdLimits = field(default_factory=CrowdLimits)


@final
class Listener:
    """One bound socket and the connections accepted on it."""

    def __init__(self, address: Address, observer: Observer, tally: Tally) -> None:
        """Prepare to listen.

        Args:
            address: where; port 0 takes a free one.
            observer: told of resets and GOAWAYs.
            tally: the downstream counts.
        """
        self.address: Final = address
        self._observer: Final = observer
        self._tally: Final = tally
        self._connections: Final[set[AsyncConnection]] = set()
        self._crowd: Final = Crowd()
        self._clients: Final[dict[AsyncConnection, bytes]] = {}  # whose they are
        self._socket: socket.socket | None = None
        self._foreign = False  # the path of a unix socket is not ours to remove
        self.shared = False  # others accept from the socket when we do not: who waits is theirs
        self._door: Door | None = None
        self._params: ListenParams | None = None
        self._draining = False
        self._arriving = 0  # connections accepted, and not made yet
        self._told = False  # of a refusal, within this second

    def bind(self) -> None:
        """Take the address.

        Raises:
            ListenError: it is in use, or not ours.
        """
        self._socket = bind(self.address)
        listen(self._socket, self.address)

    def adopt(self, bound: socket.socket, *, shared: bool = False) -> None:
        """Take a socket that is bound; its address belongs to whoever made it.

        Args:
            bound: it listens already, or will.
            shared: others accept from it when we do not any more.

        Raises:
            ListenError: somebody else listens at its address.
        """
        bound.setblocking(False)
        if not listens(bound):
            listen(bound, self.address)
        self._socket = bound
        self._foreign = True
        self.shared = shared

    def lend(self) -> socket.socket:
        """Return a copy of the socket, for a process that will accept from it too."""
        assert self._socket is not None  # who drains lends no more
        return self._socket.dup()

    def leave_to_others(self) -> None:
        """Another process accepts from the socket: its path is not ours any more, nor who waits."""
        self._foreign = True
        self.shared = True

    async def serve(self, params: ListenParams) -> None:
        """Accept connections, from now on with these parameters; those accepted keep theirs."""
        if self._socket is None:
            raise ListenError(f"{self.address}: not bound")
        self._params = params
        if self._door is None:
            self._door = Door(self._socket, str(self.address), self._meet)
            self._door.open()

    @property
    def port(self) -> int:
        """The TCP port that was bound; 0 on a unix socket."""
        if self._socket is None or self.address.is_unix:
            return 0
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def bound_to(self) -> Address:
        """The address, with the port that was taken for 0."""
        return self.address if self.address.is_unix else replace(self.address, port=self.port)

    def _meet(self, accepted: socket.socket, address: object) -> None:
        """Let a client in, if there is room for one more from its address."""
        params = self._params
        assert params is not None  # `serve` has set it before any connection could come
        client = client_of(address)
        refusal = self._crowd.refusal(client, params.crowd)
        if refusal is not None:
            accepted.close()
            self._refused(params.name, refusal, _host_of(address))
            return
        self._crowd.enters(client)
        self._arriving += 1
        spawn(self._welcome(params, accepted, client), "a client")

    async def _welcome(self, params: ListenParams, accepted: socket.socket, client: bytes) -> None:
        build = partial(self._build, params)
        connection = AsyncConnection(build, self._left, self._tally, params.patience)
        self._clients[connection] = client
        tls = None if params.tls is None else params.tls.context
        handshake = None if tls is None else _HANDSHAKE_S
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                connection.as_protocol, accepted, ssl=tls, ssl_handshake_timeout=handshake
            )
        except (OSError, ValueError):
            return  # its handshake failed, it left, or its certificate has names that are no text
        finally:
            self._arriving -= 1
            if not connection.connected:
                self._left(connection)

    def _left(self, connection: AsyncConnection) -> None:
        self._connections.discard(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            self._crowd.leaves(client)

    def _build(self, params: ListenParams, connection: AsyncConnection) -> Connection:
        self._connections.add(connection)
        transport = connection.transport
        peer = _host_of(transport.get_extra_info("peername"))
        scheme, shown, told = "http", None, ""
        if params.tls is not None:
            tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
            scheme, shown = "https", read_peer(tls)
            if shown is not None:
                told = tell(shown, params.tls.uris[tls.context])
        host = params.make_host(peer, scheme, told.encode())
        codec = make_codec(params.codec, Role.SERVER, params.wire)
        core = Connection(codec, Side.DOWNSTREAM, host, self._observer, self._tally)
        if shown is not None and params.guests is not None and not params.guests.admit(shown):
            core.refuse(ErrorCode.INADEQUATE_SECURITY, _NOT_LET_IN)
            who = f"{peer}, whose certificate says {tell(shown, ())}"
            self._refused(params.name, Refusal.CLIENT_NAME, who)
        if self._draining:
            asyncio.get_running_loop().call_soon(core.drain)
        return core

    def _refused(self, name: str, cause: Refusal, who: str) -> None:
        """Count a connection that was refused, and log it, one a second at most."""
        self._observer.connection_refused(name, cause)
        if not self._told:
            self._told = True
            _log.warning("listener %s refused (%s) %s", name, cause, who[:_MOST_LOGGED])

    def tick(self) -> None:
        """A second has passed."""
        self._told = False
        if self._door is not None:
            self._door.open()
        for connection in list(self._connections):
            connection.tick()

    def drain(self) -> None:
        """Accept what waits for us, and no more; ask every client to open no more streams."""
        self._draining = True
        if self._door is not None and not self.shared:
            self._door.let_all_in()  # a close would reset those whom the kernel has accepted
        self._stop_accepting()
        for connection in list(self._connections):
            connection.core.drain()

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self._connections and not self._arriving

    def close(self) -> None:
        """Cut whatever is left."""
        self._stop_accepting()
        for connection in list(self._connections):
            connection.transport.abort()

    def _stop_accepting(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._socket is not None:
            release(self._socket, self.address, foreign=self._foreign)
            self._socket = None


def _host_of(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) else "unix"


def bind(
    address: Address, *, shared: bool = False, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Bind a socket; a `shared` TCP address can be bound again by those who share it too.

    Raises:
        ListenError: the address is in use, or not ours.
    """
    if address.is_unix:
        _clear_stale(address.path, kind)
        family = socket.AF_UNIX
        where: str | tuple[str, int] = address.path
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        where = (address.host, address.port)
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if not address.is_unix:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise _unusable(address, error) from error
    return sock


def listen(bound: socket.socket, address: Address) -> None:
    """Let clients connect to a bound socket; it is closed when that fails.

    Raises:
        ListenError: somebody else listens at its address.
    """
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _unusable(address, error) from error


def listens(bound: socket.socket) -> bool:
    """Tell whether clients can connect to a bound socket."""
    return bool(bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def release(bound: socket.socket, address: Address, *, foreign: bool) -> None:
    """Close a socket, and remove the path of a unix socket that was bound here."""
    bound.close()
    if address.is_unix and not foreign:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def _unusable(address: Address, error: OSError) -> ListenError:
    return ListenError(f"{address}: {error.strerror or error}{remedy(address, error)}")


def _clear_stale(path: str, kind: int) -> None:
    """Remove a socket file nobody listens on; one in use makes `bind` fail, as it should."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # somebody's file: `bind` will say so
    except OSError:
        return
    probe = socket.socket(socket.AF_UNIX, kind)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    finally:
        probe.close()
