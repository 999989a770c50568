"""Flags: what Envoy would have said."""

import pytest

from tests.ops.test_metrics import exchange
from tests.support.parts import grpc_request, request, reset
from tests.support.table import Table
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Record
from trailproxy.core.routing import Router
from trailproxy.ops.flags import BY_SIDE, FLAGS, flags_of

#: Causes of resets and of lost trailers alone, and of what no line is written of.
NEVER_OF_AN_EXCHANGE = {
    Cause.ANSWERED,
    Cause.NOT_ALLOWED,
    Cause.STREAM_LIMIT,
    Cause.STREAM_OVER,
    Cause.UPSTREAM_DONE,
    Cause.WORKER_DIED,
}


def dropped(cause: Cause, side: Side = Side.UPSTREAM, attempts: int = 1) -> Record:
    return exchange(dropped=cause, dropped_side=side, attempts=attempts)


def test_what_went_well_has_no_flags() -> None:
    assert flags_of(exchange()) == ""


@pytest.mark.parametrize("cause", FLAGS)
def test_a_cause_has_its_flag(cause: Cause) -> None:
    assert flags_of(dropped(cause)) == FLAGS[cause]


def test_what_we_ended_for_reasons_of_our_own_is_a_local_reset() -> None:
    ours = set(Cause) - set(FLAGS) - NEVER_OF_AN_EXCHANGE - BY_SIDE
    assert {Cause.DRAIN_TIMEOUT, Cause.INTERNAL} <= ours
    assert {flags_of(dropped(cause)) for cause in ours} == {"LR"}


@pytest.mark.parametrize("cause", sorted(BY_SIDE))
@pytest.mark.parametrize(("side", "flag"), [(Side.DOWNSTREAM, "DPE"), (Side.UPSTREAM, "UPE")])
def test_what_either_peer_can_do_breaks_the_protocol_of_its_side(
    cause: Cause, side: Side, flag: str
) -> None:
    assert flags_of(dropped(cause, side)) == flag


@pytest.mark.parametrize(
    ("cause", "flags"),
    [
        (Cause.UPSTREAM_REFUSED, "UR,URX"),
        (Cause.UPSTREAM_GOAWAY, "UC,URX"),
        (Cause.UPSTREAM_RESET, "UR"),
        (Cause.RESPONSE_HEAD_TIMEOUT, "UT"),
    ],
)
def test_retries_that_were_of_no_use_are_told(cause: Cause, flags: str) -> None:
    assert flags_of(dropped(cause, attempts=3)) == flags


@pytest.mark.parametrize("asked", [request(end=True), grpc_request(end=True)], ids=["http", "grpc"])
def test_a_request_without_a_route_is_flagged_though_nothing_was_dropped(asked: object) -> None:
    table = Table()
    table.proxy.router = Router(())
    table.client.opens(asked)  # type: ignore[arg-type]
    assert table.record.dropped is None
    assert flags_of(table.record) == "NR"


def test_the_last_hop_is_no_missing_route() -> None:
    table = Table()
    table.client.opens(request("OPTIONS", end=True, max_forwards="0"))
    assert table.record.answered
    assert flags_of(table.record) == ""


def test_a_client_that_hangs_up_is_told_from_one_that_is_gone() -> None:
    hung_up, gone = Table(), Table()
    for table in (hung_up, gone):
        table.client.opens(request(end=True))
    hung_up.client.says(reset())
    gone.client.leaves()
    assert (flags_of(hung_up.record), flags_of(gone.record)) == ("DR", "DC")
