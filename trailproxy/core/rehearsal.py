"""Rehearsal: a response that nobody has seen yet, as another attempt may take its place.

It stands between the upstream's stream and the response lane. Parts wait here for a moment,
unpaid, so that the stream's window is their bound, until it is clear that this attempt counts;
then they go into the lane, and all that follows goes there without a detour.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.lane import Lane
from trailproxy.core.parking import park
from trailproxy.core.stream import Feed, Stream
from trailproxy.wire.fields import Fields


@mypyc_attr(allow_interpreted_subclasses=True)
class Jury:
    """Who decides whether an attempt counts."""

    def rejects(self, section: Fields, end: bool) -> bool:
        """Hear a final head or trailers; True if another attempt has begun in its place."""
        raise NotImplementedError

    def accepted(self) -> None:
        """Hear that this attempt counts."""
        raise NotImplementedError

    def is_waited_for(self) -> bool:
        """Tell whether somebody may have to see a response before it can go on."""
        raise NotImplementedError


@final
class Rehearsal(Feed):
    """One attempt's response, until it counts."""

    def __init__(self, jury: Jury, stream: Stream, lane: Lane, most: i64) -> None:
        """Prepare to hold `most` octets of body, at most."""
        self._jury: Final = jury
        self._stream: Final = stream
        self._lane: Final = lane
        self._most: Final[i64] = most
        self._head: Fields | None = None
        self._waiting: Final[deque[tuple[bytes, int]]] = deque()
        self._size: i64 = 0

    def head(self, fields: Fields, end: bool) -> None:
        """Take a head; interim ones pass."""
        if fields.interim:
            self._lane.head(fields, end)
            return
        if self._jury.rejects(fields, end):
            return
        self._head = fields
        if end:
            self._settle()
            self._lane.head(fields, end)
        elif self._most == 0 or self._jury.is_waited_for():
            self.accept()

    def data(self, data: bytes, credit: i64, end: bool) -> None:
        """Take a piece of body; an end without trailers, or too much of it, settles the matter."""
        if not end and self._size + len(data) <= self._most:
            park(self._waiting, data, credit)
            self._size += len(data)
            return
        self.accept()
        self._lane.data(data, credit, end)

    def trailers(self, fields: Fields) -> None:
        """Take the trailers."""
        if self._jury.rejects(fields, True):
            return
        self.accept()
        self._lane.trailers(fields)

    def accept(self) -> None:
        """This attempt counts: what has waited goes on."""
        self._settle()
        if self._head is None:
            return
        self._lane.head(self._head, False)
        for data, credit in self._waiting:
            self._lane.data(data, credit, False)
        self._waiting.clear()

    def forget(self) -> None:
        """It does not: what has waited is paid for and forgotten."""
        for _, credit in self._waiting:
            self._stream.credit(credit)
        self._waiting.clear()

    def _settle(self) -> None:
        self._stream.feeds = self._lane
        self._jury.accepted()
