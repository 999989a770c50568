"""gRPC meters: each test lets calls end, then reads what their methods have counted."""

import tracemalloc
from typing import Any

import pytest

from tests.ops.test_metrics import exchange
from tests.support.parts import Said, data, grpc_head, grpc_request, head, reset, trailers
from tests.support.table import Table
from trailproxy.core.record import Record
from trailproxy.core.routing import Router
from trailproxy.ops.grpc_meters import GrpcMeters


def call(meters: GrpcMeters, path: str = "/greet.Greeter/Hello", **changes: Any) -> Record:
    record = exchange(path=path, **changes)
    meters.began(record)
    meters.finished(record)
    return record


def counted(meters: GrpcMeters) -> dict[str, tuple[int, int]]:
    """How many calls were started, and how many handled, by service and method."""
    return {
        f"{service}/{method}": (counts.started, sum(counts.handled.all().values()))
        for service, method, counts in meters.take()
    }


def test_each_method_has_counts_of_its_own() -> None:
    meters = GrpcMeters()
    for path in ("/greet.Greeter/Hello", "/greet.Greeter/Bye", "/greet.Greeter/Hello"):
        call(meters, path, request_messages=1, response_messages=2)
    taken = {(service, method): counts for service, method, counts in meters.take()}
    hello = taken["greet.Greeter", "Hello"]
    assert taken.keys() == {("greet.Greeter", "Hello"), ("greet.Greeter", "Bye")}
    assert (hello.started, hello.handled.all()) == (2, {(200, "0"): 2})
    assert (hello.request_messages, hello.response_messages) == (2, 4)
    assert sum(hello.duration.buckets) == 2
    assert hello.duration.seconds == 1.0


def test_what_was_taken_is_not_given_again() -> None:
    meters = GrpcMeters()
    call(meters)
    assert counted(meters) == {"greet.Greeter/Hello": (1, 1)}
    assert counted(meters) == {}
    call(meters)
    assert counted(meters) == {"greet.Greeter/Hello": (1, 1)}


def test_a_call_in_flight_over_a_reading_is_not_lost() -> None:
    meters = GrpcMeters()
    call(meters)
    record = exchange()
    meters.began(record)
    assert counted(meters) == {"greet.Greeter/Hello": (2, 1)}
    meters.finished(record)
    assert counted(meters) == {"greet.Greeter/Hello": (0, 1)}


def test_the_first_calls_to_a_method_are_counted_once() -> None:
    meters = GrpcMeters()
    early, late = exchange(), exchange()
    meters.began(early)
    meters.began(late)
    assert counted(meters) == {}
    meters.finished(late)
    meters.finished(early)
    assert counted(meters) == {"greet.Greeter/Hello": (2, 2)}


# -- a path is of its client's choice ------------------------------------------------------


@pytest.mark.parametrize(
    "made_up",
    [
        pytest.param({"grpc_status": "12"}, id="unimplemented"),
        pytest.param({"answered": True, "grpc_status": "14"}, id="answered by us"),
        pytest.param({"status": 404, "grpc_status": ""}, id="no gRPC answer"),
        pytest.param({"status": 0, "grpc_status": ""}, id="no answer"),
        pytest.param({"path": "/Hello"}, id="no service"),
        pytest.param({"path": "/greet.Greeter/"}, id="no method"),
        pytest.param({"path": "//Hello"}, id="an empty service"),
        pytest.param({"path": "/greet.Greeter/Hello?x=1"}, id="a query"),
        pytest.param({"path": "/greet.Greeter/\xe9"}, id="no name"),
        pytest.param({"path": "/greet.Greeter/" + "x" * 250}, id="too long"),
        pytest.param({"path": ""}, id="no path"),
        pytest.param({"path": "*/x"}, id="no slash before it"),
    ],
)
def test_what_may_be_made_up_counts_as_other(made_up: dict[str, Any]) -> None:
    meters = GrpcMeters()
    call(meters, **made_up)
    call(meters, **made_up)
    assert counted(meters) == {"other/other": (2, 2)}


@pytest.mark.parametrize("status", ["0", "5", "14", "", "nonsense"])
def test_a_method_that_an_upstream_has_is_known_by_any_other_status(status: str) -> None:
    meters = GrpcMeters()
    call(meters, grpc_status=status)
    assert counted(meters) == {"greet.Greeter/Hello": (1, 1)}


def test_a_known_method_keeps_its_place_whatever_comes() -> None:
    meters = GrpcMeters()
    call(meters)
    call(meters, answered=True, grpc_status="14")
    call(meters, grpc_status="12")
    call(meters, status=0, grpc_status="")
    assert counted(meters) == {"greet.Greeter/Hello": (4, 4)}


def test_the_methods_are_bounded() -> None:
    meters = GrpcMeters()
    meters.limit = 2
    for number in range(5):
        call(meters, f"/greet.Greeter/M{number}")
    assert counted(meters) == {
        "greet.Greeter/M0": (1, 1),
        "greet.Greeter/M1": (1, 1),
        "other/other": (3, 3),
    }
    meters.limit = 0  # those that are there stay
    call(meters, "/greet.Greeter/M1")
    assert counted(meters) == {"greet.Greeter/M1": (1, 1)}


def test_paths_that_clients_make_up_are_kept_within_a_bound() -> None:
    meters = GrpcMeters()
    tracemalloc.start()
    try:
        for number in range(20_000):
            call(meters, f"/greet.Greeter/M{number}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(counted(meters)) == 201
    assert kept < 1_000_000


# -- in conversations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([grpc_head(), data(bytes(5)), trailers(grpc_status="0")], "0"),
        ([grpc_head(), trailers(grpc_status="5")], "5"),
        ([grpc_head(grpc_status="7", end=True)], "7"),
        ([grpc_head(), data(bytes(5), end=True)], ""),
        ([grpc_head(), data(bytes(5)), reset()], "1"),
        ([head(503, end=True)], ""),
    ],
    ids=["trailers", "trailers only", "in the head", "missing", "cut short", "no gRPC"],
)
def test_the_status_counts_wherever_it_stands(answer: list[Said], code: str) -> None:
    table, meters = Table(), GrpcMeters()
    table.client.opens(grpc_request(end=True))
    (record,) = table.notes.began
    meters.began(record)
    table.server.says(*answer)
    meters.finished(record)
    ((_, _, counts),) = meters.take()
    assert [status for _, status in counts.handled.all()] == [code]


def test_a_call_without_a_route_is_one_of_the_others() -> None:
    table, meters = Table(), GrpcMeters()
    table.proxy.router = Router(())
    table.client.opens(grpc_request("/made.Up/Method", end=True))
    meters.began(table.record)
    meters.finished(table.record)
    assert counted(meters) == {"other/other": (1, 1)}
