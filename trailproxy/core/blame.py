"""Blame: what a peer has done to one of its streams, or to its connection, as a fault.

The sins are the peer's: the other side of an exchange only hears that a message was
cut short.
"""

from trailproxy.core.fault import GONE, PROTOCOL, RESET, Cause, Fault, Scope, Side
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import StreamFault


def reset_by(side: Side, code: int) -> Fault:
    """A RST_STREAM came."""
    refused = side is Side.UPSTREAM and code == ErrorCode.REFUSED_STREAM
    cause = Cause.UPSTREAM_REFUSED if refused else RESET[side]
    return Fault(side, Scope.STREAM, cause, code, f"{side} reset the stream")


def sin(side: Side, event: StreamFault) -> Fault:
    """The codec has reset a stream for what its peer did."""
    cause = PROTOCOL[side]
    if event.refused:
        cause = Cause.STREAM_LIMIT
    elif event.code == ErrorCode.ENHANCE_YOUR_CALM:
        # nothing else costs a stream this code; floods cost the connection
        cause = Cause.FIELDS_TOO_LARGE
    code = ErrorCode.CANCEL if side is Side.DOWNSTREAM else ErrorCode.INTERNAL_ERROR
    return Fault(side, Scope.STREAM, cause, code, event.why)


def goaway(why: str) -> Fault:
    """An upstream has not taken the stream, and takes no more of them (RFC 9113 section 8.7)."""
    told = f"upstream went away: {why}" if why else "upstream went away"
    cause, code = Cause.UPSTREAM_GOAWAY, ErrorCode.REFUSED_STREAM
    return Fault(Side.UPSTREAM, Scope.STREAM, cause, code, told)


def broken(side: Side, code: int, why: str) -> Fault:
    """The codec has ended the connection with `code`."""
    cause = Cause.FLOOD if code == ErrorCode.ENHANCE_YOUR_CALM else PROTOCOL[side]
    return _loss(side, cause, f"{side} connection broken: {why}")


def slow(side: Side, why: str) -> Fault:
    """Something has begun that does not end."""
    return _loss(side, Cause.HEAD_TIMEOUT, f"{side} connection given up: {why}")


def gone(side: Side, why: str) -> Fault:
    """The socket closed."""
    return _loss(side, GONE[side], why)


def _loss(side: Side, cause: Cause, why: str) -> Fault:
    return Fault(side, Scope.CONNECTION, cause, ErrorCode.INTERNAL_ERROR, why)
