"""Pace: who takes too little of what waits for it is told from who only pauses."""

from tests.support.parts import Head, data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause, Side
from trailproxy.core.routing import Deadlines, Router
from trailproxy.wire.errors import ErrorCode

RATE = 100
IDLE_S = 10.0
PATIENCE_S = 20  # twice as long: who takes nothing at all is idle before it is slow


def _deadlines(idle: float | None = IDLE_S, rate: int = RATE) -> Deadlines:
    return Deadlines(response_head=None, idle=idle, total=None, min_rate=rate)


def _reading(
    window: int = 100, *, body: bytes = b"x" * 100_000, deadlines: Deadlines | None = None
) -> Table:
    """Lay a table at which a response waits for a client that has taken a window's worth of it."""
    table = Table(client_window=window, deadlines=deadlines or _deadlines())
    table.client.holds = True
    table.client.opens(request())
    table.server.says(head(200), data(body))
    return table


def _takes(table: Table, octets: int, seconds: float, times: int) -> None:
    """Let the client take so many octets, again and again.

    It says so once it has taken a part of its window.
    """
    for _ in range(times):
        table.client.grants(octets)
        table.advance(seconds)


def test_an_octet_now_and_then_is_too_little() -> None:
    table = _reading(1)
    _takes(table, 1, 1.0, PATIENCE_S - 1)
    assert table.proxy.active == 1
    _takes(table, 1, 1.0, 2)
    *_, last = table.client.heard.pop(table.client.sid)
    assert last == reset(ErrorCode.INTERNAL_ERROR)
    table.server.hears(request(), reset(ErrorCode.CANCEL))
    record = table.record
    assert (record.dropped, record.dropped_side) == (Cause.CLIENT_SLOW, Side.DOWNSTREAM)
    assert record.why == "client slow"
    table.is_clean()


def test_the_least_rate_is_enough_for_ever() -> None:
    table = _reading()
    _takes(table, RATE, 1.0, 100)
    assert table.proxy.active == 1


def test_who_takes_half_the_least_rate_has_twice_the_patience() -> None:
    table = _reading()
    _takes(table, RATE // 2, 1.0, 2 * PATIENCE_S - 1)
    assert table.proxy.active == 1
    _takes(table, RATE // 2, 1.0, 3)
    assert table.record.dropped is Cause.CLIENT_SLOW


def test_who_pauses_and_then_takes_a_lot_is_not_slow() -> None:
    table = _reading()
    for _ in range(5):
        _takes(table, 0, 9.5, 1)
        for _ in range(20):  # one at a time: a window of 100 holds no more
            table.client.grants(100)
        table.advance(0.1)
    assert table.proxy.active == 1


def test_a_burst_for_who_has_paused_long_begins_anew() -> None:
    table = Table(client_window=100, deadlines=_deadlines())
    client, server = table.client, table.server
    client.holds = True
    client.opens(request())
    server.says(head(200), data(b"x" * 100))
    for _ in range(10):  # nothing is parked, and the client says something now and then
        table.advance(9.5)
        client.says(data(b"x"))
    server.says(data(b"y" * 1000))
    for _ in range(PATIENCE_S // 9):
        table.advance(9)
        client.says(data(b"x"))
    assert table.proxy.active == 1
    client.grants(100)
    table.advance(1.9)
    assert table.proxy.active == 1
    table.advance(5)
    assert table.record.dropped is Cause.CLIENT_SLOW


def test_what_the_client_says_is_not_what_it_takes() -> None:
    table = _reading()
    for _ in range(PATIENCE_S + 2):
        table.advance(1.0)
        if table.proxy.active:
            table.client.says(data(b"x"))
    assert table.record.dropped is Cause.CLIENT_SLOW


def test_nothing_that_waits_is_nothing_to_take() -> None:
    table = Table(deadlines=_deadlines())
    client, server = table.client, table.server
    client.opens(request())
    server.says(head(200))
    for _ in range(100):
        server.says(data(b"."))
        table.advance(9.0)
    server.says(data(b"", end=True))
    client.says(data(b"", end=True))
    client.hears(head(200), data(b"." * 100, end=True))
    assert table.record.dropped is None


def test_who_takes_nothing_at_all_is_idle_and_whose_fault_that_is_is_told() -> None:
    table = _reading()
    table.advance(IDLE_S / 2)
    table.server.says(data(b"the last that came while the client took nothing"))
    table.advance(IDLE_S + 0.1)
    record = table.record
    assert (record.dropped, record.dropped_side) == (Cause.IDLE_TIMEOUT, Side.DOWNSTREAM)


def test_where_nothing_waits_for_the_client_the_upstream_is_idle() -> None:
    table = Table(deadlines=_deadlines())
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"and then nothing"))
    table.advance(IDLE_S + 0.1)
    record = table.record
    assert (record.dropped, record.dropped_side) == (Cause.IDLE_TIMEOUT, Side.UPSTREAM)


def test_where_a_route_never_tires_readers_have_five_minutes() -> None:
    table = _reading(1, deadlines=_deadlines(idle=None))
    _takes(table, 1, 10.0, 29)
    assert table.proxy.active == 1
    _takes(table, 1, 10.0, 2)
    assert table.record.dropped is Cause.CLIENT_SLOW


def test_without_a_least_rate_an_octet_is_enough() -> None:
    table = _reading(1, deadlines=_deadlines(rate=0))
    _takes(table, 1, 9.0, 50)
    assert table.proxy.active == 1


# -- the other way ---------------------------------------------------------------------------


def _writing(opening: Head, *, connected: bool = True) -> Table:
    """Lay a table at which a request waits for a server that has taken a window's worth of it."""
    table = Table(server_window=1, deadlines=_deadlines(), connected=connected)
    table.server.holds = True
    table.client.opens(opening, data(b"x" * 10_000))
    return table


def _dawdles(table: Table, seconds: int) -> None:
    for _ in range(seconds):
        table.server.grants(1)
        table.advance(1.0)


def test_an_upstream_that_takes_too_little_is_answered_for() -> None:
    table = _writing(request())
    _dawdles(table, PATIENCE_S + 1)
    answer, *_ = table.client.heard.pop(table.client.sid)
    assert isinstance(answer, Head)
    fields = dict(answer.fields)
    assert fields[":status"] == "504"
    assert "error=connection_write_timeout" in fields["proxy-status"]
    assert (table.record.dropped, table.record.dropped_side) == (Cause.UPSTREAM_SLOW, Side.UPSTREAM)


def test_behind_the_head_grpc_is_told_in_trailers() -> None:
    table = _writing(grpc_request())
    table.server.says(grpc_head())
    _dawdles(table, PATIENCE_S + 2)
    table.client.hears(
        grpc_head(),
        trailers(grpc_status="4", grpc_message="trailproxy: upstream slow"),
        reset(ErrorCode.NO_ERROR),
    )
    assert table.record.dropped is Cause.UPSTREAM_SLOW


def test_a_request_that_waits_for_an_upstream_is_nobodys_to_take() -> None:
    table = _writing(request(), connected=False)
    table.advance(60)
    assert table.proxy.active == 1
    table.connect()
    _dawdles(table, PATIENCE_S - 1)
    assert table.proxy.active == 1


# -- our own answers ------------------------------------------------------------------------------


def test_an_answer_of_ours_does_not_wait_for_ever() -> None:
    table = Table(client_window=0)
    table.proxy.router = Router(())
    table.client.opens(request(end=True))
    table.advance(119)
    assert table.proxy.active == 1
    table.advance(2)
    assert table.record.dropped is Cause.CLIENT_SLOW
    table.is_clean()
