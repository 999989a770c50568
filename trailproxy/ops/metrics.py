"""Metrics: what happened, counted as it happens and read when somebody asks.

Counting is one line of plain Python on a dict; families, labels and text exist
only while a page is rendered. Every label has few values, whatever peers send.

The books must balance: requests = completed + dropped + active. `active` is the
set of exchanges in flight and not a difference, so a request that was lost, or
ended twice, shows.
"""

from collections.abc import Mapping
from threading import Lock

from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.record import Direction, Progress, Record, Tally
from trailproxy.ops.access_line import grpc_name, route_name
from trailproxy.ops.access_log import AccessLog
from trailproxy.ops.counting import Responses
from trailproxy.ops.drops import Drops
from trailproxy.ops.families import METHOD, Counts, Gauges, Histogram, MethodNames, Totals
from trailproxy.ops.meters import Meters
from trailproxy.wire.errors import code_name


class Metrics:
    """All that is counted; `meters` is the Observer of the exchanges, and counts the most of it.

    Attributes:
        active_elsewhere: how many are in flight in the processes whose readings were added.
        methods: the gRPC methods that have series of their own.
        lost_lines: what logs that are closed, and those of other processes, have lost.
        workers: how many there are in each state; empty in a process that serves alone.
        loaded_at: when the running configuration was loaded, in seconds since 1970.
        certificates: when ours end, in seconds since 1970, by whose they are and its name.
        drops: the exchanges that were dropped last.
    """

    def __init__(
        self,
        tallies: Mapping[Side, Tally],
        *,
        codec: str = "native",
        log: AccessLog | None = None,
        loaded_at: float = 0.0,
    ) -> None:
        # set by the app
        self.tallies = tallies
        self.codec = codec
        self.meters = Meters(self)
        self.log = log
        self.lost_lines = 0
        self.methods = MethodNames()
        self.certificates: dict[tuple[str, str], float] = {}
        self.drops = Drops()
        # set by the supervisor
        self.workers: dict[str, int] = {}
        self.active_elsewhere = 0
        # taken from the meters, or written by what they hand on
        self.requests = Counts(
            "requests_total",
            ("listener", "route", "method"),
            "Requests whose head was accepted, by listener, route (none: no route matched) and "
            "method. Always requests_completed_total + streams_dropped_total + requests_active.",
        )
        self.completed = Counts(
            "requests_completed_total",
            ("route",),
            "Requests with a clean end relayed both ways, or that needed no upstream.",
        )
        self.dropped = Counts(
            "streams_dropped_total",
            ("side", "cause", "route"),
            "Requests without a clean end relayed both ways; side is whose fault it was "
            "(downstream: the client's, upstream: the backend's or the proxy's).",
        )
        self.responses = Counts(
            "responses_total",
            ("route", "code", "grpc_status"),
            "Responses the client got, the proxy's own included: code is the HTTP status, "
            "grpc_status the gRPC status wherever it stood (empty: none; invalid: no such status).",
        )
        self.resets = Counts(
            "stream_resets_total",
            ("side", "initiator", "code", "phase", "cause"),
            "RST_STREAM frames: side is the connection they passed on (downstream: with the "
            "client, upstream: with the backend), initiator who sent them (peer or proxy), code "
            "the error code, phase how far the response had come there, cause why.",
        )
        self.trailer_sections = Counts(
            "trailers_total",
            ("direction", "outcome", "route"),
            "Trailer sections, by the message they ended (direction request or response) and by "
            "what became of them; missing ones were announced, or owed by gRPC, and never came.",
        )
        self.lost_sections = Counts(
            "trailers_dropped_total",
            ("direction", "cause"),
            'What trailers_total{outcome="dropped"} counts, by message and cause.',
        )
        self.fields_removed = Counts(
            "trailer_fields_removed_total",
            ("direction", "route"),
            "Fields taken out of trailer sections because they must not travel in one, by message.",
        )
        self.digests = Counts(
            "digests_total",
            ("direction", "outcome", "route"),
            "Bodies that were held to their digest (verified, mismatch, or unverified: they "
            "named none that is known here), or got one (added).",
        )
        self.hook_seconds = Histogram(
            "hook_seconds", ("hook",), "Seconds that a hook took for one part of an exchange."
        )
        self.hook_failures = Counts(
            "hook_failures_total", ("hook",), "Times a hook raised what no hook should."
        )
        self.trailer_bytes = Counts(
            "trailer_bytes_total",
            ("direction", "route"),
            "Octets of the trailer sections that were sent on, by message; as "
            "SETTINGS_MAX_HEADER_LIST_SIZE counts: names and values, and 32 for each field.",
        )
        self._count_connections()
        self.duration = Histogram(
            "request_duration_seconds",
            ("route",),
            "Seconds from the request head to the end of both messages, dropped ones included.",
        )
        self.response_head = Histogram(
            "upstream_response_head_seconds",
            ("route",),
            "Seconds from the request head sent upstream to the upstream's response head.",
        )
        self.grpc_started = Counts(
            "grpc_started_total",
            METHOD,
            "gRPC calls that began, by service and method; other: all methods that no upstream is "
            "known to have, or that are too many for metrics.grpc_methods.",
        )
        self.grpc_handled = Counts(
            "grpc_handled_total",
            (*METHOD, "grpc_code"),
            "gRPC calls that are over, by service, method and gRPC status (empty: the client got "
            "none; invalid: no such status).",
        )
        self.grpc_messages = Counts(
            "grpc_messages_total",
            (*METHOD, "direction"),
            "gRPC messages that came whole, by service, method and direction (request: from the "
            "client, response: from the upstream), counted when their call is over.",
        )
        self.grpc_handling = Histogram(
            "grpc_handling_seconds",
            METHOD,
            "Seconds from the request head of a gRPC call to its end, by service and method.",
        )
        # written by count_spans
        self.spans = Counts(
            "trace_spans_total",
            ("outcome",),
            "Spans for the trace collector (exported, failed: it did not take them, overflowed: "
            "there were too many to send).",
        )
        self._counting_spans = Lock()
        # written by the supervisor
        self.restarts = Counts(
            "worker_restarts_total", (), "Times a worker that had ended was started again."
        )
        self._count_reloads()
        self.loaded_at = loaded_at

    def _count_connections(self) -> None:
        self.goaways = Counts(
            "goaways_total",
            ("side", "direction", "code"),
            "GOAWAY frames: side is the connection they passed on, direction whether the proxy "
            "received or sent them, code the error code.",
        )
        self.refusals = Counts(
            "connections_refused_total",
            ("listener", "cause"),
            "Client connections that were refused before any of their requests, by listener "
            "and cause.",
        )
        self.connects = Counts(
            "upstream_connects_total",
            ("upstream", "outcome"),
            "Connections dialled to an upstream's endpoints; every outcome but ok is a failure.",
        )
        self.served = Counts(
            "upstream_requests_total",
            ("upstream", "outcome", "code", "grpc_status"),
            "Requests to an upstream that are over, by outcome (completed, dropped) and by what "
            "their client got: code is the HTTP status (empty: none), grpc_status the gRPC status.",
        )
        self.waiting = Gauges(
            "upstream_requests_waiting",
            ("upstream",),
            "Requests that wait for a connection to an upstream now, at most a second ago.",
        )
        self.endpoints = Gauges(
            "endpoints",
            ("upstream", "state"),
            "Endpoints of an upstream now: healthy, sick (by what they answer to health checks) "
            "or ejected (by what became of their requests).",
        )
        self.retries = Counts(
            "retries_total",
            ("route", "reason", "outcome"),
            "Wishes for another attempt, by what asked for it and what became of it: tried, "
            "succeeded, exhausted, over_budget, or not_kept (the request was too large).",
        )
        self.endpoint_events = Counts(
            "endpoint_events_total",
            ("upstream", "event"),
            "What was told of endpoints: check_passed, check_failed, ejected, returned, or "
            "relieved: a connection that had sent too many resets made room for another; and by "
            "the API server of a cluster: listed, changed, or nothing (watch_failed).",
        )
        self.load_reports = Counts(
            "load_reports_total",
            ("upstream", "outcome"),
            "Load reports of endpoints: read, incomplete (without a utilization or without "
            "rps_fractional), or malformed.",
        )

    def _count_reloads(self) -> None:
        # written by reloaded
        self.reloads = Counts(
            "config_reloads_total",
            ("outcome",),
            "Attempts to load the configuration again, by outcome (ok, failed).",
        )
        self.reloads[("ok",)] = self.reloads[("failed",)] = 0
        self.last_reload_ok = True

    @property
    def log(self) -> AccessLog | None:
        """Where finished exchanges are written; may be replaced at any time."""
        return self._log

    @log.setter
    def log(self, log: AccessLog | None) -> None:
        self._log = log
        self.meters.log = log if log is not None and log.on else None

    def count_spans(self, outcome: str, count: int) -> None:
        """Note what became of spans; may be called by any thread."""
        with self._counting_spans:
            self.spans[outcome,] += count

    def allow_methods(self, limit: int) -> None:
        """Bound how many gRPC methods have series of their own."""
        self.methods.limit = self.meters.grpc.limit = limit

    def take(self) -> None:
        """Take over what the meters have counted; before anything is read."""
        for name, meter in self.meters.take().items():
            route = route_name(name)
            for (listener, method), count in meter.requests.all().items():
                self.requests[listener, route, method] += count
            for (status, grpc_status), count in meter.responses.all().items():
                self.responses[route, status, grpc_name(grpc_status)] += count
            for (direction, outcome), count in meter.sections.all().items():
                self.trailer_sections[direction, outcome, route] += count
            if meter.completed:
                self.completed[route,] += meter.completed
            _add(self.trailer_bytes, (Direction.REQUEST, route), meter.request_trailer_bytes)
            _add(self.trailer_bytes, (Direction.RESPONSE, route), meter.response_trailer_bytes)
            self.duration.observed((route,), meter.duration)
            self.response_head.observed((route,), meter.response_head)
        for upstream, served in self.meters.take_upstreams().items():
            self._take_served(upstream, "completed", served.completed)
            self._take_served(upstream, "dropped", served.dropped)
        self._take_grpc()

    def _take_served(self, upstream: str, outcome: str, responses: Responses) -> None:
        for (status, grpc_status), count in responses.all().items():
            self.served[upstream, outcome, status or "", grpc_name(grpc_status)] += count

    def _take_grpc(self) -> None:
        for service, method, counts in self.meters.grpc.take():
            name = self.methods.fold(METHOD, (service, method))
            _add(self.grpc_started, name, counts.started)
            for (_, status), count in counts.handled.all().items():
                self.grpc_handled[*name, grpc_name(status)] += count
            _add(self.grpc_messages, (*name, Direction.REQUEST), counts.request_messages)
            _add(self.grpc_messages, (*name, Direction.RESPONSE), counts.response_messages)
            self.grpc_handling.observed(name, counts.duration)

    # -- Rare: what the meters hand on ----------------------------------------------------

    def exchange_dropped(self, record: Record) -> None:
        """Note an exchange that did not end cleanly."""
        side, cause = record.dropped_side or "none", record.dropped or Cause.INTERNAL
        self.dropped[side, cause, route_name(record.route)] += 1
        self.drops.keep(record)

    def trailers_dropped(self, direction: Direction, cause: Cause) -> None:
        """Note why a trailer section was dropped."""
        self.lost_sections[direction, cause] += 1

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Note one RST_STREAM, sent or received."""
        self.resets[side, initiator, code_name(code), progress, cause] += 1

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Note fields that may not travel in trailers (RFC 9110 section 6.5.1)."""
        self.fields_removed[direction, route_name(route)] += count

    def digest_checked(self, direction: Direction, outcome: str, route: str) -> None:
        """Note a body that was held to its digest, or got one."""
        self.digests[direction, outcome, route_name(route)] += 1

    def hook_called(self, hook: str, seconds: float, *, failed: bool) -> None:
        """Note how long a hook took for one part, and whether it raised."""
        self.hook_seconds[hook,].observe(seconds)
        self.hook_failures[hook,] += failed

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Note a GOAWAY, sent or received."""
        self.goaways[side, direction, code_name(code)] += 1

    def connection_refused(self, listener: str, cause: Refusal) -> None:
        """Note a client's connection that was refused."""
        self.refusals[listener, cause] += 1

    def connected(self, upstream: str, outcome: str) -> None:
        """Note a dial and its outcome."""
        self.connects[upstream, outcome] += 1

    def retried(self, route: str, reason: str, outcome: str) -> None:
        """Note a wish for another attempt, and what became of it."""
        self.retries[route_name(route), reason, outcome] += 1

    def endpoint_told(self, upstream: str, event: str) -> None:
        """Note a health check, or an endpoint that was ejected or has returned."""
        self.endpoint_events[upstream, event] += 1

    def load_reported(self, upstream: str, outcome: str) -> None:
        """Note a load report, and whether it could be read."""
        self.load_reports[upstream, outcome] += 1

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        """Note how many endpoints an upstream has, and how they are."""
        for state, count in (("healthy", healthy), ("sick", sick), ("ejected", ejected)):
            self.endpoints[upstream, state] = count

    def requests_wait(self, upstream: str, count: int) -> None:
        """Note how many requests wait for a connection to an upstream."""
        self.waiting[upstream,] = count

    def reloaded(self, ok: bool, at: float) -> None:
        """Note an attempt, `at` seconds since 1970, to load the configuration again."""
        self.reloads["ok" if ok else "failed",] += 1
        self.last_reload_ok = ok
        if ok:
            self.loaded_at = at

    def totals(self) -> Totals:
        """Add up the books."""
        self.take()
        return Totals(
            sum(self.requests.values()),
            sum(self.completed.values()),
            sum(self.dropped.values()),
            self.in_flight,
        )

    @property
    def in_flight(self) -> int:
        """How many exchanges are in flight."""
        return sum(self.meters.active.values()) + self.active_elsewhere


def _add(counts: Counts, key: tuple[str | int, ...], count: int) -> None:
    """Add to a count; a series begins with its first event."""
    if count:
        counts[key] += count
