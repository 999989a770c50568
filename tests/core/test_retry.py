"""Retries: what gives way to another attempt, and what nobody may try again."""

import pytest

from tests.support.parts import (
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
from trailproxy.core.fault import Cause
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.retry import Budget, RetryPolicy
from trailproxy.core.routing import Deadlines, Handling
from trailproxy.wire.errors import ErrorCode

BUSY = {
    "statuses": frozenset({503}),
    "grpc_statuses": frozenset({b"14"}),
    "causes": frozenset({Cause.UPSTREAM_RESET, Cause.UPSTREAM_GONE}),
    "backoff_s": 0.02,
}


def _table(**changes: object) -> Table:
    return Table(handling=Handling(retry=RetryPolicy(**(BUSY | changes))))  # type: ignore[arg-type]


def _second(table: Table) -> int:
    """Let the backoff pass; return the stream of the second attempt."""
    table.advance(1)
    return 3


@pytest.mark.parametrize(
    "failing",
    [
        [head(503)],
        [head(503, end=True)],
        [reset(ErrorCode.INTERNAL_ERROR)],
    ],
)
def test_a_failure_gives_way_to_another_attempt(failing: list[Said]) -> None:
    table = _table()
    table.client.opens(request(), data(b"question", end=True))
    table.server.hears(request(), data(b"question", end=True))
    table.server.says(*failing)
    sid = _second(table)
    table.server.hears(request(), data(b"question", end=True), sid=sid)
    table.server.says(head(200), data(b"answer"), trailers(x="1"), sid=sid)
    table.client.hears(head(200), data(b"answer"), trailers(x="1"))
    assert (table.record.attempts, table.record.status, table.record.dropped) == (2, 200, None)
    assert sorted(outcome for _, outcome in table.notes.retries) == ["succeeded", "tried"]
    table.is_clean()


@pytest.mark.parametrize("talk", [[], [data(b"\0\0\0\0\x01x")]], ids=["bare", "message"])
def test_a_status_in_trailers_gives_way_too(talk: list[Said]) -> None:
    table = _table()
    table.client.opens(grpc_request(), data(b"\0\0\0\0\0"), trailers(x="1"))
    table.server.hears(grpc_request(), data(b"\0\0\0\0\0"), trailers(x="1"))
    table.server.says(grpc_head(), *talk, trailers(grpc_status="14"))
    sid = _second(table)
    table.server.hears(grpc_request(), data(b"\0\0\0\0\0"), trailers(x="1"), sid=sid)
    table.server.says(grpc_head(), *talk, trailers(grpc_status="0"), sid=sid)
    table.client.hears(grpc_head(), *talk, trailers(grpc_status="0"))
    assert (table.record.attempts, table.record.grpc_status) == (2, "0")
    assert table.notes.trailer_outcomes == {
        (Direction.REQUEST, Outcome.RELAYED): 1,
        (Direction.RESPONSE, Outcome.RELAYED): 1,
    }
    table.is_clean()


def test_a_response_that_is_good_passes_at_once() -> None:
    table = _table(peek=0)
    table.client.opens(request(end=True))
    table.server.says(head(103), head(200))
    table.client.hears(head(103), head(200))
    table.server.says(data(b"x", end=True))
    table.client.hears(data(b"x", end=True))
    table.is_clean()


def test_more_than_is_held_for_its_trailers_passes() -> None:
    table = _table(peek=10)
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"0123456789"))
    table.client.hears()
    table.server.says(data(b"x"))
    table.client.hears(grpc_head(), data(b"0123456789x"))
    table.server.says(trailers(grpc_status="14"))
    table.client.hears(trailers(grpc_status="14"))
    assert table.record.attempts == 1
    table.is_clean()


def test_nothing_is_held_from_a_client_that_has_not_said_all() -> None:
    table = _table()
    table.client.opens(grpc_request(), data(b"one"))
    table.server.says(grpc_head(), data(b"echo"))
    table.client.hears(grpc_head(), data(b"echo"))
    table.client.says(data(b"two", end=True))
    table.server.says(trailers(grpc_status="14"))
    table.client.hears(trailers(grpc_status="14"))
    assert table.record.attempts == 1
    table.is_clean()


def test_a_stream_of_small_answers_is_held_for_a_moment_only() -> None:
    table = _table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"one"))
    table.advance(0.2)
    table.client.hears()
    table.advance(0.1)
    table.client.hears(grpc_head(), data(b"one"))
    table.server.says(data(b"two"))
    table.client.hears(data(b"two"))
    table.server.says(trailers(grpc_status="14"))
    table.client.hears(trailers(grpc_status="14"))
    assert table.record.attempts == 1
    table.is_clean()


def test_a_second_attempt_has_a_moment_of_its_own() -> None:
    table = _table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"one"), trailers(grpc_status="14"))
    table.advance(0.2)
    table.server.says(grpc_head(), data(b"two"), sid=3)
    table.advance(0.2)
    table.client.hears()
    table.server.says(trailers(grpc_status="0"), sid=3)
    table.client.hears(grpc_head(), data(b"two"), trailers(grpc_status="0"))
    table.is_clean()


def test_what_was_held_is_shown_when_nothing_more_comes_of_it() -> None:
    table = _table(causes=frozenset())
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    assert table.record.dropped is Cause.UPSTREAM_RESET
    table.is_clean()


