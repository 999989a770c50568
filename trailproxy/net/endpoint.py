"""Endpoint: one address of an upstream, its connections, and how it is doing.

Whether it may be given streams is a matter of its health alone; whether it has room for
one is a matter of its connections.
"""

import random
from typing import Final, final

from mypy_extensions import i64

from trailproxy.core.address import Address
from trailproxy.net.connection import AsyncConnection

_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 3.0
_EBB_S: Final = 30  # in which a burst of resets is forgotten
_ANY_NUMBER: Final = 1 << 62

_NEVER: Final = float("-inf")  # clock seconds


@final
class Endpoint:
    """One address."""

    __slots__ = (
        "_ebb",
        "_last",
        "_moment",
        "_most_resets",
        "_window",
        "address",
        "connections",
        "dialling",
        "ejected",
        "ejections",
        "factor",
        "failing",
        "failures",
        "label",
        "owed",
        "reported",
        "reported_at",
        "reports_since",
        "retry_at",
        "returned_at",
        "share",
        "sick",
        "weight",
    )

    def __init__(
        self, address: Address, window: int, weight: int = 1, most_resets: int = 0
    ) -> None:
        """Prepare.

        Args:
            address: where.
            window: what its connections advertise as a connection window, in octets.
            weight: its share.
            most_resets: a connection that has sent so many rests; 0: none ever does.
        """
        self.address: Final = address
        self._window: Final = window
        self._most_resets: Final[i64] = most_resets or _ANY_NUMBER
        self._ebb: Final[i64] = max(most_resets // _EBB_S, 1)  # resets a second
        self.weight = weight  # its share, beside the others', as it was configured
        self.label: Final = str(address)
        self.connections: Final[list[AsyncConnection]] = []  # that take streams
        self.dialling = False  # or waiting to
        self.failures = 0  # dials, in a row
        self.retry_at = 0.0  # clock seconds; not before
        self.owed = 0.0  # turns, under round robin
        # health
        self.sick = False  # what it answers to health checks is wrong
        self.ejected = False  # what it does with requests is wrong
        self.failing: i64 = 0  # requests, in a row
        self.ejections: i64 = 0  # that it has not made good for
        self.returned_at = 0.0  # clock seconds, from the last one
        # load; written by Weights
        self.reported = 0.0  # what its last report is worth
        self.reported_at = _NEVER  # clock seconds
        self.reports_since = _NEVER  # clock seconds, from the first one without a long pause
        self.factor = 1.0  # what its weight is multiplied by for that
        self.share = float(weight)  # what comes of it
        # where the last stream went, and when, in clock seconds
        self._last: AsyncConnection | None = None
        self._moment = 0.0

    def weigh(self, weight: int, factor: float) -> None:
        """Take up a weight, and what its load reports make of it."""
        self.weight = weight
        self.factor = factor
        self.share = weight * factor

    def forget_load(self) -> None:
        """What it has reported is worth nothing any more: it may be another process."""
        self.reported_at = _NEVER

    def failed(self, now: float) -> None:
        """Wait longer before the next dial: doubled each time, with jitter, and bounded."""
        delay = min(_BACKOFF_FIRST_S * 2**self.failures, _BACKOFF_MAX_S)
        self.failures = min(self.failures + 1, 16)
        self.retry_at = now + delay * random.uniform(0.75, 1.0)

    def free_connection(self, now: float) -> AsyncConnection | None:
        """Return the least busy connection with a free slot, or None.

        What one read brought stays together, and so do its answers: with 500 connections
        of 4 streams, that saves a third of the reads and writes.
        """
        last = self._last if now == self._moment else None
        if last is not None and last in self.connections and self._takes(last):
            return last
        best: AsyncConnection | None = None
        for member in self.connections:
            if not self._takes(member):
                continue
            if best is None or len(member.core.streams) < len(best.core.streams):
                best = member
        self._last = best
        self._moment = now
        return best

    def _takes(self, member: AsyncConnection) -> bool:
        core = member.core
        if not core.ready or core.away or len(core.streams) >= core.codec.max_streams:
            return False
        if core.resets >= self._most_resets or member.is_clogged():
            return False
        # slow readers may hold most of its window: others would stall with them
        return core.owed * 2 <= self._window

    def weary(self) -> list[AsyncConnection]:
        """Return the connections that rest: their peer might end them for one more reset."""
        return [member for member in self.connections if member.core.resets >= self._most_resets]

    def tick(self) -> None:
        """A second has passed."""
        for member in list(self.connections):
            member.core.resets = max(member.core.resets - self._ebb, 0)
            member.tick()

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against giving it streams."""
        return not self.sick and not self.ejected

    @property
    def streams(self) -> int:
        """How many streams are open to it."""
        return sum([len(member.core.streams) for member in self.connections])

    @property
    def load(self) -> float:
        """How busy it would be with one stream more, for its share."""
        return (self.streams + 1) / self.share
