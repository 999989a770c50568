"""What a witness writes of an exchange: both sides, in order, whatever becomes of it."""

import pytest

from tests.support.frames import raw
from tests.support.parts import data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause
from trailproxy.core.gallery import Gallery
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Direction
from trailproxy.core.retry import RetryPolicy
from trailproxy.core.routing import Handling
from trailproxy.core.timeline import Kind
from trailproxy.core.timing import ServerTiming
from trailproxy.core.witness import Body, Store, Witness
from trailproxy.wire.errors import ErrorCode

Told = list[tuple[object, ...]]


class Watched(Table):
    """A table that somebody looks at, from the beginning or when a test says so."""

    def __init__(self, *, at_once: bool = True, **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.gallery = Gallery(self.proxy)
        if at_once:
            self.look()

    def look(self) -> None:
        self.gallery.open(curious=True)

    @property
    def witness(self) -> Witness:
        """The one that was sent last."""
        return [*self.gallery.ended.values(), *self.gallery.flying.values()][-1]


def told(witness: Witness) -> Told:
    """Say in short what a timeline holds; times and fields aside."""
    short: Told = []
    for part in witness.timeline.parts():
        words: list[object] = [f"{part.side} {part.way}", part.kind.value]
        if part.kind is Kind.DATA:
            words.append(part.size)
        if part.cause is not None:
            words.append(part.cause.value)
        short.append(tuple(words))
    return short


CAME = "downstream received"
WENT = "upstream sent"
BACK = "upstream received"
OUT = "downstream sent"


def test_a_whole_exchange_is_told_on_both_sides() -> None:
    table = Watched()
    table.client.opens(request())
    table.client.says(data(b"ask"), trailers(x_sum="1"))
    table.advance(1.0)
    table.server.says(head(103), head(200), data(b"answer"), trailers(grpc_status="0"))
    assert told(table.witness) == [
        (CAME, "head"),
        (WENT, "head"),
        (CAME, "data", 3),
        (WENT, "data", 3),
        (CAME, "trailers"),
        (WENT, "trailers"),
        (BACK, "interim"),
        (OUT, "interim"),
        (BACK, "head"),
        (OUT, "head"),
        (BACK, "data", 6),
        (OUT, "data", 6),
        (BACK, "trailers"),
        (OUT, "trailers"),
    ]
    parts = table.witness.timeline.parts()
    assert [part.at for part in parts] == [1000.0] * 6 + [1001.0] * 8
    assert parts[1].note == "server"  # the endpoint
    assert parts[9].fields is not None
    assert parts[9].fields.get(b"via") == b"2.0 trailproxy"  # as it went out
    table.client.hears(
        head(103), head(200), data(b"answer"), trailers(grpc_status="0"), sid=table.client.sid
    )
    table.is_clean()


def test_ends_without_trailers_are_told() -> None:
    table = Watched()
    table.client.opens(request(end=True))
    table.server.says(head(200, end=True))
    assert told(table.witness) == [
        (CAME, "head"),
        (CAME, "end"),
        (WENT, "head"),
        (WENT, "end"),
        (BACK, "head"),
        (BACK, "end"),
        (OUT, "head"),
        (OUT, "end"),
    ]
    table.is_clean()


def test_an_end_on_the_last_chunk_or_on_an_empty_one() -> None:
    table = Watched()
    table.client.opens(request(), data(b"ask", end=True))
    table.server.says(head(200), data(b"answer"), data(b"", end=True))
    assert told(table.witness)[2:] == [
        (CAME, "data", 3),
        (CAME, "end"),
        (WENT, "data", 3),
        (WENT, "end"),
        (BACK, "head"),
        (OUT, "head"),
        (BACK, "data", 6),
        (OUT, "data", 6),
        (BACK, "end"),
        (OUT, "end"),
    ]
    table.is_clean()


def test_octets_that_wait_depart_later_than_they_came() -> None:
    table = Watched(client_window=4)
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"answer"), trailers(x="1"))
    table.advance(2.0)
    table.client.grants(4)
    assert [
        (part.at, f"{part.side} {part.way}", part.kind.value, part.size)
        for part in table.witness.timeline.parts()[6:]
    ] == [
        (1000.0, BACK, "data", 6),
        (1000.0, OUT, "data", 4),
        (1000.0, BACK, "trailers", 0),
        (1002.0, OUT, "data", 2),
        (1002.0, OUT, "trailers", 0),
    ]
    table.is_clean()


def test_a_reset_in_the_middle_explains_itself() -> None:
    table = Watched()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"one"), reset(ErrorCode.INTERNAL_ERROR))
    assert told(table.witness)[6:] == [
        (BACK, "data", 3),
        (OUT, "data", 3),
        (BACK, "reset", Cause.UPSTREAM_RESET),
        (OUT, "reset", Cause.UPSTREAM_RESET),
    ]
    assert [part.code for part in table.witness.timeline.parts()[-2:]] == [2, 2]
    table.is_clean()


