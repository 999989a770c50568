"""Routing: which upstream a request goes to. Immutable; first match wins."""

from dataclasses import dataclass
from typing import Final, final

from trailproxy.core.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """How long a route may take, in seconds. None means no limit."""

    response_head: float | None = 15.0  # request sent → response head
    idle: float | None = 60.0  # no part moved in either direction
    total: float | None = None  # request head → end


DEFAULT_DEADLINES: Final = Deadlines()


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
    ) -> None:
        """Describe it.

        Args:
            name: what metrics and logs call it.
            share: the upstreams it goes to.
            authority: in lower case; empty matches any, `*.example.com` its subdomains.
            path_prefix: whole segments; empty matches any.
            deadlines: how long a request on it may take.
        """
        self.name: Final = name
        self.share: Final = share
        self.authority: Final = authority
        self.path_prefix: Final = path_prefix
        self._whole: Final = path_prefix[-1:] == b"/"  # what stands behind it is free
        self.deadlines: Final = deadlines

    def matches(self, authority: bytes, path: bytes) -> bool:
        """Tell whether a request with this lower-case authority and path takes this route."""
        wanted = self.authority
        if wanted:
            host = authority.rpartition(b":")[0] if b":" not in wanted else authority
            if authority == wanted or host == wanted:
                pass
            elif wanted[:2] != b"*." or not (host or authority).endswith(wanted[1:]):
                return False
        prefix = self.path_prefix
        if not prefix:
            return True
        if not path.startswith(prefix):
            return False
        # /greet matches /greet, /greet/x and /greet?x, but not /greetings
        return self._whole or path[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?")


@final
class Router:
    """All routes, in the order they were written."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes: Final = routes
        self._reads_authority: Final = any(route.authority for route in routes)

    def match(self, authority: bytes, path: bytes) -> Route | None:
        """Return the first route that takes the request, or None."""
        if self._reads_authority:
            authority = authority.lower()
        for route in self.routes:
            if route.matches(authority, path):
                return route
        return None
