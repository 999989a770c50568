"""Balance: which endpoint takes the next stream.

Only healthy endpoints are chosen from; when too few are left, health is not believed any
more, for the rest could not bear the load (panic). Of those, one without a free slot is
passed over, so that an endpoint that is being dialled holds nobody up; `hash` alone
insists on its choice.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from random import random
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.clock import Clock
from trailproxy.net.endpoint import Endpoint

if TYPE_CHECKING:
    from trailproxy.core.message import Request

KeyOf = Callable[["Request"], bytes]
"""Returns what requests must have in common to go to one endpoint."""

_POINTS: Final = 64  # on the ring, for each unit of weight
_MOST_POINTS: Final = 1 << 16  # of all


def source_of(asked: "Request") -> bytes:
    """Return the client's address."""
    return asked.hop.peer.encode()


def field_of(name: bytes) -> KeyOf:
    """Return what finds the values of a field; without it, the client's address counts."""
    return lambda asked: b"\0".join(asked.relayed.all(name)) or source_of(asked)


def cookie_of(name: bytes) -> KeyOf:
    """Return what finds the value of a cookie; without it, the client's address counts."""
    wanted = name + b"="

    def find(asked: "Request") -> bytes:
        for line in asked.relayed.all(b"cookie"):
            for pair in line.split(b";"):
                if pair.strip().startswith(wanted):
                    return pair.strip()
        return source_of(asked)

    return find


@final
class Balance:
    """A way to choose; `name` is round_robin, least_request or hash."""

    def __init__(self, name: str, clock: Clock, panic: float = 0.5, key: KeyOf = source_of) -> None:
        """Prepare.

        Args:
            name: the way.
            clock: tells the moment, in which streams are kept together.
            panic: the part of endpoints that must be healthy for health to be believed.
            key: what `hash` goes by.
        """
        self._name: Final = name
        self._clock: Final = clock
        self._panic: Final = panic
        self._key: Final = key
        self._members: list[Endpoint] = []  # that may be chosen
        self._sums: list[float] = []  # of their shares, up to each
        self._ring: list[tuple[int, Endpoint]] = []
        self.panics = False

    def renew(self, endpoints: list[Endpoint]) -> None:
        """Take up endpoints, and their health, as they are now."""
        healthy = [endpoint for endpoint in endpoints if endpoint.healthy]
        self.panics = len(healthy) < self._panic * len(endpoints) or not healthy
        self._members = list(endpoints) if self.panics else healthy
        self._ring = _ring_of(self._members) if self._name == "hash" else []
        self.reweigh()

    def reweigh(self) -> None:
        """Take up the shares of the endpoints as they are now.

        The ring goes by weights alone: else clients would lose their homes to each report.
        """
        self._sums = list(accumulate(endpoint.share for endpoint in self._members))

    def choose(self, asked: "Request", avoid: str = "") -> Endpoint | None:
        """Return the endpoint for the next stream; None when it is known to have no free slot.

        The one whose label is `avoid` is taken only where there is no other.
        """
        members = self._members
        if len(members) == 1:
            return members[0]
        if self._name == "hash":
            return self._find(members, asked, avoid)
        now = self._clock.time()
        if self._name == "least_request" and members:
            better = self._better_of_two(members)
            if better.label != avoid and better.free_connection(now) is not None:
                return better
        free = [member for member in members if member.free_connection(now) is not None]
        if avoid:
            free = [member for member in free if member.label != avoid] or free
        if self._name == "least_request":
            return min(free, key=_load, default=None)
        return _whose_turn(free)

    def prefer(self, asked: "Request") -> Endpoint | None:
        """Return the endpoint to dial for a stream that found no slot."""
        now = self._clock.time()
        ready = [member for member in self._members if member.retry_at <= now] or self._members
        if self._name == "hash":
            return self._find(ready, asked, "")
        return min(ready, key=_connections, default=None)

    def _better_of_two(self, members: list[Endpoint]) -> Endpoint:
        """Draw two by share and take the less busy: as good as the least busy of all, nearly.

        Everybody who looks for the least busy sends all to one and the same; two draws do not
        (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
        """
        one, other = self._draw(members), self._draw(members)
        if one is other:
            place = members.index(one)
            other = members[place - 1]
        first, second = one.streams, other.streams
        if not first and not second:
            return one  # else the one with the smaller share would never get anything
        return one if (first + 1) * other.share <= (second + 1) * one.share else other

    def _draw(self, members: list[Endpoint]) -> Endpoint:
        return members[bisect_left(self._sums, random() * self._sums[-1])]

    def _find(self, members: list[Endpoint], asked: "Request", avoid: str) -> Endpoint | None:
        """Return the member at the first point of the ring from the key's place on."""
        ring = self._ring
        if not ring:
            return None
        place = bisect_left(ring, _point(self._key(asked)), key=_position)
        avoided: Endpoint | None = None
        for step in range(len(ring)):
            endpoint = ring[(place + step) % len(ring)][1]
            if endpoint.label == avoid:
                avoided = endpoint
            elif endpoint in members:
                return endpoint
        return avoided


def _ring_of(members: list[Endpoint]) -> list[tuple[int, Endpoint]]:
    """Give each member points by its weight: who leaves takes only its own requests along."""
    total = sum([member.weight for member in members]) or 1
    points = min(_POINTS, _MOST_POINTS / total)
    ring = [
        (_point(b"%s\0%d" % (member.label.encode(), number)), member)
        for member in members
        for number in range(max(1, int(points * member.weight)))
    ]
    ring.sort(key=_position)
    return ring


def _point(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())


def _position(entry: tuple[int, Endpoint]) -> int:
    return entry[0]


def _load(endpoint: Endpoint) -> float:
    return endpoint.load


def _connections(endpoint: Endpoint) -> int:
    return len(endpoint.connections)


def _whose_turn(free: list[Endpoint]) -> Endpoint | None:
    """Deal turns out by share, evenly mixed (smooth weighted round robin)."""
    best: Endpoint | None = None
    total = 0.0
    for endpoint in free:
        endpoint.owed += endpoint.share
        total += endpoint.share
        if best is None or endpoint.owed > best.owed:
            best = endpoint
    if best is not None:
        best.owed -= total
    return best