def test_a_client_that_hangs_up_explains_itself() -> None:
    table = Watched()
    table.client.opens(request(end=True))
    table.server.says(head(200))
    table.client.leaves()
    assert told(table.witness)[6:] == [
        (CAME, "lost", Cause.CLIENT_GONE),
        (WENT, "reset", Cause.CLIENT_GONE),
    ]
    assert table.witness.timeline.parts()[-2].note == "downstream closed the connection"
    table.is_clean()


def test_an_answer_of_ours_was_not_the_upstreams() -> None:
    table = Watched()
    table.client.opens(request(end=True))
    table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    assert told(table.witness)[4:] == [
        (BACK, "reset", Cause.UPSTREAM_RESET),
        (OUT, "head"),
        (OUT, "data", 38),
        (OUT, "end"),
    ]
    table.is_clean()


def test_trailers_that_reach_nobody_are_told() -> None:
    table = Watched(client_window=4)
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"answer"), trailers(x="1"))
    table.client.says(reset())
    assert told(table.witness)[8:] == [
        (BACK, "trailers"),
        (CAME, "reset", Cause.CLIENT_RESET),
        (BACK, "dropped"),
    ]
    table.is_clean()


def test_malformed_trailers_are_reset_and_told() -> None:
    table = Watched()
    table.client.opens(request())
    # a literal field without indexing whose name is in capitals
    table.client.core.receive(raw(1, 5, table.client.sid, b"\0\1X\1v"))
    table.settle()
    assert told(table.witness)[2:] == [
        (OUT, "reset", Cause.CLIENT_PROTOCOL),
        (WENT, "reset", Cause.CLIENT_PROTOCOL),
    ]
    table.is_clean()


def test_every_attempt_is_told() -> None:
    table = Watched(handling=Handling(retry=RetryPolicy(statuses=frozenset({503}))))
    table.client.opens(request(), data(b"ask", end=True))
    table.advance(1.0)
    table.server.says(head(503, end=True))
    table.advance(1.0)
    table.server.says(head(200), data(b"answer", end=True))
    assert told(table.witness) == [
        (CAME, "head"),
        (WENT, "head"),
        (CAME, "data", 3),
        (CAME, "end"),
        (WENT, "data", 3),
        (WENT, "end"),
        (WENT, "head"),
        (WENT, "data", 3),
        (WENT, "end"),
        (BACK, "head"),
        (OUT, "head"),
        (BACK, "data", 6),
        (BACK, "end"),
        (OUT, "data", 6),
        (OUT, "end"),
    ]
    table.is_clean()


def test_what_was_kept_for_another_attempt_is_paid_for_at_the_end() -> None:
    table = Watched(handling=Handling(retry=RetryPolicy(statuses=frozenset({503}))))
    table.client.opens(request(), data(b"ask", end=True))
    table.client.says(reset())
    assert told(table.witness)[-2:] == [
        (CAME, "reset", Cause.CLIENT_RESET),
        (WENT, "reset", Cause.CLIENT_RESET),
    ]
    table.is_clean()


def test_a_policy_that_adds_trailers_works_as_before() -> None:
    table = Watched(handling=Handling(policy=Policy([ServerTiming()])))
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"answer", end=True))
    assert told(table.witness)[-3:] == [
        (OUT, "data", 6),
        (BACK, "end"),
        (OUT, "trailers"),
    ]
    table.is_clean()


def test_a_call_that_we_end_in_the_upstreams_place() -> None:
    table = Watched()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"\0\0\0\0\1x"))
    table.server.leaves()
    assert told(table.witness)[-3:] == [
        (OUT, "data", 6),
        (BACK, "lost", Cause.UPSTREAM_GONE),
        (OUT, "trailers"),
    ]


# -- who comes late, and who leaves --------------------------------------------------------


def test_who_comes_late_tells_what_is_known() -> None:
    table = Watched(at_once=False)
    table.client.opens(request())
    table.client.says(data(b"first "))
    table.advance(1.0)
    table.server.says(head(200), data(b"one"))
    table.advance(1.0)
    table.look()
    assert table.witness.late == 1002.0
    table.client.says(data(b"second", end=True))
    table.server.says(data(b"two"), trailers(x="1"))
    assert [(part.at, part.until) for part in table.witness.timeline.parts()[:6]] == [
        (1000.0, 0.0),
        (1000.0, 0.0),
        (1000.0, 1002.0),
        (1000.0, 1002.0),
        (1001.0, 0.0),
        (1001.0, 0.0),
    ]
    assert told(table.witness) == [
        (CAME, "head"),
        (WENT, "head"),
        (CAME, "data", 6),
        (WENT, "data", 6),
        (BACK, "head"),
        (OUT, "head"),
        (BACK, "data", 3),
        (OUT, "data", 3),
        (CAME, "data", 6),
        (CAME, "end"),
        (WENT, "data", 6),
        (WENT, "end"),
        (BACK, "data", 3),
        (OUT, "data", 3),
        (BACK, "trailers"),
        (OUT, "trailers"),
    ]
    table.is_clean()


