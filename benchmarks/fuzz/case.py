"""Case: a conversation as octets, and back.

Any octets are a case: the first one chooses the codec, and then come steps, each with an
octet for what happens and how often it is doubled; what is said has its length before it.
So an input can be bent anywhere and remains one. `spoil` bends it where octets have a
meaning: frame by frame, step by step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.fuzz.hostile import HAPPENINGS, Step
from benchmarks.fuzz.spoilers import SPOILERS, frames_in

_WAYS: Final = 16  # what happens is the lower half of a step's octet
_LENGTH: Final = 2  # octets
_LONGEST: Final = (1 << 8 * _LENGTH) - 1  # octets of one step
_MOST: Final = 1 << 21  # octets of a case, with all that is said again

#: Which codec is tried; `both` are played to side by side, where a codec is alone.
CODECS: Final = ("native", "both", "native", "h2")


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation."""

    codec: str
    steps: tuple[Step, ...]

    @property
    def octets(self) -> bytes:
        """The case as octets that `read` takes."""
        written = bytearray([CODECS.index(self.codec)])
        for step in self.steps:
            for piece in _pieces(step.octets):
                written.append(step.doublings * _WAYS + HAPPENINGS.index(step.what))
                if step.speaks:
                    written += len(piece).to_bytes(_LENGTH, "big") + piece
        return bytes(written)

    @classmethod
    def read(cls, octets: bytes) -> "Case":
        """Return the case that any octets are."""
        codec = CODECS[octets[0] % len(CODECS)] if octets else CODECS[0]
        return cls(codec, tuple(_steps(octets)))

    def unfolded(self) -> Iterator[Step]:
        """Yield what happens, each time that it does, as far as there is time for it."""
        left = _MOST
        for step in self.steps:
            size = len(step.octets)
            times = min(1 << step.doublings, left // size) if size else 1
            if times:
                yield Step(step.what, step.octets * times)
            left -= times * size


def _pieces(octets: bytes) -> list[bytes]:
    """Cut what is longer than a step can be."""
    return [octets[at : at + _LONGEST] for at in range(0, len(octets), _LONGEST)] or [b""]


def _steps(octets: bytes) -> Iterator[Step]:
    position = 1
    while position < len(octets):
        doublings, what = divmod(octets[position], _WAYS)
        step = Step(HAPPENINGS[what % len(HAPPENINGS)], b"", doublings)
        position += 1
        if step.speaks:
            start = position + _LENGTH
            position = start + int.from_bytes(octets[position:start], "big")
            step = step._replace(octets=octets[start:position])
        yield step


# -- spoiling ----------------------------------------------------------------------------------


def spoil(chance: Random, octets: bytes) -> bytes:
    """Spoil a case somewhere: some frames, or the order of what happens."""
    case = Case.read(octets)
    if not case.steps:
        return octets
    steps = list(case.steps)
    at = chance.randrange(len(steps))
    if steps[at].octets and chance.random() < 0.7:
        steps[at] = _spoil_frames(chance, steps[at])
    else:
        chance.choice(_STEP_SPOILERS)(chance, steps, at)
    return Case(case.codec, tuple(steps)).octets


def _spoil_frames(chance: Random, step: Step) -> Step:
    spoilt = chance.choice(SPOILERS)(chance, frames_in(step.octets))
    return step._replace(octets=b"".join(spoilt)[:_LONGEST])


def _say_often(chance: Random, steps: list[Step], at: int) -> None:
    steps[at] = steps[at]._replace(doublings=chance.randrange(_WAYS))


def _leave_out(chance: Random, steps: list[Step], at: int) -> None:
    del steps[at]


def _say_again(chance: Random, steps: list[Step], at: int) -> None:
    steps.insert(chance.randrange(len(steps)), steps[at])


def _swap(chance: Random, steps: list[Step], at: int) -> None:
    other = chance.randrange(len(steps))
    steps[at], steps[other] = steps[other], steps[at]


def _befall(chance: Random, steps: list[Step], at: int) -> None:
    steps.insert(at, Step(chance.choice(HAPPENINGS)))


def _split(chance: Random, steps: list[Step], at: int) -> None:
    """Make two reads of one."""
    what, octets, _ = steps[at]
    cut = chance.randrange(len(octets) + 1)
    steps[at : at + 1] = [Step(what, octets[:cut]), Step(what, octets[cut:])]


def _join(chance: Random, steps: list[Step], at: int) -> None:
    """Make one read of two."""
    if at + 1 < len(steps) and steps[at].speaks and steps[at].what == steps[at + 1].what:
        joined = steps[at].octets + steps[at + 1].octets
        steps[at : at + 2] = [Step(steps[at].what, joined[:_LONGEST])]


_STEP_SPOILERS: Final[tuple[Callable[[Random, list[Step], int], None], ...]] = (
    _say_often,
    _leave_out,
    _say_again,
    _swap,
    _befall,
    _split,
    _join,
)
