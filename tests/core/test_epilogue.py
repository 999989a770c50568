"""A response whose upstream fails behind the head: trailers that say why, or a reset."""

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame

from tests.support.parts import (
    Head,
    Said,
    data,
    grpc_head,
    grpc_request,
    head,
    request,
    reset,
    trailers,
)
from tests.support.table import Table
from trailproxy.core.epilogue import announce, epilogue
from trailproxy.core.fault import Cause, Initiator, Side, ours
from trailproxy.core.message import Hop, Request
from trailproxy.core.record import Direction, Ending, Outcome, Progress
from trailproxy.core.routing import Deadlines, Handling, OnFailure
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

CONCLUDES = Handling(on_failure=OnFailure.TRAILERS)
PATIENT = Deadlines(response_head=None, idle=None, total=None)


def _grpc_end(status: int, why: str) -> Said:
    return trailers(("grpc-status", str(status)), ("grpc-message", f"trailproxy: {why}"))


def _says_malformed_trailers(table: Table) -> None:
    block = Encoder().encode([("X", "in capitals")])
    flags = ["END_HEADERS", "END_STREAM"]
    table.server.core.receive(HeadersFrame(table.server.sid, block, flags=flags).serialize())
    table.settle()


def _is_concluded(table: Table, cause: Cause) -> None:
    table.is_clean()
    assert table.record.dropped is cause
    assert table.record.response_ending is Ending.TRAILERS
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.SYNTHESIZED] == 1
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.RELAYED] == 0


# -- gRPC --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.NO_ERROR, 13),
        (ErrorCode.PROTOCOL_ERROR, 13),
        (ErrorCode.INTERNAL_ERROR, 13),
        (ErrorCode.FLOW_CONTROL_ERROR, 13),
        (ErrorCode.CANCEL, 1),
        (ErrorCode.REFUSED_STREAM, 14),
        (ErrorCode.ENHANCE_YOUR_CALM, 8),
        (ErrorCode.INADEQUATE_SECURITY, 7),
    ],
)
def test_a_grpc_response_that_is_reset_ends_with_its_status(code: ErrorCode, status: int) -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"half"), reset(code))
    *before, last = table.client.heard.pop(table.client.sid)
    assert before == [grpc_head(), data(b"half")]
    assert dict(last.fields)["grpc-status"] == str(status)
    assert table.record.grpc_status == str(status)
    cause = Cause.UPSTREAM_REFUSED if code is ErrorCode.REFUSED_STREAM else Cause.UPSTREAM_RESET
    _is_concluded(table, cause)


def test_a_grpc_response_whose_upstream_closes_is_unavailable() -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"half"))
    table.server.leaves()
    end = _grpc_end(14, "upstream closed the connection")
    table.client.hears(grpc_head(), data(b"half"), end)
    _is_concluded(table, Cause.UPSTREAM_GONE)


def test_a_grpc_response_with_malformed_trailers_is_an_internal_error() -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head())
    _says_malformed_trailers(table)
    *_, last = table.client.heard.pop(table.client.sid)
    assert dict(last.fields)["grpc-status"] == "13"
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REJECTED] == 1
    _is_concluded(table, Cause.UPSTREAM_PROTOCOL)


@pytest.mark.parametrize(
    ("deadlines", "cause"),
    [
        (Deadlines(response_head=None, idle=1.0, total=None), Cause.IDLE_TIMEOUT),
        (Deadlines(response_head=None, idle=None, total=1.0), Cause.TOTAL_TIMEOUT),
    ],
)
def test_a_grpc_response_that_runs_out_of_time_ends_with_its_status(
    deadlines: Deadlines, cause: Cause
) -> None:
    table = Table(deadlines=deadlines)
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"half"))
    table.advance(1.5)
    table.client.hears(grpc_head(), data(b"half"), _grpc_end(4, cause.replace("_", " ")))
    table.server.hears(grpc_request(end=True), reset(ErrorCode.CANCEL))
    _is_concluded(table, cause)


