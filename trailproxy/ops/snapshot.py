"""Snapshot: the configuration, compiled; decided once, never changed.

Everything a request could ask the configuration is answered here, at load.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from trailproxy.core.matching import Condition, HasField, HasMethod, IsGrpc, Wanted
from trailproxy.core.routing import Deadlines, Route, Router, Share
from trailproxy.core.target import plain_path
from trailproxy.core.upstream import Upstream
from trailproxy.ops import patterns
from trailproxy.ops.handling import handling
from trailproxy.ops.retry_settings import RetrySettings
from trailproxy.ops.route_settings import MatchField
from trailproxy.ops.settings import Duration, Limits, Match, RouteSettings, Settings
from trailproxy.wire import WireParams


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What runs: the settings as they were read, and where requests go by them."""

    settings: Settings
    router: Router


def compile_snapshot(settings: Settings, upstreams: Mapping[str, Upstream]) -> Snapshot:
    """Compile settings; `upstreams` holds every name their routes use."""
    rate = int(settings.limits.min_rate)
    routes = tuple(_route(route, upstreams, rate) for route in settings.routes)
    takes_all = settings.dot_segments == "pass"
    return Snapshot(settings, Router(routes, patterns.combine, takes_dot_segments=takes_all))


def wire_params(limits: Limits) -> WireParams:
    """Return the limits as the codec takes them."""
    return WireParams(
        max_concurrent_streams=limits.max_concurrent_streams,
        stream_window=int(limits.stream_window),
        connection_window=int(limits.connection_window),
        max_header_list=int(limits.max_header_list),
        max_header_fields=limits.max_header_fields,
    )


def _route(settings: RouteSettings, upstreams: Mapping[str, Upstream], min_rate: int) -> Route:
    if isinstance(settings.upstream, str):
        share = Share([(upstreams[settings.upstream], 1)])
    else:
        weighed = [target for target in settings.upstream if target.weight > 0]
        share = Share([(upstreams[target.name], target.weight) for target in weighed])
    timeouts = settings.timeouts
    return Route(
        name=settings.name,
        share=share,
        wanted=_wanted(settings.match),
        deadlines=Deadlines(
            response_head=_first(timeouts.response_head, settings.retry),
            idle=_limit(timeouts.idle),
            total=_limit(timeouts.total),
            min_rate=min_rate,
        ),
        handling=handling(settings),
    )


def _wanted(match: Match) -> Wanted:
    # `/` means every request, those without a path among them: `OPTIONS *` and CONNECT
    path, prefix = match.path or "", (match.path_prefix or "").removeprefix("/")
    prefix = "/" + prefix if prefix else ""
    if match.grpc is not None and match.grpc.service is not None:
        service = f"/{match.grpc.service}/"
        path, prefix = (service + match.grpc.method, "") if match.grpc.method else ("", service)
    return Wanted(
        authority=(match.authority or "").lower().encode(),
        path=plain_path(path.encode()),
        prefix=plain_path(prefix.encode()),
        pattern=match.path_regex or "",
        conditions=tuple(_conditions(match)),
    )


def _conditions(match: Match) -> Iterator[Condition]:
    if match.method is not None:
        yield HasMethod(match.method)
    if match.grpc is not None:
        # with a service, the path has the method
        alone = match.grpc.method if match.grpc.service is None else None
        yield IsGrpc((alone or "").encode())
    for field in match.headers:
        yield HasField(field.name.lower().encode(), _will_do(field))


def _will_do(field: MatchField) -> Callable[[bytes], object] | None:
    if field.regex is not None:
        return patterns.whole(field.regex)
    return None if field.value is None else field.value.encode().__eq__


def _first(response_head: Duration, retry: RetrySettings | None) -> float | None:
    """Return how long one attempt may take to its response head."""
    per_try = None if retry is None else _limit(retry.per_try_timeout)
    limits = [limit for limit in (_limit(response_head), per_try) if limit is not None]
    return min(limits, default=None)


def _limit(duration: Duration) -> float | None:
    return float(duration) or None
