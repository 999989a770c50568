"""Problem: what is wrong with a configuration, where, and how operators are told."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import msgspec

#: Where something stands: the keys and list positions that lead to it.
Place = tuple[str | int, ...]

#: Something wrong, at a place whose line is not known yet.
Complaint = tuple[Place, str]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_MAX_QUOTED: Final = 80  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a configuration from being used."""

    path: str  # such as routes[2].timeouts.idle; "" for the whole file
    line: int  # in the file, from 1; 0 when it is about no line
    why: str


class SettingsError(Exception):
    """A configuration that cannot be used.

    Attributes:
        problems: all that was found wrong, in the order of the file.
        name: the file, as the operator called it.
    """

    def __init__(self, problems: tuple[Problem, ...], name: str = "configuration") -> None:
        super().__init__(problems, name)
        self.problems = problems
        self.name = name

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> tuple[str, ...]:
        """Say each problem in one line: `FILE:LINE: path: why`."""
        return tuple(_line(self.name, problem) for problem in self.problems)


def _line(name: str, problem: Problem) -> str:
    where = f"{name}:{problem.line}" if problem.line else name
    return ": ".join(part for part in (where, problem.path, problem.why) if part)


def show(place: Place) -> str:
    """Write a place as operators read it: `routes[2].timeouts.idle`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _PLAIN_KEY.fullmatch(step) else quote(step)
            text += f".{key}" if text else key
    return text


def quote(value: Any) -> str:
    """Repeat a plain value in a message: text in quotes, long text cut short."""
    if isinstance(value, str) and len(value) > _MAX_QUOTED:
        value = value[:_MAX_QUOTED] + "…"
    return msgspec.json.encode(value).decode()


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """Suggest the known word nearest to `word`, in brackets; an empty string when none is near."""
    near = get_close_matches(word, known, n=1) if isinstance(word, str) else []
    return f" (did you mean {quote(near[0])}?)" if near else ""


def one_of(words: Iterable[str]) -> str:
    """Join alternatives: `a`, `a or b`, `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
