"""Control: what a supervisor and its workers say to each other, and the channel for it.

One JSON message a line, over a socket pair for each direction. The supervisor orders;
what asks for an answer has one under its number, in the worker's own time: whoever
asks decides how long to wait. A listening socket travels as a descriptor, ahead of the
order that needs it. The end of the channel is the end of the process behind it.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, NamedTuple, final

import msgspec

from trailproxy.ops.reading import Reading
from trailproxy.ops.sight import Sight, Wish

_READ: Final = 256 * 1024  # octets at once
_MAX_LINE: Final = 64 * 1024 * 1024  # octets: /streams with a hundred thousand exchanges
_LAST_WORDS_S: Final = 1.0  # for what waits to be sent when the channel is closed


class Verb(StrEnum):
    """What a supervisor can order."""

    LISTEN = "listen"  # a descriptor comes with it: the socket of `seat`, for the next APPLY
    APPLY = "apply"  # run with `settings`; the first of these starts the worker
    READ = "read"  # tell the meters
    STREAMS = "streams"  # tell the exchanges in flight
    LOOK = "look"  # tell what there was since the last look, and look on as `wish` says
    TIMELINE = "timeline"  # tell all that is known of the exchange with this `key`
    DRAIN = "drain"  # and end
    HURRY = "hurry"  # end now


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the supervisor."""

    number: int
    verb: Verb
    seat: tuple[str, str] = ("", "")  # the address as it is configured, and the name if it has one
    settings: Any = None
    wish: Wish = Wish()
    key: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from a worker; one with number 0 is its last."""

    number: int
    problems: tuple[str, ...] = ()
    reading: Reading | None = None
    streams: tuple[dict[str, Any], ...] = ()
    sight: Sight | None = None
    timeline: dict[str, Any] | None = None


class Ends(NamedTuple):
    """The two sockets of one side.

    Neither goes both ways: a peer that ends with something unread resets the socket that
    it was sent on (unix(7)), and libuv stops to watch a socket that was reset without a
    word to whoever reads from it. The one we hear on was never sent anything.
    """

    hearing: socket.socket
    saying: socket.socket

    def close(self) -> None:
        """Close both."""
        for end in self:
            end.close()


def make_ends() -> tuple[Ends, Ends]:
    """Return both sides of a new channel."""
    (hears, told), (answered, says) = socket.socketpair(), socket.socketpair()
    return Ends(hears, says), Ends(answered, told)


@final
class Channel:
    """One side: whole lines in their order, and the descriptors that came with them."""

    def __init__(self, ends: Ends, hear: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """Take one side's sockets.

        Args:
            ends: ours from now on.
            hear: told each line.
            lost: told once, when the other side is gone.
        """
        for end in ends:
            end.setblocking(False)
        self._hearing: Final = ends.hearing
        self._saying: Final = ends.saying
        self._hear: Final = hear
        self._lost: Final = lost
        self._loop: Final = asyncio.get_running_loop()
        self._read = bytearray()
        self._unsent: Final[deque[tuple[memoryview, list[int]]]] = deque()
        self._descriptors: Final[deque[int]] = deque()
        self._loop.add_reader(ends.hearing, self._readable)

    def send(self, message: Order | Answer, descriptor: int | None = None) -> None:
        """Send a line, with a copy of a descriptor; nobody hears it when the other side is gone."""
        if self._saying.fileno() < 0:
            return
        line = msgspec.json.encode(message) + b"\n"
        self._unsent.append((memoryview(line), [] if descriptor is None else [os.dup(descriptor)]))
        if len(self._unsent) == 1:
            self._writable()

    def take_descriptor(self) -> int:
        """Return the next descriptor that came; the caller owns it."""
        return self._descriptors.popleft()

    def close(self) -> None:
        """Close, once what waits is sent; a side that reads no more gets a second."""
        if self._saying.fileno() < 0:
            return
        self._loop.remove_reader(self._hearing)
        self._loop.remove_writer(self._saying)
        self._hearing.close()
        self._saying.settimeout(_LAST_WORDS_S)
        with contextlib.suppress(OSError), self._saying:
            while self._unsent:
                self._send_some()
        for _, descriptors in self._unsent:
            self._descriptors.extend(descriptors)
        for descriptor in self._descriptors:
            os.close(descriptor)

    def _writable(self) -> None:
        try:
            while self._unsent:
                self._send_some()
        except BlockingIOError:
            self._loop.add_writer(self._saying, self._writable)
            return
        except OSError:
            self._loop.remove_writer(self._saying)  # gone: the reader finds that out
            return
        self._loop.remove_writer(self._saying)

    def _send_some(self) -> None:
        octets, descriptors = self._unsent[0]
        sent = socket.send_fds(self._saying, [octets], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if sent < len(octets):
            self._unsent[0] = (octets[sent:], [])
        else:
            self._unsent.popleft()

    def _readable(self) -> None:
        try:
            octets, descriptors, _, _ = socket.recv_fds(self._hearing, _READ, 1)
        except BlockingIOError:
            return
        except OSError:
            octets, descriptors = b"", []
        self._descriptors.extend(descriptors)
        self._read += octets
        if not octets or len(self._read) > _MAX_LINE:
            self._loop.remove_reader(self._hearing)
            self._lost()
        elif b"\n" in octets:
            *lines, self._read = self._read.split(b"\n")
            for line in lines:
                self._hear(bytes(line))
