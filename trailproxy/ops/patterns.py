"""Patterns: the regular expressions of routes, compiled.

They meet what clients send, so their time must be linear in it, whatever the expression:
RE2, not Python's re. They work on octets: a `.` is any of them, and what is no text does
not slip through. This is RE2's door; it is loaded only where a route has a pattern.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from trailproxy.core.matching import FindPatterns

if TYPE_CHECKING:
    import re2


def whole(pattern: str) -> Callable[[bytes], object]:
    """Return what tells whether all of a value fits `pattern`."""
    import re2  # noqa: PLC0415

    fits: Callable[[bytes], object] = re2.compile(pattern.encode(), _options()).fullmatch
    return fits


def combine(patterns: list[str]) -> FindPatterns:
    """Return what looks a path up in all patterns at once, in one pass over it."""
    import re2  # noqa: PLC0415

    together = re2.Set.FullMatchSet(_options())
    for pattern in patterns:
        together.Add(pattern.encode())
    together.Compile()
    find: Callable[[bytes], list[int] | None] = together.Match
    return lambda path: find(path) or []


def complaint(pattern: str) -> str:
    """Say what is wrong with a pattern; an empty string if nothing is."""
    import re2  # noqa: PLC0415

    try:
        re2.compile(pattern.encode(), _options())
    except re2.error as error:
        return str(error.args[0], "utf-8", "replace")
    return ""


def fit_together(patterns: list[str]) -> bool:
    """Tell whether patterns, each of them sound, can be looked up all at once."""
    import re2  # noqa: PLC0415

    try:
        combine(patterns)
    except re2.error:
        return False
    return True


def _options() -> "re2.Options":
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False  # it would write to stderr by itself
    return options
