"""Now: how the proxy is at this moment, in numbers, for whoever draws them.

Counters are told as they stand, since the start. Who compares two moments has the rate
between them, and whoever missed a moment has lost nothing but detail.
"""

from collections.abc import Iterable
from typing import Any, Final

from trailproxy import __version__
from trailproxy.ops.counting import BUCKETS
from trailproxy.ops.families import Counts
from trailproxy.ops.metrics import Metrics

_UPSTREAM_STATES: Final = ("healthy", "sick", "ejected")


def tell_now(
    metrics: Metrics, at: float, not_ready: str, problems: Iterable[str]
) -> dict[str, Any]:
    """Tell it.

    Args:
        metrics: of one process, or the sum of all.
        at: the time of day, in seconds since 1970.
        not_ready: why no requests should be sent here; empty when they should.
        problems: what was wrong with the configuration that was tried last.
    """
    books = metrics.totals()
    buckets = [0] * (len(BUCKETS) + 1)
    for series in metrics.duration.values():
        buckets = [sum(pair) for pair in zip(buckets, series.buckets, strict=True)]
    return {
        "at": round(at, 3),
        "version": __version__,
        "codec": metrics.codec,
        "not_ready": not_ready,
        "requests": books.requests,
        "completed": books.completed,
        "dropped": books.dropped,
        "active": books.active,
        "latency": {"bounds": BUCKETS, "counts": buckets},
        "sides": {
            side: {
                "connections": tally.connections,
                "streams": tally.streams,
                "received": tally.bytes_received,
                "sent": tally.bytes_sent,
                "parked": tally.parked_bytes,
                "stalls": tally.stalls,
            }
            for side, tally in metrics.tallies.items()
        },
        "resets": _sums(metrics.resets, "side", "cause"),
        "drops": _sums(metrics.dropped, "side", "cause"),
        "trailers": _sums(metrics.trailer_sections, "direction", "outcome"),
        "upstreams": _upstreams(metrics),
        "certificates": [
            {"kind": kind, "name": name, "ends": end}
            for (kind, name), end in sorted(metrics.certificates.items())
        ],
        "reload": {
            "ok": metrics.last_reload_ok,
            "loaded_at": metrics.loaded_at,
            "problems": list(problems),
        },
        "workers": dict(metrics.workers),
    }


def _sums(counts: Counts, *labels: str) -> list[tuple[str | int, ...]]:
    """Add up a family by some of its labels."""
    places = [counts.labels.index(label) for label in labels]
    sums: dict[tuple[str | int, ...], int] = {}
    for key, count in counts.items():
        short = tuple(key[place] for place in places)
        sums[short] = sums.get(short, 0) + count
    return [(*key, count) for key, count in sorted(sums.items())]


def _upstreams(metrics: Metrics) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (upstream, state), count in sorted(metrics.endpoints.items()):
        found.setdefault(str(upstream), {"name": upstream, "failed_dials": 0})[str(state)] = count
    for (upstream, outcome), count in metrics.connects.items():
        if outcome != "ok" and upstream in found:
            found[str(upstream)]["failed_dials"] += count
    return [each for each in found.values() if any(each[state] for state in _UPSTREAM_STATES)]
