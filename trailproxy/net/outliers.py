"""Outliers: endpoints whose requests fail one after the other are left alone for a while.

What counts is what became of requests: nobody is asked. An endpoint that is ejected again
and again stays away longer; one that has served as long as it was away starts anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.clock import Clock
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Record

if TYPE_CHECKING:
    from trailproxy.net.endpoint import Endpoint

_FAILURES: Final = frozenset(
    {
        Cause.UPSTREAM_RESET,
        Cause.UPSTREAM_GONE,
        Cause.UPSTREAM_PROTOCOL,
        Cause.FIELDS_TOO_LARGE,
        Cause.HEAD_TIMEOUT,
        Cause.UPSTREAM_SLOW,
        Cause.RESPONSE_HEAD_TIMEOUT,
        Cause.DEADLINE_EXCEEDED,
    }
)
#: gRPC statuses that blame the server: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and
#: DATA_LOSS, as they stand in trailers.
_FAILING_STATUSES: Final = frozenset({"2", "4", "13", "14", "15"})
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, kw_only=True)
class OutlierParams:
    """When an endpoint is ejected, and for how long."""

    consecutive_failures: int = 5
    ejection_s: float = 30.0  # the first time; then longer by as much each time
    max_ejection_s: float = 300.0
    max_ejected: float = 0.5  # the part of endpoints that may be ejected; one always may


def failed(record: Record) -> bool:
    """Tell whether an exchange failed through its endpoint's fault."""
    if record.dropped is not None:
        return record.dropped_side is not Side.DOWNSTREAM and record.dropped in _FAILURES
    return record.status >= _SERVER_ERROR or record.grpc_status in _FAILING_STATUSES


@final
class Outliers:
    """The endpoints of one upstream that are ejected."""

    def __init__(
        self, params: OutlierParams, clock: Clock, changed: Callable[["Endpoint"], None]
    ) -> None:
        """Prepare; `changed` is told of each endpoint that goes or comes back."""
        self._params: Final = params
        self._clock: Final = clock
        self._changed: Final = changed

    def judge(self, endpoint: "Endpoint", record: Record, endpoints: "list[Endpoint]") -> None:
        """Take up what became of a request to one of the endpoints."""
        if not failed(record):
            endpoint.failing = 0
            if endpoint.ejections and self._has_made_good(endpoint):
                endpoint.ejections = 0
            return
        endpoint.failing += 1
        if endpoint.failing < self._params.consecutive_failures or endpoint.ejected:
            return
        away = sum([other.ejected for other in endpoints])
        if away and away + 1 > self._params.max_ejected * len(endpoints):
            return
        self._eject(endpoint)

    def _eject(self, endpoint: "Endpoint") -> None:
        endpoint.ejected = True
        endpoint.failing = 0
        endpoint.ejections += 1
        self._clock.call_later(self._time_away(endpoint), lambda: self._return(endpoint))
        self._changed(endpoint)

    def _return(self, endpoint: "Endpoint") -> None:
        endpoint.ejected = False
        endpoint.returned_at = self._clock.time()
        self._changed(endpoint)

    def _time_away(self, endpoint: "Endpoint") -> float:
        return min(self._params.ejection_s * int(endpoint.ejections), self._params.max_ejection_s)

    def _has_made_good(self, endpoint: "Endpoint") -> bool:
        return self._clock.time() - endpoint.returned_at > self._time_away(endpoint)
