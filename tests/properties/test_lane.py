"""Lane, whatever comes when: credit is conserved, order is kept, there is one end."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pair import Pair
from tests.support.parts import Data, Head, Trailers, request
from trailproxy.core.lane import Lane
from trailproxy.core.record import Tally
from trailproxy.core.stream import Owner
from trailproxy.wire.fields import Fields

HEAD = Fields.of([(":status", "200")])

PIECES = st.tuples(st.just("data"), st.integers(0, 9), st.integers(0, 3), st.booleans())
STEPS = st.lists(
    st.one_of(
        PIECES,
        st.tuples(st.just("grant"), st.integers(1, 12)),
        st.tuples(st.sampled_from(["attach", "cut"])),
        st.tuples(st.sampled_from(["head", "trailers", "empty", "abort", "attach"])),
    ),
    min_size=2,
    max_size=14,
)


@dataclass
class Ledger(Owner):
    """Owner and source of a lane at once: what it was told, and what it was paid."""

    paid: int = 0
    done: int = 0
    lost: int = 0

    def credit(self, octets: int) -> None:
        assert octets >= 0
        self.paid += octets

    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        lane.open(fields, end)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        return fields

    def trailers_lost(self, lane: Lane) -> None:
        self.lost += 1

    def lane_done(self, lane: Lane) -> None:
        self.done += 1


class _Run:
    """One lane towards a client with a small window."""

    def __init__(self, window: int) -> None:
        self.pair = Pair(peer_window=window)
        self.pair.peer.holds = True
        self.sink = self.pair.takes(request())
        self.owner = Ledger()
        self.tally = Tally()
        self.lane = Lane(self.owner, self.owner, self.tally)
        self.credit = 0  # given to the lane
        self.sent = bytearray()  # body octets it was given and should relay
        self.ended = False  # the source has said its end

    def step(self, kind: str, *rest: int) -> None:
        lane = self.lane
        if kind == "data":
            self._data(*rest)
        elif kind in ("trailers", "empty"):
            self.ended = True
            lane.trailers(Fields.of([("x", "1")] if kind == "trailers" else []))
        elif kind == "head":
            lane.head(HEAD, False)
        elif kind == "attach" and lane.sink is None:
            lane.attach(self.sink)
        elif kind == "grant":
            self.pair.peer.grants(rest[0])
        elif kind == "abort":
            lane.abort()
        elif kind == "cut":
            lane.cut()
        self.pair.settle()

    def _data(self, size: int, padding: int, end: int) -> None:
        lane = self.lane
        octets = bytes((len(self.sent) + n) % 251 for n in range(size))
        if not self.ended and not lane.over:
            self.sent += octets
            self.ended = bool(end)
        self.credit += size + padding
        lane.data(octets, size + padding, bool(end))

    def check(self) -> None:
        lane = self.lane
        assert self.credit == self.owner.paid + lane.credit_owed
        assert lane.credit_owed >= lane.parked_bytes >= 0
        assert self.tally.parked_bytes == lane.parked_bytes
        assert self.owner.done <= 1
        if lane.over:
            assert (lane.credit_owed, lane.parked_bytes) == (0, 0)
        said = self.pair.peer.heard.get(self.sink.sid, [])
        body = b"".join(part.octets for part in said if isinstance(part, Data))
        assert bytes(self.sent).startswith(body)
        assert len(body) == lane.departed
        ends = [part for part in said if isinstance(part, Trailers) or part.end]  # type: ignore[union-attr]
        assert len(ends) == self.owner.done
        if ends:
            assert said[-1] is ends[0]
            assert body == bytes(self.sent)
        assert all(isinstance(part, Head) == (place == 0) for place, part in enumerate(said))


@settings(max_examples=500)
@given(st.integers(1, 8), STEPS)
def test_credit_is_conserved_and_there_is_one_end(window: int, steps: list[Any]) -> None:
    run = _Run(window)
    for step in [("head",), *steps]:
        run.step(*step)
        run.check()


@given(st.integers(1, 8), st.lists(PIECES, max_size=8), st.booleans())
def test_a_message_that_ended_departs_whole_when_there_is_room(
    window: int, pieces: list[Any], attached: bool
) -> None:
    run = _Run(window)
    run.step("head")
    if attached:
        run.step("attach")
    for piece in pieces:
        run.step(*piece)
    run.step("trailers")
    run.lane.abort()
    run.step("attach")
    for _ in range(100):
        run.step("grant", 100)
    run.check()
    assert run.owner.done == 1