def test_a_client_that_still_speaks_is_told_to_stop_behind_the_trailers() -> None:
    table = Table()
    table.client.opens(grpc_request(), data(b"more to come"))
    table.server.says(grpc_head(), reset(ErrorCode.CANCEL))
    *_, last = table.client.heard.pop(table.client.sid)
    assert last == reset(ErrorCode.NO_ERROR)
    assert table.notes.resets[-1] == (
        Side.DOWNSTREAM,
        Initiator.PROXY,
        ErrorCode.NO_ERROR,
        Progress.AFTER_END,
        Cause.UPSTREAM_RESET,
    )
    _is_concluded(table, Cause.UPSTREAM_RESET)


def test_octets_that_wait_depart_before_the_trailers() -> None:
    table = Table(client_window=3)
    client = table.client
    client.holds = True
    client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"whole"))
    table.server.leaves()
    client.hears(grpc_head(), data(b"who"))
    client.grants(10)
    client.grants(10)
    client.hears(data(b"le"), _grpc_end(14, "upstream closed the connection"))
    _is_concluded(table, Cause.UPSTREAM_GONE)


def test_a_client_that_takes_nothing_is_reset_when_its_time_is_over() -> None:
    table = Table(client_window=3, deadlines=Deadlines(response_head=None, idle=None, total=1.0))
    client = table.client
    client.holds = True
    client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"whole"))
    table.advance(1.5)
    client.hears(grpc_head(), data(b"who"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.TOTAL_TIMEOUT


def test_a_client_that_leaves_before_the_trailers_loses_them_by_name() -> None:
    table = Table(client_window=3)
    table.client.holds = True
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"whole"), reset(ErrorCode.CANCEL))
    table.client.says(reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.notes.trailer_losses == [Cause.UPSTREAM_RESET]
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.SYNTHESIZED] == 0


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        (grpc_request(end=True), grpc_head(content_length="10")),
        (grpc_request(end=True), head(200, content_type="text/html")),
        (request(end=True), grpc_head()),
    ],
    ids=["its length was announced", "the answer is not gRPC", "the request is not gRPC"],
)
def test_what_could_be_misread_is_reset(asks: Head, answers: Head) -> None:
    table = Table()
    table.client.opens(asks)
    table.server.says(answers, data(b"half"), reset(ErrorCode.CANCEL))
    table.client.hears(answers, data(b"half"), reset(ErrorCode.CANCEL))
    table.is_clean()


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_trailers_is_reset(status: int) -> None:
    table = Table()
    answers = head(status, content_type="application/grpc")
    table.client.opens(grpc_request(end=True))
    table.server.says(answers, reset(ErrorCode.CANCEL))
    table.client.hears(answers, reset(ErrorCode.CANCEL))
    table.is_clean()


def test_a_route_that_wants_resets_gets_them() -> None:
    table = Table(handling=Handling(on_failure=OnFailure.RESET))
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"half"), reset(ErrorCode.CANCEL))
    table.client.hears(grpc_head(), data(b"half"), reset(ErrorCode.CANCEL))
    table.is_clean()


