"""Seeded: inputs that are made up one after the other, on whichever build there is.

Every input comes from the seed and its number. It runs in a child, so that a crash of
compiled code is a finding like any other; what memory holds after the warm-up, it may hold
at the end.
"""

import faulthandler
import gc
import itertools
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.fuzz import finding
from benchmarks.fuzz.target import Target, judge
from benchmarks.instructions import build

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

HANG_S: Final = 120.0  # in all, for one input; most take some milliseconds
WARM: Final = 0.4  # of the time; what memory holds then, it may hold at the end
BLOCKS_SLACK: Final = 25_000  # blocks of memory: the pool of shared fields may fill meanwhile
MEMORY_SLACK: Final = 12 * 1024 * 1024  # octets
_PAGE: Final = 4096
_FOUND: Final = 3  # the child's status


class Memory(NamedTuple):
    """What is held: by Python's allocator, and in all."""

    blocks: int
    resident: int  # octets

    @classmethod
    def now(cls) -> "Memory":
        """Look, without what only waits for the collector."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(sys.getallocatedblocks(), pages * _PAGE)

    def grown(self, now: "Memory") -> str:
        """Say what has grown beyond its slack; an empty string if nothing has."""
        blocks, resident = now.blocks - self.blocks, now.resident - self.resident
        if blocks <= BLOCKS_SLACK and resident <= MEMORY_SLACK:
            return ""
        return f"leak: {blocks:+} blocks, {resident / 1024:+,.0f} KiB since the warm-up"


@dataclass
class Run:
    """How far a run has come, and what it has found."""

    targets: Sequence[Target]
    seed: int
    seconds: float
    inputs: int | None = None  # no more than these
    kept: Path = finding.KEPT
    findings: list[str] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    octets: int = 0
    memory: str = ""

    def made(self, number: int) -> tuple[Target, bytes]:
        """Make up one input: always the same one for the same seed and targets."""
        turns = [target for target in self.targets for _ in range(target.share)]
        target = turns[number % len(turns)]
        return target, target.make(Random(f"{self.seed}/{number}"))

    def go(self, reached: Callable[[int], None]) -> None:
        """Try one input after the other until time is up, or something is found."""
        began = time.monotonic()
        warm: Memory | None = None
        for number in itertools.count():
            share = (time.monotonic() - began) / self.seconds
            if self.inputs:
                share = max(share, number / self.inputs)
            if share >= 1 or self.findings:
                break
            if warm is None and share > WARM:
                warm = Memory.now()
            reached(number)
            self._try(number)
        if warm is not None and not self.findings:
            self._weigh(warm)

    def _try(self, number: int) -> None:
        target, octets = self.made(number)
        self.tried[target.name] += 1
        self.octets += len(octets)
        wrong = judge(target, octets)
        if wrong:
            self.findings.append(f"{wrong}\n{self.keep(number)}")

    def keep(self, number: int) -> str:
        """Write an input down; say how to play it again."""
        target, octets = self.made(number)
        return finding.keep(target.name, octets, self.kept)

    def _weigh(self, warm: Memory) -> None:
        now = Memory.now()
        if not now.blocks:  # what watches over memory keeps some of what was freed
            self.memory = "memory is not judged, for Python's allocator is not in use"
            return
        blocks = f"{warm.blocks:,} to {now.blocks:,} blocks"
        self.memory = f"memory from {blocks}, {_mib(warm)} to {_mib(now)} MiB"
        leak = warm.grown(now)
        if leak:
            self.findings.append(leak)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(self.tried.items()))
        inputs = f"{self.tried.total():,} inputs ({counts}), {self.octets:,} octets"
        found = "\n".join(self.findings) or "nothing was found"
        told = ", ".join(part for part in (inputs, self.memory) if part)
        return f"seeded, {build()}: {told}: {found}"


def _mib(memory: Memory) -> int:
    return memory.resident >> 20


def watched(run: Run) -> bool:
    """Run it in a child, and print what comes of it; tell whether it found something, or died."""
    fork = multiprocessing.get_context("fork")
    place = fork.Value("q", 0, lock=False)
    child = fork.Process(target=_child, args=(run, place))
    child.start()
    child.join()
    if child.exitcode not in (0, _FOUND):
        print(f"died: {_name_of(child.exitcode)}\n{run.keep(place.value)}", flush=True)
    return child.exitcode != 0


def _child(run: Run, place: "Synchronized[int]") -> None:
    armed = 0.0

    def reached(number: int) -> None:
        nonlocal armed
        place.value = number
        if time.monotonic() > armed + 1:  # C code that hangs runs no Python: only this ends it
            armed = time.monotonic()
            faulthandler.dump_traceback_later(HANG_S, exit=True)

    faulthandler.enable()
    run.go(reached)
    faulthandler.cancel_dump_traceback_later()
    print(run, flush=True)
    sys.exit(_FOUND if run.findings else 0)


def _name_of(exitcode: int | None) -> str:
    code = exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"status {code}, or it hung"
