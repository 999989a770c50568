"""Spans: what a trace shows of an exchange."""

from typing import Any

import pytest

from tests.ops.test_metrics import exchange
from tests.support.parts import data, grpc_head, grpc_request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Record
from trailproxy.ops.spans import Span, span_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
NOON = 1_800_000_000.0


def span(record: Record) -> Span:
    return span_of(record, TRACE, PARENT, NOON)


def test_a_call_is_named_by_its_method_and_says_how_it_went() -> None:
    told = span(exchange(endpoint="127.0.0.1:50051", attempts=1))
    assert told.name == "greet.Greeter/Hello"
    assert (told.trace_id, told.parent_id) == (TRACE, PARENT)
    assert (told.began, told.ended) == (NOON - 0.5, NOON)
    assert told.failed == ""
    assert told.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/greet.Greeter/Hello",
        "server.address": "api.example.com",
        "client.address": "192.0.2.7",
        "rpc.system": "grpc",
        "rpc.service": "greet.Greeter",
        "rpc.method": "Hello",
        "rpc.grpc.status_code": 0,
        "trailproxy.route": "greeter",
        "trailproxy.upstream": "app",
        "trailproxy.endpoint": "127.0.0.1:50051",
        "trailproxy.attempts": 1,
    }


def test_another_request_is_named_by_its_route_and_keeps_its_query_to_itself() -> None:
    told = span(exchange(grpc=False, method="GET", path="/a?token=secret", grpc_status=""))
    assert told.name == "GET greeter"
    assert told.attributes["url.path"] == "/a"
    assert "secret" not in str(told)
    assert not [key for key in told.attributes if key.startswith("rpc.")]


def test_without_a_response_there_is_no_status() -> None:
    told = span(exchange(status=0, grpc_status=""))
    assert {"http.response.status_code", "rpc.grpc.status_code"}.isdisjoint(told.attributes)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"grpc_status": "13"}, "gRPC 13"),
        ({"grpc_status": "5"}, ""),
        ({"grpc_status": "", "status": 503}, "HTTP 503"),
        ({"grpc_status": "", "status": 404}, ""),
        (
            {"dropped": Cause.UPSTREAM_GONE, "dropped_side": Side.UPSTREAM, "why": "it died"},
            "it died",
        ),
        ({"dropped": Cause.UPSTREAM_GONE, "dropped_side": Side.UPSTREAM}, "upstream_gone"),
        ({"dropped": Cause.CLIENT_RESET, "dropped_side": Side.DOWNSTREAM, "why": "bye"}, ""),
    ],
)
def test_what_the_server_side_did_wrong_is_a_failure(changes: dict[str, Any], failed: str) -> None:
    assert span(exchange(**changes)).failed == failed


def test_what_peers_choose_is_cut() -> None:
    told = span(exchange(path=f"/{'s' * 9999}/m", authority="a" * 9999, grpc_status="9" * 9999))
    assert len(told.name) == 256
    assert all(len(str(value)) <= 256 for value in told.attributes.values())


def test_trailers_of_both_messages_are_events() -> None:
    table = Table()
    table.client.opens(grpc_request(), trailers(x_end="1"))
    table.server.says(grpc_head(), data(bytes(5)), trailers(grpc_status="0", x_sum="1"))
    assert span(table.record).events == (
        ("trailers", {"direction": "request", "fields": 1, "bytes": 38}),
        ("trailers", {"direction": "response", "fields": 2, "bytes": 44 + 38}),
    )


def test_resets_are_events_with_a_side_and_a_cause() -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(bytes(5)))
    table.client.says(reset())
    told = span(table.record)
    words = {"code": "CANCEL", "phase": "body", "cause": "client_reset"}
    assert told.events == (
        ("reset", {"side": "downstream", "initiator": "peer", **words}),
        ("reset", {"side": "upstream", "initiator": "proxy", **words}),
    )
    assert told.attributes["trailproxy.cause"] == "client_reset"
    assert told.attributes["trailproxy.side"] == "downstream"
