"""Our own answers, for when there is nobody to relay one from.

One table says what each cause becomes: an HTTP status, or for gRPC a
trailers-only response. `proxy-status` (RFC 9209) tells who failed and why.
"""

from typing import Final, NamedTuple

from trailproxy.core import grpc
from trailproxy.core.fault import Cause, Fault
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


_DEFAULT: Final = _Answer(502, grpc.UNAVAILABLE, "proxy_internal_error")
_ANSWERS: Final = {
    Cause.NO_ROUTE: _Answer(404, grpc.UNIMPLEMENTED, "destination_not_found"),
    Cause.DOT_SEGMENTS: _Answer(400, grpc.INVALID_ARGUMENT, "http_request_error"),
    Cause.CONNECT_FAILED: _Answer(503, grpc.UNAVAILABLE, "destination_unavailable"),
    Cause.NO_ENDPOINT: _Answer(503, grpc.UNAVAILABLE, "destination_not_found"),
    Cause.QUEUE_FULL: _Answer(503, grpc.RESOURCE_EXHAUSTED, "connection_limit_reached"),
    Cause.QUEUE_TIMEOUT: _Answer(503, grpc.UNAVAILABLE, "connection_limit_reached"),
    Cause.DRAIN_TIMEOUT: _Answer(503, grpc.UNAVAILABLE, "proxy_internal_response"),
    Cause.RESPONSE_HEAD_TIMEOUT: _Answer(504, grpc.DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.IDLE_TIMEOUT: _Answer(504, grpc.DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.TOTAL_TIMEOUT: _Answer(504, grpc.DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.DEADLINE_EXCEEDED: _Answer(504, grpc.DEADLINE_EXCEEDED, "http_response_timeout"),
    Cause.UPSTREAM_RESET: _Answer(502, grpc.INTERNAL, "http_response_incomplete"),
    Cause.UPSTREAM_REFUSED: _Answer(503, grpc.UNAVAILABLE, "connection_limit_reached"),
    Cause.UPSTREAM_GOAWAY: _Answer(503, grpc.UNAVAILABLE, "connection_terminated"),
    Cause.UPSTREAM_GONE: _Answer(502, grpc.UNAVAILABLE, "connection_terminated"),
    Cause.UPSTREAM_PROTOCOL: _Answer(502, grpc.INTERNAL, "http_protocol_error"),
    Cause.UPSTREAM_SLOW: _Answer(504, grpc.DEADLINE_EXCEEDED, "connection_write_timeout"),
    Cause.HEAD_TIMEOUT: _Answer(504, grpc.UNAVAILABLE, "http_response_timeout"),
    Cause.FIELDS_TOO_LARGE: _Answer(
        502, grpc.RESOURCE_EXHAUSTED, "http_response_header_section_size"
    ),
    Cause.DIGEST_MISMATCH: _Answer(400, grpc.DATA_LOSS, "http_request_error"),
    Cause.TRAILERS_TOO_LARGE: _Answer(431, grpc.RESOURCE_EXHAUSTED, "http_request_error"),
    Cause.HOOK_FAILED: _Answer(500, grpc.INTERNAL, "proxy_internal_error"),
    Cause.INTERNAL: _Answer(500, grpc.INTERNAL, "proxy_internal_error"),
}


def grpc_fields(fault: Fault) -> tuple[str, list[Field]]:
    """Return the status that gRPC gives a fault, and the fields that say so."""
    answer = _ANSWERS.get(fault.cause, _DEFAULT)
    code = answer.grpc
    if fault.cause is Cause.UPSTREAM_RESET:
        code = grpc.status_of_reset(fault.code)
    message = grpc.percent_encoded(f"trailproxy: {fault.why}")
    return str(code), [Field(b"grpc-status", b"%d" % code), Field(b"grpc-message", message)]


def proxy_status(fault: Fault, *, behind_head: bool = False) -> bytes:
    """Return the member of Proxy-Status that tells of a fault (RFC 9209)."""
    error = _ANSWERS.get(fault.cause, _DEFAULT).error
    if behind_head and fault.cause is Cause.FIELDS_TOO_LARGE:
        error = "http_response_trailer_section_size"
    return f'trailproxy; error={error}; details="{_quotable(fault.why)}"'.encode()


def reply_for(fault: Fault, *, speaks_grpc: bool, date: bytes) -> Reply:
    """Build the answer to a request that `fault` keeps from being relayed."""
    if not speaks_grpc:
        status = _ANSWERS.get(fault.cause, _DEFAULT).status
        return _plain(status, f"trailproxy: {fault.why}\n", date, proxy_status(fault))
    grpc_status, fields = grpc_fields(fault)
    return Reply(_grpc_head(fields, proxy_status(fault), date), b"", 200, grpc_status)


def own_reply(status: int, text: str, *, speaks_grpc: bool, date: bytes) -> Reply:
    """Build an answer that a hook wants; gRPC gets what the HTTP status means to it."""
    if not speaks_grpc:
        return _plain(status, text + "\n", date, b"trailproxy")
    code = grpc.status_of_http(status)
    message = Field(b"grpc-message", grpc.percent_encoded(text))
    fields = [Field(b"grpc-status", b"%d" % code), message]
    return Reply(_grpc_head(fields, b"trailproxy", date), b"", 200, str(code))


def last_hop_reply(date: bytes) -> Reply:
    """Answer a request whose Max-Forwards ends here (RFC 9110 section 7.6.2)."""
    return _plain(200, "trailproxy: this is the last hop\n", date, b"trailproxy")


def _grpc_head(status: list[Field], member: bytes, date: bytes) -> Fields:
    return Fields(
        [
            Field(b":status", b"200"),
            Field(b"content-type", b"application/grpc"),
            *status,
            Field(b"proxy-status", member),
            Field(b"date", date),
        ]
    )


def _plain(status: int, text: str, date: bytes, member: bytes) -> Reply:
    body = text.encode()
    head = Fields(
        [
            Field(b":status", b"%d" % status),
            Field(b"content-type", b"text/plain; charset=utf-8"),
            Field(b"content-length", b"%d" % len(body)),
            Field(b"proxy-status", member),
            Field(b"date", date),
        ]
    )
    return Reply(head, body, status, "")


def _quotable(why: str) -> str:
    """Make text safe inside a structured-field string (RFC 8941 section 3.3.3)."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in why)
    return plain.replace("\\", "/").replace('"', "'").strip()[:200]
