"""Our own answers, for when there is nobody to relay one from.

One table says what each cause becomes: an HTTP status, or for gRPC a
trailers-only response. `proxy-status` (RFC 9209) tells who failed and why.
"""

from typing import Final, NamedTuple

from trailproxy.core.fault import Cause, Fault
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields


class Reply(NamedTuple):
    """A complete response of ours; an empty body means the head ends it."""

    head: Fields
    body: bytes
    status: int
    grpc_status: str


class _Answer(NamedTuple):
    status: int
    grpc: int
    error: str  # RFC 9209 section 2.3


_CANCELLED: Final = 1
_DEADLINE_EXCEEDED: Final = 4
_PERMISSION_DENIED: Final = 7
_RESOURCE_EXHAUSTED: Final = 8
_UNIMPLEMENTED: Final = 12
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14

_DEFAULT: Final = _Answer(502, _UNAVAILABLE, "proxy_internal_error")
_ANSWERS: Final = {
    Cause.NO_ROUTE: _Answer(404, _UNIMPLEMENTED, "destination_not_found"),
    Cause.CONNECT_FAILED: _Answer(503, _UNAVAILABLE, "destination_unavailable"),
    Cause.NO_ENDPOINT: _Answer(503, _UNAVAILABLE, "destination_not_found"),
    Cause.QUEUE_FULL: _Answer(503, _RESOURCE_EXHAUSTED, "connection_limit_reached"),
    Cause.QUEUE_TIMEOUT: _Answer(503, _UNAVAILABLE, "connection_limit_reached"),
    Cause.DRAIN_TIMEOUT: _Answer(503, _UNAVAILABLE, "proxy_internal_response"),
    Cause.RESPONSE_HEAD_TIMEOUT: _Answer(504, _DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.IDLE_TIMEOUT: _Answer(504, _DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.TOTAL_TIMEOUT: _Answer(504, _DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.UPSTREAM_RESET: _Answer(502, _INTERNAL, "http_response_incomplete"),
    Cause.UPSTREAM_REFUSED: _Answer(503, _UNAVAILABLE, "connection_limit_reached"),
    Cause.UPSTREAM_GOAWAY: _Answer(503, _UNAVAILABLE, "connection_terminated"),
    Cause.UPSTREAM_GONE: _Answer(502, _UNAVAILABLE, "connection_terminated"),
    Cause.UPSTREAM_PROTOCOL: _Answer(502, _INTERNAL, "http_protocol_error"),
    Cause.INTERNAL: _Answer(500, _INTERNAL, "proxy_internal_error"),
}

#: What gRPC makes of a RST_STREAM code (gRPC over HTTP/2, "Errors"); else INTERNAL.
_GRPC_FOR_RESET: Final = {
    int(ErrorCode.REFUSED_STREAM): _UNAVAILABLE,
    int(ErrorCode.CANCEL): _CANCELLED,
    int(ErrorCode.ENHANCE_YOUR_CALM): _RESOURCE_EXHAUSTED,
    int(ErrorCode.INADEQUATE_SECURITY): _PERMISSION_DENIED,
}


def reply_for(fault: Fault, *, grpc: bool, date: bytes) -> Reply:
    """Build the answer to a request that `fault` keeps from being relayed."""
    answer = _ANSWERS.get(fault.cause, _DEFAULT)
    proxy_status = f'trailproxy; error={answer.error}; details="{_quotable(fault.why)}"'.encode()
    if grpc:
        status = answer.grpc
        if fault.cause is Cause.UPSTREAM_RESET:
            status = _GRPC_FOR_RESET.get(fault.code, _INTERNAL)
        head = Fields(
            [
                Field(b":status", b"200"),
                Field(b"content-type", b"application/grpc"),
                Field(b"grpc-status", b"%d" % status),
                Field(b"grpc-message", _percent(f"trailproxy: {fault.why}")),
                Field(b"proxy-status", proxy_status),
                Field(b"date", date),
            ]
        )
        return Reply(head, b"", 200, str(status))
    return _plain(answer.status, f"trailproxy: {fault.why}\n", date, proxy_status)


def last_hop_reply(date: bytes) -> Reply:
    """Answer a request whose Max-Forwards ends here (RFC 9110 section 7.6.2)."""
    return _plain(200, "trailproxy: this is the last hop\n", date, b"trailproxy")


def _plain(status: int, text: str, date: bytes, proxy_status: bytes) -> Reply:
    body = text.encode()
    head = Fields(
        [
            Field(b":status", b"%d" % status),
            Field(b"content-type", b"text/plain; charset=utf-8"),
            Field(b"content-length", b"%d" % len(body)),
            Field(b"proxy-status", proxy_status),
            Field(b"date", date),
        ]
    )
    return Reply(head, body, status, "")


def _quotable(why: str) -> str:
    """Make text safe inside a structured-field string (RFC 8941 section 3.3.3)."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in why)
    return plain.replace("\\", "/").replace('"', "'").strip()[:200]


def _percent(message: str) -> bytes:
    """Percent-encode grpc-message: everything but printable ASCII, and the percent sign."""
    return b"".join(
        b"%c" % octet if 0x20 <= octet <= 0x7E and octet != 0x25 else b"%%%02X" % octet
        for octet in message.strip()[:500].encode()
    )
