"""Peer: one socket and one codec, for either role. What comes is kept, nothing is mended.

Window credit is returned at once, but for streams that are held: so a slow reader is
played, and each stream's window bounds what can come. Who does not read is not read
either, and nobody is waited for longer than it takes to say goodbye.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast, final

from trailproxy.probe.message import Message
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode, code_name
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
)
from trailproxy.wire.fields import Fields

WINDOW: Final = 65_535
"""Octets that may come on a stream that is held: what HTTP/2 begins with (RFC 9113 6.9.2)."""

_PARAMS: Final = WireParams(
    max_concurrent_streams=256, stream_window=WINDOW, max_header_list=256 * 1024
)
_PIECE: Final = 16 * 1024
_GOODBYE_S: Final = 0.5  # for what was said to leave, and for TLS to end


class GoneError(Exception):
    """The connection is no more; the text says why."""


@final
class Peer(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, role: Role, opened: Callable[["Peer", int], None] | None = None) -> None:
        """Prepare for a socket; `opened` is told of each stream the other end opens."""
        self._codec: Final = make_codec("native", role, _PARAMS)
        self._opened: Final = opened
        self._changed: Final = asyncio.Event()
        self._messages: Final[dict[int, Message]] = {}
        self._held: Final[dict[int, int]] = {}  # octets not paid for, of streams that are held
        self._clock: asyncio.TimerHandle | None = None
        self._lost: Final = asyncio.Event()
        self._transport: asyncio.Transport
        self.settled = False  # its SETTINGS have come
        self.going = ""  # why it takes no new streams
        self.gone = ""  # why there is no connection any more

    # -- the socket ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say SETTINGS."""
        self._transport = cast("asyncio.Transport", transport)
        self._flush()
        self._tick()

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        if not self.settled and data[:7] == b"HTTP/1.":
            self._leave("it speaks HTTP/1.1")
            return
        for event in self._codec.receive(data):
            self._take(event)
        self._flush()
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """There is no connection any more."""
        if self._clock is not None:
            self._clock.cancel()
        self._leave(str(error or "") or "it closed the connection")
        self._lost.set()

    def pause_writing(self) -> None:
        """Hear no more from a peer that does not read: it could ask without end."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Hear it again."""
        self._transport.resume_reading()

    def _tick(self) -> None:
        self._codec.replenish()
        self._clock = asyncio.get_running_loop().call_later(1.0, self._tick)

    def _leave(self, why: str) -> None:
        self.going = self.going or why
        self.gone = self.gone or self.going  # a GOAWAY tells more than the close behind it
        self._transport.close()
        self._changed.set()

    def _flush(self) -> None:
        pieces = self._codec.take_pieces()
        if not self._transport.is_closing():
            self._transport.writelines(pieces)

    def _take(self, event: Event) -> None:
        if isinstance(event, PeerSettings):
            self.settled = True
        elif isinstance(event, GoAwayReceived):
            self.going = f"GOAWAY {code_name(event.code)} {event.why}".rstrip()
        elif isinstance(event, ConnectionFault):
            self._leave(f"it broke HTTP/2: {event.why}")
        else:
            self._take_part(event)

    def _take_part(self, event: Event) -> None:
        sid = int(getattr(event, "sid", 0))  # of what opens the whole connection's window: none
        if isinstance(event, HeadReceived) and self._opened is not None:
            self._messages[sid] = Message()
            self._messages[sid].take(event)
            self._opened(self, sid)
            return
        message = self._messages.get(sid)
        if message is not None:
            message.take(event)
        if isinstance(event, DataReceived):
            if sid in self._held:
                self._held[sid] += event.credit
            else:
                self._codec.consumed(sid, event.credit)

    @property
    def negotiated(self) -> str:
        """What TLS agreed on by ALPN; empty if nothing."""
        tls = self._transport.get_extra_info("ssl_object")
        return "" if tls is None else tls.selected_alpn_protocol() or ""

    # -- to be waited for ----------------------------------------------------------------

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true.

        Raises:
            GoneError: it was not, and the connection went.
        """
        while not true():
            if self.gone:
                raise GoneError(self.gone)
            self._changed.clear()
            await self._changed.wait()

    async def heard(self, sid: int) -> Message:
        """Wait until nothing more comes on a stream, and return what came."""
        message = self._messages[sid]
        try:
            await self.until(lambda: message.over)
        except GoneError:
            if message.head is None:
                raise
        return message

    async def grown(self, sid: int, size: int) -> Message:
        """Wait until a body has that many octets, or nothing more comes; return what came."""
        message = self._messages[sid]
        await self.until(lambda: message.over or message.size >= size)
        return message

    # -- to be said ----------------------------------------------------------------------

    def open(self, head: Fields, *, end: bool, hold: bool = False) -> int:
        """Open a stream; a stream that is held gets no window back until it is let go."""
        sid = int(self._codec.open_stream())
        self._messages[sid] = Message()
        if hold:
            self._held[sid] = 0
        self.head(sid, head, end=end)
        return sid

    def message(self, sid: int) -> Message:
        """Return what has come on a stream."""
        return self._messages[sid]

    def forget(self, sid: int) -> None:
        """Keep what came on a stream no longer."""
        self._messages.pop(sid, None)
        self._held.pop(sid, None)

    def head(self, sid: int, head: Fields, *, end: bool = False) -> None:
        """Send a head; like all that is said, to a stream that was broken off it is lost."""
        if not self._broken_off(sid):
            self._codec.send_head(sid, head, end)
            self._flush()

    async def data(self, sid: int, octets: bytes, *, end: bool = False) -> None:
        """Send body octets, as the other end's windows let them go."""
        view = memoryview(octets)
        while view:
            await self.until(lambda: self._broken_off(sid) or self._codec.sendable(sid) > 0)
            if self._broken_off(sid):
                return
            size = min(len(view), int(self._codec.sendable(sid)), _PIECE)
            last = end and size == len(view)
            self._codec.send_data(sid, bytes(view[:size]), last)
            self._flush()
            view = view[size:]
        if end and not octets and not self._broken_off(sid):
            self._codec.send_data(sid, b"", True)
            self._flush()

    def trailers(self, sid: int, trailers: Fields) -> None:
        """Send trailers; they end the message."""
        if not self._broken_off(sid):
            self._codec.send_trailers(sid, trailers)
            self._flush()

    def _broken_off(self, sid: int) -> bool:
        """Tell whether a stream was reset, by the other end or by our codec for its sins."""
        message = self._messages[sid]
        return message.reset is not None or bool(message.fault)

    def reset(self, sid: int, code: int) -> None:
        """Break a stream off."""
        self._codec.reset(sid, code)
        self._flush()

    def release(self, sid: int) -> None:
        """Give back the window of a stream that was held."""
        self._codec.consumed(sid, self._held.pop(sid, 0))
        self._flush()

    async def close(self) -> None:
        """Say goodbye, close, and wait until that is done; not long."""
        if not self.gone:
            self._codec.goaway(self._codec.last_peer_sid, ErrorCode.NO_ERROR)
            self._flush()
            self._leave("we closed it")
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()
            await self._lost.wait()

    def cut(self) -> None:
        """Close without a word, behind what has been said."""
        self._leave("we cut it")
