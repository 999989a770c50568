"""Traffic: what becomes of requests, trailers and calls; the most urgent first.

A new metric gets a line here or in `resources`, and `make dashboard`.
"""

from typing import Final

from deploy.grafana.panel import Panel, Row, graph, stat
from deploy.grafana.queries import (
    LOST_TRAILERS,
    NOT_THE_CLIENTS,
    Query,
    counted,
    error_ratio,
    heat,
    quantiles,
    rate,
    series,
)

_AT_A_GLANCE: Final = (
    stat(
        "Requests",
        "reqps",
        rate("requests_total"),
        "Requests whose head was accepted, a second. A fall to nothing: nobody reaches the proxy, "
        "or it turns connections away.",
    ),
    stat(
        "Errors",
        "percentunit",
        error_ratio(),
        "The part of the answers with a status of 500 or more, or with a gRPC status that is the "
        "server's fault. Above the budget, look at *Answers by status* next.",
        red=0.01,
    ),
    stat(
        "Requests dropped",
        "short",
        counted("streams_dropped_total", NOT_THE_CLIENTS),
        "Requests in the range shown without a clean end relayed both ways; what clients did "
        "themselves is left out. Each has a cause: see *Dropped, by side and cause*.",
        red=1,
    ),
    stat(
        "Trailers lost",
        "short",
        counted("trailers_dropped_total", LOST_TRAILERS),
        "Trailer sections in the range shown that came and could not be handed on; what clients "
        "did themselves, and trailers that may not be sent, are left out. Anything but 0 "
        "is worth a look at *Trailers lost, by cause*.",
        red=1,
    ),
    stat(
        "Not in the books",
        "short",
        Query(f"max(abs({series('instance:trailproxy_requests:unaccounted')}))", instant=True),
        "requests = completed + dropped + active. Anything but 0, for longer than a scrape, is a "
        "bug of trailproxy: please report it. Empty: Prometheus has not loaded the rules of "
        "deploy/prometheus.",
        red=1,
    ),
    stat(
        "Refused configurations",
        "short",
        Query(
            f"count({series('config_last_reload_successful')} == 0) or vector(0)",
            instant=True,
        ),
        "Proxies that refused the configuration tried last, and go on with the one before. They "
        "would not start again with that file: `trailproxy check` names what is wrong.",
        red=1,
    ),
    graph(
        "Requests by route",
        "reqps",
        rate("requests_total", "route"),
        meaning="Requests whose head was accepted. `none`: no route took them; they got a 404.",
    ),
    graph(
        "Dropped, by side and cause",
        "reqps",
        rate("streams_dropped_total", "side", "cause"),
        meaning="Requests without a clean end relayed both ways, by whose fault it was and why. "
        "`downstream` is the clients' doing; of `upstream`, the causes upstream_* and "
        "connect_failed are the backend's, timeouts and queue_* limits of the configuration, "
        "internal a bug.",
    ),
    Panel(
        "Alerts that fire",
        "none",
        (
            Query(
                "sum by (alertname, severity, instance, route, upstream, cause) "
                '(ALERTS{alertname=~"Trailproxy.+", alertstate="firing"})',
                instant=True,
                form="table",
            ),
        ),
        "Of the rules in deploy/prometheus. What each means, and what to do: "
        "docs/observability.md.",
        "table",
    ),
)

_REQUESTS: Final = (
    graph(
        "Answers by status",
        "reqps",
        rate("responses_total", "code", "grpc_status"),
        meaning="What the clients got, the proxy's own answers included: HTTP status, and the gRPC "
        "status wherever it stood. 502, 503 and 504 are mostly the proxy's own, each with a cause.",
    ),
    graph(
        "Errors by route",
        "percentunit",
        Query(
            f"max by (route) ({series('job_route:trailproxy_response_errors:ratio5m')})",
            "{{route}}",
        ),
        Query(
            f"max by (route) ({series('job_route:trailproxy_response_errors:ratio1h')})",
            "{{route}} 1h",
        ),
        meaning="The part of the answers that are errors, over five minutes and over an hour. "
        "Where both are high, TrailproxyErrorBudgetBurnsFast fires. Recorded by the rules.",
    ),
    graph(
        "Error budget, times its pace",
        "short",
        Query(
            f"max by (route) ({series('job_route:trailproxy_response_errors:ratio6h')})"
            " / on () group_left () trailproxy:error_budget",
            "{{route}}",
        ),
        meaning="How many times faster than it may the error budget was spent over six hours. 1 "
        "spends it in time; above 6, TrailproxyErrorBudgetBurnsSlowly fires. Recorded by the "
        "rules, where the objective stands too.",
    ),
    graph(
        "Dropped, by route and cause",
        "reqps",
        rate("streams_dropped_total", "route", "cause", where=NOT_THE_CLIENTS),
        meaning="The same as above by route, without what clients did themselves. Above 1 % of a "
        "route's requests, TrailproxyStreamsDropped fires.",
    ),
    graph(
        "Requests: all, completed, dropped",
        "reqps",
        rate("requests_total", name="all"),
        rate("requests_completed_total", name="completed"),
        rate("streams_dropped_total", name="dropped"),
        meaning="The books. The first is the sum of the others, and of what is in flight.",
    ),
    graph(
        "Tried again",
        "ops",
        rate("retries_total", "route", "reason", "outcome"),
        meaning="Wishes for another attempt. `over_budget` and `exhausted` went to the client as "
        "they were; many `tried` are load that the backend has on top.",
    ),
)

