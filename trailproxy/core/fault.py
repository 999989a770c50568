"""Fault: what went wrong, whose it is, and what it is called.

One vocabulary for the metrics, the access log and the live view. A cause names
the guilty party, so that "context canceled" never stands without a who.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trailproxy.wire.errors import ErrorCode


class Side(StrEnum):
    """The side of the proxy something happened on."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


class Initiator(StrEnum):
    """Who sent the RST_STREAM."""

    PEER = "peer"
    PROXY = "proxy"


class Scope(StrEnum):
    """What a fault costs."""

    STREAM = "stream"
    CONNECTION = "connection"


class Cause(StrEnum):
    """Why an exchange was dropped or a stream was reset."""

    CLIENT_RESET = "client_reset"  # the client sent RST_STREAM
    CLIENT_GONE = "client_gone"  # the client's connection was lost
    CLIENT_PROTOCOL = "client_protocol"  # the client broke RFC 9113
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_REFUSED = "upstream_refused"  # REFUSED_STREAM: not processed
    UPSTREAM_GONE = "upstream_gone"
    UPSTREAM_GOAWAY = "upstream_goaway"  # our stream was above its last id: not processed
    UPSTREAM_PROTOCOL = "upstream_protocol"
    UPSTREAM_DONE = "upstream_done"  # answered in full before the request had ended
    CONNECT_FAILED = "connect_failed"
    NO_ENDPOINT = "no_endpoint"  # the upstream's names resolve to nothing
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    RESPONSE_HEAD_TIMEOUT = "response_head_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    CLIENT_SLOW = "client_slow"  # it did not take what was parked for it
    UPSTREAM_SLOW = "upstream_slow"
    TOTAL_TIMEOUT = "total_timeout"
    DEADLINE_EXCEEDED = "deadline_exceeded"  # the client's own, as grpc-timeout told it
    DRAIN_TIMEOUT = "drain_timeout"
    FIELDS_TOO_LARGE = "fields_too_large"  # a head or trailers, more than the limits allow
    TRAILERS_TOO_LARGE = "trailers_too_large"  # more than the route allows
    DIGEST_MISMATCH = "digest_mismatch"  # the body is not what its sender says of it
    HOOK = "hook"  # a hook of the route wanted it so
    HOOK_FAILED = "hook_failed"  # a hook of the route raised
    STREAM_LIMIT = "stream_limit"  # more streams at once than we allow
    FLOOD = "flood"
    HEAD_TIMEOUT = "head_timeout"  # a head, or another frame, that began and did not end
    NO_ROUTE = "no_route"
    DOT_SEGMENTS = "dot_segments"  # the path leads out of what routes can judge
    RETRIED = "retried"  # another attempt takes its place
    ANSWERED = "answered"  # we answered ourselves; the rest of the request is not wanted
    NOT_ALLOWED = "not_allowed"  # trailers on a response that ends at its head
    STREAM_OVER = "stream_over"  # something was said on a stream that could not take it
    WORKER_DIED = "worker_died"  # the process that had it in flight is gone
    INTERNAL = "internal"  # our own mistake


class Refusal(StrEnum):
    """Why a client's connection was refused, before any of its streams was taken up."""

    ADDRESS_LIMIT = "address_limit"  # its address has as many as it may
    CONNECTION_LIMIT = "connection_limit"  # the listener has
    CLIENT_NAME = "client_name"  # its certificate has none of the names that are let in


#: What a peer's RST_STREAM, lost connection and broken rule are called on each side.
RESET: Final = {Side.DOWNSTREAM: Cause.CLIENT_RESET, Side.UPSTREAM: Cause.UPSTREAM_RESET}
GONE: Final = {Side.DOWNSTREAM: Cause.CLIENT_GONE, Side.UPSTREAM: Cause.UPSTREAM_GONE}
PROTOCOL: Final = {Side.DOWNSTREAM: Cause.CLIENT_PROTOCOL, Side.UPSTREAM: Cause.UPSTREAM_PROTOCOL}

#: Causes after which the upstream is known not to have touched the request
#: (RFC 9113 section 8.7), so that it may be tried once more elsewhere.
UNPROCESSED: Final = frozenset({Cause.UPSTREAM_REFUSED, Cause.UPSTREAM_GOAWAY})


@dataclass(frozen=True, slots=True)
class Fault:
    """What ended a stream before its time."""

    side: Side  # whose fault it is
    scope: Scope
    cause: Cause
    code: int  # what was, or would be, said on the wire (RFC 9113 section 7)
    why: str  # for people


def ours(cause: Cause, why: str, side: Side = Side.UPSTREAM, code: int = ErrorCode.CANCEL) -> Fault:
    """Build the fault for something this proxy decided about one stream."""
    return Fault(side, Scope.STREAM, cause, code, why)
