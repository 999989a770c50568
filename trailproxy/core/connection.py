"""Connection: the streams on one socket, without the socket.

Events become parts in lanes, parts become calls of the codec, and what breaks
is told to the stream's owner and to the observer. Nothing here waits: a lane
without room is remembered and gets its turn when there is room again.
"""

from collections.abc import Callable, Iterable
from typing import Final, cast, final

from mypy_extensions import i64

from trailproxy.core import blame
from trailproxy.core.fault import Cause, Fault, Initiator, Side
from trailproxy.core.goodbye import Goodbye
from trailproxy.core.record import Direction, Observer, Outcome, Progress, Tally
from trailproxy.core.stream import Host, Stream
from trailproxy.core.trailers import vet_trailers
from trailproxy.core.turns import Turns
from trailproxy.wire.codec import Codec
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
    PongReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.fields import Fields
from trailproxy.wire.table import StreamTable


@final
class Connection:
    """One HTTP/2 connection of the proxy, on either side."""

    def __init__(
        self, codec: Codec, side: Side, host: Host, observer: Observer, tally: Tally
    ) -> None:
        # set once
        self.codec: Final = codec
        self.side: Final = side
        self._serves: Final = side is Side.DOWNSTREAM
        self._host: Final = host
        self._observer: Final = observer
        self._tally: Final = tally
        self.wake: Callable[[], None] = _nothing  # by the rim: there is output, or an end
        self.woken = False  # the rim knows; it takes this back when it has flushed
        # read by the rim and the host
        self.streams: Final = StreamTable()
        self.writable = True  # the socket takes more; set by the rim
        self.ready = False  # the peer's SETTINGS have come
        self.away = False  # no new streams: GOAWAY, used-up ids, or a broken connection
        self.closing = False  # nothing is left to do: write the output and close
        self.fault: Fault | None = None  # what broke the connection
        self.resets: i64 = 0  # RST_STREAMs of ours that its peer may hold against us; ebbs away
        self.owed: i64 = 0  # credit received and not yet paid: octets that wait for slower sinks
        self.turns: Final = Turns(tally, codec)  # of the lanes without room
        # ours
        self._goodbye: Final = Goodbye(codec, side, observer)
        tally.connections += 1

    # -- from the peer -------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """File what was read from the socket into the lanes."""
        for event in self.codec.receive(data):
            if isinstance(event, DataReceived):  # ordered by frequency
                self._on_data(event)
            elif isinstance(event, WindowOpened):
                self._on_window(event.sid)
            elif isinstance(event, HeadReceived):
                self._on_head(event)
            elif isinstance(event, TrailersReceived):
                self._on_trailers(event)
            else:
                self._on_rare(event)
        self.nudge()

    def _on_data(self, event: DataReceived) -> None:
        self._tally.bytes_received += len(event.data)
        stream = self.find(event.sid)
        feeds = None if stream is None else stream.feeds
        if stream is not None and event.end:
            self._heard_end(stream)
        if feeds is None:
            self.codec.consumed(event.sid, event.credit)
            return
        self.owed += event.credit
        feeds.data(event.data, event.credit, event.end)

    def _on_head(self, event: HeadReceived) -> None:
        stream = self.find(event.sid)
        if stream is None:
            stream = self._take_up(event.sid)
            stream.heard_end = event.end
            self._host.stream_opened(stream, event.fields, event.end)
            return
        feeds = stream.feeds
        if event.end:
            self._heard_end(stream)
        if feeds is not None:
            feeds.head(event.fields, event.end)

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self.find(event.sid)
        if stream is None:
            return
        feeds = stream.feeds
        self._heard_end(stream)
        if feeds is not None:
            feeds.trailers(event.fields)

    def _on_window(self, sid: i64) -> None:
        if sid == 0:
            self.take_turns()
            return
        stream = self.find(sid)
        self.turns.call(None if stream is None else stream.drains)

    def _on_rare(self, event: Event) -> None:
        if isinstance(event, StreamReset):
            self._on_reset(event)
        elif isinstance(event, StreamFault):
            self._on_fault(event)
        elif isinstance(event, PeerSettings):
            self.ready = True
            self.turns.recall()  # the windows of all streams may be others now
            self._host.connection_changed(self)
        elif isinstance(event, GoAwayReceived):
            self._on_goaway(event)
        elif isinstance(event, PongReceived):
            if self._goodbye.answered(event.payload):
                self.drain_finally()
        else:
            broken = cast("ConnectionFault", event)  # there is no other kind
            self._observer.goaway(self.side, Direction.SENT, broken.code)
            self.lost(blame.broken(self.side, broken.code, broken.why))

    def _on_reset(self, event: StreamReset) -> None:
        stream = self.find(event.sid)
        if stream is None:
            return
        fault = blame.reset_by(self.side, event.code)
        self._note(stream, Initiator.PEER, event.code, fault.cause)
        self._drop(stream, fault)

    def _on_fault(self, event: StreamFault) -> None:
        fault, code = blame.sin(self.side, event), event.code
        self.resets += 1
        stream = self.find(event.sid)
        if stream is None:
            late = code == ErrorCode.STREAM_CLOSED
            progress = Progress.AFTER_END if late else Progress.BEFORE_HEAD
            self._observer.stream_reset(self.side, Initiator.PROXY, code, progress, fault.cause)
            return
        self._note(stream, Initiator.PROXY, code, fault.cause)
        if event.trailers and stream.owner is not None:
            stream.owner.trailers_rejected(stream)
        self._drop(stream, fault)

    def _on_goaway(self, event: GoAwayReceived) -> None:
        self._observer.goaway(self.side, Direction.RECEIVED, event.code)
        if self._serves:
            return  # a client's GOAWAY speaks of pushed streams; there are none
        self.away = True
        fault = blame.goaway(event.why)
        for stream in self._all():
            if stream.sid > event.last_sid:
                self._drop(stream, fault)
        self._host.connection_changed(self)

    def lost(self, fault: Fault) -> None:
        """The connection broke, or its socket closed: every stream on it is over."""
        if self.fault is not None:
            return
        self.fault = fault
        self.away = True
        for stream in self._all():
            self._drop(stream, fault)
        self.turns.clear()
        self.closing = True
        self._tally.connections -= 1
        self._host.connection_changed(self)
        self.nudge()

    def lost_socket(self, why: str) -> None:
        """The peer's socket closed; nothing that is written from now on goes anywhere."""
        self.lost(blame.gone(self.side, why))
        self.wake = _nothing  # who holds each other waits for the collector, which comes seldom

    def give_up(self, why: str) -> None:
        """The peer does not end what it has begun to say: say GOAWAY, and close."""
        code = ErrorCode.ENHANCE_YOUR_CALM
        self.codec.goaway(self.codec.last_peer_sid, code, why)
        self._observer.goaway(self.side, Direction.SENT, code)
        self.lost(blame.slow(self.side, why))

    # -- to the peer ---------------------------------------------------------------------

    def open(self) -> Stream | None:
        """Take a stream of ours; None when the peer takes no more of them."""
        sid = 0 if self.away else self.codec.open_stream()
        if sid == 0:
            self.away = True
            return None
        return self._take_up(sid)

    def send_headers(self, sid: i64, fields: Fields, end: bool) -> bool:
        """Send a head; False if the stream cannot take one any more.

        Raises:
            HTTP2Error: a field must not reach the wire; nothing was sent.
        """
        stream = self.find(sid)
        if stream is None or stream.head_sent:
            return False
        try:
            self.codec.send_head(sid, fields, end)
        except HTTP2Error as error:
            if error.code != ErrorCode.STREAM_CLOSED:  # else what ended it is next in this read
                raise
        stream.head_sent = not (self._serves and fields.interim)
        if end:
            stream.ended = True
            self._settle(stream)
        self.nudge()
        return True

    def send_data(self, sid: i64, data: bytes, end: bool) -> bool:
        """Send body octets, no more than `room(sid)`; False if the stream cannot take them."""
        stream = self.find(sid)
        if stream is None or stream.ended or not stream.head_sent:
            return False
        self.codec.send_data(sid, data, end)
        self._tally.bytes_sent += len(data)
        if end:
            stream.ended = True
            self._settle(stream)
        self.nudge()
        return True

    def send_trailers(
        self, sid: i64, trailers: Iterable[tuple[str | bytes, str | bytes]] | Fields
    ) -> bool:
        """Send trailers and end the stream: the one door through which they reach the wire.

        Behind parked body octets they wait for them. An empty list ends the
        stream with an empty DATA frame.

        Returns:
            False, and nothing is sent, if the stream is unknown, over, has no head
            yet, or has ended, be it behind parked octets; the observer is told of
            a dropped trailer section.

        Raises:
            HTTP2Error: a field may not stand in trailers; nothing was queued.
        """
        fields = vet_trailers(trailers)
        stream = self.find(sid)
        if stream is None or stream.end_said or not stream.head_sent:
            direction = Direction.RESPONSE if self._serves else Direction.REQUEST
            self._observer.trailers(direction, Outcome.DROPPED, "", Cause.STREAM_OVER)
            return False
        lane = stream.drains
        if lane is not None and lane.waits:
            lane.trailers(fields)
            return True
        self.codec.send_trailers(sid, fields)
        stream.ended = True
        self._settle(stream)
        self.nudge()
        return True

    def reset(self, stream: Stream, code: i64, cause: Cause) -> None:
        """Send RST_STREAM; for a stream that is over, do nothing."""
        if stream.over:
            return
        self._note(stream, Initiator.PROXY, code, cause)
        self.resets += 1
        self.codec.reset(stream.sid, code)
        self._forget(stream)
        self.nudge()

    def room(self, sid: i64) -> i64:
        """Return how many body octets may be sent on a stream now."""
        return self.codec.sendable(sid) if self.writable else 0

    def credit(self, sid: i64, octets: i64) -> None:
        """Give window octets back to the peer."""
        self.owed -= octets
        if octets and self.fault is None:
            self.codec.consumed(sid, octets)
            self.nudge()

    def take_turns(self) -> None:
        """There may be room again, for all lanes that wait for the connection."""
        if self.writable:
            self.turns.go_round()

    # -- going away ----------------------------------------------------------------------

    def drain(self) -> None:
        """Ask the peer to open no more streams; the second step follows its answer to a PING."""
        if self.fault is None:
            self._goodbye.ask()
            self.nudge()

    def refuse(self, code: ErrorCode, why: str) -> None:
        """Take up none of the peer's streams: say why, and close."""
        self._goodbye.refuse(code, why)
        self.retire()

    def drain_finally(self) -> None:
        """Name the last stream that is taken, and close when all are over."""
        if self.fault is None and self._goodbye.name_last():
            self._close_when_idle()
            self.nudge()

    def retire(self) -> None:
        """Open no more streams of ours, and close when those in flight are over."""
        self.away = True
        self._close_when_idle()
        self.nudge()

    @property
    def draining(self) -> bool:
        """Whether the peer was asked for no more streams, and not yet told the last one."""
        return self._goodbye.asked and not self._goodbye.named

    def _close_when_idle(self) -> None:
        if not len(self.streams) and (self._goodbye.named if self._serves else self.away):
            self.closing = True

    # -- streams that come and go --------------------------------------------------------

    def find(self, sid: i64) -> Stream | None:
        """Return the open stream with this id, or None."""
        return cast("Stream | None", self.streams.get(sid))

    def _all(self) -> list[Stream]:
        return [cast("Stream", stream) for stream in self.streams.values()]

    def _take_up(self, sid: i64) -> Stream:
        stream = Stream(self, sid)
        self.streams.add(stream)
        self._tally.streams += 1
        return stream

    def _heard_end(self, stream: Stream) -> None:
        """Settle before the part that carries the end is fed: its lane may finish at once."""
        stream.heard_end = True
        self._settle(stream)

    def _settle(self, stream: Stream) -> None:
        """Both sides have said their end: the stream is over."""
        if stream.ended and stream.heard_end:
            self._forget(stream)

    def _drop(self, stream: Stream, fault: Fault) -> None:
        if stream.over:
            return
        owner = stream.owner
        self._forget(stream)
        if owner is not None:
            owner.stream_gone(stream, fault)

    def _forget(self, stream: Stream) -> None:
        stream.over = True
        self.streams.remove(stream)
        self._tally.streams -= 1
        self.turns.leave(stream.drains)
        self._close_when_idle()
        self._host.connection_changed(self)

    def _note(self, stream: Stream, initiator: Initiator, code: i64, cause: Cause) -> None:
        owner = stream.owner
        progress = Progress.BEFORE_HEAD if owner is None else owner.progress(stream)
        self._observer.stream_reset(self.side, initiator, code, progress, cause)
        if owner is not None:
            owner.reset_noted(stream, initiator, code, progress, cause)

    def nudge(self) -> None:
        """Tell the rim that there is output, or an end; once until it has flushed."""
        if not self.woken:
            self.woken = True
            self.wake()


def _nothing() -> None:
    """Stand in until the rim is there."""
