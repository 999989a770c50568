"""Drops: the exchanges that were dropped last, for whoever looks on next.

What went wrong a minute ago is mostly why somebody looks. A record that is large is not
kept, so that no peer can make them cost much.
"""

from collections import deque
from itertools import count
from typing import Final

from trailproxy.core.record import Record

MOST: Final = 50
"""How many are kept."""
_MOST_OCTETS: Final = 16 * 1024  # of the field lists of one


class Drops:
    """The last ones, with their numbers."""

    def __init__(self) -> None:
        self._kept: Final[deque[tuple[int, Record]]] = deque(maxlen=MOST)
        self._numbers: Final = count(1)

    def keep(self, record: Record) -> None:
        """Keep one that is over."""
        if record.weight <= _MOST_OCTETS:
            self._kept.append((next(self._numbers), record))

    def since(self, number: int) -> list[tuple[int, Record]]:
        """Return those behind a number, the oldest first."""
        return [each for each in self._kept if each[0] > number]

    def find(self, number: int) -> Record | None:
        """Return one, if it is still kept."""
        return next((record for known, record in self._kept if known == number), None)
