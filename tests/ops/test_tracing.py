"""Tracing: which exchanges become spans, and that nobody waits for a collector."""

import http.server
import importlib.metadata
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.ops.test_metrics import exchange, finish, series
from trailproxy.build import BuildError, make_plan
from trailproxy.core.fault import Side
from trailproxy.core.record import Tally
from trailproxy.ops import tracing
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.settings import Settings, SettingsError, parse
from trailproxy.ops.spans import Span
from trailproxy.ops.telemetry import TracingSettings
from trailproxy.ops.tracing import Export, Tracer, fit
from trailproxy.ops.tracing import finish as farewell

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
WANTED = TracingSettings(otlp="http://localhost:4318")
NOON = 1_800_000_000.0


class Collector:
    """Takes spans, or does not, and when it is told to."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.takes = True
        self.open = threading.Event()
        self.open.set()
        self.counts: Counter[str] = Counter()

    def connect(self) -> Export:
        return self.export

    def export(self, spans: list[Span]) -> bool:
        assert self.open.wait(20)
        if self.takes:
            self.spans += spans
        return self.takes

    def count(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setattr(tracing, "_PAUSE_S", 0.005)
    return Collector()


@contextmanager
def started(collector: Collector) -> Iterator[Tracer]:
    tracer = Tracer(WANTED, collector.connect, lambda: NOON, collector.count)
    try:
        yield tracer
    finally:
        collector.open.set()
        farewell(tracer)
        assert not tracer._thread.is_alive()


def soon(said: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("traceparent", "spans"),
    [(SAMPLED, 1), (f"00-{TRACE}-{PARENT}-00", 0), ("nonsense", 0), ("", 0)],
    ids=["sampled", "not sampled", "nonsense", "none"],
)
def test_who_began_a_trace_decides_whether_there_is_a_span(
    collector: Collector, traceparent: str, spans: int
) -> None:
    metrics = Metrics({side: Tally() for side in Side})
    with started(collector) as tracer:
        metrics.meters.tracer = tracer
        finish(metrics, traceparent=traceparent)
    assert [(span.trace_id, span.parent_id) for span in collector.spans] == [
        (TRACE, PARENT)
    ] * spans
    assert collector.counts == Counter(exported=spans)


def test_a_span_ends_when_its_exchange_did(collector: Collector) -> None:
    with started(collector) as tracer:
        tracer.note(exchange(traceparent=SAMPLED, began=5.0, ended=7.5))
    (span,) = collector.spans
    assert (span.began, span.ended) == (NOON - 2.5, NOON)


def test_what_waits_is_sent_when_the_proxy_stops(collector: Collector) -> None:
    with started(collector) as tracer:
        for _ in range(1000):
            tracer.note(exchange(traceparent=SAMPLED))
    assert len(collector.spans) == 1000
    assert collector.counts == {"exported": 1000}


def test_a_collector_that_does_not_answer_holds_nothing_up_and_fills_nothing(
    collector: Collector,
) -> None:
    collector.open.clear()
    with started(collector) as tracer:
        record = exchange(traceparent=SAMPLED)
        began = time.monotonic()
        for _ in range(20_000):
            tracer.note(record)
        took = time.monotonic() - began
        assert len(tracer._waiting) <= 2048
        assert collector.counts["overflowed"] >= 20_000 - 2048 - 128
        assert took < 5
    assert collector.counts["exported"] + collector.counts["overflowed"] == 20_000


def test_a_collector_that_refuses_is_told_of_once_and_tried_again(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    collector.takes = False
    with started(collector) as tracer:
        for number in range(1, 4):
            tracer.note(exchange(traceparent=SAMPLED))
            soon(lambda: collector.counts["failed"] == number)  # noqa: B023
        collector.takes = True
        tracer.note(exchange(traceparent=SAMPLED))
        soon(lambda: collector.counts["exported"] == 1)
    assert [record.getMessage() for record in caplog.records] == [
        "traces: http://localhost:4318 does not take our spans",
        "traces: http://localhost:4318 takes our spans again",
    ]


def test_a_collector_that_is_gone_is_not_waited_for_at_the_end(collector: Collector) -> None:
    with started(collector) as tracer:
        collector.takes = False
        tracer.note(exchange(traceparent=SAMPLED))
        soon(lambda: collector.counts["failed"] == 1)
        for _ in range(1000):
            tracer.note(exchange(traceparent=SAMPLED))
    assert collector.counts == {"failed": 1001}


def test_outcomes_are_on_the_page() -> None:
    metrics = Metrics({side: Tally() for side in Side})
    metrics.count_spans("exported", 3)
    metrics.count_spans("failed", 1)
    metrics.count_spans("exported", 1)
    assert series(metrics, "trace_spans_total") == {("exported",): 4, ("failed",): 1}


# -- configuration -------------------------------------------------------------------------

FILE = """
listeners: [{name: main, bind: "127.0.0.1:8080"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:50051"]}]
routes: [{name: all, match: {}, upstream: app}]
"""


def configured(**keys: str) -> Settings:
    lines = "".join(f"  {key}: {value}\n" for key, value in keys.items())
    return parse(f"{FILE}tracing:\n{lines}", "trailproxy.yaml", {})


def test_without_the_packages_such_a_configuration_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    make_plan(parse(FILE, "trailproxy.yaml", {}))
    with pytest.raises(BuildError) as refused:
        make_plan(configured(otlp="http://localhost:4318"))
    assert str(refused.value) == (
        "tracing: opentelemetry-sdk is not installed; pip install 'trailproxy[otlp]' brings it"
    )


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://host", "http://me:secret@host", "http:"])
def test_a_collector_has_a_url(url: str) -> None:
    with pytest.raises(SettingsError, match="a URL such as http://localhost:4318"):
        configured(otlp=f'"{url}"')


def test_a_tracer_stays_while_its_settings_do(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "connect", lambda *_: collector.export)
    first = fit(None, WANTED, time.time, collector.count)
    assert first is not None
    assert (
        fit(first, TracingSettings(otlp="http://localhost:4318"), time.time, collector.count)
        is first
    )
    other = TracingSettings(otlp="http://localhost:4318", service_name="edge")
    second = fit(first, other, time.time, collector.count)
    assert second is not None
    assert second is not first
    assert fit(second, None, time.time, collector.count) is None
    for tracer in (first, second):
        tracer.join()
        assert not tracer._thread.is_alive()
    assert fit(None, None, time.time, collector.count) is None
    farewell(None)


# -- the packages themselves ---------------------------------------------------------------


@pytest.fixture
def requests_heard() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The URL of a collector, and the paths and bodies it was sent."""
    heard: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            heard.append((self.path, self.rfile.read(size)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()


def test_a_collector_gets_what_opentelemetry_calls_a_span(
    requests_heard: tuple[str, list[tuple[str, bytes]]],
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    url, heard = requests_heard
    counts: Counter[str] = Counter()
    tracer = fit(
        None,
        TracingSettings(otlp=url, service_name="edge"),
        lambda: NOON,
        lambda outcome, count: counts.update({outcome: count}),
    )
    assert tracer is not None
    lost = exchange(traceparent=SAMPLED, grpc_status="14", response_trailers=1)
    tracer.note(lost)
    tracer.stop()
    tracer._thread.join(20)
    assert counts == {"exported": 1}

    ((path, body),) = heard
    assert path == "/v1/traces"
    (batch,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {pair.key: pair.value.string_value for pair in batch.resource.attributes}
    assert names["service.name"] == "edge"
    (span,) = batch.scope_spans[0].spans
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert len(span.span_id) == 8
    assert (span.name, span.kind) == ("greet.Greeter/Hello", 2)  # of a server
    assert (span.status.code, span.status.message) == (2, "gRPC 14")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 500_000_000
    told = {pair.key: pair.value for pair in span.attributes}
    assert told["rpc.grpc.status_code"].int_value == 14
    assert told["http.response.status_code"].int_value == 200
    (event,) = span.events
    assert event.name == "trailers"
    assert {pair.key: pair.value.string_value for pair in event.attributes}["direction"] == (
        "response"
    )
