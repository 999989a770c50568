"""Meters: what is counted for every exchange, as plain numbers until somebody reads them.

Metrics takes the numbers when a page is rendered (`take`), and is told at once of
what is rare. Whatever a peer can choose is brought down to a few words here, so
that nothing grows between two readings.
"""

from typing import TYPE_CHECKING, Final, Protocol, final

from mypy_extensions import i64

from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.record import DROPPED, Direction, Observer, Outcome, Progress, Record
from trailproxy.ops.counting import Durations, Pairs, Responses
from trailproxy.ops.grpc_meters import GrpcMeters

if TYPE_CHECKING:
    from trailproxy.ops.access_log import AccessLog
    from trailproxy.ops.tracing import Tracer

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)


@final
class RouteMeter:
    """The counts of one route since they were last taken; `active` stays."""

    __slots__ = (
        "active",
        "completed",
        "duration",
        "request_trailer_bytes",
        "requests",
        "response_head",
        "response_trailer_bytes",
        "responses",
        "sections",
    )

    def __init__(self, active: i64 = 0) -> None:
        self.active: i64 = active  # exchanges in flight
        self.requests: Final = Pairs()  # by listener and method
        self.responses: Final = Responses()
        self.sections: Final = Pairs()  # of trailers, by direction and outcome
        self.request_trailer_bytes: i64 = 0
        self.response_trailer_bytes: i64 = 0
        self.completed: i64 = 0
        self.duration: Final = Durations()
        self.response_head: Final = Durations()


@final
class UpstreamMeter:
    """What clients got for their requests to one upstream, since it was last taken."""

    __slots__ = ("completed", "dropped")

    def __init__(self) -> None:
        self.completed: Final = Responses()
        self.dropped: Final = Responses()


class Rare(Protocol):
    """Who is told at once of what is rare."""

    def exchange_dropped(self, record: Record) -> None:
        """Note an exchange that did not end cleanly."""
        ...

    def trailers_dropped(self, direction: Direction, cause: Cause) -> None:
        """Note why a trailer section was dropped."""
        ...

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Note one RST_STREAM, sent or received."""
        ...

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Note fields that may not travel in trailers."""
        ...

    def digest_checked(self, direction: Direction, outcome: str, route: str) -> None:
        """Note a body that was held to its digest, or got one."""
        ...

    def hook_called(self, hook: str, seconds: float, *, failed: bool) -> None:
        """Note how long a hook took for one part, and whether it raised."""
        ...

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Note a GOAWAY, sent or received."""
        ...

    def connection_refused(self, listener: str, cause: Refusal) -> None:
        """Note a client's connection that was refused."""
        ...

    def connected(self, upstream: str, outcome: str) -> None:
        """Note a dial and its outcome."""
        ...

    def retried(self, route: str, reason: str, outcome: str) -> None:
        """Note a wish for another attempt, and what became of it."""
        ...

    def endpoint_told(self, upstream: str, event: str) -> None:
        """Note a health check, or an endpoint that was ejected or has returned."""
        ...

    def load_reported(self, upstream: str, outcome: str) -> None:
        """Note a load report, and whether it could be read."""
        ...

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        """Note how many endpoints an upstream has, and how they are."""
        ...

    def requests_wait(self, upstream: str, count: int) -> None:
        """Note how many requests wait for a connection to an upstream."""
        ...


