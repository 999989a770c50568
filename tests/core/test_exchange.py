"""Exchange: deadlines, retries, waiting for a connection, and our own answers."""

import gc

import pytest

from tests.support.parts import Data, Head, data, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.exchange import Exchange
from trailproxy.core.fault import Cause, Side, ours
from trailproxy.core.lane import Lane
from trailproxy.core.matrix import expire
from trailproxy.core.record import Direction, Ending, Outcome
from trailproxy.core.routing import Deadlines, Route, Router
from trailproxy.core.stream import Stream
from trailproxy.wire.errors import ErrorCode

NEVER = Deadlines(response_head=None, idle=None, total=None)


def _deadlines(**limits: float) -> Deadlines:
    return Deadlines(**{"response_head": None, "idle": None, "total": None, **limits})


def _answer(table: Table, sid: int = 0) -> tuple[dict[str, str], bytes]:
    """Take our own answer from what the client has heard."""
    first, *rest = table.client.heard.pop(sid or table.client.sid)
    assert isinstance(first, Head)
    body = b"".join(part.octets for part in rest if isinstance(part, Data))
    return dict(first.fields), body


# -- deadlines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        ({"response_head": 5.0}, Cause.RESPONSE_HEAD_TIMEOUT),
        ({"idle": 4.0}, Cause.IDLE_TIMEOUT),
        ({"total": 5.0}, Cause.TOTAL_TIMEOUT),
    ],
)
def test_a_deadline_before_the_head_is_a_504(limits: dict[str, float], cause: Cause) -> None:
    table = Table(deadlines=_deadlines(**limits))
    table.client.opens(request(end=True))
    table.advance(3.9)
    table.client.hears_nothing()
    table.advance(1.6)
    fields, body = _answer(table)
    assert fields[":status"] == "504"
    assert "http_response_timeout" in fields["proxy-status"]
    assert body == f"trailproxy: {cause.replace('_', ' ')}\n".encode()
    table.server.hears(request(end=True), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert (table.record.dropped, table.record.answered) == (cause, True)


def test_a_deadline_before_the_head_is_deadline_exceeded_in_grpc() -> None:
    table = Table(deadlines=_deadlines(response_head=5.0))
    table.client.opens(grpc_request(end=True))
    table.advance(5.1)
    fields, _ = _answer(table)
    assert fields["grpc-status"] == "4"
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.SYNTHESIZED] == 1


