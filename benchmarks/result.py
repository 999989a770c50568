"""What one proxy has shown under one workload, and the figures drawn from it.

A figure is a list of values, one a turn; the median speaks. What is saved as JSON is
read back as what it was, so that a table drawn later is the table drawn then.
"""

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.summary import Load


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a load through one proxy, and what the proxy paid for it."""

    load: Load
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a completed request."""
        return self.cpu_s / self.load.succeeded * 1e6

    @property
    def cpu_s_per_gb(self) -> float:
        """CPU seconds for 10^9 octets of body, whichever way they went."""
        return self.cpu_s / (self.load.body_bytes + self.load.sent_bytes) * 1e9

    @property
    def busy(self) -> float:
        """How much of its core the proxy used: 1.0 means that it was the bottleneck."""
        return self.cpu_s / self.load.seconds


def beyond(longer: Round, shorter: Round) -> Round:
    """Return what a longer round has beyond a shorter one: all but the connecting."""
    more, less = longer.load, shorter.load
    load = dataclasses.replace(
        more,
        requests=more.requests - less.requests,
        succeeded=more.succeeded - less.succeeded,
        seconds=more.seconds - less.seconds,
        body_bytes=more.body_bytes - less.body_bytes,
        sent_bytes=more.sent_bytes - less.sent_bytes,
    )
    return Round(load, longer.cpu_s - shorter.cpu_s)


@dataclass(slots=True)
class Result:
    """One proxy under one workload."""

    proxy: str
    trailers: bool = False  # an origin's trailers came through
    rounds: list[Round] = field(default_factory=list)
    idle_bytes: int = 0  # resident behind the start and one request
    peak_bytes: int = 0  # the most it has held, behind the last round
    trouble: str = ""  # why there are fewer rounds than asked for

    def median(self, figure: Callable[[Round], float]) -> float:
        """Return the median of one figure over the rounds."""
        return statistics.median(figure(each) for each in self.rounds)

    @property
    def cpu_us(self) -> float:
        """The median CPU microseconds a request."""
        return self.median(lambda each: each.cpu_us)

    @property
    def spread(self) -> float:
        """How far the rounds' CPU figures lie apart, as a share of their median."""
        figures = [each.cpu_us for each in self.rounds]
        return (max(figures) - min(figures)) / self.cpu_us if self.cpu_us else 0.0

    @property
    def failed(self) -> int:
        """Requests, over all rounds, that did not end well."""
        return sum(each.load.requests - each.load.succeeded for each in self.rounds)

    @property
    def sound(self) -> bool:
        """Whether it did all it was asked to: only then do its figures count for it."""
        return bool(self.rounds) and self.trailers and not self.failed and not self.trouble


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured, and the unit it is told in."""

    title: str
    unit: str
    values: Callable[[Result], list[float]]

    def median(self, result: Result) -> float:
        """Return the value that speaks for a result."""
        return statistics.median(self.values(result))

    def ratio(self, ours: Result, theirs: Result) -> float | None:
        """Return ours as a multiple of theirs; None where there is nothing to compare.

        Rounds of the same turn are compared, which lie seconds apart: what slowed the
        machine for a while slowed both.
        """
        pairs = list(zip(self.values(ours), self.values(theirs), strict=False))
        if not pairs or not all(theirs for _, theirs in pairs):
            return None
        return statistics.median(ours / theirs for ours, theirs in pairs)


def _by_round(value: Callable[[Round], float]) -> Callable[[Result], list[float]]:
    return lambda result: [value(each) for each in result.rounds]


CPU: Final = Figure("CPU per request", "µs", _by_round(lambda each: each.cpu_us))
CPU_PER_GB: Final = Figure("CPU per GB", "s", _by_round(lambda each: each.cpu_s_per_gb))
P50: Final = Figure("p50 latency", "ms", _by_round(lambda each: each.load.p50_ms))
P99: Final = Figure("p99 latency", "ms", _by_round(lambda each: each.load.p99_ms))
IDLE: Final = Figure("idle memory", "MB", lambda result: [result.idle_bytes / 1e6])
PEAK: Final = Figure("memory under load", "MB", lambda result: [result.peak_bytes / 1e6])


def as_json(result: Result) -> dict[str, Any]:
    """Return one result with its raw rounds, and the medians the table shows."""
    raw = [
        {**dataclasses.asdict(each.load), "cpu_s": each.cpu_s, "cpu_us": each.cpu_us}
        for each in result.rounds
    ]
    saved: dict[str, Any] = {
        "proxy": result.proxy,
        "trailers_kept": result.trailers,
        "failed": result.failed,
        "idle_bytes": result.idle_bytes,
        "peak_bytes": result.peak_bytes,
        "trouble": result.trouble,
        "rounds": raw,
    }
    if raw:
        saved["median"] = {
            name: statistics.median(each[name] for each in raw)
            for name in ("cpu_us", "p50_ms", "p99_ms")
        }
        saved["median"]["rate"] = result.median(lambda each: each.load.rate)
    return saved


def from_json(saved: dict[str, Any]) -> Result:
    """Return the result that was saved: from its raw rounds, whatever medians stand there."""
    names = [field.name for field in dataclasses.fields(Load)]
    rounds = [
        Round(Load(**{name: each[name] for name in names}), each["cpu_s"])
        for each in saved["rounds"]
    ]
    return Result(
        saved["proxy"],
        trailers=saved["trailers_kept"],
        rounds=rounds,
        idle_bytes=saved["idle_bytes"],
        peak_bytes=saved["peak_bytes"],
        trouble=saved["trouble"],
    )
