"""Conversations at random: what ended arrives whole, what was cut never looks complete.

Both peers say whatever they may say, in any order, and either may reset or
leave at any moment. In the end nothing is left over, and every loss has a cause.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.parts import Data, Head, Reset, Said, Trailers, data, head, request, trailers
from tests.support.table import Peer, Table
from trailproxy.core.digest import DigestCheck, DigestMaker
from trailproxy.core.fault import Cause, Side, ours
from trailproxy.core.gallery import Gallery
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.retry import RetryPolicy
from trailproxy.core.routing import Deadlines, Handling
from trailproxy.core.timing import ServerTiming
from trailproxy.wire.errors import ErrorCode

DEADLINES = Deadlines(response_head=20.0, idle=20.0, total=100.0)
TIMEOUTS = (Cause.RESPONSE_HEAD_TIMEOUT, Cause.IDLE_TIMEOUT, Cause.TOTAL_TIMEOUT)
CODES = st.sampled_from([ErrorCode.NO_ERROR, ErrorCode.CANCEL, ErrorCode.REFUSED_STREAM])
WHO = st.sampled_from(["client", "server"])
STEPS = st.lists(
    st.one_of(
        st.tuples(WHO, st.just("data"), st.integers(0, 12)),
        st.tuples(WHO, st.just("data"), st.integers(0, 12)),
        st.tuples(WHO, st.sampled_from(["end", "trailers", "grant"]), st.just(0)),
        st.tuples(WHO, st.just("reset"), CODES),
        st.tuples(WHO, st.sampled_from(["leaves", "goaway", "wait", "interim"]), st.just(0)),
    ),
    max_size=12,
)


@dataclass
class Voice:
    """One peer, and what it has said on the stream."""

    peer: Peer
    said: list[Said] = field(default_factory=list)
    ended: bool = False  # with its message whole
    gone: bool = False

    @property
    def may_speak(self) -> bool:
        heard = self.peer.heard.get(self.peer.sid, [])
        reset = any(isinstance(part, Reset) for part in heard)
        return not (self.ended or self.gone or reset) and self.peer.core.fault is None

    def say(self, part: Said) -> None:
        self.said.append(part)
        self.ended = isinstance(part, Trailers) or (not isinstance(part, Reset) and part.end)
        self.peer.says(part)


def _step(table: Table, voice: Voice, kind: str, value: int) -> None:
    peer = voice.peer
    server = peer is table.server
    if server and kind in ("leaves", "goaway"):
        table.kitchen.core = None  # it will not be leased again
    if kind == "grant":
        peer.grants(50)
    elif kind == "wait":
        table.advance(7)
    elif kind == "leaves":
        voice.gone = True
        peer.leaves()
    elif kind == "goaway" and peer.core.fault is None:
        peer.goes_away(peer.sid)
    elif peer.sid:  # the server may have heard of no request yet
        _say(voice, kind, value, server)


def _say(voice: Voice, kind: str, value: int, server: bool) -> None:
    if kind == "reset" and not voice.gone and _is_open(voice):
        voice.gone = True
        voice.peer.says(Reset(ErrorCode(value)))
    elif voice.may_speak:
        _speak(voice, kind, value, server)


def _is_open(voice: Voice) -> bool:
    return voice.peer.sid in voice.peer.core.streams


def _speak(voice: Voice, kind: str, value: int, server: bool) -> None:
    peer = voice.peer
    if server and kind == "interim" and not voice.said:
        peer.says(head(103))
        return
    if server and not voice.said:
        voice.say(head(200))
    if not voice.may_speak or not _is_open(voice):
        return
    if kind == "data" and peer.codec.sendable(peer.sid) >= value:
        voice.say(data(bytes(value)))
    elif kind == "end":
        voice.say(data(b"", end=True))
    elif kind == "trailers":
        voice.say(trailers(x_sum=str(len(voice.said))))


def _body(parts: list[Said]) -> bytes:
    return b"".join(part.octets for part in parts if isinstance(part, Data))


def _section(parts: list[Said]) -> list[Said]:
    return [part for part in parts if isinstance(part, Trailers)]


def _complete(parts: list[Said]) -> bool:
    return any(
        isinstance(part, Trailers) or (isinstance(part, Head | Data) and part.end) for part in parts
    )


def _is_faithful(heard: list[Said], voice: Voice) -> None:
    """What was heard is what was said, or a beginning of it that does not look complete."""
    assert _body(voice.said).startswith(_body(heard))
    if _complete(heard):
        assert voice.ended, "a message cut short looked complete"
        assert _body(heard) == _body(voice.said)
        assert _section(heard) == _section(voice.said)


@settings(max_examples=400)
@given(st.sampled_from([1, 5, 1 << 16]), st.sampled_from([1, 5, 1 << 16]), st.booleans(), STEPS)
def test_what_ended_arrives_whole_or_its_loss_has_a_cause(
    client_window: int, server_window: int, waits: bool, steps: list[tuple[str, str, int]]
) -> None:
    table = _table(client_window, server_window, waits)
    client, server = _play(table, steps, waits)
    table.is_clean()
    _is_told(table, client, server)


def _table(
    client_window: int, server_window: int, waits: bool, handling: Handling | None = None
) -> Table:
    return Table(
        client_window=client_window,
        server_window=server_window,
        deadlines=DEADLINES,
        handling=handling,
        connected=not waits,
    )


def _play(
    table: Table,
    steps: list[tuple[str, str, int]],
    waits: bool,
    before: Callable[[int], None] = lambda _: None,
) -> tuple[Voice, Voice]:
    """Hold the conversation to its end; `before` is called before each step."""
    voices = {"client": Voice(table.client), "server": Voice(table.server)}
    client, server = voices["client"], voices["server"]
    table.client.holds = table.server.holds = True
    table.client.sid = table.client.codec.open_stream()
    before(0)
    client.say(request())
    for place, (who, kind, value) in enumerate(steps):
        before(place + 1)
        if place == 3 and waits and not table.server.core.away:
            table.connect()
        _step(table, voices[who], kind, value)
    table.kitchen.fails(ours(Cause.CONNECT_FAILED, "nobody there"))
    table.settle()
    for _ in range(60):
        table.client.grants(1000)
        table.server.grants(1000)
    table.advance(200)
    for _ in range(60):
        table.client.grants(1000)  # an answer of ours may have had to wait
    return client, server


def _is_told(table: Table, client: Voice, server: Voice) -> None:
    record = table.record
    at_client = table.client.heard.get(1, [])
    if not record.answered:
        _is_faithful(at_client, server)
    for heard in table.server.heard.values():
        _is_faithful(heard, client)
    if record.dropped is None:
        assert _complete(at_client)
    if server.ended and not client.gone and record.dropped not in TIMEOUTS:
        # an end once received is final, whatever its sender did next
        assert _complete(at_client)
        assert _section(at_client) == _section(server.said)
    outcomes = table.notes.trailer_outcomes
    if not record.answered and record.attempts == 1 and server.ended:
        came = outcomes[Direction.RESPONSE, Outcome.RELAYED]
        lost = outcomes[Direction.RESPONSE, Outcome.DROPPED]
        assert came + lost <= 1
        assert came == len(_section(at_client))
        assert came or lost or not _section(server.said) or record.dropped is not None


def _retries() -> Handling:
    causes = frozenset({Cause.UPSTREAM_RESET, Cause.UPSTREAM_GONE})
    return Handling(retry=RetryPolicy(causes=causes, attempts=3, backoff_s=0.0))


def _adds() -> Handling:
    return Handling(policy=Policy([DigestCheck(resets=True), DigestMaker(), ServerTiming()]))


@settings(max_examples=150)
@given(
    st.sampled_from([1, 5, 1 << 16]),
    st.sampled_from([1, 5, 1 << 16]),
    st.booleans(),
    st.sampled_from([Handling, _retries, _adds]),
    STEPS,
    st.integers(0, 6),
    st.integers(1, 14),
)
def test_looking_on_changes_nothing(
    client_window: int,
    server_window: int,
    waits: bool,
    handling: Callable[[], Handling],
    steps: list[tuple[str, str, int]],
    since: int,
    until: int,
) -> None:
    unseen = _table(client_window, server_window, waits, handling())
    _play(unseen, steps, waits)
    seen = _table(client_window, server_window, waits, handling())
    gallery = Gallery(seen.proxy)

    def look(step: int) -> None:
        if step == since:
            gallery.open(curious=True)
        elif step == since + until:
            gallery.close()

    _play(seen, steps, waits, look)
    seen.is_clean()
    assert seen.client.heard == unseen.client.heard
    assert seen.server.heard == unseen.server.heard
    assert seen.notes.resets == unseen.notes.resets
    assert seen.notes.trailer_outcomes == unseen.notes.trailer_outcomes
    for witness in gallery.ended.values():  # of one exchange, which was seen to its end
        record, timeline = witness.record, witness.timeline
        sent = timeline.run(Side.DOWNSTREAM, Direction.SENT)
        assert sent.octets == record.response_bytes
        assert timeline.run(Side.UPSTREAM, Direction.RECEIVED).octets >= (
            0 if record.answered else sent.octets
        )