def test_attempts_have_an_end_and_the_last_one_is_shown() -> None:
    table = _table(attempts=3)
    table.client.opens(request(end=True))
    for sid in (1, 3, 5):
        table.server.says(head(503, end=True), sid=sid)
        table.advance(1)
    table.client.hears(head(503, end=True))
    assert table.record.attempts == 3
    assert table.notes.retries == {("503", "tried"): 2, ("503", "exhausted"): 1}
    table.is_clean()


def test_more_of_a_request_than_is_kept_is_not_sent_again() -> None:
    table = _table(replay=10)
    table.client.opens(request(), data(b"0123456789x", end=True))
    table.server.says(head(503, end=True))
    table.client.hears(head(503, end=True))
    assert table.record.attempts == 1
    table.is_clean()


def test_a_request_that_goes_on_is_sent_again_and_goes_on() -> None:
    table = _table()
    table.client.opens(request(), data(b"one"))
    table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    sid = _second(table)
    table.server.hears(request(), data(b"one"), sid=sid)
    table.client.says(data(b"two", end=True))
    table.server.hears(data(b"two", end=True), sid=sid)
    table.server.says(head(200, end=True), sid=sid)
    table.client.hears(head(200, end=True))
    table.is_clean()


def test_a_budget_keeps_retries_a_part_of_the_load() -> None:
    table = _table(budget=Budget(0.0, 1))
    first, other = table.client.opens(request(end=True)), table.client.opens(request(end=True))
    table.server.says(head(503, end=True), sid=1)
    table.server.says(head(503, end=True), sid=3)
    table.client.hears(head(503, end=True), sid=other)
    table.advance(1)
    table.server.says(head(200, end=True), sid=5)
    table.client.hears(head(200, end=True), sid=first)
    # the budget is free again
    table.client.opens(request(end=True))
    table.server.says(head(503, end=True), sid=7)
    table.advance(1)
    table.server.says(head(200, end=True), sid=9)
    table.client.hears(head(200, end=True))
    table.is_clean()


def test_a_client_that_leaves_between_two_attempts_is_not_waited_for() -> None:
    table = _table()
    table.client.opens(request(end=True))
    table.server.says(head(503, end=True))
    table.client.says(reset(ErrorCode.CANCEL))
    table.advance(1)
    assert table.record.dropped is Cause.CLIENT_RESET
    assert table.kitchen.leases == 1
    table.is_clean()


def test_a_deadline_passes_between_two_attempts() -> None:
    table = Table(
        handling=Handling(retry=RetryPolicy(**(BUSY | {"backoff_s": 9, "max_backoff_s": 9}))),  # type: ignore[arg-type]
        deadlines=Deadlines(total=1.0),
    )
    table.client.opens(request(end=True))
    table.server.says(head(503, end=True))
    table.advance(2)
    assert table.record.status == 504
    table.advance(20)
    assert table.kitchen.leases == 1


def test_what_has_departed_and_what_waits_depart_again_in_order() -> None:
    table = Table(
        server_window=10,
        handling=Handling(retry=RetryPolicy(**BUSY)),  # type: ignore[arg-type]
    )
    table.server.holds = True
    table.client.opens(request(), data(b"0123456789abcdefghij", end=True))
    table.server.hears(request(), data(b"0123456789"), sid=1)
    table.server.says(head(503), sid=1)
    sid = _second(table)
    table.server.hears(request(), data(b"0123456789"), sid=sid)
    table.server.grants(20)
    table.server.hears(data(b"abcdefghij", end=True), sid=sid)
    table.server.says(head(200, end=True), sid=sid)
    table.client.hears(head(200, end=True))
    table.is_clean()


def test_an_attempt_that_takes_too_long_gives_way_too() -> None:
    table = Table(
        handling=Handling(
            retry=RetryPolicy(**(BUSY | {"causes": frozenset({Cause.RESPONSE_HEAD_TIMEOUT})}))  # type: ignore[arg-type]
        ),
        deadlines=Deadlines(response_head=5.0),
    )
    table.client.opens(request(end=True))
    table.advance(5.1)
    table.server.hears(request(end=True), reset(ErrorCode.CANCEL), sid=1)
    sid = _second(table)
    table.server.says(head(200, end=True), sid=sid)
    table.client.hears(head(200, end=True))
    assert table.record.attempts == 2
    table.is_clean()


def test_a_break_that_no_policy_names_is_told_as_ever() -> None:
    table = _table(causes=frozenset())
    table.client.opens(request(end=True))
    table.server.says(reset(ErrorCode.INTERNAL_ERROR))
    assert (table.record.attempts, table.record.status) == (1, 502)
    assert table.notes.retries == {}
    table.is_clean()


def test_what_has_been_shown_is_not_taken_back() -> None:
    table = _table(peek=0)
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    table.client.hears(head(200), data(b"half"), reset(ErrorCode.INTERNAL_ERROR))
    assert table.record.attempts == 1
    table.is_clean()


def test_a_deadline_passes_while_a_response_is_held() -> None:
    table = Table(
        handling=Handling(retry=RetryPolicy(**BUSY)),  # type: ignore[arg-type]
        deadlines=Deadlines(total=0.2, idle=None),
    )
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"half"))
    table.advance(2)
    assert table.record.status == 504
    table.is_clean()