# -- others: Proxy-Status ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "error", "cause"),
    [
        ("leaves", "connection_terminated", Cause.UPSTREAM_GONE),
        ("resets", "http_response_incomplete", Cause.UPSTREAM_RESET),
        ("waits", "http_response_timeout", Cause.IDLE_TIMEOUT),
        ("errs", "http_protocol_error", Cause.UPSTREAM_PROTOCOL),
        ("overdoes", "http_response_trailer_section_size", Cause.FIELDS_TOO_LARGE),
    ],
)
def test_a_response_ends_in_proxy_status_where_its_head_announced_it(
    fails: str, error: str, cause: Cause
) -> None:
    table = Table(handling=CONCLUDES)
    table.client.opens(request(end=True))
    table.server.says(head(200, proxy_status="other; received-status=200"), data(b"half"))
    if fails == "leaves":
        table.server.leaves()
    elif fails == "resets":
        table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    elif fails == "errs":
        _says_malformed_trailers(table)
    elif fails == "overdoes":
        table.server.says(trailers(*[("x", "1")] * 513))
    else:
        table.advance(61)
    first, body, last = table.client.heard.pop(table.client.sid)
    announced = [value for name, value in first.fields if name == "proxy-status"]
    assert announced == ["other; received-status=200", "trailproxy"]
    assert body == data(b"half")
    ((name, value),) = last.fields
    assert name == "proxy-status"
    assert value.startswith(f'trailproxy; error={error}; details="')
    _is_concluded(table, cause)


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        (request(end=True), head(200, content_length="10")),
        (request("HEAD", end=True), head(200)),
    ],
    ids=["its length was announced", "HEAD"],
)
def test_what_cannot_end_in_trailers_announces_none(asks: Head, answers: Head) -> None:
    table = Table(handling=CONCLUDES)
    table.client.opens(asks)
    table.server.says(answers, reset(ErrorCode.CANCEL))
    table.client.hears(answers, reset(ErrorCode.CANCEL))
    table.is_clean()


def test_nothing_but_data_follows_connect() -> None:
    asked = Request(
        Fields.of([(":method", "CONNECT"), (":authority", "a:1")]), Hop("192.0.2.7", "http")
    )
    answered = Fields.of([(":status", "200")])
    assert announce(asked, answered) is answered
    fault = ours(Cause.UPSTREAM_GONE, "it broke")
    assert epilogue(fault, asked, answered, OnFailure.TRAILERS) is None


def test_a_whole_response_keeps_its_own_end() -> None:
    table = Table(handling=CONCLUDES)
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"whole"), trailers(x_sum="1"))
    table.client.hears(head(200, proxy_status="trailproxy"), data(b"whole"), trailers(x_sum="1"))
    table.is_clean()
    assert table.record.dropped is None


def test_a_head_that_ends_the_response_announces_nothing() -> None:
    table = Table(handling=CONCLUDES)
    table.client.opens(request(end=True))
    table.server.says(head(204, end=True))
    table.client.hears(head(204, end=True))
    table.is_clean()


# -- grpc-timeout ------------------------------------------------------------------------------


def test_a_deadline_that_passes_before_the_head_is_answered() -> None:
    table = Table(deadlines=PATIENT)
    table.client.opens(grpc_request(end=True, grpc_timeout="500m"))
    table.server.hears(grpc_request(end=True, grpc_timeout="500m"))
    table.advance(0.6)
    (answer,) = table.client.heard.pop(table.client.sid)
    assert dict(answer.fields)["grpc-status"] == "4"
    table.server.hears(reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped is Cause.DEADLINE_EXCEEDED


def test_a_deadline_that_passes_in_the_body_ends_it() -> None:
    table = Table(deadlines=PATIENT)
    table.client.opens(grpc_request(end=True, grpc_timeout="500m"))
    table.server.says(grpc_head(), data(b"half"))
    table.advance(0.6)
    table.client.hears(grpc_head(), data(b"half"), _grpc_end(4, "deadline exceeded"))
    _is_concluded(table, Cause.DEADLINE_EXCEEDED)


def test_the_shorter_of_both_deadlines_holds() -> None:
    table = Table(deadlines=Deadlines(response_head=None, idle=None, total=1.0))
    table.client.opens(grpc_request(end=True, grpc_timeout="5S"))
    table.advance(1.2)
    assert table.record.dropped is Cause.TOTAL_TIMEOUT


def test_what_was_spent_on_waiting_is_taken_off_the_timeout() -> None:
    table = Table(deadlines=PATIENT, connected=False)
    table.client.opens(grpc_request(end=True, grpc_timeout="5S"))
    table.advance(2.0)
    table.connect()
    table.server.hears(grpc_request(end=True, grpc_timeout="3000000u"))
    table.server.says(grpc_head(), trailers(grpc_status="0"))
    table.client.hears(grpc_head(), trailers(grpc_status="0"))
    table.is_clean()
    assert table.record.dropped is None
