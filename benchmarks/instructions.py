"""Instructions an exchange costs, counted: `make instructions`.

Time is noisy and instructions are not, so this is what a change can be held to on any
machine. Counted is the proxy alone, codec and core, hearing a recorded conversation in a
process of its own. It hears N exchanges, then 2 N: the difference has neither start-up
nor warm-up in it.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.conversation import TALKS, record
from benchmarks.process import ROOT
from trailproxy.wire import CODECS

BASELINE: Final = Path(__file__).with_suffix(".json")
TOLERANCE: Final = 0.03
EXCHANGES: Final = 50
WITHIN_S: Final = 300
STEADY: Final = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
PURE: Final = "pure"
COMPILED: Final = "compiled"
BUILDS: Final = (COMPILED, PURE)


@dataclass(frozen=True, slots=True)
class Counter:
    """A program that counts the instructions of another."""

    name: str
    command: tuple[str, ...]
    found: re.Pattern[str]

    def count(self, argv: Sequence[str], build: str = PURE) -> int | None:
        """Run a program; return its instructions, or None if they cannot be counted here."""
        said = subprocess.run(
            [*self.command, *argv],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=_surroundings_of(build),
            timeout=WITHIN_S,
            check=False,
        )
        return None if said.returncode else self.read(said.stderr)

    def read(self, said: str) -> int | None:
        """Find the count in what it says."""
        found = self.found.search(said)
        return int(found[1].replace(",", "")) if found else None


COUNTERS: Final = (
    Counter(
        "cachegrind",
        ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
        re.compile(r"I +refs: +([\d,]+)"),
    ),
    Counter(
        "perf",
        ("perf", "stat", "--field-separator=,", "--event=instructions:u"),
        re.compile(r"^(\d+),", re.MULTILINE),
    ),
)


def counter() -> Counter | None:
    """Return the first counter that is on this machine and can count here."""
    for each in COUNTERS:
        if shutil.which(each.command[0]) and each.count([shutil.which("true") or "true"]):
            return each
    return None


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted: one codec, in one build of the package."""

    codec: str
    build: str

    @property
    def key(self) -> str:
        """The name its baseline goes by."""
        return f"{'.'.join(platform.python_version_tuple()[:2])} {self.build} {self.codec}"


def per_exchange(chosen: Counter, kind: Kind, talk: str, directory: Path) -> float | None:
    """Count what one exchange of a conversation costs."""
    tape = directory / f"{talk}.json"
    tape.write_text(json.dumps(record(kind.codec, TALKS[talk], 2 * EXCHANGES)))
    play = [sys.executable, "-m", "benchmarks.conversation", kind.codec, str(tape)]
    # Once uncounted: it leaves the bytecode behind, which none of the counted runs may compile.
    env = _surroundings_of(kind.build)
    subprocess.run([*play, str(EXCHANGES)], cwd=ROOT, env=env, timeout=WITHIN_S, check=True)
    once, twice = [chosen.count([*play, str(times * EXCHANGES)], kind.build) for times in (1, 2)]
    return None if once is None or twice is None else (twice - once) / EXCHANGES


def _surroundings_of(build: str) -> dict[str, str]:
    path = {"PATH": os.environ.get("PATH", os.defpath)}
    return {**path, **STEADY, **({"TRAILPROXY_PURE": "1"} if build == PURE else {})}


# -- comparing -------------------------------------------------------------------------------


def build() -> str:
    """Say whether the package runs as it was written, or compiled."""
    files = [
        getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if name.startswith("trailproxy.")
    ]
    return PURE if all(file.endswith(".py") for file in files) else COMPILED


def surroundings(chosen: Counter, codec: str) -> dict[str, str]:
    """Return what counts depend on besides the code: they are compared only with their like."""
    python = f"{platform.python_version()}, {platform.python_compiler()}"
    return {"counter": chosen.name, "python": python, "codec": codec}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One conversation's count beside the baseline's."""

    talk: str
    count: float
    before: float | None

    @property
    def grown(self) -> bool:
        """Whether it costs more than the tolerance allows."""
        return self.before is not None and self.count > self.before * (1 + TOLERANCE)

    @property
    def text(self) -> str:
        """The line that is shown."""
        line = f"{self.talk:<12} {self.count:>12,.0f} instructions an exchange"
        if self.before is None:
            return f"{line}, no baseline"
        change = self.count / self.before - 1
        word = "GROWN" if self.grown else "shrunk: save it" if change < -TOLERANCE else "ok"
        return f"{line}, baseline {self.before:,.0f}, {change:+.1%}: {word}"


def compare(
    counts: dict[str, float], baseline: dict[str, Any], here: dict[str, str]
) -> list[Comparison]:
    """Put counts beside those that were taken in the same surroundings."""
    alike = all(baseline.get(name) == value for name, value in here.items())
    before: dict[str, float] = baseline.get("per_exchange", {}) if alike else {}
    return [Comparison(talk, count, before.get(talk)) for talk, count in counts.items()]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--codec", choices=CODECS, help="this one only")
    parser.add_argument("--build", choices=BUILDS, help="this one only")
    parser.add_argument("--save", action="store_true", help="make this the baseline")
    return parser.parse_args(argv)


def kinds(codec: str | None, only: str | None) -> list[Kind]:
    """Return what is to be counted: each codec, as it was written and, if it was, compiled."""
    here = (build(), PURE) if build() == COMPILED else (PURE,)
    return [
        Kind(name, each)
        for each in here
        for name in CODECS
        if only in (None, each) and codec in (None, name)
    ]


def count(tool: Counter, kind: Kind) -> dict[str, float]:
    """Count one kind, conversation by conversation; what cannot be counted is left out."""
    with tempfile.TemporaryDirectory(prefix="trailproxy-instructions-") as name:
        counted = {talk: per_exchange(tool, kind, talk, Path(name)) for talk in TALKS}
    return {talk: count for talk, count in counted.items() if count is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """Count and compare; 1 if an exchange costs more than it did."""
    chosen = arguments(argv)
    tool = counter()
    if tool is None:
        print("neither valgrind nor perf can count instructions here: nothing is compared")
        return 0
    wanted = kinds(chosen.codec, chosen.build)
    if not wanted:
        print("the package is not compiled here; `make build` does it")
        return 1
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    grown = False
    for kind in wanted:
        counts = count(tool, kind)
        if counts.keys() != TALKS.keys():
            print(f"{tool.name} could not count: {', '.join(TALKS.keys() - counts.keys())}")
            return 1
        here = surroundings(tool, kind.codec)
        found = compare(counts, baselines.get(kind.key, {}), here)
        print(f"{kind.key} ({', '.join(here.values())})")
        print("\n".join(each.text for each in found), flush=True)
        if chosen.save:
            rounded = {talk: round(count) for talk, count in counts.items()}
            baselines[kind.key] = {**here, "per_exchange": rounded}
            BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
        grown = grown or any(each.grown for each in found)
    return int(grown and not chosen.save)


if __name__ == "__main__":
    sys.exit(main())
