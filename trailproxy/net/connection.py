"""AsyncConnection: one socket, one core Connection.

Bytes in, bytes out, once a tick; nothing is decided here. Its awaitable face
(`open`, `receive`, `send_headers`, `send_data`, `send_trailers`) is for
programs at the end of a stream; the relay passes below it, without a task.
"""

import asyncio
import math
import re
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, cast, final

from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Tally
from trailproxy.core.stream import Stream
from trailproxy.net.channel import Channel, Part, StreamGoneError
from trailproxy.net.clock import CLOCK
from trailproxy.net.round import LARGE_READ, ROUND
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.fields import Fields

Pairs = Iterable[tuple[str | bytes, str | bytes]]

_LONGEST_READ_S: Final = 0.005  # to hear a large read; what takes longer is no large body
_HIGH_WATER: Final = 256 * 1024  # octets in the socket's buffer before lanes wait
_CONTROL_LIMIT: Final = 1024 * 1024  # octets that nobody reads before nothing is done for more
_PATIENCE_S: Final = 10  # for a peer that reads nothing and has no streams
_LINGER_S: Final = 2  # for the peer to close its half, once we have closed ours
_DRAIN_S: Final = 2  # for a client that does not answer the PING between our two GOAWAYs
_HTTP1: Final = re.compile(rb"[A-Z]{3,20} (?:/|\*|https?:|[a-z0-9.-]+:[0-9])")
_HTTP1_TEXT: Final = b"trailproxy speaks HTTP/2 here: with prior knowledge, or as h2 over TLS\n"
_HTTP1_ANSWER: Final = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_HTTP1_TEXT), _HTTP1_TEXT)
)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a peer may keep us waiting, in seconds."""

    head_s: float = 10.0  # from the beginning of a preface, a head or another frame to its end
    idle_s: float | None = 3600.0  # without a stream; None: for ever


PATIENCE: Final = Patience()


@final
class AsyncConnection:
    """The asyncio end of a connection, on either side; an `asyncio.Protocol` in all but name.

    A compiled class cannot inherit from an interpreted one without its costs, and the
    loop asks for the methods only.
    """

    def __init__(
        self,
        build: Callable[["AsyncConnection"], Connection],
        on_lost: Callable[["AsyncConnection"], None],
        tally: Tally,
        patience: Patience = PATIENCE,
    ) -> None:
        """Prepare for a socket.

        Args:
            build: makes the core connection once the socket, and so the peer, is known.
            on_lost: told once, when the socket is gone.
            tally: the counts of this side.
            patience: how long the peer may keep us waiting.
        """
        self._build: Final = build
        self._on_lost: Final = on_lost
        self._tally: Final = tally
        self._head_s: Final = math.ceil(patience.head_s)
        self._idle_s: Final = 0 if patience.idle_s is None else math.ceil(patience.idle_s)
        self._loop: Final = asyncio.get_running_loop()
        self._first: bytes | None = None  # what has come of a client's preface; None: all
        # seconds that something has been waited for: the peer's next word or its leave, the end
        # of what it has begun to say, and a stream
        self._overdue = 0
        self._dripping = 0
        self._idle = 0
        self._unfinished = 0  # what it has begun to say, as the codec calls it
        self._latest = 0  # the last stream that was seen
        self._eof_sent = False
        self._secure = False  # TLS
        self.connected = False  # there is a socket
        self._channels: Final[dict[int, Channel]] = {}
        self._changed: Final = asyncio.Event()
        self.transport: asyncio.Transport
        self.core: Connection

    # -- asyncio's side ------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return itself, under the type that the loop's methods ask for."""
        return cast("asyncio.Protocol", self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, and say SETTINGS."""
        self.transport = cast("asyncio.Transport", transport)
        self.connected = True
        self._secure = transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.core = self._build(self)
        self.core.wake = self._wake
        if self.core.side is Side.DOWNSTREAM:
            self._first = b""  # our SETTINGS wait for it: an HTTP/1 client could not read them
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Hand on what was read."""
        if self._first is not None and not self._is_http2(data):
            return
        # more of this side may be read in the same round, and share a write: wait for it
        ROUND.hearing = self._tally.connections == 1
        CLOCK.hold()
        began = CLOCK.time()
        try:
            self.core.receive(data)
        finally:
            CLOCK.go_on()
            ROUND.end(len(data), self._loop)
        if len(data) >= LARGE_READ and CLOCK.time() - began > _LONGEST_READ_S:
            # uvloop would read this socket 32 times before it looks at another one
            self.transport.pause_reading()
            self._loop.call_soon(self._read_on)
        elif self.is_clogged():
            self.transport.pause_reading()

    def _read_on(self) -> None:
        """Others have had their turn."""
        if not self.transport.is_closing() and not self.is_clogged():
            self.transport.resume_reading()

    def is_clogged(self) -> bool:
        """Tell whether the peer does not read, and much waits for it that needs no window."""
        if self.core.writable:
            return False
        return self.transport.get_write_buffer_size() > _CONTROL_LIMIT

    def eof_received(self) -> None:
        """Half a connection is none: without WINDOW_UPDATEs nothing could be finished."""

    def pause_writing(self) -> None:
        """The socket is full: lanes towards it wait."""
        self.core.writable = False

    def resume_writing(self) -> None:
        """The socket takes more: each lane that waits has its turn."""
        self.core.writable = True
        self.transport.resume_reading()
        self.core.take_turns()
        self.core.nudge()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        side = self.core.side  # "the peer" would be the client, in the words of the access log
        why = f"{side} closed the connection" if exc is None else f"{side} connection lost: {exc}"
        self.connected = False
        self.core.lost_socket(why)
        self._changed.set()
        self._on_lost(self)

    def _is_http2(self, data: bytes) -> bool:
        """Tell a client that speaks HTTP/1 so, instead of leaving it to wonder."""
        first = (self._first or b"") + data
        promising = PREFACE.startswith(first[: len(PREFACE)])
        if not promising and _HTTP1.match(first):
            self.transport.write(_HTTP1_ANSWER)
            self.transport.close()
            return False
        self._first = first if promising and len(first) < len(PREFACE) else None
        return True

    # -- output: once a tick -------------------------------------------------------------

    def _wake(self) -> None:
        """Write when the read that is being heard is over, or else when the loop comes round."""
        if ROUND.hearing:
            ROUND.due.append(self)
        else:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what there is to write, in one piece."""
        self.core.woken = False
        self._changed.set()
        if self._first is not None or self._eof_sent or self.transport.is_closing():
            return
        pieces = self.core.codec.take_pieces()
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        elif pieces and self._secure:
            self.transport.write(b"".join(pieces))  # a TLS record for each would be many
        elif pieces:
            self.transport.writelines(pieces)
        if self.core.closing:
            self._close_softly()

    def _close_softly(self) -> None:
        """Close our half and let the peer close the other.

        A close with octets unread makes the kernel send a TCP reset, which can
        overtake our last parts on their way to the peer's program.
        """
        self._eof_sent = True
        self._overdue = 0
        if not self.transport.can_write_eof() or not self.core.ready:
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:
            self.transport.abort()  # the peer has reset the socket: nothing reaches it any more

    # -- once a second -------------------------------------------------------------------

    def tick(self) -> None:
        """A second has passed."""
        core = self.core
        core.codec.replenish()
        stuck = not core.ready or (not core.writable and not len(core.streams))
        draining = core.draining
        self._overdue = self._overdue + 1 if stuck or draining or self._eof_sent else 0
        if draining and self._overdue >= _DRAIN_S:
            core.drain_finally()
        elif self._overdue > self._most_overdue():
            self.transport.abort()
        elif core.fault is None and not core.closing:
            self._await_end()
            self._await_stream()

    def _most_overdue(self) -> int:
        if self._eof_sent:
            return _LINGER_S
        return _PATIENCE_S if self.core.ready else self._head_s

    def _await_end(self) -> None:
        """Whatever the peer has begun to say has an end before long."""
        # what we do not read has no end, and that is not the peer's doing
        unfinished = self.core.codec.unfinished if self.transport.is_reading() else 0
        if not unfinished or unfinished != self._unfinished:
            self._unfinished = unfinished
            self._dripping = 0
            return
        self._dripping += 1
        if self._dripping >= self._head_s:
            self.core.give_up(f"it has begun a frame, and not ended it within {self._head_s} s")

    def _await_stream(self) -> None:
        """A connection that nobody has used for long is let go, in good order."""
        core = self.core
        serves = core.side is Side.DOWNSTREAM
        latest = core.codec.last_peer_sid if serves else core.codec.open_stream()
        if len(core.streams) or latest != self._latest:
            self._latest = latest
            self._idle = 0
            return
        self._idle += 1
        if self._idle != self._idle_s:
            return
        if serves:
            core.drain()
        else:
            core.retire()

    # -- the awaitable face --------------------------------------------------------------

    @property
    def negotiated(self) -> str | None:
        """What ALPN agreed on; None without TLS, or without agreement."""
        tls = self.transport.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol() if isinstance(tls, ssl.SSLObject) else None

    @property
    def closed(self) -> bool:
        """Whether the connection is broken, or its socket gone."""
        return self.core.fault is not None

    def take_up(self, stream: Stream) -> Channel:
        """Make this program the end of a stream."""
        channel = self._channels[stream.sid] = Channel(stream, self._tally)
        return channel

    async def settled(self) -> None:
        """Return when the peer's SETTINGS have come.

        Raises:
            StreamGoneError: the connection broke before that.
        """
        while not self.core.ready:
            if self.core.fault is not None:
                raise StreamGoneError(self.core.fault)
            self._changed.clear()
            await self._changed.wait()

    async def open(self, fields: Pairs, end: bool = False) -> int:
        """Open a stream with this request head, and return its id.

        Raises:
            HTTP2Error: the head is malformed, or the peer takes no more streams.
        """
        stream = self.core.open()
        if stream is None:
            raise HTTP2Error("the peer takes no more streams", ErrorCode.REFUSED_STREAM)
        self.take_up(stream)
        self.core.send_headers(stream.sid, Fields.of(fields), end)
        return stream.sid

    async def receive(self, sid: int) -> Part:
        """Return the next part of a stream: a head, data or trailers.

        Raises:
            StreamGoneError: the stream broke, and nothing is left to read.
            HTTP2Error: there is no such stream.
        """
        return await self._channel(sid).receive()

    async def send_headers(self, sid: int, fields: Pairs, end: bool = False) -> bool:
        """Send a head, interim or final; False if the stream cannot take one."""
        return self.core.send_headers(sid, Fields.of(fields), end)

    async def send_data(self, sid: int, data: bytes, end: bool = False) -> bool:
        """Send body octets; return when they have departed, False if they cannot."""
        return sid in self._channels and await self._channels[sid].send_data(data, end)

    async def send_trailers(self, sid: int, trailers: Pairs) -> bool:
        """Send trailers; return when they have departed, behind the last body octet.

        The contract is `core.connection.Connection.send_trailers`.
        """
        if not self.core.send_trailers(sid, trailers):
            return False
        return sid not in self._channels or await self._channels[sid].departed()

    def reset_stream(self, sid: int, code: int = ErrorCode.CANCEL) -> None:
        """Send RST_STREAM; a stream that is over is left alone."""
        stream = self.core.find(sid)
        if stream is not None:
            self.core.reset(stream, code, Cause.INTERNAL)

    def forget(self, sid: int) -> None:
        """Let go of a stream that is over; parts nobody read are gone with it."""
        self._channels.pop(sid, None)

    def close(self) -> None:
        """Say GOAWAY, and close the socket when that is written."""
        self.core.codec.goaway(self.core.codec.last_peer_sid, ErrorCode.NO_ERROR)
        self.core.closing = True
        self.core.nudge()

    async def wait_closed(self) -> None:
        """Return when the socket is gone."""
        while self.connected:
            self._changed.clear()
            await self._changed.wait()

    def _channel(self, sid: int) -> Channel:
        channel = self._channels.get(sid)
        if channel is None:
            raise HTTP2Error(f"stream {sid} is unknown", ErrorCode.STREAM_CLOSED)
        return channel
