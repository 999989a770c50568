"""View: an exchange in flight, in the words of the record, for `/streams`."""

from typing import TYPE_CHECKING, Any

from trailproxy.core.lane import Phase

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange
    from trailproxy.core.lane import Lane


def describe(exchange: "Exchange", now: float) -> dict[str, Any]:
    """Say where an exchange stands at `now`, in clock seconds."""
    record = exchange.record
    return {
        "listener": record.listener,
        "route": record.route,
        "peer": record.peer,
        "method": record.method,
        "authority": record.authority,
        "path": record.path,
        "upstream": record.upstream,
        "endpoint": record.endpoint,
        "attempts": record.attempts,
        "status": record.status,
        "age_s": round(now - record.began, 3),
        "downstream_stream": exchange.down.sid,
        "upstream_stream": exchange.up.sid if exchange.up is not None else None,
        "request": _describe_lane(exchange.request),
        "response": _describe_lane(exchange.response),
    }


def _describe_lane(lane: "Lane") -> dict[str, Any]:
    return {
        "phase": Phase.NAMES[lane.phase],
        "arrived_bytes": lane.arrived,
        "departed_bytes": lane.departed,
        "parked_bytes": lane.parked_bytes,
    }