@final
class Meters(Observer):
    """The Observer of all exchanges."""

    def __init__(self, rare: Rare) -> None:
        """Count, and hand on to `rare` what is seldom."""
        self.log: AccessLog | None = None  # that of every exchange, if there is one
        self.tracer: Tracer | None = None
        self.grpc: Final = GrpcMeters()
        self._rare: Final = rare
        self._routes: dict[str, RouteMeter] = {}
        self._latest_route = ""
        self._latest = RouteMeter()  # of that route; mostly it is asked for next
        self._upstreams: dict[str, UpstreamMeter] = {}
        self._latest_upstream = ""
        self._latest_served = UpstreamMeter()  # of that upstream

    def take(self) -> dict[str, RouteMeter]:
        """Return the counts since the last time, by route, and begin anew."""
        taken = self._routes
        self._routes = {
            route: RouteMeter(meter.active) for route, meter in taken.items() if meter.active
        }
        self._latest_route = ""
        return taken

    def take_upstreams(self) -> dict[str, UpstreamMeter]:
        """Return the counts since the last time, by upstream, and begin anew."""
        taken, self._upstreams = self._upstreams, {}
        self._latest_upstream = ""
        return taken

    @property
    def active(self) -> dict[str, int]:
        """How many exchanges are in flight, by route."""
        return {route: meter.active for route, meter in self._routes.items() if meter.active}

    def _meter(self, route: str) -> RouteMeter:
        if route is self._latest_route and route:
            return self._latest
        meter = self._routes.get(route)
        if meter is None:
            self._routes[route] = meter = RouteMeter()
        self._latest_route, self._latest = route, meter
        return meter

    # -- of every exchange ---------------------------------------------------------------

    def exchange_began(self, record: Record) -> None:
        """Note a request whose head was accepted; it is now active."""
        meter = self._meter(record.route)
        meter.active += 1
        method = record.method
        meter.requests.count(record.listener, method if method in _METHODS else "other")
        if record.asked.grpc:
            self.grpc.began(record)

    def exchange_finished(self, record: Record) -> None:
        """Note that an exchange is over: completed, or dropped with a cause."""
        meter = self._meter(record.route)
        meter.active -= 1
        if record.dropped is None:
            meter.completed += 1
        self._served(record)
        if record.status:
            meter.responses.count(record.status, record.grpc_status)
        meter.duration.observe(record.ended - record.began)
        if record.asked.traceparent is not None:
            self._traced(meter, record, record.asked.traceparent)
        meter.request_trailer_bytes += record.request_trailer_bytes
        meter.response_trailer_bytes += record.response_trailer_bytes
        if record.asked.grpc:
            self.grpc.finished(record)
        head_seconds = record.response_head_seconds
        if head_seconds is not None:
            meter.response_head.observe(head_seconds)
        if record.dropped is not None:
            self._rare.exchange_dropped(record)
        if self.log is not None:
            self.log.write(record)

    def _served(self, record: Record) -> None:
        upstream = record.upstream
        if not upstream:
            return
        if upstream is not self._latest_upstream:
            meter = self._upstreams.get(upstream)
            if meter is None:
                self._upstreams[upstream] = meter = UpstreamMeter()
            self._latest_upstream, self._latest_served = upstream, meter
        served = self._latest_served
        ended = served.completed if record.dropped is None else served.dropped
        ended.count(record.status, record.grpc_status)

    def _traced(self, meter: RouteMeter, record: Record, traceparent: bytes) -> None:
        meter.duration.mark(record.ended - record.began, traceparent)
        if self.tracer is not None:
            self.tracer.note(record)

    def trailers(
        self, direction: Direction, outcome: Outcome, route: str, cause: Cause | None = None
    ) -> None:
        """Note what became of a trailer section; a dropped one has a cause."""
        self._meter(route).sections.count(direction, outcome)
        if outcome is DROPPED:
            # there is no loss without a cause: one that nobody named is our own mistake
            self._rare.trailers_dropped(direction, cause or Cause.INTERNAL)

    # -- what is rare --------------------------------------------------------------------

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Note one RST_STREAM, sent or received."""
        self._rare.stream_reset(side, initiator, code, progress, cause)

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Note fields that may not travel in trailers."""
        self._rare.trailer_fields_removed(direction, route, count)

    def digest_checked(self, direction: Direction, outcome: str, route: str) -> None:
        """Note a body that was held to its digest, or got one."""
        self._rare.digest_checked(direction, outcome, route)

    def hook_called(self, hook: str, seconds: float, *, failed: bool) -> None:
        """Note how long a hook took for one part, and whether it raised."""
        self._rare.hook_called(hook, seconds, failed=failed)

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Note a GOAWAY, sent or received."""
        self._rare.goaway(side, direction, code)

    def connection_refused(self, listener: str, cause: Refusal) -> None:
        """Note a client's connection that was refused."""
        self._rare.connection_refused(listener, cause)

    def connected(self, upstream: str, outcome: str) -> None:
        """Note a dial and its outcome."""
        self._rare.connected(upstream, outcome)

    def retried(self, route: str, reason: str, outcome: str) -> None:
        """Note a wish for another attempt, and what became of it."""
        self._rare.retried(route, reason, outcome)

    def endpoint_told(self, upstream: str, event: str) -> None:
        """Note a health check, or an endpoint that was ejected or has returned."""
        self._rare.endpoint_told(upstream, event)

    def load_reported(self, upstream: str, outcome: str) -> None:
        """Note a load report, and whether it could be read."""
        self._rare.load_reported(upstream, outcome)

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        """Note how many endpoints an upstream has, and how they are."""
        self._rare.endpoints_are(upstream, healthy, sick, ejected)

    def requests_wait(self, upstream: str, count: int) -> None:
        """Note how many requests wait for a connection to an upstream."""
        self._rare.requests_wait(upstream, count)
