"""What was measured, as a table in a terminal, and what it was measured on.

Every figure shown is computed here from the rounds; none is typed. The median round
speaks, and the spread of the rounds says how far to trust it.
"""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.result import CPU, IDLE, PEAK, Result
from benchmarks.targets import Verdict, Word
from benchmarks.workloads import Workload

BOLD, DIM, RED, GREEN, PLAIN = "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m"
PAINT: Final = {Word.MET: GREEN, Word.MISSED: RED, Word.OPEN: DIM}


Cell = Callable[[Result, dict[str, Result]], str]


def _against(name: str) -> Cell:
    """Build a column: CPU as a multiple of another proxy's in the same workload."""

    def cell(result: Result, others: dict[str, Result]) -> str:
        ratio = CPU.ratio(result, others[name]) if name in others else None
        return "-" if ratio is None else f"{ratio:.2f}"

    return cell


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
    "idle MB": lambda result, _: f"{IDLE.median(result):,.1f}",
    "peak MB": lambda result, _: f"{PEAK.median(result):,.1f}",
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


def promises(verdicts: Sequence[Verdict], *, colour: bool = False) -> str:
    """Return one line a promise, the word first."""
    lines = []
    for verdict in verdicts:
        paint, plain = (PAINT[verdict.word], PLAIN) if colour else ("", "")
        word = f"{paint}{verdict.word:<6}{plain}"
        lines.append(f"{word}  {verdict.target.text}: {verdict.found}")
    return "\n".join(lines)


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
