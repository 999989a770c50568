"""Spans: what a record says as a span, in the words of OpenTelemetry where it has some."""

from typing import Final, NamedTuple

from trailproxy.core.fault import Side
from trailproxy.core.record import REQUEST, RESPONSE, Direction, Ending, Record
from trailproxy.ops.access_line import route_name
from trailproxy.wire.errors import code_name

Attributes = dict[str, str | int]

_MAX_TEXT: Final = 256  # characters of what peers choose
#: The statuses that are a server's fault, by OpenTelemetry's conventions for gRPC.
_SERVER_FAULTS: Final = frozenset({"2", "4", "12", "13", "14", "15"})


class Event(NamedTuple):
    """Something that happened in the span; when, we do not know better than "by its end"."""

    name: str
    attributes: Attributes


class Span(NamedTuple):
    """One exchange, as its trace shows it."""

    name: str
    trace_id: str  # hexadecimal
    parent_id: str
    began: float  # seconds since 1970
    ended: float
    attributes: Attributes
    events: tuple[Event, ...]
    failed: str  # why; empty when the server is not at fault


def span_of(record: Record, trace_id: str, parent_id: str, ended: float) -> Span:
    """Describe a finished exchange as a child of its client's span."""
    attributes = _attributes(record)
    asked = record.asked
    service, _, method = asked.path.decode("latin-1")[1:].rpartition("/")
    name = f"{record.method} {route_name(record.route)}"
    if asked.grpc and service:
        name = f"{service}/{method}"
        attributes |= {"rpc.service": service[:_MAX_TEXT], "rpc.method": method[:_MAX_TEXT]}
    return Span(
        name[:_MAX_TEXT],
        trace_id,
        parent_id,
        ended - record.duration,
        ended,
        attributes,
        (*_resets(record), *_trailers(record)),
        _failure(record),
    )


def _attributes(record: Record) -> Attributes:
    path, _, _ = record.path.partition("?")  # what stands behind it may be secret
    attributes: Attributes = {
        "http.request.method": record.method[:_MAX_TEXT],
        "url.path": path[:_MAX_TEXT],
        "server.address": record.authority[:_MAX_TEXT],
        "client.address": record.peer,
        "trailproxy.route": route_name(record.route),
        "trailproxy.upstream": record.upstream,
        "trailproxy.endpoint": record.endpoint,
        "trailproxy.attempts": record.attempts,
    }
    if record.status:
        attributes["http.response.status_code"] = record.status
    if record.grpc:
        attributes["rpc.system"] = "grpc"
    if record.grpc_status.isdecimal():
        attributes["rpc.grpc.status_code"] = int(record.grpc_status[:3])
    if record.dropped is not None:
        attributes["trailproxy.cause"] = record.dropped
        attributes["trailproxy.side"] = record.dropped_side or "none"
    return attributes


def _resets(record: Record) -> list[Event]:
    return [
        Event(
            "reset",
            {
                "side": side,
                "initiator": initiator,
                "code": code_name(code),
                "phase": phase,
                "cause": cause,
            },
        )
        for side, initiator, code, phase, cause in record.resets or ()
    ]


def _trailers(record: Record) -> list[Event]:
    sections: list[tuple[Direction, Ending, int, int]] = [
        (REQUEST, record.request_ending, record.request_trailers, record.request_trailer_bytes),
        (RESPONSE, record.response_ending, record.response_trailers, record.response_trailer_bytes),
    ]
    return [
        Event("trailers", {"direction": direction, "fields": fields, "bytes": size})
        for direction, ending, fields, size in sections
        if ending is Ending.TRAILERS
    ]


def _failure(record: Record) -> str:
    """Say what the server side did wrong; what a client did is no fault of the server's."""
    if record.dropped is not None and record.dropped_side is not Side.DOWNSTREAM:
        return record.why[:_MAX_TEXT] or record.dropped
    if record.status >= 500:
        return f"HTTP {record.status}"
    return f"gRPC {record.grpc_status}" if record.grpc_status in _SERVER_FAULTS else ""
