"""Routing: which upstream a request goes to. Immutable; first match wins.

No route is asked by itself: what could match is looked up, under the authority and each
beginning of the path that may be a prefix, and the route written first is taken.
"""

from dataclasses import dataclass
from typing import Final, final

from mypy_extensions import i64

from trailproxy.core.inspection import Policy
from trailproxy.core.record import REQUEST, Direction
from trailproxy.core.trailers import GENEROUS, TrailerLimits
from trailproxy.core.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """How long a route may take, in seconds. None means no limit."""

    response_head: float | None = 15.0  # request sent → response head
    idle: float | None = 60.0  # no part moved in either direction
    total: float | None = None  # request head → end


DEFAULT_DEADLINES: Final = Deadlines()

_NOWHERE: Final[i64] = 1 << 30
_SLASH: Final = 0x2F
_QUESTION_MARK: Final = 0x3F


class OnFailure:
    """How a response ends that its upstream cut short behind the head."""

    RESET: Final = 0
    GRPC: Final = 1  # trailers with the status for gRPC, a reset for the rest
    TRAILERS: Final = 2  # trailers for all whose length was not announced


@dataclass(frozen=True, kw_only=True)
class Handling:
    """What a route does with ends and trailers."""

    on_failure: int = OnFailure.GRPC  # of a response cut short
    request_limits: TrailerLimits = GENEROUS
    response_limits: TrailerLimits = GENEROUS
    policy: Policy | None = None  # what is done beyond relaying


@final
class Share:
    """Upstreams by integer weight, dealt out evenly (smooth weighted round robin)."""

    def __init__(self, targets: list[tuple[Upstream, int]]) -> None:
        self._targets: Final = targets
        self._total: Final = sum(weight for _, weight in targets)
        self._owed: Final = [0] * len(targets)

    def pick(self) -> Upstream:
        """Return the upstream whose turn it is."""
        if len(self._targets) == 1:
            return self._targets[0][0]
        owed = self._owed
        best = 0
        for place, (_, weight) in enumerate(self._targets):
            owed[place] += weight
            if owed[place] > owed[best]:
                best = place
        owed[best] -= self._total
        return self._targets[best][0]


@final
class Route:
    """What a request must look like, and where it then goes."""

    def __init__(
        self,
        *,
        name: str,
        share: Share,
        authority: bytes = b"",
        path_prefix: bytes = b"",
        deadlines: Deadlines = DEFAULT_DEADLINES,
        handling: Handling | None = None,
    ) -> None:
        """Describe it.

        Args:
            name: what metrics and logs call it.
            share: the upstreams it goes to.
            authority: in lower case; empty matches any, `*.example.com` its subdomains.
            path_prefix: whole segments; empty matches any.
            deadlines: how long a request on it may take.
            handling: what is done with ends and trailers.
        """
        self.name: Final = name
        self.share: Final = share
        self.authority: Final = authority
        self.path_prefix: Final = path_prefix
        self.deadlines: Final = deadlines
        handling = handling or Handling()
        self.on_failure: Final[i64] = handling.on_failure
        self.policy: Final = handling.policy
        self._request_limits: Final = handling.request_limits
        self._response_limits: Final = handling.response_limits

    def limits_of(self, direction: Direction) -> TrailerLimits:
        """Return how large the trailers of a message may be."""
        return self._request_limits if direction is REQUEST else self._response_limits


@final
class _Prefixes:
    """The path prefixes under one authority, and the place of the first route with each."""

    __slots__ = ("_any", "_depth", "_open", "_whole")

    def __init__(self) -> None:
        self._any: i64 = _NOWHERE  # of the first route without a prefix
        self._open: Final[dict[bytes, i64]] = {}  # /greet/ fits whatever begins with it
        self._whole: Final[dict[bytes, i64]] = {}  # /greet fits /greet, /greet/x and /greet?x
        self._depth: i64 = 0  # slashes in the prefix that has most

    def add(self, prefix: bytes, place: i64) -> None:
        if not prefix:
            self._any = min(self._any, place)
            return
        places = self._open if prefix[-1:] == b"/" else self._whole
        places.setdefault(prefix, place)
        self._depth = max(self._depth, prefix.count(b"/"))

    def find(self, path: bytes) -> i64:
        """Return the place of the first route that fits: each place where one may end is tried."""
        best = self._any
        if self._depth == 0:
            return best
        slashes: i64 = 0
        position: i64 = 0
        size: i64 = len(path)
        while position < size:
            octet = path[position]
            if octet == _SLASH:
                if self._whole:
                    best = min(best, self._whole.get(path[:position], _NOWHERE))
                slashes += 1
                if slashes > self._depth:
                    return best
                if self._open:
                    best = min(best, self._open.get(path[: position + 1], _NOWHERE))
            elif octet == _QUESTION_MARK:
                break
            position += 1
        return min(best, self._whole.get(path[:position], _NOWHERE)) if self._whole else best


@final
class Router:
    """All routes, in the order they were written; a thousand cost no more than ten."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes: Final = routes
        self._everywhere: Final = _Prefixes()  # without an authority
        self._hosts: Final[dict[bytes, _Prefixes]] = {}
        self._parents: Final[dict[bytes, _Prefixes]] = {}  # *.example.com as .example.com
        for place, route in enumerate(routes):
            self._prefixes_of(route.authority).add(route.path_prefix, place)
        self._parent_sizes: Final = sorted({len(parent) for parent in self._parents})

    def _prefixes_of(self, authority: bytes) -> _Prefixes:
        if not authority:
            return self._everywhere
        if authority[:2] == b"*.":
            return self._parents.setdefault(authority[1:], _Prefixes())
        return self._hosts.setdefault(authority, _Prefixes())

    def match(self, authority: bytes, path: bytes) -> Route | None:
        """Return the first route that takes the request, or None."""
        best = self._everywhere.find(path)
        if self._hosts or self._parents:
            authority = authority.lower()
            best = min(best, self._find_under(authority, path))
            host = authority.rpartition(b":")[0]
            if host:
                best = min(best, self._find_under(host, path))
        return None if best == _NOWHERE else self.routes[best]

    def _find_under(self, authority: bytes, path: bytes) -> i64:
        exact = self._hosts.get(authority)
        best = _NOWHERE if exact is None else exact.find(path)
        for size in self._parent_sizes:
            parent = self._parents.get(authority[-size:])
            if parent is not None:
                best = min(best, parent.find(path))
        return best
