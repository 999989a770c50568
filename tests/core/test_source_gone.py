"""The one matrix: what the ending of a peer means for the other side.

Law: an end once received is final; a message cut short never looks complete;
each ending is told with its side, its initiator, its code, its phase, its cause.
"""

import pytest

from tests.support.parts import data, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Direction, Ending, Outcome, Progress
from trailproxy.wire.errors import ErrorCode

CODES = [code for code in ErrorCode if code is not ErrorCode.NO_ERROR]


# -- the upstream goes --------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code in CODES if code != ErrorCode.REFUSED_STREAM])
def test_an_upstream_reset_in_the_body_keeps_its_code(code: ErrorCode) -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"), reset(code))
    table.client.hears(head(200), data(b"half"), reset(code))
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_RESET
    assert table.record.response_ending is Ending.RESET
    assert table.notes.resets == [
        (Side.UPSTREAM, Initiator.PEER, code, Progress.BODY, Cause.UPSTREAM_RESET),
        (Side.DOWNSTREAM, Initiator.PROXY, code, Progress.BODY, Cause.UPSTREAM_RESET),
    ]


def test_a_refusal_in_the_body_is_not_passed_off_as_not_processed() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"), reset(ErrorCode.REFUSED_STREAM))
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_REFUSED


def test_a_response_cut_short_with_no_error_does_not_look_complete() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"), reset(ErrorCode.NO_ERROR))
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_RESET


def test_an_upstream_that_closes_in_the_body_is_an_internal_error() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"))
    table.server.leaves()
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_GONE


@pytest.mark.parametrize("goes", ["closes", "goes_away"])
def test_a_whole_response_survives_an_upstream_that_leaves(goes: str) -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    server.says(head(200), data(b"whole"), trailers(grpc_status="0"))
    if goes == "closes":
        server.leaves()
    else:
        server.goes_away(server.sid)
    client.hears(head(200), data(b"who"))
    client.grants(10)
    client.grants(10)
    client.hears(data(b"le"), trailers(grpc_status="0"))
    table.is_clean()
    assert table.record.dropped is None


def test_goaway_in_the_middle_lets_the_stream_finish() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"a"))
    table.server.goes_away(table.server.sid)
    table.server.says(data(b"b"), trailers(x="1"))
    table.client.hears(head(200), data(b"ab"), trailers(x="1"))
    table.is_clean()


