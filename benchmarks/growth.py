"""How the cost of a request grows with what surrounds it: `make growth`.

One axis at a time, trailproxy with nghttpx beside it where that costs nothing. Prints the
CPU of a request at each step, says whether the curve keeps its shape, and saves the
rounds as JSON. A step that needs more descriptors than we may open is skipped, with a word.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import run
from benchmarks.axes import AXES, BOTH, Axis, affordable, judge_shape
from benchmarks.contest import Contest, stage
from benchmarks.peers import OURS, default_codec, found
from benchmarks.process import raise_descriptor_limit
from benchmarks.result import Result, as_json, from_json
from trailproxy.wire import CODECS

RESULTS = run.RESULTS.with_name("growth.json")
MOST_STREAMS = 1000


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = [axis.name for axis in AXES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--axes", default="", help=f"of: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="the median of these is shown")
    parser.add_argument("--seconds", type=float, default=0.7, help="about how long a round lasts")
    parser.add_argument("--codec", default="", choices=CODECS, help="trailproxy's; else its own")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    try:
        chosen.axes = run.chosen_names(chosen.axes, names)
    except ValueError as wrong:
        parser.error(str(wrong))
    return chosen


def measure(contest: Contest, axis: Axis, descriptors: int) -> dict[str, Any]:
    """Measure one axis, print it, and return it for the file.

    All its steps are up at once and take turns: what slows the machine for a while bends
    no curve.
    """
    print(f"\n{axis.title}: CPU µs/req", flush=True)
    steps = affordable(axis, descriptors)
    saved = []
    for step, results in zip(
        steps, contest.take_turns([axis.workload(step) for step in steps]), strict=True
    ):
        cells = [f"{each.proxy} {cost_or_trouble(each)}" for each in results]
        print(f"{step:>12,}  {'   '.join(cells)}")
        saved.append({"at": step, "proxies": [as_json(result) for result in results]})
    for step in axis.steps[len(steps) :]:
        print(f"{step:>12,}  skipped: it needs more than {descriptors:,} descriptors")
    held = {"name": axis.name, "title": axis.title, "shape": axis.shape, "steps": saved}
    word, reason = judge_shape(axis.shape, curve(held, OURS))
    print(f"{word}  {axis.shape}: {reason}", flush=True)
    return held


def cost_or_trouble(result: Result) -> str:
    """Return what a request costs, or why that is not known."""
    if not result.rounds:
        return f"({result.trouble})"
    failed = f" ({result.failed} failed)" if result.failed else ""
    return f"{result.cpu_us:,.1f}{failed}"


def curve(axis: dict[str, Any], proxy: str) -> list[tuple[float, float]]:
    """Return a proxy's points on a saved axis: the steps at which all went well."""
    return [
        (float(step["at"]), result.cpu_us)
        for step in axis["steps"]
        for result in map(from_json, step["proxies"])
        if result.proxy == proxy and result.sound
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, save; 1 if trailproxy could not be measured at a step."""
    chosen = arguments(argv)
    if missing := [tool for tool in run.TOOLS if shutil.which(tool) is None]:
        return run.complain(missing)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    descriptors = raise_descriptor_limit()
    axes = [axis for axis in AXES if axis.name in chosen.axes]
    peers = found(BOTH)
    facts = run.surroundings(peers)
    run.show_surroundings(facts, [])
    with (
        tempfile.TemporaryDirectory(prefix="trailproxy-growth-") as name,
        stage(Path(name), max_streams=MOST_STREAMS) as there,
    ):
        contest = Contest(there, peers, chosen.rounds, chosen.seconds, chosen.codec)
        held = [measure(contest, axis, descriptors) for axis in axes]
    codec = chosen.codec or default_codec()
    settings = {"rounds": chosen.rounds, "seconds": chosen.seconds, "codec": codec}
    run.save(chosen.json, {**facts, **settings, "axes": held})
    rows = [row for axis in held for step in axis["steps"] for row in step["proxies"]]
    return int(any(row["trouble"] for row in rows if row["proxy"] == OURS))


if __name__ == "__main__":
    sys.exit(main())
