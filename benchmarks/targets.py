"""What is promised about a workload, and whether it was kept.

A target is data: which figure, at most how much, against whom. The verdict is computed
from the rounds, and a proxy that failed requests or lost trailers has met nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.peers import OURS, THIRD_PARTIES
from benchmarks.result import Figure, Result

#: Against whichever third party is best at the figure, in the same run.
BEST: Final = "the best peer"


class Word(StrEnum):
    """How a promise stands."""

    MET = "met"
    MISSED = "missed"
    OPEN = "open"  # somebody it takes was not measured


@dataclass(frozen=True, slots=True)
class Target:
    """One promise."""

    figure: Figure
    most: float  # times the yardstick's figure; without a yardstick, in the figure's unit
    against: str = ""  # a proxy, BEST, or nothing
    of: str = OURS

    @property
    def text(self) -> str:
        """What is promised."""
        subject = self.figure.title if self.of == OURS else f"{self.figure.title} of {self.of}"
        unit = f"× {self.against}" if self.against else self.figure.unit
        return f"{subject} ≤ {self.most:g} {unit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A promise, and what was found."""

    target: Target
    word: Word
    found: str  # the figure found, or why there is none


def judge(target: Target, results: Sequence[Result]) -> Verdict:
    """Compare one promise with what a workload's proxies have shown."""
    by_name = {result.proxy: result for result in results}
    ours = by_name.get(target.of)
    if ours is None or not ours.rounds:
        return Verdict(target, Word.OPEN, f"{target.of} was not measured")
    if not target.against:
        value = target.figure.median(ours)
        return _verdict(target, ours, value, f"{value:.1f} {target.figure.unit}")
    theirs = best(target.figure, results) if target.against == BEST else by_name.get(target.against)
    value_or_none = target.figure.ratio(ours, theirs) if theirs and theirs.rounds else None
    if theirs is None or value_or_none is None:
        return Verdict(target, Word.OPEN, f"{target.against} was not measured")
    return _verdict(target, ours, value_or_none, f"{value_or_none:.2f} × {theirs.proxy}")


def best(figure: Figure, results: Sequence[Result]) -> Result | None:
    """Return the third party that is best at a figure, of those that did all of the work."""
    peers = [result for result in results if result.proxy in THIRD_PARTIES and result.sound]
    return min(peers, key=figure.median, default=None)


def _verdict(target: Target, ours: Result, value: float, found: str) -> Verdict:
    if not ours.sound:
        return Verdict(target, Word.MISSED, f"{found}, but not all requests ended well")
    return Verdict(target, Word.MET if value <= target.most else Word.MISSED, found)
