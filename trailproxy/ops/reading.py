"""Reading: what the meters of one process showed at one moment, as plain data.

Workers send readings, their supervisor adds them up. The counters of a process
that is gone stay in the sum, so that none ever goes down; what was in flight in
it counts as dropped, so that the books balance: requests = completed + dropped +
active.
"""

from dataclasses import replace

import msgspec

from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Tally
from trailproxy.ops.access_line import route_name
from trailproxy.ops.metrics import Counts, Histogram, Metrics


class Durations(msgspec.Struct, frozen=True):
    """One series of a histogram."""

    buckets: list[int]
    seconds: float


class Reading(msgspec.Struct, frozen=True):
    """Every counter and gauge of a Metrics; families go by the names they have there."""

    counts: dict[str, list[tuple[tuple[str | int, ...], int]]]
    histograms: dict[str, dict[str, Durations]]  # by family and route
    tallies: dict[Side, Tally]
    active: dict[str, int]  # exchanges in flight, by route
    lost_lines: int


def read(metrics: Metrics) -> Reading:
    """Read all meters."""
    metrics.take()
    return Reading(
        {name: list(family.items()) for name, family in _counts(metrics).items()},
        {
            name: {
                route: Durations(list(buckets), family.sums[route])
                for route, buckets in family.buckets.items()
            }
            for name, family in _histograms(metrics).items()
        },
        {side: replace(tally) for side, tally in metrics.tallies.items()},
        {route_name(route): count for route, count in metrics.meters.active.items()},
        metrics.lost_lines + (0 if metrics.log is None else metrics.log.lost_lines),
    )


def add(metrics: Metrics, reading: Reading) -> None:
    """Add a reading to meters, as if what it tells had happened here."""
    counts, histograms = _counts(metrics), _histograms(metrics)
    for name, series in reading.counts.items():
        for key, count in series:
            counts[name][key] += count
    for name, durations in reading.histograms.items():
        for route, told in durations.items():
            sums = histograms[name].buckets[route]
            sums[:] = [ours + theirs for ours, theirs in zip(sums, told.buckets, strict=True)]
            histograms[name].sums[route] += told.seconds
    for side, tally in reading.tallies.items():
        total = metrics.tallies[side]
        total.connections += tally.connections
        total.streams += tally.streams
        total.bytes_received += tally.bytes_received
        total.bytes_sent += tally.bytes_sent
        total.parked_bytes += tally.parked_bytes
        total.stalls += tally.stalls
    metrics.active_elsewhere += sum(reading.active.values())
    metrics.lost_lines += reading.lost_lines


def add_departed(metrics: Metrics, reading: Reading) -> None:
    """Add the last reading of a process that is gone: its gauges went with it."""
    open_now = {"connections": 0, "streams": 0, "parked_bytes": 0}
    tallies = {side: replace(tally, **open_now) for side, tally in reading.tallies.items()}
    add(metrics, msgspec.structs.replace(reading, tallies=tallies, active={}))
    for route, count in reading.active.items():
        metrics.dropped[Side.UPSTREAM, Cause.WORKER_DIED, route] += count


def _counts(metrics: Metrics) -> dict[str, Counts]:
    return {name: each for name, each in vars(metrics).items() if isinstance(each, Counts)}


def _histograms(metrics: Metrics) -> dict[str, Histogram]:
    return {name: each for name, each in vars(metrics).items() if isinstance(each, Histogram)}
