"""Resources: what is near its bound, how the upstreams are, and the process itself."""

from typing import Final

from deploy.grafana.panel import Row, graph
from deploy.grafana.queries import Query, level, quantiles, rate, series

_UPSTREAM: Final = 'side="upstream"'

_SATURATION: Final = (
    graph(
        "Streams and connections",
        "short",
        level("streams_active", "side", name="streams"),
        level("connections_active", "side", name="connections"),
        meaning="Open now. Streams that climb while requests do not: the backend is slower than "
        "its clients. The bounds are `max_concurrent_streams`, `max_streams` and "
        "`max_connections`.",
    ),
    graph(
        "In flight, and without a stream upstream",
        "short",
        level("requests_active", name="in flight"),
        Query(
            f"clamp_min(sum({series('requests_active')})"
            f" - sum({series('streams_active', _UPSTREAM)}), 0)",
            "without a stream upstream",
        ),
        meaning="Without one, requests wait in the queue, for a dial or to be tried again, or "
        "only their response is still departing. A climb that *Parked bytes* does not explain is "
        "the queue; at `queue_limit` it turns requests away.",
    ),
    graph(
        "Turned away by the queue",
        "reqps",
        rate("streams_dropped_total", "route", "cause", where='cause=~"queue_.+"'),
        meaning="No stream was free: at once (queue_full) or within `queue_timeout`. The backend "
        "is too slow, or allows few streams: more endpoints, or more `max_connections`.",
    ),
    graph(
        "Parked bytes",
        "bytes",
        level("parked_bytes", "side"),
        meaning="Body octets from a side that wait because the other does not read. High from "
        "`upstream`: slow clients; from `downstream`: a slow backend. The windows bound it: "
        "`stream_window` for each stream.",
    ),
    graph(
        "Flow-control stalls",
        "ops",
        rate("flow_control_stalls_total", "side"),
        meaning="Times a body had to wait for the window or the socket of this side: it reads "
        "more slowly than the other sends. Harmless while *Parked bytes* is low.",
    ),
    graph(
        "Body bytes",
        "Bps",
        rate("bytes_total", "side", "direction"),
        meaning="Body octets received from and sent to each side. What comes in on one side goes "
        "out on the other; a lasting gap waits in *Parked bytes*.",
    ),
)

_UPSTREAMS: Final = (
    graph(
        "Requests, by what became of them",
        "reqps",
        rate("upstream_requests_total", "upstream", "outcome", "code", "grpc_status"),
        meaning="Of each upstream, so that two versions that share a route can be compared. "
        "`dropped` with a code: it was broken off behind its head.",
    ),
    graph(
        "Requests that wait for a connection",
        "short",
        level("upstream_requests_waiting", "upstream"),
        meaning="All streams are in use, or nobody answers the dial. Behind `queue_timeout` they "
        "end with 503; beyond `queue_limit` none may wait.",
    ),
    graph(
        "Endpoints by health",
        "short",
        level("endpoints", "upstream", "state"),
        meaning="`sick` by health checks, `ejected` by what became of their requests. With fewer "
        "than `panic_threshold` healthy, all are used again; with none at all, names resolve to "
        "nothing (no_endpoint).",
    ),
    graph(
        "Dials, by outcome",
        "ops",
        rate("upstream_connects_total", "upstream", "outcome"),
        meaning="Connections to endpoints. Anything but `ok` is a failure, and ends in "
        "connect_failed when no endpoint is left. Many `ok`: the backend closes what it should "
        "keep.",
    ),
    graph(
        "What was told of endpoints",
        "ops",
        rate("endpoint_events_total", "upstream", "event"),
        rate("load_reports_total", "upstream", "outcome", name="load report"),
        meaning="Health checks, ejections, returns, what endpoints report of their load, and what "
        "the API server of a cluster tells. `check_failed` beside `check_passed`: an endpoint that "
        "is neither up nor down, or a timeout that is too short. `watch_failed`: new pods are not "
        "heard of. A load report that is not `read` changes nothing.",
    ),
)

_PROCESS: Final = (
    graph(
        "Memory",
        "bytes",
        level("process_resident_memory_bytes", "instance"),
        meaning="Resident. It follows connections and *Parked bytes*; one that climbs without "
        "them is a leak. With several workers it is the supervisor's alone, as are CPU and files.",
    ),
    graph(
        "CPU",
        "percentunit",
        rate("process_cpu_seconds_total", "instance"),
        meaning="Of one core. A process at 1 is full: give it more `workers`.",
    ),
    graph(
        "Open files",
        "short",
        level("process_open_fds", "instance", name="open"),
        level("process_max_fds", "instance", name="bound"),
        meaning="Sockets among them. At the bound no connection is taken and no backend dialled: "
        "raise it (`LimitNOFILE`, `ulimit -n`).",
    ),
    graph(
        "Workers",
        "short",
        level("workers", "state"),
        Query(
            f"sum(increase({series('worker_restarts_total')}[$__rate_interval]))",
            "started again",
        ),
        meaning="Worker processes; empty where one process serves alone. One that was started "
        "again took its streams with it (worker_died); the log of the process says how it ended.",
    ),
    graph(
        "Configuration",
        "short",
        Query(
            f"sum by (outcome) (increase({series('config_reloads_total')}[$__rate_interval]))",
            "{{outcome}}",
        ),
        Query(
            f"(time() - max({series('config_last_reload_success_timestamp_seconds')})) / 86400",
            "age of the newest, days",
        ),
        meaning="Attempts to load the configuration again. After `failed` the proxy runs on with "
        "the one before, and would not start with the new one.",
    ),
    graph(
        "Certificates, days left",
        "d",
        Query(
            f"min by (kind, name) ({series('certificate_expiry_timestamp_seconds')} - time())"
            " / 86400",
            "{{kind}} {{name}}",
        ),
        meaning="Until the certificate of a listener, or ours towards an upstream, ends. A renewed "
        "file is taken up by itself, unless `watch` is off.",
    ),
    graph(
        "Hooks",
        "s",
        *quantiles("hook_seconds", "hook", of=(0.99,)),
        meaning="How long hooks of routes take for one part; the whole process waits for them. "
        "Milliseconds here are milliseconds for everybody.",
    ),
    graph(
        "Lost on the way to others",
        "ops",
        rate("access_log_lost_lines_total", name="access log lines"),
        rate("trace_spans_total", "outcome", name="spans"),
        rate("hook_failures_total", "hook", name="failed"),
        meaning="Lines that the access log's sink did not take, spans that no collector got "
        "(all but `exported`), hooks that raised (hook_failed). Requests wait for none of them.",
    ),
    graph(
        "Versions",
        "short",
        Query(
            f"count by (version, codec, python) ({series('build_info')})",
            "{{version}} {{codec}} Python {{python}}",
        ),
        meaning="How many proxies run what. Two versions for long: a roll-out that stands still.",
    ),
)

ROWS: Final = (
    Row("Saturation", _SATURATION),
    Row("Upstreams", _UPSTREAMS),
    Row("The process", _PROCESS),
)
