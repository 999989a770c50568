"""Going away in two steps: no request that was on its way is lost."""

from tests.support.pair import Pair
from tests.support.parts import data, head, request, trailers
from tests.support.table import Table
from trailproxy.core.fault import Side
from trailproxy.core.record import Direction
from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode

SENT = (Side.DOWNSTREAM, Direction.SENT, ErrorCode.NO_ERROR)


def test_the_first_step_names_no_stream_and_the_second_the_last() -> None:
    table = Table()
    client = table.client
    sid = client.opens(request())
    client.core.drain()
    assert client.core.draining
    table.settle()
    assert [away.last_sid for away in client.goaways] == [MAX_SID, sid]
    assert not client.core.draining
    assert table.notes.goaways == [SENT, SENT]


def test_a_request_on_its_way_is_still_taken() -> None:
    table = Table()
    client, server = table.client, table.server
    client.core.drain()
    first_step = client.core.codec.take_output()
    sid = client.codec.open_stream()
    client._say(sid, request(end=True))
    late = client.codec.take_output()
    client.listen(first_step)  # the answer to the PING follows the request
    client.core.receive(late)
    table.settle()
    assert [away.last_sid for away in client.goaways] == [MAX_SID, sid]
    server.says(head(200), data(b"x"), trailers(x="1"))
    client.hears(head(200), data(b"x"), trailers(x="1"), sid=sid)
    assert client.core.closing
    table.is_clean()


def test_the_connection_closes_when_its_last_stream_is_over() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    client.core.drain()
    table.settle()
    assert not client.core.closing
    server.says(head(200, end=True))
    assert client.core.closing


def test_an_idle_connection_closes_with_the_second_step() -> None:
    pair = Pair()
    pair.core.drain()
    assert not pair.core.closing
    pair.settle()
    assert pair.core.closing
    assert [away.last_sid for away in pair.peer.goaways] == [MAX_SID, 0]


def test_each_step_is_taken_once() -> None:
    pair = Pair()
    pair.core.drain()
    pair.core.drain()
    pair.settle()
    pair.core.drain()
    pair.core.drain_finally()
    pair.settle()
    assert len(pair.peer.goaways) == 2


def test_the_second_step_can_be_forced_when_no_answer_comes() -> None:
    pair = Pair()
    pair.takes(request())
    pair.core.drain()
    pair.core.drain_finally()
    pair.settle()
    assert [away.last_sid for away in pair.peer.goaways] == [MAX_SID, 1]


def test_there_is_no_second_step_without_the_first() -> None:
    pair = Pair()
    pair.core.drain_finally()
    pair.core.codec.ping(b"another!")
    pair.settle()
    pair.peer.codec.ping(b"draining")
    pair.settle()
    assert not pair.peer.goaways
    assert not pair.core.closing


def test_another_ping_is_no_answer() -> None:
    pair = Pair()
    pair.takes(request())
    pair.core.codec.ping(b"another!")
    ping = pair.core.codec.take_output()
    pair.peer.listen(ping)
    pair.core.drain()
    held = pair.core.codec.take_output()
    pair.core.receive(pair.peer.codec.take_output())
    assert pair.core.draining
    pair.peer.listen(held)
    pair.settle()
    assert not pair.core.draining


def test_a_lost_connection_says_nothing() -> None:
    pair = Pair()
    pair.peer.leaves()
    pair.core.drain()
    pair.core.drain_finally()
    assert pair.core.codec.take_output() == b""
    assert not pair.notes.goaways


def test_an_upstream_connection_retires_when_its_streams_are_over() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    server.core.retire()
    assert server.core.away
    assert not server.core.closing
    assert server.core.open() is None
    server.says(head(200, end=True))
    client.hears(head(200, end=True))
    assert server.core.closing


# -- who is refused ------------------------------------------------------------------------


def test_who_is_refused_hears_why_and_has_no_stream_taken_up() -> None:
    table = Table()
    client = table.client
    client.core.refuse(ErrorCode.INADEQUATE_SECURITY, "nobody we know")
    assert client.core.closing
    client.opens(request(end=True))
    table.settle()
    (away,) = client.goaways
    assert (away.last_sid, away.code, away.why) == (0, 0xC, "nobody we know")
    assert table.notes.goaways == [(Side.DOWNSTREAM, Direction.SENT, 0xC)]
    assert not table.notes.began
    table.is_clean()


def test_a_drain_does_not_take_back_what_who_is_refused_was_told() -> None:
    table = Table()
    client = table.client
    client.core.refuse(ErrorCode.INADEQUATE_SECURITY, "nobody we know")
    client.core.drain()
    client.core.drain_finally()
    client.opens(request(end=True))
    table.settle()
    assert [away.last_sid for away in client.goaways] == [0]
    assert not table.notes.began
