"""Report: what was found, for people and for programs.

The table is rich's, which knows what a terminal can show; it is loaded only here. Whoever
reads the output through a pipe gets plain ASCII and no colours. What servers have said is
quoted: nothing of it may play the terminal.
"""

import json
import sys
from typing import Any, Final, TextIO

from trailproxy.probe.inquiry import Column, guilt
from trailproxy.probe.verdict import Finding, Verdict

_COLOURS: Final = {
    Verdict.KEPT: "green",
    Verdict.CHANGED: "yellow",
    Verdict.BROKEN: "bold red",
    Verdict.UNCLEAR: "cyan",
    Verdict.SKIPPED: "dim",
}
_PIPE_WIDTH: Final = 160  # columns, where nobody says how many there are


def status(columns: list[Column]) -> int:
    """Return the exit status: 1 where a promise is broken, 2 where a hop was not reached.

    The target itself need not be in reach of whoever probes a hop before it.
    """
    direct, *hops = columns
    if any(hop.unreachable for hop in hops) or (direct.unreachable and not hops):
        return 2
    findings = [finding for column in columns for finding in column.findings]
    return int(any(finding.verdict is Verdict.BROKEN for finding in findings))


def as_json(target: str, columns: list[Column]) -> str:
    """Return all that was found as JSON; keys may be added, and are not renamed."""
    plain: dict[str, Any] = {
        "target": target,
        "ways": [
            {
                "way": column.way,
                "origin": column.origin,
                "unreachable": column.unreachable or None,
                "findings": [_plain(finding) for finding in column.findings],
            }
            for column in columns
        ],
        "guilty": [{"way": each.way, "cases": list(each.cases)} for each in guilt(columns)],
    }
    return json.dumps(plain, indent=2)


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "case": finding.case,
        "section": finding.section,
        "sent": finding.sent,
        "came": finding.came,
        "verdict": str(finding.verdict),
        "why": finding.why,
    }


def print_table(columns: list[Column], out: TextIO = sys.stdout) -> None:
    """Print what was found: of one way all, of several their verdicts and what broke."""
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    terminal = out.isatty()
    console = Console(file=out, highlight=False, width=None if terminal else _PIPE_WIDTH)
    reached = [column for column in columns if not column.unreachable]
    table = Table(box=box.SIMPLE if terminal else box.ASCII2)
    rows = _one_way(reached[0]) if len(reached) == 1 else _many_ways(reached)
    if reached:
        for name in rows.pop(0):
            table.add_column(_quoted(name), overflow="fold")
        for row in rows:
            table.add_row(*map(_coloured, row))
        console.print(table)
    for line in _last_words(columns):
        console.print(_quoted(line), markup=False, soft_wrap=True)


def _one_way(column: Column) -> list[list[str]]:
    rows = [["case", "sent", "came", "verdict", "section"]]
    for f in column.findings:
        verdict = f"{f.verdict}: {f.why}" if f.why else str(f.verdict)
        rows.append([f.case, f.sent, f.came, verdict, f.section])
    return rows


def _many_ways(columns: list[Column]) -> list[list[str]]:
    rows = [["case", "sent", *(column.way for column in columns), "section"]]
    for found in zip(*(column.findings for column in columns), strict=True):
        first = found[0]
        rows.append([first.case, first.sent, *(str(f.verdict) for f in found), first.section])
    return rows


def _coloured(text: str) -> Any:
    from rich.text import Text  # noqa: PLC0415

    colour = next((_COLOURS[v] for v in Verdict if text == v or text.startswith(f"{v}: ")), "")
    return Text(_quoted(text), style=colour)


def _quoted(text: str) -> str:
    """Escape what is not printable ASCII, as Python does."""
    return text.encode("unicode_escape").decode("ascii")


def _last_words(columns: list[Column]) -> list[str]:
    lines = [f"{c.way}: not reached: {c.unreachable}" for c in columns if c.unreachable]
    reached = [column for column in columns if not column.unreachable]
    if len(reached) > 1:
        for column in reached:
            lines += [
                f"{column.way}: {finding.case}: {finding.why}"
                for finding in column.findings
                if finding.why and finding.verdict is not Verdict.SKIPPED
            ]
    for each in guilt(columns):
        lines.append(f"{each.way} breaks {len(each.cases)}: {', '.join(each.cases)}")
    if reached and not guilt(columns):
        lines.append("no promise is broken")
    if not any(column.origin for column in reached):
        lines.append(
            "behind it is no probe origin: run `trailproxy probe --serve` there for the rest"
        )
    return lines
