"""From the saved rounds to the README: `make publish`. Nothing in between is typed by hand.

What was measured is copied to docs/bench, and the README's blocks, those of docs/sizing.md
and the plots are written from those copies alone; so a test can write them again and compare.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import growth, plot, resilience, resilience_report, run, sizing
from benchmarks.axes import Shape, judge_shape
from benchmarks.peers import LOGGING, OURS, PEERS
from benchmarks.process import ROOT
from benchmarks.result import CPU, Result, from_json
from benchmarks.targets import Target, Word, judge
from benchmarks.workloads import WORKLOADS

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"
CAMPAIGN_BEGIN: Final = "<!-- resilience:begin -->"
CAMPAIGN_END: Final = "<!-- resilience:end -->"
README: Final = Path("README.md")
SIZING: Final = Path("docs/sizing.md")
FOLDER: Final = Path("docs/bench")
RESULTS: Final = FOLDER / "results.json"
GROWTH: Final = FOLDER / "growth.json"
CAMPAIGN: Final = FOLDER / "resilience.json"
CPU_PLOT: Final = FOLDER / "cpu.svg"
GROWTH_PLOT: Final = FOLDER / "growth.svg"

#: The table's columns: ourselves, and those we promise to compare with.
SHOWN: Final = (OURS, *(peer.name for peer in PEERS if peer.third_party))
TARGETS: Final[Mapping[str, tuple[Target, ...]]] = {each.name: each.targets for each in WORKLOADS}

_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_PLACE = re.compile(r"(?:/[\w.+-]+)+/?")
_INNERMOST = re.compile(r"\{[^{}\[\]]*\}")


class PublishError(Exception):
    """There is nothing to publish, or no place for it."""


def results_of(workload: dict[str, Any]) -> list[Result]:
    """Return what the proxies have shown under a saved workload."""
    return [from_json(saved) for saved in workload["proxies"]]


# -- the words -------------------------------------------------------------------------------


def table(workloads: Sequence[dict[str, Any]]) -> str:
    """Return one row a promise: the figure of each proxy, the promise, and whether it is kept."""
    lines = [
        f"| workload | figure | {' | '.join(SHOWN)} | promise | found |",
        f"|---|---|{'--:|' * len(SHOWN)}---|---|",
    ]
    lines += [
        _row(workload, target)
        for workload in workloads
        for target in TARGETS.get(workload["name"], ())
    ]
    return "\n".join(lines)


def _row(workload: dict[str, Any], target: Target) -> str:
    results = results_of(workload)
    by_name = {result.proxy: result for result in results}
    # What a variant costs stands in our column: what it is compared with has its own row.
    columns = [target.of, *SHOWN[1:]]
    cells = [_cell(target, by_name.get(name)) for name in columns]
    verdict = judge(target, results)
    word = f"**{verdict.word}**" if verdict.word is Word.MISSED else verdict.word
    limit = target.text.partition("≤")[2]
    figure = f"{target.figure.title}, {target.figure.unit}"
    title = workload["title"]
    return f"| {title} | {figure} | {' | '.join(cells)} | ≤{limit} | {verdict.found}: {word} |"


def _cell(target: Target, result: Result | None) -> str:
    if result is None or not result.rounds:
        return "–"
    return f"{plot.short(target.figure.median(result))}{'' if result.sound else ' †'}"


def curves_text(axes: Sequence[dict[str, Any]]) -> str:
    """Return one line an axis: what shape its cost must keep, and whether it does."""
    lines = []
    for axis in axes:
        word, reason = judge_shape(Shape(axis["shape"]), growth.curve(axis, OURS))
        lines.append(f"- {axis['title']}, {axis['shape']}: {reason}: {word}")
    return "\n".join(lines)


def facts(saved: dict[str, Any]) -> str:
    """Say what the figures depend on; numbers only, no names of hosts or places."""
    machine = saved["machine"]
    versions = [
        f"{name} {number(version)}"
        for name, version in saved["versions"].items()
        if name in (*SHOWN, "h2load", "nghttpd")
    ]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {number(machine['kernel'])}, "
        f"Python {machine['python']}, codec {saved['codec']}; {', '.join(versions)}. The median of "
        f"{saved['rounds']} interleaved rounds of about {saved['seconds']:g} s."
    )


def number(version: str) -> str:
    found = _NUMBER.search(version)
    return found[0] if found else "of unknown version"


def block(results: dict[str, Any], grown: dict[str, Any] | None) -> str:
    """Return what stands between the markers."""
    parts = [
        table(results["workloads"]),
        "A proxy marked † has failed requests or lost trailers. In the plot, our bar may end "
        "at the dashed line.",
        f"![CPU per request, by proxy and workload; lower is better]({CPU_PLOT})",
        facts(results),
    ]
    if grown is not None:
        parts += [
            "How the cost of one request grows with what surrounds it:",
            curves_text(grown["axes"]),
            f"![CPU per request along each axis]({GROWTH_PLOT})",
        ]
    return "\n\n".join(parts)


# -- the plots -------------------------------------------------------------------------------


def cpu_plot(workloads: Sequence[dict[str, Any]]) -> str:
    """Draw the CPU of a request, one panel a workload."""
    panels = []
    for workload in workloads:
        by_name = {result.proxy: result for result in results_of(workload) if result.rounds}
        values = [
            (name, result.cpu_us) for name, result in by_name.items() if name in (*SHOWN, LOGGING)
        ]
        targets = TARGETS.get(workload["name"], ())
        limits = [
            target.most * by_name[target.against].cpu_us
            for target in targets
            if target.figure is CPU and target.against in by_name
        ]
        title = f"{workload['title']}, µs"
        panels.append(plot.Bars(title, values, limits[0] if limits else None))
    return plot.bars(panels, OURS)


def growth_plot(axes: Sequence[dict[str, Any]]) -> str:
    """Draw the CPU of a request, one panel an axis."""
    panels = []
    for axis in axes:
        names = dict.fromkeys(row["proxy"] for step in axis["steps"] for row in step["proxies"])
        lines = [(name, growth.curve(axis, name)) for name in names]
        logarithmic = Shape(axis["shape"]) is Shape.LINEAR
        panels.append(plot.Curves(f"{axis['title']}, µs", lines, logarithmic=logarithmic))
    return plot.curves(panels, OURS)


# -- the files -------------------------------------------------------------------------------


def put(text: str, begin: str, end: str, block: str) -> str:
    """Return the text with another block between two markers.

    Raises:
        PublishError: they are not there.
    """
    before, found, rest = text.partition(begin)
    _, closed, behind = rest.partition(end)
    if not found or not closed:
        raise PublishError(f"there is no {begin} and {end}: put them where the table shall be")
    return f"{before}{begin}\n{block}\n{end}{behind}"


def written(root: Path) -> dict[Path, str]:
    """Return what publishing would write from the copies in docs/bench.

    Raises:
        PublishError: a page has no place for it.
    """
    files: dict[Path, str] = {}
    readme = (root / README).read_text()
    if (root / RESULTS).exists():
        results = json.loads((root / RESULTS).read_text())
        grown = json.loads((root / GROWTH).read_text()) if (root / GROWTH).exists() else None
        readme = put(readme, BEGIN, END, block(results, grown))
        files[CPU_PLOT] = cpu_plot(results["workloads"])
        if grown is not None:
            files[GROWTH_PLOT] = growth_plot(grown["axes"])
        if (root / SIZING).exists():
            sizes = f"{sizing.block(results, grown)}\n\n{facts(results)}"
            files[SIZING] = put((root / SIZING).read_text(), sizing.BEGIN, sizing.END, sizes)
    if (root / CAMPAIGN).exists():
        campaign = json.loads((root / CAMPAIGN).read_text())
        readme = put(readme, CAMPAIGN_BEGIN, CAMPAIGN_END, resilience_report.table(campaign))
    return {README: readme, **files}


def stale(root: Path) -> list[Path]:
    """Return the published files that are not what publishing would write."""
    readme = (root / README).read_text()
    for copy, begin in ((RESULTS, BEGIN), (CAMPAIGN, CAMPAIGN_BEGIN)):
        if begin in readme and not (root / copy).exists():
            return [README]
    return [
        file
        for file, text in written(root).items()
        if not (root / file).exists() or (root / file).read_text() != text
    ]


def publish(root: Path, measured: Mapping[Path, Path]) -> list[Path]:
    """Copy what was measured, write what follows from it, and return what was written.

    Args:
        root: the project.
        measured: where each copy in docs/bench comes from.

    Raises:
        PublishError: nothing was measured yet, or the README has no place for it.
    """
    found = {copy: source for copy, source in measured.items() if source.exists()}
    if not found:
        raise PublishError("nothing was measured yet: make bench, make resilience")
    markers = {RESULTS: (BEGIN, END), CAMPAIGN: (CAMPAIGN_BEGIN, CAMPAIGN_END)}
    for copy in found.keys() & markers.keys():
        put((root / README).read_text(), *markers[copy], "")
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for copy, source in found.items():
        (root / copy).write_text(compact(source.read_text()))
    files = written(root)
    for file, text in files.items():
        (root / file).write_text(text)
    return list(files)


def compact(saved: str) -> str:
    """Write JSON anew: one round a line, and nothing that names a host or a place."""
    text = json.dumps(json.loads(saved, object_hook=_nameless), indent=1, ensure_ascii=False)
    return _INNERMOST.sub(lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


def _nameless(saved: dict[str, Any]) -> dict[str, Any]:
    if "kernel" in saved:
        saved["kernel"] = number(saved["kernel"])
    if "trouble" in saved:
        saved["trouble"] = _PLACE.sub("...", saved["trouble"])
    return saved


def main(argv: Sequence[str] | None = None) -> int:
    """Publish; 1 if there is nothing to, or no place for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--results", type=Path, default=run.RESULTS, metavar="FILE")
    parser.add_argument("--growth", type=Path, default=growth.RESULTS, metavar="FILE")
    parser.add_argument("--campaign", type=Path, default=resilience.RESULTS, metavar="FILE")
    chosen = parser.parse_args(argv)
    try:
        measured = {RESULTS: chosen.results, GROWTH: chosen.growth, CAMPAIGN: chosen.campaign}
        for file in publish(ROOT, measured):
            print(file)
    except PublishError as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
