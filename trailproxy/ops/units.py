"""Units: durations and sizes, written with the unit they are meant in.

A bare number is refused: nobody can see whether 15 means seconds or milliseconds.
"""

import re
from typing import Any, Final, Self

from trailproxy.ops.problem import quote

_BARE: Final = re.compile(r"[0-9]{1,9}")


class Duration(float):
    """A length of time in seconds, written `250ms`, `15s`, `2m` or `1h`; `0s` means none."""

    __slots__ = ()

    PATTERN: Final = r"^([0-9]{1,9})(ms|s|m|h)$"
    MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    MEANT: Final = "a whole number with its unit, such as 250ms, 15s, 2m or 1h"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration.

        Raises:
            ValueError: it is not written as one.
        """
        number, unit = _split(cls.PATTERN, text)
        return cls(number * cls.MILLISECONDS[unit] / 1000)

    def __str__(self) -> str:
        milliseconds = round(self * 1000)
        return _largest(milliseconds, self.MILLISECONDS) if milliseconds else "0s"


class Size(int):
    """A number of octets, written `512B`, `64KiB`, `4MiB` or `1GiB`."""

    __slots__ = ()

    PATTERN: Final = r"^([0-9]{1,10})(B|KiB|MiB|GiB)$"
    OCTETS: Final = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
    MEANT: Final = "a whole number with its unit, such as 512B, 64KiB, 4MiB or 1GiB"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a size.

        Raises:
            ValueError: it is not written as one.
        """
        number, unit = _split(cls.PATTERN, text)
        return cls(number * cls.OCTETS[unit])

    def __str__(self) -> str:
        return _largest(int(self), self.OCTETS) if self else "0B"


def decode(kind: type[Any], value: Any) -> Duration | Size:
    """Turn what stands in the file into a value with a unit; msgspec's `dec_hook`.

    Raises:
        ValueError: it is not written as one; the text says how to write it.
    """
    if not issubclass(kind, Duration | Size):
        raise NotImplementedError(f"{kind.__name__} is not a value with a unit")
    try:
        return kind.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"must be {kind.MEANT}; not {quote(value)}{_hint(kind, value)}") from None


def describe(kind: type[Any]) -> dict[str, Any]:
    """Give the JSON Schema of a value with a unit; msgspec's `schema_hook`."""
    if not issubclass(kind, Duration | Size):
        raise NotImplementedError(f"{kind.__name__} is not a value with a unit")
    return {"type": "string", "pattern": kind.PATTERN}


def _split(pattern: str, text: str) -> tuple[int, str]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise ValueError(text)
    return int(match[1]), match[2]


def _largest(number: int, units: dict[str, int]) -> str:
    """Write a number in the largest unit that keeps it whole; `units` has the largest first."""
    unit = next(unit for unit, factor in units.items() if number % factor == 0)
    return f"{number // units[unit]}{unit}"


def _hint(kind: type[Duration | Size], value: Any) -> str:
    if isinstance(value, bool) or _BARE.fullmatch(str(value)) is None:
        return ""
    meant = f"{int(value)}s" if kind is Duration else str(Size(value))
    return f" (did you mean {quote(meant)}?)"
