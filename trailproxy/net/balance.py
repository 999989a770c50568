"""Balance: which endpoint takes the next stream.

Only endpoints with a free slot are asked, so one that is being dialled again
never holds up those that are ready; `hash` alone insists on its choice.
"""

import hashlib
import random
from typing import Final, final

from trailproxy.core.address import Address
from trailproxy.core.clock import Clock
from trailproxy.net.connection import AsyncConnection

_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 3.0


@final
class Endpoint:
    """One address, its connections, and how dialling it went."""

    __slots__ = (
        "_last",
        "_moment",
        "_window",
        "address",
        "connections",
        "dialling",
        "failures",
        "label",
        "retry_at",
    )

    def __init__(self, address: Address, window: int) -> None:
        """Prepare for connections that advertise a connection window of `window` octets."""
        self.address: Final = address
        self._window: Final = window
        self.label: Final = str(address)
        self.connections: Final[list[AsyncConnection]] = []  # that take streams
        self.dialling = False  # or waiting to
        self.failures = 0  # in a row
        self.retry_at = 0.0  # clock seconds; not before
        self._last: AsyncConnection | None = None  # where the last stream went
        self._moment = 0.0  # and when, in clock seconds

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
        # slow readers may hold most of its window: others would stall with them
        return core.owed * 2 <= self._window

    @property
    def streams(self) -> int:
        """How many streams are open to it."""
        return sum([len(member.core.streams) for member in self.connections])


@final
class Balance:
    """A way to choose; `name` is round_robin, least_request or hash."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name: Final = name
        self._clock: Final = clock
        self._turn = 0

    def choose(self, endpoints: list[Endpoint], affinity: str) -> Endpoint | None:
        """Return the endpoint for the next stream; None when it is known to have no free slot."""
        if len(endpoints) == 1:
            return endpoints[0]
        if self._name == "hash":
            return self.prefer(endpoints, affinity)
        now = self._clock.time()
        return self._pick([e for e in endpoints if e.free_connection(now) is not None])

    def prefer(self, endpoints: list[Endpoint], affinity: str) -> Endpoint | None:
        """Return the endpoint to dial for a stream that found no slot."""
        now = self._clock.time()
        healthy = [e for e in endpoints if e.retry_at <= now] or endpoints
        if self._name == "hash":
            return max(healthy, key=lambda e: _rank(affinity, e.label), default=None)
        return min(healthy, key=lambda e: len(e.connections), default=None)

    def _pick(self, free: list[Endpoint]) -> Endpoint | None:
        if len(free) < 2:
            return free[0] if free else None
        self._turn += 1
        start = self._turn % len(free)
        if self._name == "round_robin":
            return free[start]
        # ties go round, or the first endpoint would get every stream of a quiet upstream
        return min(free[start:] + free[:start], key=lambda e: e.streams)


def _rank(affinity: str, label: str) -> bytes:
    """Rendezvous hashing: each pair has a rank, the highest wins, few move when one leaves."""
    return hashlib.blake2b(f"{affinity}\0{label}".encode(), digest_size=8).digest()