def test_who_comes_late_to_an_exchange_that_waits_for_a_connection() -> None:
    table = Watched(at_once=False, connected=False)
    table.client.opens(request(end=True))
    table.look()
    table.connect()
    table.server.says(head(200, end=True))
    assert told(table.witness)[:4] == [
        (CAME, "head"),
        (CAME, "end"),
        (WENT, "head"),
        (WENT, "end"),
    ]
    table.is_clean()


def test_who_comes_late_knows_which_end_has_departed() -> None:
    table = Watched(at_once=False, client_window=4)
    table.client.holds = True
    table.client.opens(request(), trailers(x="1"))
    table.server.says(head(200), data(b"answer"), trailers(x="1"))
    table.look()
    assert told(table.witness) == [
        (CAME, "head"),
        (WENT, "head"),
        (BACK, "head"),
        (OUT, "head"),
        (CAME, "trailers"),
        (WENT, "trailers"),
        (BACK, "data", 6),
        (OUT, "data", 4),
        (BACK, "trailers"),
    ]
    table.client.grants(4)
    assert told(table.witness)[-2:] == [(OUT, "data", 2), (OUT, "trailers")]
    table.is_clean()


def test_who_comes_late_to_an_answer_of_ours() -> None:
    table = Watched(at_once=False, client_window=20)
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    table.look()
    assert told(table.witness) == [
        (CAME, "head"),
        (WENT, "head"),
        (OUT, "head"),
        (CAME, "end"),
        (WENT, "end"),
        (OUT, "data", 20),
    ]
    table.client.grants(20)
    assert told(table.witness)[-2:] == [(OUT, "data", 18), (OUT, "end")]
    table.is_clean()


@pytest.mark.parametrize("handling", [None, Handling(policy=Policy([ServerTiming()]))])
def test_when_nobody_looks_any_more_an_exchange_is_as_it_was(handling: Handling | None) -> None:
    table = Watched(handling=handling)
    table.client.opens(request())
    table.client.says(data(b"x"))
    table.server.says(head(200))
    (exchange,) = table.proxy.exchanges
    witness = table.witness
    table.gallery.close()
    for lane in (exchange.request, exchange.response):
        assert lane.owner is exchange
        assert lane.inspection is None
        assert lane.source in (exchange.down, exchange.up)
    for stream in (exchange.down, exchange.up):
        assert stream is not None
        assert stream.owner is exchange
    assert (exchange._inspection is None) is (handling is None)
    before = told(witness)
    table.client.says(data(b"y", end=True))
    table.server.says(data(b"z", end=True))
    assert told(witness) == before
    witness.leave()  # a second time makes no difference
    table.is_clean()


def test_one_that_waits_for_a_connection_can_be_left_too() -> None:
    table = Watched(connected=False)
    table.client.opens(request(end=True))
    table.gallery.close()
    table.connect()
    table.server.says(head(200, end=True))
    table.is_clean()


# -- bodies --------------------------------------------------------------------------------


def test_bodies_are_kept_where_that_is_wanted() -> None:
    class Keeps(Gallery):
        def _send(self, exchange: object) -> Witness:
            witness = super()._send(exchange)  # type: ignore[arg-type]
            witness.keep_bodies(4, Store(100))
            return witness

    table = Watched(at_once=False)
    table.gallery = Keeps(table.proxy)
    table.look()
    table.client.opens(request(), data(b"ask", end=True))
    table.server.says(head(200), data(b"one"), data(b"two", end=True))
    bodies = table.witness.bodies
    assert (bytes(bodies[Direction.REQUEST].octets), bodies[Direction.REQUEST].whole) == (
        b"ask",
        True,
    )
    assert (bytes(bodies[Direction.RESPONSE].octets), bodies[Direction.RESPONSE].whole) == (
        b"onet",
        False,
    )


def test_all_bodies_together_have_a_bound() -> None:
    store = Store(5)
    first, second = Body(4, store), Body(4, store)
    first.add(b"abcdef")
    second.add(b"xy")
    second.add(b"z")
    assert (bytes(first.octets), bytes(second.octets), store.left) == (b"abcd", b"x", 0)
    first.give_back()
    assert store.left == 4
    first.add(b"g")
    second.add(b"h")
    assert store.left == 4  # behind a gap nothing is kept
