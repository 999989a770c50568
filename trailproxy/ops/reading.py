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
from trailproxy.ops.families import Counts, Gauges, Histogram
from trailproxy.ops.metrics import Metrics


class Durations(msgspec.Struct, frozen=True):
    """One series of a histogram."""

    key: tuple[str | int, ...]
    buckets: list[int]
    seconds: float
    exemplars: dict[int, tuple[str, float]]


class Reading(msgspec.Struct, frozen=True):
    """Every counter and gauge of a Metrics; families go by the names they have there."""

    counts: dict[str, list[tuple[tuple[str | int, ...], int]]]
    histograms: dict[str, list[Durations]]
    tallies: dict[Side, Tally]
    active: dict[str, int]  # exchanges in flight, by route
    lost_lines: int


def read(metrics: Metrics) -> Reading:
    """Read all meters."""
    metrics.take()
    return Reading(
        {name: list(family.items()) for name, family in _counts(metrics).items()},
        {
            name: [
                Durations(key, series.buckets, series.seconds, dict(series.exemplars))
                for key, series in family.items()
            ]
            for name, family in _histograms(metrics).items()
        },
        {side: replace(tally) for side, tally in metrics.tallies.items()},
        {route_name(route): count for route, count in metrics.meters.active.items()},
        metrics.lost_lines + (0 if metrics.log is None else metrics.log.lost_lines),
    )


def add(metrics: Metrics, reading: Reading) -> None:
    """Add a reading to meters, as if what it tells had happened here."""
    counts, histograms = _counts(metrics), _histograms(metrics)
    fold = metrics.methods.fold
    for name, series in reading.counts.items():
        family = counts[name]
        for key, count in series:
            family[fold(family.labels, key)] += count
    for name, told in reading.histograms.items():
        histogram = histograms[name]
        for each in told:
            sums = histogram[fold(histogram.labels, each.key)]
            sums.add(each.buckets, each.seconds, each.exemplars)
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
    families = _counts(metrics)
    counts = {
        name: series
        for name, series in reading.counts.items()
        if not isinstance(families[name], Gauges)
    }
    left = msgspec.structs.replace(reading, counts=counts, tallies=tallies, active={})
    add(metrics, left)
    for route, count in reading.active.items():
        metrics.dropped[Side.UPSTREAM, Cause.WORKER_DIED, route] += count


def _counts(metrics: Metrics) -> dict[str, Counts]:
    return {name: each for name, each in vars(metrics).items() if isinstance(each, Counts)}


def _histograms(metrics: Metrics) -> dict[str, Histogram]:
    return {name: each for name, each in vars(metrics).items() if isinstance(each, Histogram)}
