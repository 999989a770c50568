"""How the proxy is, in numbers."""

from typing import Any

from tests.support.records import record_of
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Direction, Outcome, Progress, Record, Tally
from trailproxy.ops.counting import BUCKETS
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.now import tell_now


def exchange(**words: Any) -> Record:
    return record_of("main", "GET", "a", "/", "p", 1.0, grpc=False, route="all", ended=1.5, **words)


def test_the_numbers_are_those_of_the_metrics() -> None:
    metrics = Metrics({side: Tally() for side in Side})
    observer = metrics.meters
    well, badly = exchange(), exchange(dropped=Cause.UPSTREAM_RESET, dropped_side=Side.UPSTREAM)
    for record in (well, badly):
        observer.exchange_began(record)
        observer.exchange_finished(record)
    observer.trailers(Direction.RESPONSE, Outcome.RELAYED, "all")
    for side in Side:
        observer.stream_reset(side, Initiator.PEER, 2, Progress.BODY, Cause.UPSTREAM_RESET)
    metrics.endpoints_are("app", 2, 1, 0)
    metrics.endpoints_are("gone", 0, 0, 0)
    metrics.connected("app", "refused")
    metrics.connected("app", "ok")
    metrics.connected("other", "refused")
    metrics.certificates = {("listener", "main"): 99.0}
    metrics.workers = {"ready": 2}
    metrics.reloaded(False, 5.0)

    told = tell_now(metrics, 7.0, "draining", ("codec: unknown",))

    assert (told["requests"], told["completed"], told["dropped"], told["active"]) == (2, 1, 1, 0)
    assert sum(told["latency"]["counts"]) == 2
    assert told["latency"]["bounds"] == BUCKETS
    assert told["drops"] == [("upstream", "upstream_reset", 1)]
    assert told["resets"] == [
        ("downstream", "upstream_reset", 1),
        ("upstream", "upstream_reset", 1),
    ]
    assert told["trailers"] == [("response", "relayed", 1)]
    assert told["upstreams"] == [
        {"name": "app", "failed_dials": 1, "healthy": 2, "sick": 1, "ejected": 0}
    ]
    assert told["certificates"] == [{"kind": "listener", "name": "main", "ends": 99.0}]
    assert told["reload"] == {"ok": False, "loaded_at": 0.0, "problems": ["codec: unknown"]}
    assert (told["workers"], told["not_ready"], told["at"]) == ({"ready": 2}, "draining", 7.0)
    assert told["sides"]["upstream"]["streams"] == 0
    assert [record for _, record in metrics.drops.since(0)] == [badly]