_TRAILERS: Final = (
    graph(
        "Trailer sections, by outcome",
        "ops",
        rate("trailers_total", "direction", "outcome"),
        meaning="What became of trailers. `relayed` is what you want; `missing` were announced, or "
        "owed by gRPC, and never came: look behind this hop. `rejected` were malformed or too "
        "large, `dropped` found nobody to go to.",
    ),
    graph(
        "Trailers lost, by cause",
        "ops",
        rate("trailers_dropped_total", "direction", "cause"),
        meaning="Trailers that came and could not be handed on. `client_*`: the client hung up "
        "first. `not_allowed`: the backend sent them where HTTP has no place for them. Anything "
        "else is a loss.",
    ),
    graph(
        "Missing and rejected, by route",
        "ops",
        rate(
            "trailers_total", "route", "direction", "outcome", where='outcome=~"missing|rejected"'
        ),
        meaning="Which route's backend or clients leave trailers out, or send what is refused. "
        "The access log has `why`.",
    ),
    graph(
        "Fields taken out",
        "ops",
        rate("trailer_fields_removed_total", "direction", "route"),
        meaning="Fields that may not stand in trailers (RFC 9110 section 6.5.1), removed on their "
        "way. Somebody sends what would be read as framing or routing.",
    ),
    graph(
        "Weight of trailers",
        "Bps",
        rate("trailer_bytes_total", "direction", "route"),
        meaning="Octets of the trailers that were sent on. Sudden growth ends at "
        "`limits.max_header_list` or at `trailers.*.max_size` of the route: they are rejected.",
    ),
    graph(
        "Digests",
        "ops",
        rate("digests_total", "direction", "outcome", "route"),
        meaning="Bodies held to their digest. `mismatch`: something between changes bodies, or the "
        "sender hashes something else (cause digest_mismatch).",
    ),
)

_RESETS: Final = (
    graph(
        "Resets: side, initiator, code, cause",
        "ops",
        rate("stream_resets_total", "side", "initiator", "code", "cause"),
        meaning="RST_STREAM frames: on which side, who sent them, with which code, why. One that "
        "is passed on counts twice, as it came in (`peer`) and as it went out (`proxy`): the first "
        "is whose doing it was.",
    ),
    graph(
        "Resets by phase",
        "ops",
        rate("stream_resets_total", "side", "initiator", "phase"),
        meaning="How far the response had come. `before_head`: requests are refused; `body`: "
        "answers break off in the middle; `after_end`: nothing was lost.",
    ),
    graph(
        "GOAWAYs",
        "ops",
        rate("goaways_total", "side", "direction", "code"),
        meaning="Connections that end. NO_ERROR is a restart or a drain; ENHANCE_YOUR_CALM sent "
        "downstream is a client that floods, PROTOCOL_ERROR one that breaks HTTP/2.",
    ),
    graph(
        "Connections refused",
        "ops",
        rate("connections_refused_total", "listener", "cause"),
        meaning="Client connections that ended before any of their requests. `client_name`: the "
        "certificate has none of the names that are let in; the log has what it says.",
    ),
)

_GRPC: Final = (
    graph(
        "Calls by code",
        "reqps",
        rate("grpc_handled_total", "grpc_code"),
        meaning="gRPC calls that are over, by status. Empty: the client got none, as it hung up or "
        "was reset; UNAVAILABLE and DEADLINE_EXCEEDED are often the proxy's own.",
    ),
    graph(
        "Failed calls, by method",
        "reqps",
        rate(
            "grpc_handled_total",
            *("grpc_service", "grpc_method", "grpc_code"),
            where='grpc_code!="OK"',
        ),
        meaning="One method alone: its backend. All at once: the way there.",
    ),
    graph(
        "Calls by method",
        "reqps",
        rate("grpc_started_total", "grpc_service", "grpc_method"),
        meaning="Calls that began. `other`: methods that no upstream is known to have, or more "
        "than `metrics.grpc_methods`; much of it may be a scan.",
    ),
    graph(
        "Duration of calls, by method",
        "s",
        *quantiles("grpc_handling_seconds", "grpc_service", "grpc_method", of=(0.5, 0.99)),
        meaning="From the head of a call to its end; streams last as long as they are used. p99 "
        "near the clients' deadlines means deadline_exceeded next.",
    ),
    graph(
        "Messages",
        "ops",
        rate("grpc_messages_total", "direction"),
        meaning="Messages that came whole, counted when their call is over.",
    ),
    graph(
        "Calls in flight",
        "short",
        Query(
            f"sum by (grpc_service) ({series('grpc_started_total')})"
            f" - sum by (grpc_service) ({series('grpc_handled_total')})",
            "{{grpc_service}}",
        ),
        meaning="Begun and not over. A steady climb: calls that never end.",
    ),
)

_LATENCY: Final = (
    graph(
        "Duration, by route",
        "s",
        *quantiles("request_duration_seconds", "route"),
        meaning="From the request head to the end of both messages, dropped ones included. What "
        "*Response head of the upstream, by route* does not explain is large bodies, or readers "
        "that are slow. Exemplars lead to traces.",
    ),
    graph(
        "Response head of the upstream, by route",
        "s",
        *quantiles("upstream_response_head_seconds", "route"),
        meaning="From the request head sent upstream to the upstream's response head: the "
        "backend's own time. Near `timeouts.response_head` it ends in 504 (response_head_timeout).",
    ),
    Panel(
        "Durations, all of them",
        "s",
        (heat("request_duration_seconds"),),
        "How the durations are spread. A second band far above the first is one endpoint, one "
        "route or a retry that costs a timeout.",
        "heatmap",
    ),
)

ROWS: Final = (
    Row("At a glance", _AT_A_GLANCE),
    Row("Requests", _REQUESTS),
    Row("Trailers", _TRAILERS),
    Row("Resets and refusals", _RESETS),
    Row("gRPC", _GRPC),
    Row("Latency", _LATENCY),
)
