"""Fuzz: hostile peers for as long as you like; nothing may break, hang, leak or be miscounted.

All in memory: a codec alone as server and as client, and a whole proxy between two peers.
Every input comes from the seed and its number, so a finding is a command line, and its
octets are printed as well: `python -m benchmarks.fuzz --seconds 600`. It runs in a child,
so that a crash of compiled code is a finding like any other.
"""

import argparse
import faulthandler
import gc
import itertools
import multiprocessing
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.hostile import CLIENT, SERVER, Step, script
from benchmarks.instructions import build
from benchmarks.process import ROOT
from benchmarks.victims import CodecVictim, ProxyVictim, Victim
from trailproxy.wire import CODECS, Role

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

HANG_S: Final = 120.0  # in all, for one input; most take some milliseconds
SLOW_S: Final = 20.0  # of CPU, for one input
WARM: Final = 0.4  # of the time; what memory holds then, it may hold at the end
BLOCKS_SLACK: Final = 25_000  # blocks of memory: the pool of shared fields may fill meanwhile
MEMORY_SLACK: Final = 12 * 1024 * 1024  # octets
KEPT: Final = ROOT / "benchmarks" / "results"
_PAGE: Final = 4096
_FOUND: Final = 3  # the child's status


class Kind(NamedTuple):
    """A kind of victim, and who speaks to it."""

    build: Callable[[str], Victim]
    speakers: tuple[str, ...]


KINDS: Final = {
    "proxy": Kind(ProxyVictim, (CLIENT, SERVER)),
    "server": Kind(lambda codec: CodecVictim(codec, Role.SERVER), (CLIENT,)),
    "client": Kind(lambda codec: CodecVictim(codec, Role.CLIENT), (SERVER,)),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One input."""

    kind: str
    codec: str
    steps: tuple[Step, ...]

    @property
    def octets(self) -> int:
        """How many there are to hear."""
        return sum(len(step.octets) for step in self.steps)

    @property
    def text(self) -> str:
        """The case as lines that `read` takes."""
        lines = (f"{step.what}|{step.octets.hex()}" for step in self.steps)
        return "\n".join((f"{self.kind}|{self.codec}", *lines))

    @classmethod
    def read(cls, text: str) -> "Case":
        """Return the case that was written down."""
        (kind, codec), *steps = (line.split("|") for line in text.splitlines())
        return cls(kind, codec, tuple(Step(what, bytes.fromhex(octets)) for what, octets in steps))


def case(seed: int, number: int, codecs: Sequence[str]) -> Case:
    """Make up one input: always the same one for the same arguments."""
    chance = Random(f"{seed}/{number}")
    kind = chance.choice(("proxy", "proxy", *KINDS))
    codec = chance.choice((*codecs, codecs[0], codecs[0]))  # the default is tried most
    return Case(kind, codec, tuple(script(chance, KINDS[kind].speakers)))


def judge(tried: Case) -> str:
    """Play a case; return what is wrong, or an empty string."""
    began = time.process_time()
    try:
        victim = KINDS[tried.kind].build(tried.codec)
        for step in tried.steps:
            victim.play(step)
        victim.finish()
    except Exception:  # noqa: BLE001  whatever escapes is the finding
        return traceback.format_exc()
    spent = time.process_time() - began
    return f"slow: {spent:.1f} s of CPU" if spent > SLOW_S else ""


# -- memory ------------------------------------------------------------------------------------


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


# -- the run -----------------------------------------------------------------------------------


@dataclass
class Run:
    """How far a run has come, and what it has found."""

    seed: int
    first: int
    seconds: float
    inputs: int | None = None  # no more than these
    codecs: Sequence[str] = CODECS
    kept: Path = KEPT  # where the octets of findings go
    findings: list[str] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    octets: int = 0

    def go(self, reached: Callable[[int], None]) -> None:
        """Try one input after the other until time is up, or something is found."""
        began = time.monotonic()
        warm: Memory | None = None
        for number in itertools.count(self.first):
            share = (time.monotonic() - began) / self.seconds
            if self.inputs:
                share = max(share, (number - self.first) / self.inputs)
            if share >= 1 or self.findings:
                break
            if warm is None and share > WARM:
                warm = Memory.now()
            reached(number)
            self._try(number)
        if warm is not None and not self.findings:
            self._weigh(warm)

    def _try(self, number: int) -> None:
        tried = case(self.seed, number, self.codecs)
        self.tried[f"{tried.kind} {tried.codec}"] += 1
        self.octets += tried.octets
        wrong = judge(tried)
        if wrong:
            self.findings.append(f"{wrong}\n{describe(self, number)}")

    def _weigh(self, warm: Memory) -> None:
        now = Memory.now()
        if not now.blocks:
            print("memory: not judged, for Python's allocator is not in use")
            return  # what watches over memory keeps some of what was freed
        print(f"memory: {warm.blocks} to {now.blocks} blocks, {_mib(warm)} to {_mib(now)} MiB")
        leak = warm.grown(now)
        if leak:
            self.findings.append(leak)


def describe(run: Run, number: int) -> str:
    """Say how to try one input again, and write down what it consists of."""
    again = f"python -m benchmarks.fuzz --seed {run.seed} --first {number} --inputs 1"
    codecs = "" if len(run.codecs) > 1 else f" --codec {run.codecs[0]}"
    run.kept.mkdir(parents=True, exist_ok=True)
    file = run.kept / f"fuzz-{run.seed}-{number}.txt"
    file.write_text(case(run.seed, number, run.codecs).text)
    return f"{again}{codecs}\nits octets, for --play: {file}"


def _mib(memory: Memory) -> int:
    return memory.resident >> 20


def watched(run: Run) -> int:
    """Run it in a child; return 1 if it found something, or died."""
    fork = multiprocessing.get_context("fork")
    place = fork.Value("q", run.first, lock=False)
    child = fork.Process(target=_child, args=(run, place))
    child.start()
    child.join()
    if child.exitcode not in (0, _FOUND):
        print(f"died: {_name_of(child.exitcode)}\n{describe(run, place.value)}")
    return int(child.exitcode != 0)


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
    counts = ", ".join(f"{count} {what}" for what, count in sorted(run.tried.items()))
    print(f"{build()}: {run.tried.total()} inputs ({counts}), {run.octets:,} octets")
    print("\n".join(run.findings) or "nothing was found", flush=True)
    sys.exit(_FOUND if run.findings else 0)


def _name_of(exitcode: int | None) -> str:
    code = exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"status {code}, or it hung"


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, or play one case that was written down; 1 if there is something wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--inputs", type=int, help="no more than these")
    parser.add_argument("--codec", choices=CODECS, help="this one only")
    parser.add_argument("--play", type=Path, help="a file with one case, as it was printed")
    asked = parser.parse_args(argv)
    if asked.play:
        wrong = judge(Case.read(asked.play.read_text()))
        print(wrong or "nothing was found")
        return int(bool(wrong))
    codecs = (asked.codec,) if asked.codec else CODECS
    return watched(Run(asked.seed, asked.first, asked.seconds, asked.inputs, codecs))


if __name__ == "__main__":
    sys.exit(main())
