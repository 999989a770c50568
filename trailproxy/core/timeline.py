"""Timeline: what passed on both sides of one exchange, part by part, at its time.

However long a stream lasts and whatever its peers send, little is kept: of the chunks
that went one way the first, the last and the sum of those between; of everything else
the first few; of a field list what fits.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Final

from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Direction
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

CHUNKS: Final = 24
"""How many chunks are kept from the beginning of a run, and as many from its end."""
MARKS: Final = 64
"""How many parts are kept that are no chunks: interim heads and attempts may be many."""
FIELD_OCTETS: Final = 4096
"""How much is kept of a field list, as RFC 9113 section 6.5.2 counts."""
ALL_OCTETS: Final = 16 * 1024
"""The same for all field lists of a timeline."""
_VALUE_OCTETS: Final = 512  # of one field, in a list that does not fit


class Kind(StrEnum):
    """What a part is."""

    HEAD = "head"
    INTERIM = "interim"  # a head of status 1xx
    DATA = "data"
    TRAILERS = "trailers"
    END = "end"  # that came without trailers
    DROPPED = "dropped"  # trailers that could reach nobody
    RESET = "reset"  # RST_STREAM
    LOST = "lost"  # the stream went with its connection, or by GOAWAY


@dataclass(slots=True, kw_only=True)
class Part:
    """One part, or chunks that are told together."""

    at: float  # clock seconds
    side: Side
    way: Direction  # RECEIVED or SENT
    kind: Kind
    place: int = 0  # among the parts of its timeline
    # of data
    size: int = 0  # octets
    chunks: int = 0  # 0: nobody counted them
    until: float = 0.0  # when the last of them passed
    # of field lists
    fields: Fields | None = None
    left_out: int = 0  # fields that did not fit, or not whole
    # of what broke
    code: int | None = None  # RFC 9113 section 7
    cause: Cause | None = None
    note: str = ""  # of a head that went upstream: the endpoint; of what is lost: why


class Run:
    """The chunks that went one way on one side.

    Attributes:
        octets: of all of them.
        chunks: how many there were.
    """

    def __init__(self) -> None:
        self.octets = 0
        self.chunks = 0
        self._first: Final[list[Part]] = []
        self._between: Part | None = None
        self._last: Final[deque[Part]] = deque()

    def add(self, part: Part) -> None:
        """Note a chunk, or several that are told together."""
        self.octets += part.size
        self.chunks += part.chunks
        if len(self._first) < CHUNKS:
            self._first.append(part)
            return
        self._last.append(part)
        if len(self._last) > CHUNKS:
            self._fold(self._last.popleft())

    def _fold(self, part: Part) -> None:
        if self._between is None:
            self._between = part
            return
        self._between.chunks += part.chunks
        self._between.size += part.size
        self._between.until = part.until

    def parts(self) -> Iterator[Part]:
        """Yield what is kept, in order."""
        yield from self._first
        if self._between is not None:
            yield self._between
        yield from self._last


class Timeline:
    """The parts of one exchange.

    Attributes:
        left_out: parts that were too many.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._marks: Final[list[Part]] = []
        self._runs: Final = {
            (side, way): Run() for side in Side for way in (Direction.RECEIVED, Direction.SENT)
        }
        self._places: Final = count()
        self._room = ALL_OCTETS

    def mark(self, part: Part) -> None:
        """Note a part that is no chunk; of its fields, what fits."""
        if len(self._marks) >= MARKS:
            self.left_out += 1
            return
        if part.fields is not None:
            part.fields, part.left_out = fitting(part.fields, min(FIELD_OCTETS, self._room))
            self._room -= int(part.fields.size)
        part.place = next(self._places)
        self._marks.append(part)

    def chunk(self, part: Part) -> None:
        """Note a chunk, or several that are told together."""
        part.place = next(self._places)
        self._runs[part.side, part.way].add(part)

    def run(self, side: Side, way: Direction) -> Run:
        """Return the chunks that went one way on one side."""
        return self._runs[side, way]

    def parts(self) -> list[Part]:
        """Return all that is kept, by time; one read may bring much that has the same time."""
        parts = list(self._marks)
        for run in self._runs.values():
            parts += run.parts()
        return sorted(parts, key=lambda part: (part.at, part.place))


def fitting(fields: Fields, octets: int) -> tuple[Fields, int]:
    """Return what fits of a field list, and how many fields are left out, or are not whole."""
    if fields.size <= octets:
        return fields, 0
    kept: list[Field] = []
    less = 0
    for each in fields.items:
        item = each if each.size <= _VALUE_OCTETS else _cut(each)
        less += item is not each or item.size > octets
        if item.size <= octets:
            octets -= item.size
            kept.append(item)
    return Fields(kept), less


def _cut(whole: Field) -> Field:
    """Return the beginning of a field that is too large."""
    name = whole.name[: _VALUE_OCTETS // 4]
    return Field(name, whole.value[: _VALUE_OCTETS // 2] + b"...", whole.never_indexed)
