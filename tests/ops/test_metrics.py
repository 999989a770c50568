"""Each test tells Metrics what happened, then reads the page as Prometheus would."""

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import trailproxy
from tests.support.parts import data, grpc_head, grpc_request, trailers
from tests.support.records import record_of
from tests.support.table import Table
from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.record import (
    Direction,
    Ending,
    Observer,
    Outcome,
    Progress,
    Record,
    Tally,
)
from trailproxy.ops.access_log import AccessLog
from trailproxy.ops.counting import BUCKETS
from trailproxy.ops.families import Totals
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import renderer
from trailproxy.wire.fields import Fields


def exchange(**changes: Any) -> Record:
    """A gRPC call that went well, but for `changes`."""
    words: dict[str, Any] = {
        "listener": "main",
        "route": "greeter",
        "method": "POST",
        "authority": "api.example.com",
        "path": "/greet.Greeter/Hello",
        "peer": "192.0.2.7",
        "began": 100.0,
        "grpc": True,
        "upstream": "app",
        "status": 200,
        "grpc_status": "0",
        "request_sent_at": 100.0,
        "response_head_at": 100.25,
        "ended": 100.5,
        "request_ending": Ending.END,
        "response_ending": Ending.TRAILERS,
    }
    return record_of(**(words | changes))


def lost(cause: Cause = Cause.UPSTREAM_GONE, side: Side | None = Side.UPSTREAM) -> dict[str, Any]:
    return {"dropped": cause, "dropped_side": side}


@pytest.fixture
def tallies() -> dict[Side, Tally]:
    return {Side.DOWNSTREAM: Tally(), Side.UPSTREAM: Tally()}


@pytest.fixture
def metrics(tallies: dict[Side, Tally]) -> Metrics:
    return Metrics(tallies)


def finish(metrics: Metrics, **changes: Any) -> None:
    record = exchange(**changes)
    metrics.meters.exchange_began(record)
    metrics.meters.exchange_finished(record)


