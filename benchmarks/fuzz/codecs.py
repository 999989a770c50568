"""Codecs: one alone, or two that hear the same, and what must hold of them at every moment.

Their owner answers as a careless program would. Whatever a codec writes is audited. Where
both codecs hear the same, they tell the same and answer the same, but for reasons, which
are for people, and for when they give window back and therefore how far a peer that
oversteps it may go.
"""

from typing import Final

from benchmarks.fuzz.auditor import Auditor, Line
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.hostile import ASK, DRAIN, GONE, SECOND, Step
from trailproxy.wire import CODECS, Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    HeadReceived,
    StreamFault,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.fields import Fields

PARAMS: Final = WireParams(
    max_concurrent_streams=20, stream_window=50_000, connection_window=1 << 18
)
_OK: Final = Fields.of([(":status", "200"), ("x-server", "victim")])
_POST: Final = Fields.of(
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
)
_TRAILERS: Final = Fields.of([("grpc-status", "0")])

#: The frames in which both codecs must agree, by type; the rest are of their choice.
_COMPARED: Final = (0, 1, 3, 6, 7)
_GOAWAY: Final = 7


class CodecVictim:
    """A codec alone; its owner answers what it hears, and sends as much as it may."""

    def __init__(self, codec: str, role: Role) -> None:
        self._make = codec, role
        self._begin()

    def _begin(self) -> None:
        name, role = self._make
        self._serves = role is Role.SERVER
        self._codec = make_codec(name, role, PARAMS)
        self._auditor = Auditor(from_client=not self._serves)
        self._broken = False
        self._asked = 0  # streams of ours
        self._unsent: dict[int, int] = {}  # body octets, by stream
        self.heard: list[Event] = []  # in the last step
        self.written: list[Line] = []
        self._flush()

    def play(self, step: Step) -> None:
        """Let one thing happen."""
        self.heard = []
        if step.octets:
            self._hear(step.octets)
        elif step.what == ASK and self._asked < self._codec.max_streams:
            self._ask()
        elif step.what == SECOND:
            self._codec.replenish()
        elif step.what == DRAIN:
            self._codec.goaway(self._codec.last_peer_sid, ErrorCode.NO_ERROR)
        elif step.what.endswith(GONE):
            self._begin()
        self._flush()

    def _ask(self) -> None:
        if not self._serves:
            self._asked += 1
            self._say(self._codec.open_stream(), _POST)

    def _hear(self, octets: bytes) -> None:
        self._auditor.peer_says(octets)
        self.heard = events = self._codec.receive(octets)
        broken = [event for event in events if isinstance(event, ConnectionFault)]
        assert not (self._broken and events), f"heard behind the end: {events}"
        assert not broken or broken == events[-1:], f"not the last words: {events}"
        self._broken = self._broken or bool(broken)
        for event in events:
            self._answer(event)

    def _answer(self, event: Event) -> None:
        if isinstance(event, HeadReceived) and self._serves:
            self._say(event.sid, _OK)
        elif isinstance(event, DataReceived) and event.sid % 5:
            self._codec.consumed(event.sid, event.credit)
        elif isinstance(event, TrailersReceived) and event.sid % 4 == 1:
            self._codec.reset(event.sid, ErrorCode.CANCEL)
        elif isinstance(event, WindowOpened):
            for sid in list(self._unsent):
                self._send(sid)

    def _say(self, sid: int, head: Fields) -> None:
        size = (0, 10, 3000, 100_000)[sid % 4]
        try:
            self._codec.send_head(sid, head, end=size == 0)
        except HTTP2Error as error:
            # what ended the stream came in the same read
            if error.code != ErrorCode.STREAM_CLOSED:
                raise
            return
        if size:
            self._unsent[sid] = size
            self._send(sid)

    def _send(self, sid: int) -> None:
        left, room = self._unsent[sid], self._codec.sendable(sid)
        if not room:
            return
        size = min(left, room)
        self._codec.send_data(sid, bytes(size), end=False)
        self._unsent[sid] -= size
        if size == left:
            del self._unsent[sid]
            self._codec.send_trailers(sid, _TRAILERS)

    def _flush(self) -> None:
        self.written = self._auditor.read(self._codec.take_output())

    def finish(self) -> None:
        """Look at the books."""
        assert self._auditor.errors == self._broken, "a broken connection says so once"


class Twins:
    """Both codecs, who hear the same."""

    def __init__(self, role: Role) -> None:
        self._twins = [CodecVictim(codec, role) for codec in CODECS]
        self._part = False  # each has gone its own lawful way

    def play(self, step: Step) -> None:
        """Let one thing happen to both."""
        for twin in self._twins:
            twin.play(step)
        if step.what.endswith(GONE):
            self._part = False
        one, other = ([_plain(event) for event in twin.heard] for twin in self._twins)
        self._part = self._part or _overstepped(one) or _overstepped(other)
        if self._part:
            return
        assert one == other, _difference("is heard", one, other)
        ours, theirs = ([_told(line) for line in twin.written] for twin in self._twins)
        one, other = [line for line in ours if line], [line for line in theirs if line]
        assert one == other, _difference("is written", one, other)

    def finish(self) -> None:
        """Look at the books of both."""
        for twin in self._twins:
            twin.finish()


Plain = tuple[object, ...]


def _plain(event: Event) -> Plain:
    """Tell what an event says, without the reason."""
    if isinstance(event, ConnectionFault):
        return ("ConnectionFault", _either(event.code))
    if isinstance(event, StreamFault):
        return ("StreamFault", event.sid, event.code, event.refused, event.trailers)
    return (type(event).__name__, *event.tells())


def _told(line: Line) -> Plain:
    """Tell what a frame says; nothing of one that the codec may choose."""
    if line.kind not in _COMPARED:
        return ()
    said = tuple(_either(each) for each in line.said) if line.kind == _GOAWAY else line.said
    return (line.kind, line.sid, line.end, said)


def _either(code: object) -> object:
    """A frame of the wrong size on the wrong stream breaks two rules: either may be told."""
    return ErrorCode.PROTOCOL_ERROR if code == ErrorCode.FRAME_SIZE_ERROR else code


def _overstepped(heard: list[Plain]) -> bool:
    """Tell of a peer that went beyond a window: how far it may go is a codec's choice."""
    return any(ErrorCode.FLOW_CONTROL_ERROR in told[1:] for told in heard)


def _difference(what: str, one: list[Plain], other: list[Plain]) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    alike = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(one), len(other)))
    ours, theirs = one[alike : alike + 3], other[alike : alike + 3]
    return f"{what} by {CODECS[0]}: {ours}, by {CODECS[1]}: {theirs}"


def play(role: Role, octets: bytes) -> None:
    """Play a case to codecs in one role."""
    case = Case.read(octets)
    victim = Twins(role) if case.codec == "both" else CodecVictim(case.codec, role)
    for step in case.unfolded():
        victim.play(step)
    victim.finish()