@pytest.mark.parametrize(
    ("limits", "cause"),
    [({"idle": 4.0}, Cause.IDLE_TIMEOUT), ({"total": 5.0}, Cause.TOTAL_TIMEOUT)],
)
def test_a_deadline_behind_the_head_breaks_off(limits: dict[str, float], cause: Cause) -> None:
    table = Table(deadlines=_deadlines(**limits))
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"))
    table.advance(6.1)
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.server.hears(request(end=True), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped is cause
    assert table.record.response_ending is Ending.RESET


@pytest.mark.parametrize(
    ("limits", "cause"),
    [({"idle": 4.0}, Cause.IDLE_TIMEOUT), ({"total": 5.0}, Cause.TOTAL_TIMEOUT)],
)
def test_a_deadline_behind_a_whole_response_gives_up_only_the_upload(
    limits: dict[str, float], cause: Cause
) -> None:
    table = Table(deadlines=_deadlines(**limits))
    table.client.opens(request(), data(b"never ends"))
    table.server.says(head(200), data(b"x"), trailers(x="1"))
    table.advance(6.1)
    table.client.hears(head(200), data(b"x"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.server.hears(request(), data(b"never ends"), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped is None
    assert table.notes.resets[-1][4] is cause


def test_the_response_head_deadline_runs_from_the_end_of_the_request() -> None:
    table = Table(deadlines=_deadlines(response_head=5.0))
    table.client.opens(request(), data(b"slow"))
    table.advance(60)
    table.client.hears_nothing()
    table.client.says(data(b"ly", end=True))
    table.advance(4.9)
    table.client.hears_nothing()
    table.advance(0.2)
    assert _answer(table)[0][":status"] == "504"


def test_the_head_ends_its_deadline() -> None:
    table = Table(deadlines=_deadlines(response_head=5.0))
    table.client.opens(request(end=True))
    table.server.says(head(200))
    table.advance(600)
    table.server.says(trailers(x="1"))
    table.client.hears(head(200), trailers(x="1"))
    table.is_clean()


def test_an_interim_head_does_not_end_the_deadline() -> None:
    table = Table(deadlines=_deadlines(response_head=5.0))
    table.client.opens(request(end=True))
    table.server.says(head(103))
    table.advance(5.1)
    early, answer, *_ = table.client.heard.pop(table.client.sid)
    assert early == head(103)
    assert isinstance(answer, Head)
    assert dict(answer.fields)[":status"] == "504"


def test_whatever_moves_puts_off_the_idle_deadline() -> None:
    table = Table(deadlines=_deadlines(idle=4.0))
    client, server = table.client, table.server
    client.opens(request(), data(b"a"))
    table.advance(3)
    client.says(data(b"b"))
    table.advance(3)
    server.says(head(200))
    table.advance(3)
    server.says(data(b"c"))
    table.advance(3)
    client.says(trailers(x="1"))
    server.says(data(b"d", end=True))
    client.hears(head(200), data(b"cd", end=True))
    table.is_clean()
    assert table.record.dropped is None


def test_a_slow_reader_that_still_reads_is_not_idle() -> None:
    table = Table(client_window=1, deadlines=_deadlines(idle=4.0, min_rate=0))
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    server.says(head(200), data(b"slowly"), trailers(x="1"))
    for _ in range(6):
        table.advance(3)
        client.grants(1)
    client.hears(head(200), data(b"slowly"), trailers(x="1"))
    table.is_clean()


def test_no_deadline_fires_behind_the_end() -> None:
    table = Table(deadlines=Deadlines(response_head=1, idle=1, total=1))
    table.client.opens(request(end=True))
    table.server.says(head(200, end=True))
    table.advance(60)
    table.client.hears(head(200, end=True))
    assert not table.notes.resets


def test_all_exchanges_can_be_ended_at_once() -> None:
    table = Table(deadlines=NEVER)
    client, server = table.client, table.server
    waiting, begun = client.opens(request(end=True)), client.opens(request(end=True))
    server.says(head(200), data(b"half"), sid=begun)
    table.proxy.expire_all(Cause.DRAIN_TIMEOUT)
    table.settle()
    assert _answer(table, waiting)[0][":status"] == "503"
    client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR), sid=begun)
    table.is_clean()


def test_an_exchange_that_is_over_cannot_expire() -> None:
    table = Table()
    table.client.opens(request(end=True))
    (exchange,) = table.proxy._active
    table.server.says(head(200, end=True))
    expire(exchange, Cause.TOTAL_TIMEOUT)
    exchange.stream_gone(exchange.down, ours(Cause.INTERNAL, "late"))
    exchange.lease_failed(ours(Cause.QUEUE_TIMEOUT, "late"))
    table.is_clean()
    assert table.record.dropped is None


# -- once more, elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize("end", [True, False])
def test_a_refused_request_is_tried_again(end: bool) -> None:
    table = Table()
    client, server = table.client, table.server
    first = client.opens(request(end=end))
    server.says(reset(ErrorCode.REFUSED_STREAM))
    server.hears(request(end=end), sid=first)
    server.hears(request(end=end), sid=first + 2)
    if not end:
        client.says(data(b"body", end=True), sid=first)
    server.says(head(200), trailers(x="1"), sid=first + 2)
    client.hears(head(200), trailers(x="1"), sid=first)
    table.is_clean()
    assert (table.record.attempts, table.record.dropped) == (2, None)
    assert table.kitchen.avoided == ["", "server"]


def test_a_request_above_the_last_stream_of_a_goaway_waits_for_another_connection() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    table.kitchen.core = None
    server.goes_away(0)
    assert table.kitchen.leases == 2
    assert len(table.kitchen.waiting) == 1
    client.hears_nothing()
    table.kitchen.fails(ours(Cause.CONNECT_FAILED, "no connection"))
    table.settle()
    assert _answer(table)[0][":status"] == "503"
    table.is_clean()


def test_three_refusals_are_enough() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    for _ in range(3):
        server.says(reset(ErrorCode.REFUSED_STREAM))
    fields, _ = _answer(table, 1)
    assert fields[":status"] == "503"
    assert "connection_limit_reached" in fields["proxy-status"]
    table.is_clean()
    assert (table.record.attempts, table.record.dropped) == (3, Cause.UPSTREAM_REFUSED)
    assert table.kitchen.leases == 3


@pytest.mark.parametrize("sent", ["body", "trailers"])
def test_a_request_of_which_more_than_the_head_departed_is_not_tried_again(sent: str) -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(), data(b"once") if sent == "body" else trailers(x="1"))
    server.says(reset(ErrorCode.REFUSED_STREAM))
    assert _answer(table)[0][":status"] == "503"
    table.is_clean()
    assert table.record.attempts == 1


@pytest.mark.parametrize("code", [ErrorCode.CANCEL, ErrorCode.INTERNAL_ERROR])
def test_another_code_is_no_reason_to_try_again(code: ErrorCode) -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(reset(code))
    assert table.record.attempts == 1
    table.is_clean()


def test_a_body_that_waited_goes_to_the_second_attempt_whole() -> None:
    table = Table(server_window=0)
    client, server = table.client, table.server
    client.opens(request(), data(b"all of it"), trailers(x="1"))
    server.hears(request())
    server.says(reset(ErrorCode.REFUSED_STREAM))
    server.hears(request())
    server.codec.consumed(server.sid, 0)
    server.says(head(200, end=True), reset(ErrorCode.NO_ERROR))
    client.hears(head(200, end=True), sid=1)
    assert table.record.attempts == 2
    table.is_clean()


def test_a_connection_whose_ids_are_used_up_is_passed_over() -> None:
    table = Table(connected=False)
    client = table.client
    client.opens(request(end=True))
    spent = table.server.core
    spent.away = True
    (tenant,) = table.kitchen.waiting
    table.kitchen.waiting.clear()
    tenant.attach(spent, "server")
    assert table.kitchen.waiting == [tenant]
    spent.away = False
    table.connect()
    table.server.says(head(200, end=True))
    client.hears(head(200, end=True))
    table.is_clean()
    assert table.record.attempts == 1


# -- waiting for a connection ------------------------------------------------------------------


def test_a_body_waits_for_its_connection() -> None:
    table = Table(connected=False)
    client, server = table.client, table.server
    client.opens(request(), data(b"early"), trailers(x="1"))
    assert table.tallies[Side.DOWNSTREAM].parked_bytes == 5
    assert client.core.owed == 5
    table.connect()
    server.hears(request(), data(b"early"), trailers(x="1"))
    assert table.tallies[Side.DOWNSTREAM].parked_bytes == 0
    assert client.core.owed == 0
    server.says(head(200, end=True))
    table.is_clean()


@pytest.mark.parametrize("how", ["reset", "leaves"])
@pytest.mark.parametrize("end", [True, False])
def test_who_goes_while_waiting_waits_no_more(how: str, end: bool) -> None:
    table = Table(connected=False)
    client, server = table.client, table.server
    client.opens(request(end=end))
    if how == "reset":
        client.says(reset())
    else:
        client.leaves()
    assert not table.kitchen.waiting
    table.is_clean()
    table.connect()
    server.hears_nothing()
    assert table.record.attempts == 0


def test_who_only_stopped_listening_still_has_its_request_delivered() -> None:
    table = Table(connected=False)
    client, server = table.client, table.server
    client.opens(request(), data(b"note"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.connect()
    server.hears(request(), data(b"note"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.is_clean()


def test_a_request_that_nobody_listens_for_is_over_when_there_is_no_connection() -> None:
    table = Table(connected=False)
    client = table.client
    client.opens(request(), data(b"note"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.kitchen.fails(ours(Cause.CONNECT_FAILED, "nobody there"))
    table.settle()
    table.is_clean()
    assert table.notes.trailer_losses == [Cause.CLIENT_RESET]
    assert client.core.owed == 0


@pytest.mark.parametrize(
    ("cause", "grpc_status"),
    [(Cause.CONNECT_FAILED, "14"), (Cause.QUEUE_FULL, "8"), (Cause.QUEUE_TIMEOUT, "14")],
)
def test_no_connection_is_an_answer(cause: Cause, grpc_status: str) -> None:
    table = Table(connected=False)
    client = table.client
    plain, grpc = client.opens(request(end=True)), client.opens(grpc_request(end=True))
    table.kitchen.fails(ours(cause, 'no "luck"'))
    table.settle()
    fields, body = _answer(table, plain)
    assert fields[":status"] == "503"
    assert "details=\"no 'luck'\"" in fields["proxy-status"]
    assert body == b'trailproxy: no "luck"\n'
    fields, body = _answer(table, grpc)
    assert (fields[":status"], fields["grpc-status"], body) == ("200", grpc_status, b"")
    table.is_clean()
    assert {record.dropped for record in table.notes.finished} == {cause}


def test_no_connection_for_an_upload_stops_the_upload() -> None:
    table = Table(connected=False)
    table.client.opens(request(), data(b"half"))
    table.kitchen.fails(ours(Cause.CONNECT_FAILED, "nobody there"))
    table.settle()
    said = table.client.heard.pop(table.client.sid)
    assert said[-1] == reset(ErrorCode.NO_ERROR)
    assert table.client.core.owed == 0
    table.is_clean()


# -- heads of a special kind -------------------------------------------------------------------


def test_interim_heads_go_through_in_order() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(expect="100-continue"))
    server.says(head(100))
    client.hears(head(100))
    client.says(data(b"go on", end=True))
    server.says(head(103, link="</a>"), head(103, link="</b>"), head(200, end=True))
    client.hears(head(103, link="</a>"), head(103, link="</b>"), head(200, end=True))
    server.hears(request(expect="100-continue"), data(b"go on", end=True))
    table.is_clean()
    assert table.record.status == 200


def test_an_answer_of_ours_that_nobody_reads_is_given_up() -> None:
    table = Table(client_window=5, deadlines=_deadlines(total=9.0))
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(reset())
    assert table.proxy.active == 1
    table.advance(10)
    assert table.client.heard.pop(1)[-1] == reset(ErrorCode.INTERNAL_ERROR)
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_RESET


def test_connect_is_a_tunnel() -> None:
    table = Table()
    client, server = table.client, table.server
    connect = Head(((":method", "CONNECT"), (":authority", "db.example.com:5432")))
    table.proxy.router = Router((_any_path(table),))
    client.opens(connect)
    server.hears(connect)
    server.says(head(200))
    client.says(data(b"ping"))
    server.says(data(b"pong"))
    client.says(data(b"", end=True))
    server.hears(data(b"ping", end=True))
    server.says(data(b"bye", end=True))
    client.hears(head(200), data(b"pongbye", end=True))
    table.is_clean()
    assert (table.record.method, table.record.path) == ("CONNECT", "")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_the_last_hop_answers_itself(method: str) -> None:
    table = Table()
    table.client.opens(request(method, end=True, max_forwards="0"))
    fields, body = _answer(table)
    assert (fields[":status"], body) == ("200", b"trailproxy: this is the last hop\n")
    assert table.kitchen.leases == 0
    table.is_clean()
    assert (table.record.answered, table.record.dropped) == (True, None)


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_a_reset_in_the_same_read_costs_only_its_stream(method: str) -> None:
    table = Table()
    table.proxy.router = Router(())
    cut_short = table.client.codec.open_stream()
    for part in (request(method, end=True), reset()):
        table.client._say(cut_short, part)  # and nothing is delivered yet
    table.client.opens(request(end=True))
    assert table.client.core.fault is None
    status, _ = _answer(table)
    assert status[":status"] == "404"
    table.is_clean()


def test_a_hop_is_counted_down() -> None:
    table = Table()
    table.client.opens(request("OPTIONS", end=True, max_forwards="3"))
    table.server.hears(request("OPTIONS", end=True, max_forwards="2"))


def test_no_route_is_a_404_and_no_loss() -> None:
    table = Table()
    table.proxy.router = Router(())
    plain = table.client.opens(request(end=True))
    grpc = table.client.opens(grpc_request(end=True))
    fields, _ = _answer(table, plain)
    assert fields[":status"] == "404"
    assert "destination_not_found" in fields["proxy-status"]
    assert _answer(table, grpc)[0]["grpc-status"] == "12"
    table.is_clean()
    assert {record.dropped for record in table.notes.finished} == {None}
    assert {record.route for record in table.notes.finished} == {""}


def test_no_route_for_an_upload_stops_the_upload() -> None:
    table = Table()
    table.proxy.router = Router(())
    table.client.opens(request())
    assert table.client.heard.pop(table.client.sid)[-1] == reset(ErrorCode.NO_ERROR)
    table.is_clean()


DOTTED = ["/public/../admin", "/public/%2e%2E%2fadmin", "/public/..;/admin", "/."]


@pytest.mark.parametrize("path", DOTTED)
def test_a_path_that_leads_out_of_its_prefix_is_refused(path: str) -> None:
    table = Table()
    plain = table.client.opens(request(path=path, end=True))
    grpc = table.client.opens(grpc_request(path=path, end=True))
    fields, _ = _answer(table, plain)
    assert fields[":status"] == "400"
    assert "http_request_error" in fields["proxy-status"]
    assert _answer(table, grpc)[0]["grpc-status"] == "3"
    assert table.server.heard == {}
    table.is_clean()
    assert {(r.dropped, r.dropped_side, r.route) for r in table.notes.finished} == {
        (Cause.DOT_SEGMENTS, Side.DOWNSTREAM, "")
    }


@pytest.mark.parametrize("path", DOTTED)
def test_dots_may_be_names(path: str) -> None:
    table = Table()
    table.proxy.router = Router(table.proxy.router.routes, takes_dot_segments=True)
    table.client.opens(request(path=path, end=True))
    table.server.hears(request(path=path, end=True))


def test_an_answer_waits_for_a_slow_client() -> None:
    table = Table(client_window=5)
    table.client.holds = True
    table.proxy.router = Router(())
    table.client.opens(request())
    for _ in range(20):
        table.client.grants(5)
    said = table.client.heard.pop(table.client.sid)
    body = b"".join(part.octets for part in said if isinstance(part, Data))
    assert body == b"trailproxy: no route takes this request\n"
    assert said[-1] == reset(ErrorCode.NO_ERROR)
    table.is_clean()


def test_an_answer_without_a_route_has_no_deadline() -> None:
    table = Table(client_window=5, deadlines=_deadlines(total=9.0))
    table.client.holds = True
    table.proxy.router = Router(())
    table.client.opens(request(end=True))
    table.advance(60)
    assert table.proxy.active == 1
    for _ in range(20):
        table.client.grants(5)
    _, body = _answer(table)
    assert body == b"trailproxy: no route takes this request\n"
    table.is_clean()


def _any_path(table: Table) -> Route:
    (route,) = table.proxy.router.routes
    return Route(name="tunnel", share=route.share)


# -- the record, and what is left over -----------------------------------------------------------


def test_the_wait_for_a_head_is_told_of_relayed_responses_only() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.advance(1.5)
    table.server.says(head(103), head(200, end=True))
    table.client.opens(request(end=True))
    table.server.says(reset())
    relayed, answered = table.notes.finished
    assert relayed.response_head_seconds == 1.5
    assert answered.answered
    assert answered.response_head_seconds is None


def test_the_record_tells_the_whole_story() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(grpc_request(), data(b"12345"), trailers(x="1"))
    table.advance(1.5)
    server.says(head(200, content_type="application/grpc"), data(b"123"))
    table.advance(1)
    server.says(trailers(grpc_status="5", grpc_message="no"))
    record = table.record
    assert record.grpc
    assert (record.listener, record.route, record.upstream) == ("main", "all", "app")
    assert (record.endpoint, record.peer) == ("server", "192.0.2.7")
    assert (record.authority, record.path) == ("api.example.com", "/greet.Greeter/Hello")
    assert (record.status, record.grpc_status) == (200, "5")
    assert (record.request_bytes, record.request_trailers) == (5, 1)
    assert (record.response_bytes, record.response_trailers) == (3, 2)
    assert (record.request_ending, record.response_ending) == (Ending.TRAILERS, Ending.TRAILERS)
    assert record.response_head_at == record.began + 1.5
    assert record.duration == 2.5
    assert not record.resets


@pytest.mark.parametrize("ending", ["whole", "client", "server", "answered", "deadline", "refused"])
def test_a_finished_exchange_leaves_no_reference_cycle(ending: str) -> None:
    table = Table(deadlines=_deadlines(total=9.0))
    gc.collect()
    gc.disable()
    try:
        before = _alive()
        _converse(table, ending)
        assert table.proxy.active == 0
        assert _alive() == before
    finally:
        gc.enable()


def _converse(table: Table, ending: str) -> None:
    client, server = table.client, table.server
    if ending == "answered":
        table.proxy.router = Router(())
    client.opens(request(end=ending == "whole"))
    if ending == "whole":
        server.says(head(200), data(b"x"), trailers(x="1"))
    elif ending == "client":
        client.says(reset())
    elif ending == "server":
        server.says(head(200), reset())
    elif ending == "deadline":
        table.advance(10)
    elif ending == "refused":
        for _ in range(3):
            server.says(reset(ErrorCode.REFUSED_STREAM))


def _alive() -> int:
    """Count the exchanges, lanes and streams that something still refers to."""
    return sum(isinstance(thing, Exchange | Lane | Stream) for thing in gc.get_objects())


def test_an_upstream_that_wants_to_hear_how_it_ended_is_told_once() -> None:
    table = Table()
    for attentive in (False, True):
        table.kitchen.attentive = attentive
        table.client.opens(request(end=True))
        table.server.says(head(200, end=True))
        table.client.hears(head(200, end=True))
        assert [record.status for record in table.kitchen.heard] == [200] * attentive
    table.is_clean()
