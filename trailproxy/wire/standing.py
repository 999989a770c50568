"""Standing: how we stand with a peer: its sins, its credit, and what it may still ask of us.

A stream's sins stay on the stream: `sin` resets it, and the other frames of the
same read are heard. Only framing, HPACK and floods `fail` the connection. Both
are values, not exceptions, which would cost a compiled loop 1 µs each.
"""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.wire.codec import WireParams
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import ConnectionFault, Event, StreamFault
from trailproxy.wire.flood import Allowance, Cheap
from trailproxy.wire.frames import FrameWriter
from trailproxy.wire.streams import ENDED, FORGOTTEN, OURS, Streams, WireStream


@final
class Standing:
    """What the receiving and the sending half of a codec both act upon."""

    __slots__ = ("allowance", "broken", "events", "params", "streams", "writer")

    def __init__(self, params: WireParams, streams: Streams, writer: FrameWriter) -> None:
        self.params: Final = params
        self.streams: Final = streams
        self.writer: Final = writer
        self.allowance: Final = Allowance()
        self.events: list[Event] = []  # of the read that is being heard
        self.broken = False

    def heard_end(self, stream: WireStream) -> None:
        """The peer has said its end."""
        stream.heard_end = True
        self.bury_if_over(stream)

    def bury_if_over(self, stream: WireStream) -> None:
        """Let go of a stream on which both sides have said their end."""
        if stream.ended and stream.heard_end:
            self.streams.bury(stream, ENDED)
            self.allowance.honest_streams += 1

    def pay(self, sid: i64, credit: i64) -> None:
        """Give window octets back, and announce them in quarters of a window (section 6.9)."""
        if not credit:
            return
        streams, params = self.streams, self.params
        streams.unpaid += credit
        if streams.unpaid * 4 >= params.connection_window:
            streams.recv_window += streams.unpaid
            self.writer.window_update(0, streams.unpaid)
            streams.unpaid = 0
        stream = streams.find(sid)
        if stream is None or stream.heard_end:
            return
        stream.unpaid += credit
        if stream.unpaid * 4 >= params.stream_window:
            stream.recv_window += stream.unpaid
            self.writer.window_update(sid, stream.unpaid)
            stream.unpaid = 0

    def late(self, sid: i64, what: str) -> None:
        """A frame for a stream that is over: expected behind our reset, else STREAM_CLOSED."""
        streams = self.streams
        fate = streams.fate(sid)
        expected = fate == OURS or (streams.client and fate == FORGOTTEN)
        if expected or (sid > streams.goaway_last and not streams.client):
            self.spend(Cheap.IDLE)
        else:
            why = f"{what} on a closed stream"
            self.refuse(sid, ErrorCode.STREAM_CLOSED, why, False, False)

    def sin(self, stream: WireStream, code: ErrorCode, why: str, trailers: bool) -> None:
        """Reset a live stream for what its peer did."""
        self.streams.bury(stream, OURS)
        self._tell(stream.sid, code, why, False, trailers)
        if not self.streams.client:  # a server can provoke us once for each stream of ours
            self.spend(Cheap.PROVOKED)

    def refuse(self, sid: i64, code: ErrorCode, why: str, refused: bool, trailers: bool) -> None:
        """Reset a stream that is not open, for what the peer did on it."""
        self._tell(sid, code, why, refused, trailers)
        self.spend(Cheap.PROVOKED)

    def _tell(self, sid: i64, code: ErrorCode, why: str, refused: bool, trailers: bool) -> None:
        """Write RST_STREAM, and tell of it."""
        self.writer.rst_stream(sid, code)
        self.streams.remember(sid, OURS)
        self.events.append(StreamFault(sid, code, why, refused, trailers))

    def spend(self, kind: i64) -> bool:
        """Let the peer have one cheap frame; False when it has overdrawn: the connection fails."""
        if self.allowance.spend(kind):
            return True
        self.fail(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames: {Cheap.NAMES[kind]}")
        return False

    def fail(self, code: ErrorCode, why: str) -> None:
        """End the connection: the peer broke more than a stream."""
        self.broken = True
        self.say_goaway(self.last_taken(), code, why)
        self.events.append(ConnectionFault(code, why))

    def say_goaway(self, last_sid: i64, code: ErrorCode, why: str) -> None:
        """Write GOAWAY; streams of the peer's above `last_sid` are not taken up any more."""
        self.streams.goaway_last = last_sid
        self.writer.goaway(last_sid, code, why)

    def last_taken(self) -> i64:
        """Return the highest stream id of the peer's that we took up; GOAWAY never raises it."""
        streams = self.streams
        return 0 if streams.client else min(streams.highest, streams.goaway_last)
