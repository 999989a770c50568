"""Guided: inputs that are bent until they reach new places, by atheris and libFuzzer.

It sees into Python, not into compiled code, so it runs the rooms from source: one process
for each target, which is given its time and ends by itself.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.fuzz import corpus, finding
from benchmarks.fuzz.dictionary import as_file
from benchmarks.fuzz.target import Target
from benchmarks.process import ROOT

HANG_S: Final = 100  # for one input
_SLACK_S: Final = 120.0  # to load, to end, and for a loaded machine
_MEMORY_MIB: Final = 1024
CHILD: Final = ("-m", "benchmarks.fuzz.instrumented")
_PURE: Final = "TRAILPROXY_PURE=1 "

_INPUTS: Final = re.compile(r"^stat::number_of_executed_units: ([0-9]+)", re.MULTILINE)
_EDGES: Final = re.compile(r"^#[0-9]+\s.*\bcov: ([0-9]+)", re.MULTILINE)
_FILE: Final = re.compile(r"Test unit written to (\S+)")
_SUMMARY: Final = re.compile(r"^SUMMARY: (.*)$", re.MULTILINE)
_EXCEPTION: Final = "=== Uncaught Python exception: ==="
_LAST_WORDS: Final = 2000  # characters


class Report(NamedTuple):
    """What came of one target."""

    name: str
    inputs: int
    edges: int  # that were reached, with what its beginnings reach
    new: int  # inputs that reached what none had before
    wrong: str  # and how to play it again; empty if nothing was found

    def __str__(self) -> str:
        counts = f"{self.inputs:,} inputs, {self.edges:,} edges, {self.new:,} new units"
        return f"guided: {self.name:8} {counts}: {self.wrong or 'nothing was found'}"


def missing() -> str:
    """Say why there is no guided engine here; an empty string if there is."""
    return "" if importlib.util.find_spec("atheris") else "atheris is not installed"


def run(target: Target, seconds: float, seed: int, kept: Path = finding.KEPT) -> Report:
    """Bend inputs for a target, for so many seconds and what it takes to load."""
    with tempfile.TemporaryDirectory() as name:
        work, new = Path(name), Path(name) / "new"
        new.mkdir()
        arguments = _arguments(target, seconds, seed, work, kept)
        wrong, told = _watched(arguments, seconds + _SLACK_S)
        added = corpus.take_up(target, new, kept)
        file = _FILE.search(told)
        if file is not None:
            again = finding.keep(target.name, Path(file[1]).read_bytes(), kept, _PURE)
            wrong = f"{wrong}\n{again}"
    return Report(target.name, _last(_INPUTS, told), _last(_EDGES, told), added, wrong)


def _arguments(target: Target, seconds: float, seed: int, work: Path, kept: Path) -> list[str]:
    words, begin = work / "words", work / "begin"
    words.write_text(as_file(target.words))
    begin.write_text(",".join(map(str, corpus.begin(target, seconds, seed, work, kept))))
    return [
        *(sys.executable, *CHILD, target.name, ",".join(target.packages), str(work / "new")),
        f"-seed_inputs=@{begin}",
        f"-dict={words}",
        f"-max_total_time={max(int(seconds), 1)}",
        f"-max_len={target.longest}",
        f"-seed={seed}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-artifact_prefix={work}/",
        "-print_final_stats=1",
    ]


def _watched(arguments: list[str], most: float) -> tuple[str, str]:
    """Run the process; return what is wrong, if anything is, and what libFuzzer has told."""
    env = os.environ | {"TRAILPROXY_PURE": "1"}
    try:
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env=env,
            capture_output=True,
            errors="replace",
            timeout=most,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end in {most:.0f} s", ""
    if done.returncode == 0:
        return "", done.stderr
    summary = _SUMMARY.search(done.stderr)
    why = summary[1] if summary else f"status {done.returncode}: {done.stderr[-_LAST_WORDS:]}"
    return done.stdout.partition(_EXCEPTION)[0].strip() or why, done.stderr


def _last(pattern: re.Pattern[str], told: str) -> int:
    found = pattern.findall(told)
    return int(found[-1]) if found else 0
