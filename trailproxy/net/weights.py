"""Weights: endpoints that tell how busy they are get more or less than their configured weight.

Whoever serves a request for less of what it has gets more of them (gRPC proposal A58). An
endpoint is believed when it has reported for a while and as long as it goes on; then within
bounds, beside the one in the middle, so that none can talk itself into all the traffic or
out of any. Shares move in steps, one a second.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.clock import Clock
from trailproxy.core.load_report import LoadReport

if TYPE_CHECKING:
    from trailproxy.net.endpoint import Endpoint

# what an endpoint may get for its reports, times its configured weight: a liar among few
# takes no more than most, and who is down for a while still shows when it is up again
_MOST: Final = 5.0
_LEAST: Final = 0.1

_STEP: Final = 0.5  # of the way to where a share should be, each time
_NEAR: Final = 0.01  # is there

_WORTH_LEAST: Final = 1e-9
_WORTH_MOST: Final = 1e12


@dataclass(frozen=True, kw_only=True)
class LoadParams:
    """What load reports are worth, and how long."""

    error_penalty: float = 1.0  # utilization that an error rate of 1 counts as
    blackout_s: float = 10.0  # reports must have come for so long before they count
    expiration_s: float = 180.0  # without another report, the last one counts for so long


@final
class Weights:
    """What the endpoints of one upstream get for their load reports."""

    def __init__(self, params: LoadParams, clock: Clock) -> None:
        self._params: Final = params
        self._clock: Final = clock

    def hear(self, endpoint: "Endpoint | None", report: LoadReport | None) -> str:
        """Take up a report; it counts from the next update on.

        Args:
            endpoint: whose it is; None: it is none of ours any more.
            report: what it says; None: nobody can read it.

        Returns:
            What metrics call such a report.
        """
        if report is None:
            return "malformed"
        if report.rps <= 0.0 or report.utilization <= 0.0:
            return "incomplete"
        if endpoint is not None:
            self._believe(endpoint, report)
        return "read"

    def _believe(self, endpoint: "Endpoint", report: LoadReport) -> None:
        now = self._clock.time()
        if now - endpoint.reported_at >= self._params.expiration_s:
            endpoint.reports_since = now
        endpoint.reported_at = now
        endpoint.reported = self._worth(report)

    def _worth(self, report: LoadReport) -> float:
        """Return the requests a second that it would serve with all it has."""
        errors = min(report.eps / report.rps, 1.0)  # all requests at most
        worth = report.rps / (report.utilization + errors * self._params.error_penalty)
        return min(max(worth, _WORTH_LEAST), _WORTH_MOST)

    def update(self, endpoints: "list[Endpoint]") -> bool:
        """Move all shares a step; True if one has changed. To be called once a second."""
        now = self._clock.time()
        heard = sorted(each.reported for each in endpoints if self._counts(each, now))
        middle = heard[(len(heard) - 1) // 2] if heard else 1.0
        changed = False
        for endpoint in endpoints:
            # who says nothing gets what the one in the middle gets
            wanted = 1.0
            if self._counts(endpoint, now):
                wanted = min(max(endpoint.reported / middle, _LEAST), _MOST)
            if endpoint.factor != wanted:
                factor = endpoint.factor + (wanted - endpoint.factor) * _STEP
                near = abs(wanted - factor) < _NEAR
                endpoint.weigh(endpoint.weight, wanted if near else factor)
                changed = True
        return changed

    def _counts(self, endpoint: "Endpoint", now: float) -> bool:
        if now - endpoint.reported_at >= self._params.expiration_s:
            return False
        return now - endpoint.reports_since >= self._params.blackout_s
