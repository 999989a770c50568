"""Routing: which upstream a request goes to. Immutable; first match wins.

The authority looks up what its routes ask for; what that is, and how it is found, is the
business of `matching`.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from trailproxy.core.fault import Cause, Fault, Side, ours
from trailproxy.core.inspection import Inspector, Policy
from trailproxy.core.matching import NOWHERE, CombinePatterns, FindPatterns, Paths, Wanted
from trailproxy.core.record import REQUEST, Direction
from trailproxy.core.retry import RetryPolicy
from trailproxy.core.trailers import GENEROUS, TrailerLimits
from trailproxy.core.upstream import Tenant, Upstream

if TYPE_CHECKING:
    from trailproxy.core.message import Request


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """How long a route may take, in seconds. None means no limit."""

    response_head: float | None = 15.0  # request sent → response head
    idle: float | None = 60.0  # no part moved in either direction
    total: float | None = None  # request head → end
    min_rate: int = 240  # octets a second that depart in the long run while some are parked; or 0


DEFAULT_DEADLINES: Final = Deadlines()
ANYTHING: Final = Wanted()


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
    retry: RetryPolicy | None = None  # what is tried again


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
        wanted: Wanted = ANYTHING,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        handling: Handling | None = None,
    ) -> None:
        """Describe it.

        Args:
            name: what metrics and logs call it.
            share: the upstreams it goes to.
            wanted: what it asks of a request.
            deadlines: how long a request on it may take.
            handling: what is done with ends and trailers.
        """
        self.name: Final = name
        self.share: Final = share
        self.wanted: Final = wanted
        self.deadlines: Final = deadlines
        handling = handling or Handling()
        self._handling: Final = handling
        self.on_failure: Final[i64] = handling.on_failure
        self.policy: Final = handling.policy
        self.retry: Final = handling.retry
        self._request_limits: Final = handling.request_limits
        self._response_limits: Final = handling.response_limits

    def shown_to(self, inspector: Inspector) -> "Route":
        """Return the same route, with somebody who looks at each of its exchanges first."""
        policy = self.policy or Policy([])
        return Route(
            name=self.name,
            share=self.share,
            wanted=self.wanted,
            deadlines=self.deadlines,
            handling=replace(self._handling, policy=policy.behind(inspector)),
        )

    def limits_of(self, direction: Direction) -> TrailerLimits:
        """Return how large the trailers of a message may be."""
        return self._request_limits if direction is REQUEST else self._response_limits


def no_route() -> Fault:
    """Return what is wrong with a request that no route takes."""
    return ours(Cause.NO_ROUTE, "no route takes this request", Side.DOWNSTREAM)


def _no_patterns(patterns: list[str]) -> FindPatterns:
    raise NotImplementedError(f"nobody can look {patterns} up")


@final
class Nowhere(Upstream):
    """Where a request goes that no route takes, when it has to go somewhere to be looked at."""

    def __init__(self) -> None:
        self.name = ""

    def lease(self, tenant: Tenant) -> None:
        """Refuse."""
        tenant.lease_failed(no_route())

    def cancel(self, tenant: Tenant) -> None:
        """Nobody waits."""


@final
class Router:
    """All routes, in the order they were written."""

    def __init__(
        self,
        routes: tuple[Route, ...],
        combine: CombinePatterns = _no_patterns,
        otherwise: Route | None = None,
        *,
        takes_dot_segments: bool = False,
    ) -> None:
        """Prepare.

        Args:
            routes: first match wins.
            combine: is asked where routes have patterns.
            otherwise: what takes a request that none of them takes.
            takes_dot_segments: routes judge paths that lead out of what they ask for (`target`).
        """
        self.routes: Final = routes
        self.takes_dot_segments: Final = takes_dot_segments
        self._combine: Final = combine
        self._otherwise: Final = otherwise
        self._everywhere: Final = Paths()  # without an authority
        self._hosts: Final[dict[bytes, Paths]] = {}
        self._parents: Final[dict[bytes, Paths]] = {}  # *.example.com as .example.com
        for place, route in enumerate(routes):
            self._paths_of(route.wanted.authority).add(route.wanted, place)
        for paths in (self._everywhere, *self._hosts.values(), *self._parents.values()):
            paths.combine(combine)
        self._parent_sizes: Final = sorted({len(parent) for parent in self._parents})

    def _paths_of(self, authority: bytes) -> Paths:
        if not authority:
            return self._everywhere
        if authority[:2] == b"*.":
            return self._parents.setdefault(authority[1:], Paths())
        return self._hosts.setdefault(authority, Paths())

    def match(self, asked: "Request") -> Route | None:
        """Return the first route that takes the request, or else what was given for that."""
        best = self._everywhere.find(NOWHERE, asked)
        if self._hosts or self._parents:
            authority = asked.authority.lower()
            best = self._find_under(authority, best, asked)
            host = authority.rpartition(b":")[0]
            if host:
                best = self._find_under(host, best, asked)
        return self._otherwise if best == NOWHERE else self.routes[best]

    def shown_to(self, inspector: Inspector) -> "Router":
        """Return the same router, with somebody who looks at each exchange first."""
        routes = tuple([route.shown_to(inspector) for route in self.routes])
        nowhere = Route(name="", share=Share([(Nowhere(), 1)]))
        return Router(
            routes,
            self._combine,
            nowhere.shown_to(inspector),
            takes_dot_segments=self.takes_dot_segments,
        )

    def _find_under(self, authority: bytes, best: i64, asked: "Request") -> i64:
        exact = self._hosts.get(authority)
        if exact is not None:
            best = exact.find(best, asked)
        for size in self._parent_sizes:
            parent = self._parents.get(authority[-size:])
            if parent is not None:
                best = parent.find(best, asked)
        return best
