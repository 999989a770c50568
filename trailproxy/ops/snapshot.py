"""Snapshot: the configuration, compiled; decided once, never changed.

Everything a request could ask the configuration is answered here, at load.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trailproxy.core.routing import Deadlines, Route, Router, Share
from trailproxy.core.upstream import Upstream
from trailproxy.ops.handling import handling
from trailproxy.ops.settings import Duration, Limits, RouteSettings, Settings
from trailproxy.wire import WireParams


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What runs: the settings as they were read, and where requests go by them."""

    settings: Settings
    router: Router


def compile_snapshot(settings: Settings, upstreams: Mapping[str, Upstream]) -> Snapshot:
    """Compile settings; `upstreams` holds every name their routes use."""
    routes = tuple(_route(route, upstreams) for route in settings.routes)
    return Snapshot(settings, Router(routes))


def wire_params(limits: Limits) -> WireParams:
    """Return the limits as the codec takes them."""
    return WireParams(
        max_concurrent_streams=limits.max_concurrent_streams,
        stream_window=int(limits.stream_window),
        connection_window=int(limits.connection_window),
        max_header_list=int(limits.max_header_list),
    )


def _route(settings: RouteSettings, upstreams: Mapping[str, Upstream]) -> Route:
    if isinstance(settings.upstream, str):
        share = Share([(upstreams[settings.upstream], 1)])
    else:
        share = Share([(upstreams[target.name], target.weight) for target in settings.upstream])
    timeouts = settings.timeouts
    return Route(
        name=settings.name,
        share=share,
        authority=(settings.match.authority or "").lower().encode(),
        path_prefix=_prefix(settings.match.path_prefix),
        deadlines=Deadlines(
            response_head=_limit(timeouts.response_head),
            idle=_limit(timeouts.idle),
            total=_limit(timeouts.total),
        ),
        handling=handling(settings),
    )


def _prefix(path_prefix: str | None) -> bytes:
    """`/` means every request, those without a path among them: `OPTIONS *` and CONNECT."""
    return b"" if path_prefix is None or path_prefix == "/" else path_prefix.encode()


def _limit(duration: Duration) -> float | None:
    return float(duration) or None
