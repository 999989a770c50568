"""Lane: parts in, parts out, and every octet of credit paid once."""

from dataclasses import dataclass, field

import pytest

from tests.support.pair import Pair
from tests.support.parts import data, head, request, reset, trailers
from trailproxy.core.fault import Side
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.record import Ending, Tally
from trailproxy.core.stream import Owner
from trailproxy.wire.fields import Fields

HEAD = Fields.of([(":status", "200")])
SECTION = Fields.of([("x-a", "1")])


@dataclass
class Keeper(Owner):
    """A lane's owner that lets everything pass."""

    heads: list[bool] = field(default_factory=list)
    lost: int = 0
    done: int = 0

    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        self.heads.append(end)
        lane.open(fields, end)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        return fields

    def trailers_lost(self, lane: Lane) -> None:
        self.lost += 1

    def lane_done(self, lane: Lane) -> None:
        self.done += 1


class Purse:
    """A source: what it is paid."""

    def __init__(self) -> None:
        self.paid = 0

    def credit(self, octets: int) -> None:
        self.paid += octets


class Bench:
    """A lane, its owner, its source, and a client behind its sink."""

    def __init__(self, window: int = 1 << 20) -> None:
        self.pair = Pair(peer_window=window)
        self.client = self.pair.peer
        self.client.holds = True
        self.sink = self.pair.takes(request())
        self.owner, self.purse, self.tally = Keeper(), Purse(), Tally()
        self.lane = Lane(self.owner, self.purse, self.tally)

    def attach(self) -> None:
        """Join the lane to its sink."""
        self.lane.attach(self.sink)
        self.pair.settle()


def test_a_head_that_ends_the_message() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, True)
    bench.pair.settle()
    bench.client.hears(head(200, end=True))
    assert (bench.lane.phase, bench.lane.ending) == (Phase.DONE, Ending.END)
    assert bench.owner.done == 1
    assert bench.lane.over


def test_what_came_before_the_sink_departs_when_it_is_there() -> None:
    bench = Bench()
    lane = bench.lane
    lane.head(HEAD, False)
    lane.data(b"one", 3, False)
    lane.data(b"two", 5, False)  # two octets of padding
    lane.trailers(SECTION)
    assert (lane.parked_bytes, bench.tally.parked_bytes, bench.purse.paid) == (6, 6, 0)
    assert lane.waits
    assert not lane.pump()
    bench.attach()
    bench.client.hears(head(200), data(b"onetwo"), trailers(x_a="1"))
    assert (lane.parked_bytes, bench.tally.parked_bytes, bench.purse.paid) == (0, 0, 8)
    assert (lane.arrived, lane.departed, lane.trailers_departed) == (6, 6, 1)
    assert lane.ending is Ending.TRAILERS


def test_an_end_on_an_empty_piece_departs() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"", 0, True)
    bench.pair.settle()
    bench.client.hears(head(200), data(b"", end=True))


def test_padding_alone_is_paid_at_once_and_not_relayed() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"", 9, False)
    bench.pair.settle()
    bench.client.hears(head(200))
    assert bench.purse.paid == 9
    assert not bench.lane.waits


def test_a_piece_is_cut_to_the_room_and_its_padding_is_paid_last() -> None:
    bench = Bench(window=4)
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"sixsix", 10, True)
    bench.pair.settle()
    assert (bench.purse.paid, bench.lane.credit_owed, bench.lane.parked_bytes) == (4, 6, 2)
    bench.client.hears(head(200), data(b"sixs"))
    bench.client.grants(4)
    bench.client.hears(data(b"ix", end=True))
    assert (bench.purse.paid, bench.lane.credit_owed) == (10, 0)


def test_an_empty_trailer_section_ends_the_message_without_one() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.trailers(Fields([]))
    bench.pair.settle()
    bench.client.hears(head(200), data(b"", end=True))
    assert bench.lane.ending is Ending.END
    assert bench.lane.trailers_came


def test_the_quantum_bounds_one_turn() -> None:
    bench = Bench(window=2)
    lane = bench.lane
    bench.attach()
    lane.head(HEAD, False)
    lane.data(b"0123456789", 10, False)
    bench.pair.core.codec.receive(b"\0\0\4\x08\0\0\0\0\1\0\0\0\x64")  # WINDOW_UPDATE, 100
    assert lane.pump(3)
    assert lane.departed == 5
    assert not lane.pump()
    assert lane.departed == 10


