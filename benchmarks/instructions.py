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
from benchmarks.peers import default_codec
from benchmarks.process import ROOT
from trailproxy.wire import CODECS

BASELINE: Final = Path(__file__).with_suffix(".json")
TOLERANCE: Final = 0.03
EXCHANGES: Final = 50
WITHIN_S: Final = 300
STEADY: Final = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Counter:
    """A program that counts the instructions of another."""

    name: str
    command: tuple[str, ...]
    found: re.Pattern[str]

    def count(self, argv: Sequence[str]) -> int | None:
        """Run a program; return its instructions, or None if they cannot be counted here."""
        said = subprocess.run(
            [*self.command, *argv],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", os.defpath), **STEADY},
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


def per_exchange(chosen: Counter, codec: str, talk: str, directory: Path) -> float | None:
    """Count what one exchange of a conversation costs."""
    tape = directory / f"{talk}.json"
    tape.write_text(json.dumps(record(codec, TALKS[talk], 2 * EXCHANGES)))
    play = [sys.executable, "-m", "benchmarks.conversation", codec, str(tape)]
    # Once uncounted: it leaves the bytecode behind, which none of the counted runs may compile.
    subprocess.run([*play, str(EXCHANGES)], cwd=ROOT, timeout=WITHIN_S, check=True)
    once, twice = [chosen.count([*play, str(times * EXCHANGES)]) for times in (1, 2)]
    return None if once is None or twice is None else (twice - once) / EXCHANGES


# -- comparing -------------------------------------------------------------------------------


def build() -> str:
    """Say whether the package runs as it was written, or compiled."""
    files = [
        getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if name.startswith("trailproxy.")
    ]
    return "pure" if all(file.endswith(".py") for file in files) else "compiled"


def surroundings(chosen: Counter, codec: str) -> dict[str, str]:
    """Return what counts depend on besides the code: they are compared only with their like."""
    python = f"{platform.python_version()}, {platform.python_compiler()}"
    return {"counter": chosen.name, "python": python, "codec": codec}


def key() -> str:
    """Return the name a baseline goes by."""
    return f"{'.'.join(platform.python_version_tuple()[:2])} {build()}"


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
    parser.add_argument("--codec", choices=CODECS, default=default_codec())
    parser.add_argument("--save", action="store_true", help="make this the baseline")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Count and compare; 1 if an exchange costs more than it did."""
    chosen = arguments(argv)
    tool = counter()
    if tool is None:
        print("neither valgrind nor perf can count instructions here: nothing is compared")
        return 0
    with tempfile.TemporaryDirectory(prefix="trailproxy-instructions-") as name:
        counted = {talk: per_exchange(tool, chosen.codec, talk, Path(name)) for talk in TALKS}
    counts = {talk: count for talk, count in counted.items() if count is not None}
    if counts.keys() != TALKS.keys():
        print(f"{tool.name} could not count: {', '.join(TALKS.keys() - counts.keys())}")
        return 1
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    here = surroundings(tool, chosen.codec)
    found = compare(counts, baselines.get(key(), {}), here)
    print(f"{key()} ({', '.join(here.values())})")
    print("\n".join(each.text for each in found))
    if chosen.save:
        rounded = {talk: round(count) for talk, count in counts.items()}
        baselines[key()] = {**here, "per_exchange": rounded}
        BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
        return 0
    return int(any(each.grown for each in found))


if __name__ == "__main__":
    sys.exit(main())
