"""NativeCodec: our own HTTP/2, behind the seam; promises: wire.codec.

What is received is judged in `inbound`, stream by stream; what is sent is
checked here, before anything is encoded. Written in the part of Python that
mypyc compiles well: it runs the same, slower, uncompiled.
"""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.wire.codec import MAX_SID, PREFACE, Codec, Role, WireParams
from trailproxy.wire.control import Control
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import Event
from trailproxy.wire.field import METHOD
from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.frames import (
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    FrameWriter,
)
from trailproxy.wire.hpack import Encoder
from trailproxy.wire.inbound import Inbound
from trailproxy.wire.standing import Standing
from trailproxy.wire.streams import OURS, Streams, WireStream


@final
class NativeCodec(Codec):
    """One end of an HTTP/2 connection."""

    __slots__ = ("_control", "_encoder", "_inbound", "_standing", "_streams", "_writer")

    def __init__(self, role: Role, params: WireParams) -> None:
        client = role is Role.CLIENT
        window = max(params.connection_window, DEFAULT_WINDOW)
        self._streams: Final = Streams(client, window)
        self._writer: Final = FrameWriter()
        self._encoder: Final = Encoder()
        self._standing: Final = Standing(params, self._streams, self._writer)
        self._control: Final = Control(self._standing, self._encoder)
        self._inbound: Final = Inbound(self._standing, self._control)
        self._greet(params, window)

    def _greet(self, params: WireParams, window: i64) -> None:
        """Write the preface and our SETTINGS (RFC 9113 section 3.4)."""
        if self._streams.client:
            self._writer.raw(PREFACE)
        self._writer.settings(
            [
                (ENABLE_PUSH, 0),
                (MAX_CONCURRENT_STREAMS, params.max_concurrent_streams),
                (INITIAL_WINDOW_SIZE, params.stream_window),
                (MAX_FRAME_SIZE, params.max_frame_size),
                (MAX_HEADER_LIST_SIZE, params.max_header_list),
            ]
        )
        if window > DEFAULT_WINDOW:
            self._writer.window_update(0, window - DEFAULT_WINDOW)

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        return self._inbound.receive(data)

    # -- sending -------------------------------------------------------------------------

    def take_pieces(self) -> list[bytes]:
        """Return what must be written to the socket, once; large bodies are pieces of their own."""
        return self._writer.take()

    def open_stream(self) -> i64:
        """Return the id of the next stream of ours, or 0 when the ids are used up."""
        sid = self._streams.highest + 2
        return sid if sid <= MAX_SID else 0

    def send_head(self, sid: i64, fields: Fields, end: bool) -> None:
        """Send a request head, an interim head or a response head."""
        streams = self._streams
        _vet(fields, Kind.REQUEST if streams.client else Kind.RESPONSE)
        stream = streams.find(sid)
        if stream is None:
            if not streams.client or sid <= streams.highest:
                raise _over(sid)
            streams.advance(sid)
            method = fields.find(METHOD) or b""
            stream = streams.open(sid, method, self._standing.params.stream_window)
        self._send_block(stream, fields, end)

    def send_data(self, sid: i64, data: bytes, end: bool) -> None:
        """Send body octets, no more than `sendable(sid)`; split into frames as the peer likes."""
        stream = self._live(sid)
        size: i64 = len(data)
        stream.send_window -= size
        self._streams.send_window -= size
        limit = self._control.max_frame_size
        pieces: i64 = 1
        if size <= limit:
            self._writer.data(sid, data, end)
        else:
            position: i64 = 0
            while position < size:
                piece = data[position : position + limit]
                position += limit
                pieces += 1
                self._writer.data(sid, piece, end and position >= size)
        self._standing.allowance.honest_frames += 1 + pieces
        if end:
            self._end(stream)

    def send_trailers(self, sid: i64, fields: Fields) -> None:
        """Send trailers and end the stream; an empty list ends it with an empty DATA frame."""
        _vet(fields, Kind.TRAILERS)
        if not fields.items:
            self.send_data(sid, b"", True)
            return
        self._send_block(self._live(sid), fields, True)

    def _send_block(self, stream: WireStream, fields: Fields, end: bool) -> None:
        block = self._encoder.encode(fields)
        self._writer.block(stream.sid, block, end, self._control.max_frame_size)
        if end:
            self._end(stream)

    def _end(self, stream: WireStream) -> None:
        stream.ended = True
        self._standing.bury_if_over(stream)

    def reset(self, sid: i64, code: i64) -> None:
        """Send RST_STREAM; for a stream that is over, do nothing."""
        stream = self._streams.find(sid)
        if stream is not None:
            self._writer.rst_stream(sid, code)
            self._streams.bury(stream, OURS)

    def _live(self, sid: i64) -> WireStream:
        stream = self._streams.find(sid)
        if stream is None or stream.ended:
            raise _over(sid)
        return stream

    # -- windows and the connection ------------------------------------------------------

    def sendable(self, sid: i64) -> i64:
        """Return how many body octets the peer's windows admit now; 0 for unknown streams."""
        stream = self._streams.find(sid)
        if stream is None:
            return 0 if sid else self._streams.send_window
        return max(min(stream.send_window, self._streams.send_window), 0)

    def consumed(self, sid: i64, credit: i64) -> None:
        """Give `credit` window octets back to the peer."""
        self._standing.pay(sid, credit)

    def goaway(self, last_sid: i64, code: ErrorCode, why: str = "") -> None:
        """Announce that streams above `last_sid` are not taken (RFC 9113 section 6.8)."""
        self._standing.say_goaway(last_sid, code, why)

    def ping(self, payload: bytes) -> None:
        """Send a PING with eight octets; the answer is `PongReceived`."""
        self._writer.ping(payload, False)

    def replenish(self) -> None:
        """A second has passed: let the peer's flood allowances recover."""
        self._standing.allowance.replenish()

    @property
    def unfinished(self) -> i64:
        """What the peer has begun to say and not ended, by a number; 0 if there is nothing."""
        return self._inbound.unfinished()

    @property
    def max_streams(self) -> i64:
        """How many streams the peer lets us have open at once."""
        return self._control.max_streams

    @property
    def last_peer_sid(self) -> i64:
        """The highest stream id of the peer's that we took up; 0 if none."""
        return self._standing.last_taken()


def _vet(fields: Fields, kind: i64) -> None:
    why = fields.fault(kind)
    if why:
        raise HTTP2Error(why)


def _over(sid: i64) -> HTTP2Error:
    return HTTP2Error(f"stream {sid} is over", ErrorCode.STREAM_CLOSED)
