"""Families: counts and histograms under their labels, as the page will show them.

Those of gRPC methods are bounded a second time here, where the counts of several
processes, each with methods of its own, come together.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.samples import Exemplar

from trailproxy.ops.counting import BUCKETS, Durations
from trailproxy.ops.grpc_meters import DEFAULT_METHODS, OTHER

#: How the labels of every family of gRPC methods begin.
METHOD: Final = ("grpc_service", "grpc_method")

_BOUNDS: Final = (*(str(bound) for bound in BUCKETS), "+Inf")


class Totals(NamedTuple):
    """The books at one moment, over all routes."""

    requests: int
    completed: int
    dropped: int
    active: int

    @property
    def balanced(self) -> bool:
        """Whether every request is accounted for."""
        accounted = self.completed + self.dropped + self.active
        return self.requests == accounted and self.active >= 0


class MethodNames:
    """The gRPC methods that have series of their own.

    Attributes:
        limit: how many may have; those that are there stay when it shrinks.
    """

    def __init__(self) -> None:
        self.limit = DEFAULT_METHODS
        self._known: set[tuple[str | int, ...]] = set()

    def fold(self, labels: tuple[str, ...], key: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """Return the label values under which something counts; `other` for a method too many."""
        name = key[:2]
        if labels[:2] != METHOD or name in self._known or name == (OTHER, OTHER):
            return key
        if len(self._known) >= self.limit:
            return (OTHER, OTHER, *key[2:])
        self._known.add(name)
        return key


class Counts(defaultdict[tuple[str | int, ...], int]):
    """One counter family: label values to a count, with the words that explain it."""

    def __init__(self, name: str, labels: tuple[str, ...], meaning: str) -> None:
        super().__init__(int)
        self.name = name
        self.labels = labels
        self.meaning = meaning

    def family(self) -> Metric:
        """Build the samples as Prometheus wants them."""
        family = CounterMetricFamily(f"trailproxy_{self.name}", self.meaning, labels=self.labels)
        for key, count in self.items():
            family.add_metric([str(part) for part in key], count)
        return family


class Gauges(Counts):
    """A family of numbers that go up and down."""

    def family(self) -> Metric:
        """Build the samples as Prometheus wants them."""
        family = GaugeMetricFamily(f"trailproxy_{self.name}", self.meaning, labels=self.labels)
        for key, value in self.items():
            family.add_metric([str(part) for part in key], value)
        return family


class Series:
    """One series of a histogram.

    Attributes:
        buckets: how many there were in each; the last has no upper bound.
        seconds: all together.
        exemplars: by bucket, a trace and how long that one took.
    """

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0
        self.exemplars: dict[int, tuple[str, float]] = {}

    def add(
        self, buckets: list[int], seconds: float, exemplars: Mapping[int, tuple[str, float]]
    ) -> None:
        """Add what was counted elsewhere; its exemplars are newer than ours."""
        self.buckets = [ours + theirs for ours, theirs in zip(self.buckets, buckets, strict=True)]
        self.seconds += seconds
        self.exemplars.update(exemplars)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def samples(self) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
        """Return the buckets as Prometheus wants them: each holds the ones below it."""
        made: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for place, count in enumerate(accumulate(self.buckets)):
            if place in self.exemplars:
                trace, seconds = self.exemplars[place]
                made.append((_BOUNDS[place], count, Exemplar({"trace_id": trace}, seconds)))
            else:
                made.append((_BOUNDS[place], count))
        return made


class Histogram(defaultdict[tuple[str | int, ...], Series]):
    """One histogram family: label values to a series, with the words that explain it."""

    def __init__(self, name: str, labels: tuple[str, ...], meaning: str) -> None:
        super().__init__(Series)
        self.name = name
        self.labels = labels
        self.meaning = meaning

    def observed(self, key: tuple[str | int, ...], durations: Durations) -> None:
        """Add what a meter has counted, if it has."""
        buckets = durations.buckets
        if any(buckets):
            self[key].add(buckets, durations.seconds, durations.exemplars or {})

    def family(self) -> Metric:
        """Build the samples as Prometheus wants them."""
        family = HistogramMetricFamily(f"trailproxy_{self.name}", self.meaning, labels=self.labels)
        for key, series in self.items():
            family.add_metric([str(part) for part in key], series.samples(), series.seconds)
        return family