def test_an_upstream_that_answers_early_stops_the_upload_with_no_error() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(), data(b"much more to come"))
    server.says(head(413), data(b"too much"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    client.hears(head(413), data(b"too much"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.is_clean()
    assert table.record.dropped is None
    assert table.notes.resets[-1] == (
        Side.DOWNSTREAM,
        Initiator.PROXY,
        ErrorCode.NO_ERROR,
        Progress.AFTER_END,
        Cause.UPSTREAM_DONE,
    )


def test_an_early_answer_is_delivered_before_the_upload_is_stopped() -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(), data(b"more"))
    server.says(head(413), data(b"too much", end=True), reset(ErrorCode.NO_ERROR))
    client.hears(head(413), data(b"too"))
    for _ in range(3):
        client.grants(10)
    client.hears(data(b" much", end=True), reset(ErrorCode.NO_ERROR))
    table.is_clean()


def test_a_whole_response_whose_upstream_then_cancels_is_delivered_first() -> None:
    table = Table()
    table.client.opens(request(), data(b"more"))
    table.server.says(head(200), data(b"x", end=True), reset(ErrorCode.INTERNAL_ERROR))
    table.client.hears(head(200), data(b"x", end=True), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_RESET


# -- before the response head: an answer, not a reset ----------------------------------------


@pytest.mark.parametrize(
    ("code", "grpc_status"),
    [
        (ErrorCode.CANCEL, "1"),
        (ErrorCode.ENHANCE_YOUR_CALM, "8"),
        (ErrorCode.INADEQUATE_SECURITY, "7"),
        (ErrorCode.INTERNAL_ERROR, "13"),
        (ErrorCode.NO_ERROR, "13"),
    ],
)
def test_a_reset_before_the_head_is_answered_in_grpc(code: ErrorCode, grpc_status: str) -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(reset(code))
    (answer,) = table.client.heard.pop(table.client.sid)
    fields = dict(answer.fields)
    assert answer.end
    assert (fields[":status"], fields["content-type"]) == ("200", "application/grpc")
    assert fields["grpc-status"] == grpc_status
    assert "upstream" in fields["grpc-message"]
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.SYNTHESIZED] == 1
    assert table.record.answered


def test_a_reset_before_the_head_is_a_502_for_everybody_else() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    answer, body = table.client.heard.pop(table.client.sid)
    fields = dict(answer.fields)
    assert fields[":status"] == "502"
    assert fields["proxy-status"].startswith("trailproxy; error=http_response_incomplete")
    assert body == data(b"trailproxy: upstream reset the stream\n", end=True)
    table.is_clean()
    assert table.record.dropped is Cause.UPSTREAM_RESET


def test_an_answer_of_ours_stops_the_upload() -> None:
    table = Table()
    table.client.opens(request(), data(b"half of it"))
    table.server.leaves()
    answer, body, stop = table.client.heard.pop(table.client.sid)
    assert dict(answer.fields)[":status"] == "502"
    assert body.end
    assert stop == reset(ErrorCode.NO_ERROR)
    table.is_clean()


def test_an_answer_to_head_has_no_body() -> None:
    table = Table()
    table.client.opens(request("HEAD", end=True))
    table.server.leaves()
    (answer,) = table.client.heard.pop(table.client.sid)
    assert answer.end
    assert int(dict(answer.fields)["content-length"]) > 0
    table.is_clean()


def test_interim_heads_do_not_count_as_the_response_head() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(103, link="</a>"), reset(ErrorCode.INTERNAL_ERROR))
    early, answer, _ = table.client.heard.pop(table.client.sid)
    assert early == head(103, link="</a>")
    assert dict(answer.fields)[":status"] == "502"


# -- the client goes ---------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_a_request_cut_short_keeps_its_code(code: ErrorCode) -> None:
    table = Table()
    table.client.opens(request(), data(b"half"), reset(code))
    table.server.hears(request(), data(b"half"), reset(code))
    table.is_clean()
    assert table.record.dropped is Cause.CLIENT_RESET
    assert table.record.dropped_side is Side.DOWNSTREAM
    assert table.record.request_ending is Ending.RESET


def test_a_request_cut_short_with_no_error_is_cancelled_upstream() -> None:
    table = Table()
    table.client.opens(request(), data(b"half"), reset(ErrorCode.NO_ERROR))
    table.server.hears(request(), data(b"half"), reset(ErrorCode.CANCEL))
    table.is_clean()


@pytest.mark.parametrize("code", CODES)
def test_a_client_that_wants_no_response_cancels_it(code: ErrorCode) -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"a"))
    table.client.says(reset(code))
    table.server.hears(request(end=True), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.notes.resets == [
        (Side.DOWNSTREAM, Initiator.PEER, code, Progress.BODY, Cause.CLIENT_RESET),
        (Side.UPSTREAM, Initiator.PROXY, ErrorCode.CANCEL, Progress.BODY, Cause.CLIENT_RESET),
    ]


def test_a_client_that_only_stopped_listening_has_its_request_delivered() -> None:
    table = Table(server_window=3)
    client, server = table.client, table.server
    server.holds = True
    client.opens(request(), data(b"note it"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    server.hears(request(), data(b"not"))
    for _ in range(4):
        server.grants(10)
    server.hears(data(b"e it"), trailers(x="1"), reset(ErrorCode.NO_ERROR))
    table.is_clean()


def test_a_client_that_disconnects_cancels_all_its_streams() -> None:
    table = Table()
    client, server = table.client, table.server
    first = client.opens(request(end=True))
    second = client.opens(request(), data(b"half"))
    client.leaves()
    server.hears(request(end=True), reset(ErrorCode.CANCEL), sid=first)
    server.hears(request(), data(b"half"), reset(ErrorCode.CANCEL), sid=second)
    table.is_clean()
    assert {record.dropped for record in table.notes.finished} == {Cause.CLIENT_GONE}


def test_a_client_that_has_its_whole_response_may_stop_its_upload() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(), data(b"half"))
    server.says(head(200), data(b"done", end=True))
    client.says(reset(ErrorCode.CANCEL))
    server.hears(request(), data(b"half"), reset(ErrorCode.CANCEL))
    client.hears(head(200), data(b"done", end=True))
    table.is_clean()
    assert table.record.dropped is None


def test_trailers_that_can_reach_nobody_are_a_loss_with_a_cause() -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    server.says(head(200), data(b"whole"), trailers(grpc_status="0"))
    client.says(reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.notes.trailer_losses == [Cause.CLIENT_RESET]
    assert table.notes.resets[0][3] is Progress.TRAILERS


# -- a malformed message costs its own stream ------------------------------------------------


def test_a_body_that_belies_its_content_length_is_cut_on_both_sides() -> None:
    table = Table()
    client, server = table.client, table.server
    good = client.opens(request(end=True))
    server.says(head(200), data(b"good"))
    bad = client.opens(request(end=True))
    server.says(head(200, content_length="5"), data(b"bad"), trailers(x="1"))
    client.hears(
        head(200, content_length="5"), data(b"bad"), reset(ErrorCode.INTERNAL_ERROR), sid=bad
    )
    assert table.notes.resets[0] == (
        Side.UPSTREAM,
        Initiator.PROXY,
        ErrorCode.PROTOCOL_ERROR,
        Progress.BODY,
        Cause.UPSTREAM_PROTOCOL,
    )
    server.says(trailers(x="2"), sid=good)
    client.hears(head(200), data(b"good"), trailers(x="2"), sid=good)
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REJECTED] == 1


def test_trailers_that_may_not_travel_stay_behind_and_are_counted() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(
        head(200), data(b"x"), trailers(("te", "gzip"), ("x-a", "1"), ("content-length", "9"))
    )
    table.client.hears(head(200), data(b"x"), trailers(("x-a", "1")))
    assert table.notes.fields_removed == 2


def test_trailers_that_became_empty_end_the_stream_with_an_empty_data_frame() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x"), trailers(("host", "a")))
    table.client.hears(head(200), data(b"x", end=True))
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.EMPTY] == 1
    table.is_clean()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_that_ends_at_its_head_has_no_trailers(method: str, status: int) -> None:
    table = Table()
    table.client.opens(request(method, end=True))
    table.server.says(head(status), trailers(x="1"))
    table.client.hears(head(status), data(b"", end=True))
    table.is_clean()
    assert table.notes.trailer_losses == [Cause.NOT_ALLOWED]
    assert table.record.dropped is None


def test_what_waits_for_slow_readers_is_known_and_forgotten() -> None:
    table = Table(client_window=3)
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x" * 1000))
    assert table.server.core.owed == 997
    table.client.says(reset())
    assert table.server.core.owed == 0
