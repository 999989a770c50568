"""Queries: the PromQL of the dashboard.

Each asks for the jobs and instances that its reader chose, and for his routes and
upstreams where the metric has them. Names go without `trailproxy_`, but for recorded
series, which have a colon, and for those of the process.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

#: Which metrics have a route, and which an upstream; a test holds them to the metrics page.
ROUTED: Final = frozenset(
    {
        "digests_total",
        "request_duration_seconds_bucket",
        "requests_completed_total",
        "requests_total",
        "responses_total",
        "retries_total",
        "streams_dropped_total",
        "trailer_bytes_total",
        "trailer_fields_removed_total",
        "trailers_total",
        "upstream_response_head_seconds_bucket",
    }
)
OF_UPSTREAMS: Final = frozenset(
    {
        "endpoint_events_total",
        "endpoints",
        "load_reports_total",
        "upstream_connects_total",
        "upstream_requests_total",
        "upstream_requests_waiting",
    }
)

#: What a client did itself. It may: it is shown, but it is no loss of ours.
NOT_THE_CLIENTS: Final = 'cause!~"client_.+"'
#: Nor are trailers where HTTP has no place for them.
LOST_TRAILERS: Final = 'cause!~"client_.+|not_allowed"'

#: The gRPC statuses that are the server's fault.
SERVER_ERRORS: Final = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"


class Query(NamedTuple):
    """One query of a panel."""

    expr: str
    legend: str = ""
    instant: bool = False  # its last value is all that is shown
    exemplar: bool = False  # it may be asked for traces, too
    form: str = "time_series"  # or table, heatmap


def series(metric: str, *matchers: str) -> str:
    """Return the selector of a metric, held to what the reader chose."""
    if ":" in metric:
        chosen = [f'{label}=~"${label}"' for label in _LEVELS[metric.partition(":")[0]]]
        return f"{metric}{{{', '.join([*chosen, *matchers])}}}"
    chosen = ['job=~"$job"', 'instance=~"$instance"']
    if metric in ROUTED:
        chosen.append('route=~"$route"')
    if metric in OF_UPSTREAMS:
        chosen.append('upstream=~"$upstream"')
    name = metric if metric.startswith("process_") else f"trailproxy_{metric}"
    return f"{name}{{{', '.join([*chosen, *matchers])}}}"


# a recorded series begins with the labels it has
_LEVELS: Final = {"job_route": ("job", "route"), "instance": ("job", "instance")}


def rate(metric: str, *by: str, where: str = "", name: str = "") -> Query:
    """Return how often something happens in a second, by some labels."""
    return Query(_sum(by, f"rate({_where(metric, where)}[$__rate_interval])"), _legend(by, name))


def level(metric: str, *by: str, where: str = "", name: str = "") -> Query:
    """Return how much there is now, by some labels."""
    return Query(_sum(by, _where(metric, where)), _legend(by, name))


def counted(metric: str, where: str = "") -> Query:
    """Return how often something happened in the range that is shown.

    A series appears with its first event, which increase() does not see.
    """
    found = _where(metric, where)
    new = f"({found} unless {found} offset $__range)"
    return Query(f"sum({new} or increase({found}[$__range])) or vector(0)", instant=True)


def quantiles(metric: str, *by: str, of: Iterable[float] = (0.5, 0.9, 0.99)) -> tuple[Query, ...]:
    """Return quantiles of a histogram of durations, by some labels."""
    buckets = f"rate({series(metric + '_bucket')}[$__rate_interval])"
    return tuple(
        Query(
            f"histogram_quantile({quantile:g}, {_sum((*by, 'le'), buckets)})",
            _legend(by, f"p{100 * quantile:g}"),
            exemplar=metric == "request_duration_seconds",
        )
        for quantile in of
    )


def heat(metric: str) -> Query:
    """Return all of a histogram, a row for each bucket."""
    buckets = f"rate({series(metric + '_bucket')}[$__rate_interval])"
    return Query(_sum(("le",), buckets), "{{le}}", exemplar=True, form="heatmap")


def error_ratio() -> Query:
    """Return the part of the answers that are errors, as the rules count them; none, if idle."""
    bad = " or ".join(
        f"rate({series('responses_total', matcher)}[$__rate_interval])"
        for matcher in ('code=~"5.."', f'grpc_status=~"{SERVER_ERRORS}"')
    )
    every = f"sum(rate({series('responses_total')}[$__rate_interval]))"
    return Query(f"(sum({bad}) or vector(0)) / ({every} > 0)")


def _where(metric: str, matchers: str) -> str:
    return series(metric, *([matchers] if matchers else ()))


def _sum(by: tuple[str, ...], what: str) -> str:
    return f"sum by ({', '.join(by)}) ({what})" if by else f"sum({what})"


def _legend(by: tuple[str, ...], name: str) -> str:
    return " ".join([*(f"{{{{{label}}}}}" for label in by), *([name] if name else ())])
