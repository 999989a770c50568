"""What was measured, as a table for people and as JSON for later comparison.

Every figure shown is computed here from the rounds; none is typed. The median round
speaks, and the spread of the rounds says how far to trust it.
"""

import dataclasses
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.workloads import Load, Workload

BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"


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
    def busy(self) -> float:
        """How much of its core the proxy used: 1.0 means that it was the bottleneck."""
        return self.cpu_s / self.load.seconds


@dataclass(slots=True)
class Result:
    """One proxy under one workload."""

    proxy: str
    trailers: bool = False  # an origin's trailers came through
    rounds: list[Round] = field(default_factory=list)
    resident_bytes: int = 0  # behind the last round
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


Cell = Callable[[Result, dict[str, Result]], str]


def _against(name: str) -> Cell:
    """Build a column: CPU as a multiple of another proxy's in the same workload.

    Rounds of the same turn are compared, which lie seconds apart: what slowed the
    machine for a while slowed both.
    """

    def ratio(result: Result, others: dict[str, Result]) -> str:
        base = others[name].rounds if name in others else []
        pairs = [
            (our.cpu_us, their.cpu_us) for our, their in zip(result.rounds, base, strict=False)
        ]
        if not pairs or not all(theirs for _, theirs in pairs):
            return "-"
        return f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}"

    return ratio


COLUMNS: Final[dict[str, Cell]] = {
    "CPU µs/req": lambda result, _: f"{result.cpu_us:,.1f}",
    "spread": lambda result, _: f"{result.spread:.0%}",
    "/ bare-relay": _against("bare-relay"),
    "/ nghttpx": _against("nghttpx"),
    "req/s": lambda result, _: f"{result.median(lambda each: each.load.rate):,.0f}",
    "p50 ms": lambda result, _: f"{result.median(lambda each: each.load.p50_ms):,.2f}",
    "p99 ms": lambda result, _: f"{result.median(lambda each: each.load.p99_ms):,.2f}",
    "core busy": lambda result, _: f"{result.median(lambda each: each.busy):.0%}",
    "failed": lambda result, _: str(result.failed),
    "RSS MB": lambda result, _: f"{result.resident_bytes / 1e6:,.1f}",
    "trailers": lambda result, _: "kept" if result.trailers else "LOST",
}


def headline(workload: Workload, ceiling: float) -> str:
    """Say what the load is, and how fast load and origin are without a proxy."""
    shape = f"{workload.clients} × {workload.streams} in flight"
    return f"{workload.name}: {workload.title} ({shape}; no proxy: {ceiling:,.0f} req/s)"


def table(results: Sequence[Result], *, colour: bool = False, ours: str = "") -> str:
    """Return the results as aligned text, one proxy a line."""
    others = {result.proxy: result for result in results}
    rows = [["proxy", *COLUMNS]]
    for result in results:
        cells = [cell(result, others) for cell in COLUMNS.values()] if result.rounds else []
        rows.append([result.proxy, *cells])
    full = [row for row in rows if len(row) > 1]
    widths = [max(len(row[at]) for row in full) for at in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for row, trouble in zip(rows, ["", *(result.trouble for result in results)], strict=True):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        line = "  ".join(cells) + (f"  ({trouble})" if trouble else "")
        lines.append(_painted(line, row[0], ours) if colour else line)
    return "\n".join(lines)


def _painted(line: str, name: str, ours: str) -> str:
    if name == "proxy":
        return f"{DIM}{line}{PLAIN}"
    return f"{BOLD}{line}{PLAIN}" if name == ours else line


def machine() -> dict[str, Any]:
    """Return the facts about this machine that the figures depend on."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg()[0],
    }


def cpu_model(cpuinfo: str) -> str:
    """Return the first processor's name from /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def as_json(result: Result) -> dict[str, Any]:
    """Return one result with its raw rounds and the medians the table shows."""
    raw = [
        {**dataclasses.asdict(each.load), "cpu_s": each.cpu_s, "cpu_us": each.cpu_us}
        for each in result.rounds
    ]
    figures: dict[str, Any] = {
        "proxy": result.proxy,
        "trailers_kept": result.trailers,
        "failed": result.failed,
        "resident_bytes": result.resident_bytes,
        "trouble": result.trouble,
        "rounds": raw,
    }
    if raw:
        figures["median"] = {
            name: statistics.median(each[name] for each in raw)
            for name in ("cpu_us", "p50_ms", "p99_ms")
        }
        figures["median"]["rate"] = result.median(lambda each: each.load.rate)
    return figures
