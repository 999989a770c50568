"""Witness: what was said to the proxy, and what its other side then heard.

A message that looks complete at its receiver was complete at its sender, with the fields,
the octets and the trailers that the sender chose; one that was cut is the beginning of
what was said. What the proxy hears is what its codec tells; what it says is read from the
wire by a stranger, and each message of it must be well-formed, length and all.
"""

from dataclasses import dataclass, field
from typing import Final, cast

from benchmarks.fuzz.auditor import Auditor, Line
from benchmarks.fuzz.wrapped import Wrapped
from trailproxy.core.record import Record
from trailproxy.core.trailers import may_trail
from trailproxy.wire import Codec
from trailproxy.wire.events import DataReceived, Event, HeadReceived, TrailersReceived
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.ledger import Ledger

Pairs = list[tuple[bytes, bytes]]

_DATA: Final = 0
_HEADERS: Final = 1
#: What a proxy writes anew, or adds, in a head.
_OURS: Final = frozenset(
    (
        b":authority",
        b"host",
        b"via",
        b"date",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"max-forwards",
        b"grpc-timeout",
        b"proxy-status",
        b"trailer",
    )
)
_NO_TRAILERS: Final = (b"204", b"304")


@dataclass
class Message:
    """What one side of one stream has said."""

    head: Pairs = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Pairs = field(default_factory=list)
    complete: bool = False


class Ear(Wrapped):
    """A codec, and what it tells: messages, and the credit that is owed for them."""

    def __init__(self, codec: Codec, *, serves: bool) -> None:
        super().__init__(codec)
        self.serves: Final = serves
        self.auditor: Final = Auditor(from_client=not serves)
        self.heard: Final[dict[int, Message]] = {}
        self.said: Final[dict[int, Message]] = {}
        self.unpaid = 0  # credit
        self._ledgers: Final[dict[int, Ledger]] = {}  # of what was said

    def receive(self, data: bytes) -> list[Event]:
        self.auditor.peer_says(data)
        events = self.inner.receive(data)
        for event in events:
            if isinstance(event, DataReceived):
                self.unpaid += event.credit
                message = self.heard[event.sid]
                message.body += event.data
                message.complete = event.end
            elif isinstance(event, HeadReceived) and not (event.fields.interim and not self.serves):
                self.heard[event.sid] = Message(_pairs(event.fields), complete=event.end)
            elif isinstance(event, TrailersReceived):
                message = self.heard[event.sid]
                message.trailers, message.complete = _pairs(event.fields), True
        return events

    def read(self) -> None:
        """Read what the codec has written since the last time."""
        for line in self.auditor.read(self.inner.take_output()):
            if line.kind == _HEADERS:
                self._read_section(line)
            elif line.kind == _DATA:
                (octets,) = line.said
                assert isinstance(octets, bytes)
                wrong = self._ledgers[line.sid].data_fault(len(octets), line.end)
                assert not wrong, f"a malformed message was sent: {wrong}"
                message = self.said[line.sid]
                message.body += octets
                message.complete = line.end

    def _read_section(self, line: Line) -> None:
        section = cast("Pairs", list(line.said))
        ledger = self._ledgers.get(line.sid)
        if ledger is None:
            self._ledgers[line.sid] = ledger = Ledger(not self.serves, self._method(line.sid))
        kind = ledger.next_kind
        fields = Fields([Field(name, value) for name, value in section])
        wrong = ledger.fields_fault(fields, line.end)
        assert not wrong, f"a malformed message was sent: {wrong}"
        if kind == Kind.TRAILERS:
            message = self.said[line.sid]
            message.trailers, message.complete = section, True
        elif not (kind == Kind.RESPONSE and fields.interim):
            self.said[line.sid] = Message(section, complete=line.end)

    def _method(self, sid: int) -> bytes:
        return dict(self.heard[sid].head)[b":method"] if self.serves else b""

    def consumed(self, sid: int, credit: int) -> None:
        self.unpaid -= credit
        self.inner.consumed(sid, credit)


@dataclass(frozen=True)
class Pairing:
    """One attempt of one exchange: the streams that it joins."""

    record: Record
    client: Ear
    client_sid: int
    server: Ear
    server_sid: int

    def look(self, *, last: bool, bends_trailers: bool) -> None:
        """Compare what was said with what was heard.

        Args:
            last: this is the attempt whose response counts.
            bends_trailers: the route may do so.
        """
        asked = self.client.heard[self.client_sid]
        passed_on = self.server.said.get(self.server_sid)
        if passed_on is not None:
            self._compare("request", asked, passed_on, bends_trailers)
        answer = self.client.said.get(self.client_sid)
        if last and answer is not None and not self.record.answered:
            self._compare("response", self.server.heard[self.server_sid], answer, bends_trailers)

    def _compare(self, what: str, said: Message, heard: Message, bends_trailers: bool) -> None:
        missing = _left(said.head, _OURS), _left(heard.head, _OURS)
        assert missing[0] == missing[1], f"another {what} head: {missing}"
        assert said.body.startswith(heard.body), f"another {what} body"
        if not heard.complete:
            return
        if not said.complete:
            assert what == "response", "a request cut short looks complete"
            assert _tells(heard.trailers), "a response cut short looks complete"
            return
        if _tells(heard.trailers) and self.record.dropped is not None:
            return  # what ended it came before its end
        assert said.body == heard.body, f"a {what} lost its end and looks complete"
        if self._has_none(said):
            assert not heard.trailers, f"{what} trailers where none may be: {heard.trailers}"
        elif not bends_trailers:
            kept = [pair for pair in said.trailers if may_trail(pair[0])]
            assert kept == heard.trailers, f"other {what} trailers: {kept}, {heard.trailers}"

    def _has_none(self, said: Message) -> bool:
        """Tell whether there can be no trailers (RFC 9110 section 9.3.2, RFC 9113 section 8.5)."""
        method, (name, value) = self.record.method, said.head[0]
        if method == "CONNECT":
            return name != b":status" or value.startswith(b"2")
        return name == b":status" and (method == "HEAD" or value in _NO_TRAILERS)


def _pairs(fields: Fields) -> Pairs:
    return [(line.name, line.value) for line in fields.items]


def _left(pairs: Pairs, names: frozenset[bytes]) -> Pairs:
    return [pair for pair in pairs if pair[0] not in names]


def _tells(trailers: Pairs) -> bool:
    """Whether trailers say that the message before them is not whole."""
    told = dict(trailers)
    return told.get(b"grpc-status", b"0") != b"0" or b"error=" in told.get(b"proxy-status", b"")
