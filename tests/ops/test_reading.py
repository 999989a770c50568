"""Readings: what one process counted and another adds up; the books balance in every sum."""

from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ops.test_metrics import exchange, exemplars, finish, lost, series, traced
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Direction, Outcome, Progress, Tally
from trailproxy.ops.access_log import AccessLog
from trailproxy.ops.families import Totals
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import renderer
from trailproxy.ops.reading import Reading, add, add_departed, read


def fresh() -> Metrics:
    return Metrics({side: Tally() for side in Side})


def page(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What Prometheus would read: every sample of ours by its name and labels."""
    text, _ = renderer(metrics)("")
    return {
        (sample.name, *sorted(map(str, sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        if family.name.startswith("trailproxy_")
        for sample in family.samples
    }


def sent(reading: Reading) -> Reading:
    """The reading as it comes out of the channel."""
    return msgspec.json.decode(msgspec.json.encode(reading), type=Reading)


@pytest.fixture
def busy(tmp_path: Any) -> Metrics:
    """Metrics to which everything has happened, with one exchange in flight."""
    metrics = fresh()
    metrics.log = AccessLog.open(str(tmp_path / "access.log"), lambda: 1_800_000_000.0)
    finish(metrics, traceparent=traced(), request_messages=1)
    finish(metrics, route="", endpoint="\ud800")  # which no line can hold
    finish(metrics, **lost())
    metrics.meters.exchange_began(exchange())
    metrics.stream_reset(Side.UPSTREAM, Initiator.PEER, 2, Progress.HEAD, Cause.UPSTREAM_GONE)
    metrics.meters.trailers(Direction.RESPONSE, Outcome.DROPPED, "greeter", Cause.CLIENT_GONE)
    metrics.trailer_fields_removed(Direction.REQUEST, "greeter", 2)
    metrics.goaway(Side.UPSTREAM, Direction.SENT, 0)
    metrics.connected("app", "ok")
    for number, tally in enumerate(metrics.tallies.values(), 1):
        for field in ("connections", "streams", "parked_bytes", "stalls"):
            setattr(tally, field, number)
        tally.bytes_received, tally.bytes_sent = 100 * number, 1000 * number
    return metrics


def test_a_sum_of_one_is_the_page_of_that_one(busy: Metrics) -> None:
    total = fresh()
    add(total, sent(read(busy)))
    assert page(total) == page(busy)


def test_two_are_added_sample_by_sample(busy: Metrics) -> None:
    total = fresh()
    add(total, sent(read(busy)))
    add(total, read(busy))
    once = page(busy)
    fixed = ("trailproxy_build_info", "trailproxy_config_last")
    assert page(total) == {
        key: count if key[0].startswith(fixed) else 2 * count for key, count in once.items()
    }
    assert total.totals() == Totals(requests=8, completed=4, dropped=2, active=2)


def test_a_reading_is_of_its_moment(busy: Metrics) -> None:
    reading = read(busy)
    busy.tallies[Side.UPSTREAM].connections += 1
    finish(busy)
    assert reading.tallies[Side.UPSTREAM].connections == 2
    assert sum(count for _, count in reading.counts["requests"]) == 4


def test_the_counters_of_a_process_that_is_gone_stay_and_its_gauges_go(busy: Metrics) -> None:
    total = fresh()
    add_departed(total, read(busy))
    before, after = page(busy), page(total)
    gauges = ("_active", "parked_bytes")
    for key, count in before.items():
        assert after[key] == (0 if key[0].endswith(gauges) else count), key


def test_what_was_in_flight_in_it_is_dropped_with_a_cause(busy: Metrics) -> None:
    total = fresh()
    add_departed(total, read(busy))
    assert total.dropped[Side.UPSTREAM, Cause.WORKER_DIED, "greeter"] == 1
    assert total.totals() == Totals(requests=4, completed=2, dropped=2, active=0)
    assert total.totals().balanced


def test_exemplars_are_read_with_the_rest(busy: Metrics) -> None:
    total = fresh()
    add(total, sent(read(busy)))
    assert exemplars(total) == exemplars(busy) != {}


def test_the_methods_of_many_processes_are_bounded_together() -> None:
    total = fresh()
    total.allow_methods(3)
    for process in range(10):
        metrics = fresh()
        for number in range(2):
            finish(metrics, path=f"/greet.Greeter/M{process}{number}")
        add_departed(total, sent(read(metrics)))
    calls = series(total, "grpc_handled_total")
    assert set(calls) == {
        ("OK", "M00", "greet.Greeter"),
        ("OK", "M01", "greet.Greeter"),
        ("OK", "M10", "greet.Greeter"),
        ("OK", "other", "other"),
    }
    assert sum(calls.values()) == 20
    assert sum(series(total, "grpc_started_total").values()) == 20
    assert sum(series(total, "grpc_handling_seconds_count").values()) == 20


def test_who_has_series_of_his_own_keeps_them_in_the_next_sum() -> None:
    own, first, second = fresh(), fresh(), fresh()
    own.allow_methods(1)
    finish(first, path="/greet.Greeter/Hello")
    finish(second, path="/greet.Greeter/Bye")
    for order in ([first, second], [second, first]):
        total = fresh()
        total.methods = own.methods
        for metrics in order:
            add(total, read(metrics))
        assert series(total, "grpc_started_total") == {
            ("Hello", "greet.Greeter"): 1,
            ("other", "other"): 1,
        }
