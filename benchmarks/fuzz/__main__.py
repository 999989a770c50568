"""Fuzz: strangers' octets for as long as you like; nothing may break, hang, leak or be miscounted.

Both engines in turn, each target for its share of the time; what was found is printed with
the command line that plays it again: `python -m benchmarks.fuzz --seconds 600`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.fuzz import guided, seeded
from benchmarks.fuzz.target import Target, judge
from benchmarks.fuzz.targets import TARGETS

_SEEDED: Final = 0.25  # of the time, where there is a guided engine, too


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, or play one input again; 1 if there is something wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; all, if none is named")
    parser.add_argument("--seconds", type=float, default=100.0, help="in all, but for loading")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeded", action="store_true", help="on the build there is, unguided")
    parser.add_argument("--play", type=Path, help="a file with one input of the target")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.target if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}")
    targets = [TARGETS[name] for name in asked.target or TARGETS]
    if asked.play is None:
        return fuzz(targets, asked.seconds, asked.seed, unguided=asked.seeded)
    if len(targets) > 1:
        parser.error("--play needs the name of the target")
    wrong = judge(targets[0], asked.play.read_bytes())
    print(wrong or "nothing was found")
    return int(bool(wrong))


def fuzz(targets: Sequence[Target], seconds: float, seed: int, *, unguided: bool) -> int:
    """Run both engines, or the seeded one alone; return 1 if something was found."""
    missing = guided.missing()
    if missing and not unguided:
        print(f"{missing}: inputs are made up, not guided")
    alone = unguided or bool(missing)
    share = seconds if alone else seconds * _SEEDED
    found = seeded.watched(seeded.Run(targets, seed, share))
    if not alone:
        rest = (seconds - share) / sum(target.share for target in targets)
        for target in targets:
            report = guided.run(target, rest * target.share, seed)
            print(report, flush=True)
            found = found or bool(report.wrong)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