# -- a source that goes ------------------------------------------------------------------


def test_an_end_once_received_is_final() -> None:
    bench = Bench(window=3)
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"whole", 5, False)
    bench.lane.trailers(SECTION)
    assert not bench.lane.abort()
    bench.pair.settle()
    bench.client.hears(head(200), data(b"who"))
    bench.client.grants(3)
    bench.client.hears(data(b"le"), trailers(x_a="1"))


def test_a_message_without_its_end_is_cut() -> None:
    bench = Bench(window=3)
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"half", 4, False)
    assert bench.lane.abort()
    assert (bench.lane.phase, bench.lane.ending) == (Phase.ABORTED, Ending.RESET)
    assert (bench.purse.paid, bench.tally.parked_bytes) == (4, 0)
    assert not bench.lane.pump()
    assert bench.owner.done == 0


def test_what_comes_behind_a_cut_is_paid_for_and_goes_nowhere() -> None:
    bench = Bench()
    bench.attach()
    lane = bench.lane
    lane.head(HEAD, False)
    lane.cut()
    lane.data(b"late", 6, True)
    lane.trailers(SECTION)
    lane.head(HEAD, True)
    bench.pair.settle()
    bench.client.hears(head(200))
    assert bench.purse.paid == 6
    assert bench.owner.lost == 1
    assert bench.owner.heads == [False]
    assert (lane.phase, lane.ending) == (Phase.ABORTED, Ending.CANCELLED)


def test_parked_trailers_that_are_cut_are_lost_once() -> None:
    bench = Bench(window=1)
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"half", 4, False)
    bench.lane.trailers(SECTION)
    bench.lane.cut()
    bench.lane.cut()
    assert bench.owner.lost == 1


def test_a_cut_behind_the_end_changes_nothing() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, True)
    bench.lane.cut()
    assert bench.lane.ending is Ending.END


# -- another sink -------------------------------------------------------------------------


def test_a_head_alone_can_be_sent_again() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, True)
    assert bench.lane.replayable
    bench.lane.rewind()
    assert bench.lane.phase is Phase.ENDED
    again = bench.sink = bench.pair.takes(request())
    bench.attach()
    bench.client.hears(head(200, end=True), sid=again.sid)
    assert bench.lane.phase is Phase.DONE


def test_the_parked_body_goes_to_the_next_sink() -> None:
    pair = Pair(Side.UPSTREAM, peer_window=0)
    lane = Lane(Keeper(), Purse(), Tally())
    sinks = [pair.core.open(), pair.core.open()]
    lane.head(Fields.of(request().fields), False)
    for sink in sinks:
        assert sink is not None
        assert lane.replayable
        lane.rewind()
        lane.attach(sink)
        lane.data(b"x", 1, False)
    assert lane.parked_bytes == 2
    assert lane.phase is Phase.BODY


@pytest.mark.parametrize("gone", ["octets", "trailers", "cut", "no head"])
def test_what_has_departed_cannot_be_sent_again(gone: str) -> None:
    bench = Bench()
    bench.attach()
    lane = bench.lane
    if gone != "no head":
        lane.head(HEAD, False)
    if gone == "octets":
        lane.data(b"x", 1, False)
    elif gone == "trailers":
        lane.trailers(SECTION)
    elif gone == "cut":
        lane.cut()
    assert not lane.replayable


def test_a_released_lane_holds_on_to_nobody() -> None:
    bench = Bench()
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.release()
    assert (bench.lane.owner, bench.lane.source, bench.lane.sink) == (None, None, None)
    bench.lane.data(b"late", 4, False)
    bench.lane.trailers(SECTION)
    assert bench.purse.paid == 0
    assert bench.owner.lost == 0


def test_a_sink_that_is_reset_takes_no_more() -> None:
    bench = Bench(window=1)
    bench.attach()
    bench.lane.head(HEAD, False)
    bench.lane.data(b"half", 4, False)
    bench.pair.settle()
    bench.client.says(reset())
    bench.client.hears(head(200), data(b"h"))
    assert bench.pair.diary.gone
    bench.lane.cut()
    assert bench.purse.paid == 4
