"""Parking: pieces of body that wait, each with the credit it carries.

A piece weighs some 70 octets beside its own. Small ones are joined, so that a window
that was used up octet by octet weighs about what it would have weighed in one piece.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64

_SMALL: Final = 1024  # octets; smaller pieces do not stand alone


def park(waiting: deque[tuple[bytes, int]], data: bytes, credit: i64) -> None:
    """Put a piece behind those that wait."""
    if waiting and len(data) < _SMALL:
        last, owed = waiting[-1]
        if len(last) < _SMALL:
            waiting[-1] = (last + data, owed + credit)
            return
    waiting.append((data, credit))