def samples(metrics: Metrics) -> Iterator[Sample]:
    page, _ = renderer(metrics)("")
    for family in text_string_to_metric_families(page.decode()):
        yield from family.samples


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Label values, in the order the page gives them, to the value; zeros left out."""
    return {
        tuple(sample.labels.values()): sample.value
        for sample in samples(metrics)
        if sample.name == f"trailproxy_{name}" and sample.value
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for sample in samples(metrics)
        if sample.name == f"trailproxy_{name}" and sample.labels == labels
    ]
    return found


# -- the books ---------------------------------------------------------------------------


def test_every_request_is_completed_dropped_or_active(metrics: Metrics) -> None:
    finish(metrics)
    finish(metrics, route="rest")
    finish(metrics, **lost())
    metrics.meters.exchange_began(exchange())
    assert metrics.totals() == Totals(requests=4, completed=2, dropped=1, active=1)
    assert metrics.totals().balanced


def test_the_page_alone_shows_that_the_books_balance(metrics: Metrics) -> None:
    finish(metrics)
    finish(metrics, **lost())
    finish(metrics, route="rest", **lost(Cause.CLIENT_RESET, Side.DOWNSTREAM))
    metrics.meters.exchange_began(exchange())
    requests = sum(series(metrics, "requests_total").values())
    completed = sum(series(metrics, "requests_completed_total").values())
    dropped = sum(series(metrics, "streams_dropped_total").values())
    active = value(metrics, "requests_active")
    assert (requests, completed, dropped, active) == (4, 1, 2, 1)


def test_a_request_that_ended_twice_unbalances_the_books(metrics: Metrics) -> None:
    record = exchange()
    metrics.meters.exchange_began(record)
    metrics.meters.exchange_finished(record)
    metrics.meters.exchange_finished(record)
    assert not metrics.totals().balanced


def test_a_request_that_ended_without_beginning_unbalances_the_books(metrics: Metrics) -> None:
    metrics.meters.exchange_finished(exchange())
    assert not metrics.totals().balanced


# -- what each name counts ---------------------------------------------------------------


def test_requests_and_responses(metrics: Metrics) -> None:
    finish(metrics)
    finish(metrics)
    finish(metrics, method="GET", grpc_status="", status=404)
    where = {"listener": "main", "route": "greeter"}
    assert value(metrics, "requests_total", method="POST", **where) == 2
    assert value(metrics, "requests_total", method="GET", **where) == 1
    assert value(metrics, "responses_total", route="greeter", code="200", grpc_status="OK") == 2
    assert value(metrics, "responses_total", route="greeter", code="404", grpc_status="") == 1


def test_a_request_without_a_response_counts_no_response(metrics: Metrics) -> None:
    finish(metrics, status=0, **lost(Cause.CLIENT_GONE, Side.DOWNSTREAM))
    assert series(metrics, "responses_total") == {}
    assert series(metrics, "streams_dropped_total") == {("client_gone", "greeter", "downstream"): 1}


def test_what_became_of_requests_is_told_by_upstream(metrics: Metrics) -> None:
    for upstream in ("old", "new", "new", "old"):
        finish(metrics, upstream=upstream)
    finish(metrics, upstream="new", grpc_status="14", **lost())
    finish(metrics, upstream="new", status=0, grpc_status="", **lost(Cause.CLIENT_RESET))
    finish(metrics, upstream="", status=404, grpc_status="")  # no route had one for it
    names = ("upstream", "outcome", "code", "grpc_status")
    expected = {
        ("old", "completed", "200", "OK"): 2,
        ("new", "completed", "200", "OK"): 2,
        ("new", "dropped", "200", "UNAVAILABLE"): 1,
        ("new", "dropped", "", ""): 1,
    }
    for labels, count in expected.items():
        told = dict(zip(names, labels, strict=True))
        assert value(metrics, "upstream_requests_total", **told) == count
    assert sum(series(metrics, "upstream_requests_total").values()) == 6


def test_resets_are_told_apart_by_side_initiator_code_phase_and_cause(metrics: Metrics) -> None:
    client_hung_up = (Side.DOWNSTREAM, Initiator.PEER, 8, Progress.BODY, Cause.CLIENT_RESET)
    metrics.stream_reset(*client_hung_up)
    metrics.stream_reset(*client_hung_up)
    metrics.stream_reset(Side.UPSTREAM, Initiator.PROXY, 8, Progress.BODY, Cause.CLIENT_RESET)
    words = {"code": "CANCEL", "phase": "body", "cause": "client_reset"}
    name = "stream_resets_total"
    assert value(metrics, name, side="downstream", initiator="peer", **words) == 2
    assert value(metrics, name, side="upstream", initiator="proxy", **words) == 1


def test_a_dropped_trailer_section_has_a_cause(metrics: Metrics) -> None:
    metrics.meters.trailers(Direction.RESPONSE, Outcome.RELAYED, "greeter")
    metrics.meters.trailers(Direction.RESPONSE, Outcome.DROPPED, "greeter", Cause.CLIENT_GONE)
    metrics.meters.trailers(Direction.REQUEST, Outcome.DROPPED, "greeter")  # nobody said why
    where = {"direction": "response", "route": "greeter"}
    assert value(metrics, "trailers_total", outcome="relayed", **where) == 1
    assert value(metrics, "trailers_total", outcome="dropped", **where) == 1
    assert series(metrics, "trailers_dropped_total") == {
        ("client_gone", "response"): 1,
        ("internal", "request"): 1,
    }


def test_fields_removed_from_trailers_are_added_up(metrics: Metrics) -> None:
    metrics.trailer_fields_removed(Direction.REQUEST, "greeter", 2)
    metrics.trailer_fields_removed(Direction.REQUEST, "greeter", 1)
    assert series(metrics, "trailer_fields_removed_total") == {("request", "greeter"): 3}


def test_refused_connections_are_counted_by_listener_and_cause(metrics: Metrics) -> None:
    for listener in ("main", "inner", "main"):
        metrics.meters.connection_refused(listener, Refusal.CLIENT_NAME)
    assert series(metrics, "connections_refused_total") == {
        ("client_name", "main"): 2,
        ("client_name", "inner"): 1,
    }


def test_goaways_and_dials(metrics: Metrics) -> None:
    metrics.goaway(Side.UPSTREAM, Direction.RECEIVED, 0)
    metrics.connected("app", "ok")
    metrics.connected("app", "refused")
    metrics.connected("app", "refused")
    where = {"side": "upstream", "direction": "received"}
    assert value(metrics, "goaways_total", code="NO_ERROR", **where) == 1
    assert series(metrics, "upstream_connects_total") == {("ok", "app"): 1, ("refused", "app"): 2}


def test_tallies_are_read_when_the_page_is(metrics: Metrics, tallies: dict[Side, Tally]) -> None:
    down, up = tallies[Side.DOWNSTREAM], tallies[Side.UPSTREAM]
    assert value(metrics, "streams_active", side="upstream") == 0
    down.connections, down.streams, down.parked_bytes, down.stalls = 1, 2, 3, 4
    up.connections, up.streams, up.bytes_received, up.bytes_sent = 5, 6, 7, 8
    assert series(metrics, "connections_active") == {("downstream",): 1, ("upstream",): 5}
    assert series(metrics, "streams_active") == {("downstream",): 2, ("upstream",): 6}
    assert series(metrics, "parked_bytes") == {("downstream",): 3}
    assert series(metrics, "flow_control_stalls_total") == {("downstream",): 4}
    assert value(metrics, "bytes_total", side="upstream", direction="received") == 7
    assert value(metrics, "bytes_total", side="upstream", direction="sent") == 8


def test_reloads(tallies: dict[Side, Tally]) -> None:
    metrics = Metrics(tallies, loaded_at=1_800_000_000.0)
    assert series(metrics, "config_reloads_total") == {}
    assert value(metrics, "config_reloads_total", outcome="failed") == 0
    assert value(metrics, "config_last_reload_successful") == 1

    metrics.reloaded(ok=False, at=1_800_000_060.0)
    assert value(metrics, "config_last_reload_successful") == 0
    assert value(metrics, "config_last_reload_success_timestamp_seconds") == 1_800_000_000

    metrics.reloaded(ok=True, at=1_800_000_120.0)
    assert value(metrics, "config_last_reload_successful") == 1
    assert value(metrics, "config_last_reload_success_timestamp_seconds") == 1_800_000_120
    assert series(metrics, "config_reloads_total") == {("ok",): 1, ("failed",): 1}


def test_build_info_names_version_python_and_codec(tallies: dict[Side, Tally]) -> None:
    assert (
        value(
            Metrics(tallies, codec="native"),
            "build_info",
            version=trailproxy.__version__,
            python=platform.python_version(),
            codec="native",
        )
        == 1
    )


def test_the_process_itself_is_on_the_page(metrics: Metrics) -> None:
    names = {sample.name for sample in samples(metrics)}
    assert "python_gc_collections_total" in names
    if Path("/proc/self/stat").exists():
        assert {"process_resident_memory_bytes", "process_open_fds"} <= names


# -- gRPC, and what trailers weigh -------------------------------------------------------


def test_calls_are_counted_by_service_method_and_code(metrics: Metrics) -> None:
    finish(metrics, request_messages=1, response_messages=3)
    finish(metrics, grpc_status="5")
    finish(metrics, grpc_status="", **lost())
    finish(metrics, grpc=False)
    where = {"grpc_service": "greet.Greeter", "grpc_method": "Hello"}
    assert value(metrics, "grpc_started_total", **where) == 3
    for code in ("OK", "NOT_FOUND", ""):
        assert value(metrics, "grpc_handled_total", grpc_code=code, **where) == 1
    assert value(metrics, "grpc_messages_total", direction="request", **where) == 1
    assert value(metrics, "grpc_messages_total", direction="response", **where) == 3
    assert value(metrics, "grpc_handling_seconds_count", **where) == 3
    assert value(metrics, "grpc_handling_seconds_sum", **where) == 1.5


def test_methods_that_are_too_many_share_one_name(metrics: Metrics) -> None:
    metrics.allow_methods(1)
    for method in ("Hello", "Bye", "Later"):
        finish(metrics, path=f"/greet.Greeter/{method}")
    assert series(metrics, "grpc_handled_total") == {
        ("OK", "Hello", "greet.Greeter"): 1,
        ("OK", "other", "other"): 2,
    }


def test_calls_add_up_over_readings_of_the_page(metrics: Metrics) -> None:
    finish(metrics)
    assert sum(series(metrics, "grpc_handled_total").values()) == 1
    finish(metrics)
    assert sum(series(metrics, "grpc_handled_total").values()) == 2


def test_made_up_grpc_codes_share_one_label(metrics: Metrics) -> None:
    for status in ("17", "00", "nonsense"):
        finish(metrics, grpc_status=status)
    assert series(metrics, "grpc_handled_total") == {("invalid", "Hello", "greet.Greeter"): 3}


def test_trailers_weigh_what_settings_count(metrics: Metrics) -> None:
    section = Fields.of([("grpc-status", "0"), ("x-sum", "abc")])  # 11 + 1 + 32, 5 + 3 + 32
    finish(metrics, response_section=section, response_trailers=2)
    finish(metrics, response_section=section, response_trailers=2)
    finish(metrics, request_section=section, request_trailers=2)
    finish(metrics, response_section=section, response_trailers=0, **lost())  # none departed
    assert series(metrics, "trailer_bytes_total") == {
        ("response", "greeter"): 168,
        ("request", "greeter"): 84,
    }


def test_trailers_of_a_conversation_are_weighed_and_their_status_counted(
    tallies: dict[Side, Tally],
) -> None:
    metrics, table = Metrics(tallies), Table()
    table.client.opens(grpc_request(), trailers(x_end="1"))
    table.server.says(grpc_head(), data(bytes(5)), trailers(grpc_status="9"))
    metrics.meters.exchange_began(table.record)
    metrics.meters.exchange_finished(table.record)
    assert series(metrics, "trailer_bytes_total") == {
        ("request", "all"): len("x-end" + "1") + 32,
        ("response", "all"): len("grpc-status" + "9") + 32,
    }
    assert series(metrics, "responses_total") == {("200", "FAILED_PRECONDITION", "all"): 1}


# -- exemplars ---------------------------------------------------------------------------

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def traced(number: int = 1) -> str:
    return f"00-{number:032x}-00f067aa0ba902b7-01"


def exemplars(metrics: Metrics) -> dict[tuple[str, str], tuple[str, float]]:
    """Trace and seconds, by name and bucket."""
    page, _ = renderer(metrics)(OPENMETRICS)
    return {
        (sample.name, sample.labels["le"]): (
            sample.exemplar.labels["trace_id"],
            sample.exemplar.value,
        )
        for family in openmetrics.text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_a_trace_shows_what_took_so_long(metrics: Metrics) -> None:
    finish(metrics, traceparent=traced(), began=0.0, ended=0.3)
    finish(metrics, traceparent=traced(2), began=0.0, ended=61.0)
    finish(metrics, began=0.0, ended=0.003)
    name = "trailproxy_request_duration_seconds_bucket"
    assert exemplars(metrics) == {
        (name, "0.5"): (f"{1:032x}", 0.3),
        (name, "+Inf"): (f"{2:032x}", 61.0),
    }


def test_a_bucket_has_one_exemplar_and_each_reading_a_new_one(metrics: Metrics) -> None:
    for number in range(1, 1000):
        finish(metrics, traceparent=traced(number))
    assert [trace for trace, _ in exemplars(metrics).values()] == [f"{1:032x}"]
    assert [trace for trace, _ in exemplars(metrics).values()] == [f"{1:032x}"]
    finish(metrics, traceparent=traced(1000))
    assert [trace for trace, _ in exemplars(metrics).values()] == [f"{1000:032x}"]


def test_a_traceparent_that_is_not_valid_is_no_exemplar(metrics: Metrics) -> None:
    finish(metrics, traceparent="00-nonsense-01")
    assert exemplars(metrics) == {}
    finish(metrics, traceparent=traced())
    assert len(exemplars(metrics)) == 1


def test_the_plain_page_has_no_exemplars(metrics: Metrics) -> None:
    finish(metrics, traceparent=traced())
    page, _ = renderer(metrics)("text/plain")
    assert b"trace_id" not in page


# -- histograms --------------------------------------------------------------------------


def buckets(metrics: Metrics, name: str) -> dict[str, float]:
    return {
        sample.labels["le"]: sample.value
        for sample in samples(metrics)
        if sample.name == f"trailproxy_{name}_bucket"
    }


def test_a_bucket_holds_all_that_took_no_longer(metrics: Metrics) -> None:
    for seconds in (0.0, BUCKETS[0], 0.2, 0.25, 61.0):
        finish(metrics, began=0.0, ended=seconds)
    counted = buckets(metrics, "request_duration_seconds")
    assert list(counted.values()) == sorted(counted.values())
    marks = {bound: counted[bound] for bound in ("0.0005", "0.1", "0.25", "60.0", "+Inf")}
    assert marks == {"0.0005": 2, "0.1": 2, "0.25": 4, "60.0": 4, "+Inf": 5}
    assert value(metrics, "request_duration_seconds_count", route="greeter") == 5
    total = value(metrics, "request_duration_seconds_sum", route="greeter")
    assert total == pytest.approx(61.4505)


def test_the_response_head_is_timed_from_the_request_sent_upstream(metrics: Metrics) -> None:
    finish(metrics, began=100.0, request_sent_at=102.0, response_head_at=102.25)
    assert value(metrics, "upstream_response_head_seconds_sum", route="greeter") == 0.25


@pytest.mark.parametrize(
    "without",
    [
        pytest.param({"response_head_at": None}, id="no head came"),
        pytest.param({"request_sent_at": None}, id="nothing was sent upstream"),
        pytest.param({"answered": True, "status": 504}, id="the head is our own"),
    ],
)
def test_without_an_upstreams_head_there_is_nothing_to_time(
    metrics: Metrics, without: dict[str, Any]
) -> None:
    finish(metrics, **without)
    assert buckets(metrics, "upstream_response_head_seconds") == {}
    assert value(metrics, "request_duration_seconds_count", route="greeter") == 1


# -- labels have few values, whatever peers send -----------------------------------------


def test_made_up_methods_share_one_label(metrics: Metrics) -> None:
    for method in ("BREW", "get", "PROPFIND"):
        finish(metrics, method=method)
    assert series(metrics, "requests_total") == {("main", "other", "greeter"): 3}


def test_requests_without_a_route_share_one_label(metrics: Metrics) -> None:
    finish(metrics, route="", status=404, grpc_status="")
    metrics.meters.trailers(Direction.RESPONSE, Outcome.SYNTHESIZED, "")
    metrics.trailer_fields_removed(Direction.REQUEST, "", 1)
    for name in (
        "requests",
        "requests_completed",
        "responses",
        "trailers",
        "trailer_fields_removed",
    ):
        (labels,) = series(metrics, f"{name}_total")
        assert "none" in labels


def test_made_up_grpc_statuses_share_one_label(metrics: Metrics) -> None:
    for status in ("17", "00", "nonsense"):
        finish(metrics, grpc_status=status)
    where = {"route": "greeter", "code": "200"}
    assert value(metrics, "responses_total", grpc_status="invalid", **where) == 3


def test_made_up_error_codes_share_one_label(metrics: Metrics) -> None:
    for code in (0x99, 0xFFFFFFFF):
        metrics.goaway(Side.DOWNSTREAM, Direction.RECEIVED, code)
    where = {"side": "downstream", "direction": "received"}
    assert value(metrics, "goaways_total", code="UNKNOWN", **where) == 2


# -- the access log ----------------------------------------------------------------------


def test_finished_exchanges_are_logged_in_the_same_words(
    tallies: dict[Side, Tally], tmp_path: Path
) -> None:
    log = AccessLog.open(str(tmp_path / "access.log"), lambda: 1_800_000_000.0)
    metrics = Metrics(tallies, log=log)
    finish(metrics, route="", grpc_status="5", **lost())
    metrics.meters.exchange_began(exchange())  # not finished, so not logged
    log.close()
    (line,) = [json.loads(text) for text in (tmp_path / "access.log").read_text().splitlines()]
    code = str(line["status"])
    where = {"route": line["route"], "code": code, "grpc_status": line["grpc_status"]}
    assert value(metrics, "responses_total", **where) == 1
    cause = {"side": line["dropped"]["side"], "cause": line["dropped"]["cause"]}
    assert value(metrics, "streams_dropped_total", route=line["route"], **cause) == 1


def test_lost_log_lines_are_on_the_page(tallies: dict[Side, Tally], tmp_path: Path) -> None:
    log = AccessLog.open(str(tmp_path / "access.log"), lambda: 1_800_000_000.0)
    metrics = Metrics(tallies, log=log)
    finish(metrics, endpoint="\ud800")
    log.close()
    assert value(metrics, "access_log_lost_lines_total") == 1


# -- the page ----------------------------------------------------------------------------

CONTRACT = {
    "requests_total": {"listener", "route", "method"},
    "requests_completed_total": {"route"},
    "requests_active": set(),
    "responses_total": {"route", "code", "grpc_status"},
    "request_duration_seconds_bucket": {"route", "le"},
    "upstream_response_head_seconds_bucket": {"route", "le"},
    "streams_active": {"side"},
    "connections_active": {"side"},
    "stream_resets_total": {"side", "initiator", "code", "phase", "cause"},
    "streams_dropped_total": {"side", "cause", "route"},
    "trailers_total": {"direction", "outcome", "route"},
    "trailers_dropped_total": {"direction", "cause"},
    "trailer_fields_removed_total": {"direction", "route"},
    "trailer_bytes_total": {"direction", "route"},
    "grpc_started_total": {"grpc_service", "grpc_method"},
    "grpc_handled_total": {"grpc_service", "grpc_method", "grpc_code"},
    "grpc_messages_total": {"grpc_service", "grpc_method", "direction"},
    "grpc_handling_seconds_bucket": {"grpc_service", "grpc_method", "le"},
    "goaways_total": {"side", "direction", "code"},
    "connections_refused_total": {"listener", "cause"},
    "bytes_total": {"side", "direction"},
    "parked_bytes": {"side"},
    "flow_control_stalls_total": {"side"},
    "upstream_connects_total": {"upstream", "outcome"},
    "upstream_requests_total": {"upstream", "outcome", "code", "grpc_status"},
    "upstream_requests_waiting": {"upstream"},
    "config_reloads_total": {"outcome"},
    "config_last_reload_successful": set(),
    "config_last_reload_success_timestamp_seconds": set(),
    "access_log_lost_lines_total": set(),
    "workers": {"state"},
    "worker_restarts_total": set(),
    "trace_spans_total": {"outcome"},
    "build_info": {"version", "python", "codec"},
}


@pytest.fixture
def busy(metrics: Metrics) -> Metrics:
    """Metrics to which everything has happened once."""
    observer: Observer = metrics.meters
    section = Fields.of([("grpc-status", "0")])
    finish(metrics, response_section=section, response_trailers=1, request_messages=1)
    finish(metrics, **lost())
    cause = Cause.UPSTREAM_GONE
    observer.stream_reset(Side.UPSTREAM, Initiator.PEER, 2, Progress.HEAD, cause)
    for outcome in Outcome:
        observer.trailers(Direction.RESPONSE, outcome, "greeter", cause)
    observer.trailer_fields_removed(Direction.REQUEST, "greeter", 1)
    observer.goaway(Side.UPSTREAM, Direction.SENT, 0)
    observer.connection_refused("main", Refusal.CLIENT_NAME)
    observer.connected("app", "ok")
    observer.requests_wait("app", 1)
    metrics.reloaded(ok=True, at=1_800_000_000.0)
    metrics.workers = {"ready": 2}
    metrics.restarts[()] += 1
    metrics.count_spans("exported", 1)
    return metrics


@pytest.mark.parametrize("name", CONTRACT)
def test_names_and_labels_are_those_of_the_contract(busy: Metrics, name: str) -> None:
    found = [set(s.labels) for s in samples(busy) if s.name == f"trailproxy_{name}"]
    assert found, f"trailproxy_{name} is not on the page"
    assert all(labels == CONTRACT[name] for labels in found)


def test_nothing_is_on_the_page_beside_the_contract(busy: Metrics) -> None:
    ours = {s.name for s in samples(busy) if s.name.startswith("trailproxy_")}
    of_histograms = {name for name in ours if name.endswith(("_seconds_sum", "_seconds_count"))}
    assert ours - of_histograms == {f"trailproxy_{name}" for name in CONTRACT}


def test_every_family_is_explained(busy: Metrics) -> None:
    page, _ = renderer(busy)("")
    for family in text_string_to_metric_families(page.decode()):
        assert family.documentation, family.name


def test_openmetrics_is_given_to_those_who_ask(busy: Metrics) -> None:
    page, content_type = renderer(busy)("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    read: Callable[[str], Iterable[Any]] = openmetrics.text_string_to_metric_families
    types = {family.name: family.type for family in read(page.decode())}
    assert types["trailproxy_requests"] == "counter"
    assert types["trailproxy_build"] == "info"


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/html", "application/openmetrics-text; version=newest"]
)
def test_everyone_else_gets_the_text_format(busy: Metrics, accept: str) -> None:
    page, content_type = renderer(busy)(accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"trailproxy_requests_total{" in page


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_the_page(busy: Metrics) -> None:
    page, _ = renderer(busy)("")
    verdict = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, timeout=20, check=False
    )
    assert (verdict.returncode, verdict.stderr.decode()) == (0, "")
