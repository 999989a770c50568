"""What gRPC says in HTTP/2 fields: who speaks it, how long it waits, how it names failures.

From the gRPC documents "gRPC over HTTP2" and "HTTP to gRPC Status Code Mapping".
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import CONTENT_TYPE, GRPC_TIMEOUT, Field
from trailproxy.wire.fields import Fields, Kind

CANCELLED: Final = 1
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16

_UNKNOWN: Final = 2

NO_TIMEOUT: Final = -1.0

_STATUS_OF_RESET: Final = {
    int(ErrorCode.REFUSED_STREAM): UNAVAILABLE,
    int(ErrorCode.CANCEL): CANCELLED,
    int(ErrorCode.ENHANCE_YOUR_CALM): RESOURCE_EXHAUSTED,
    int(ErrorCode.INADEQUATE_SECURITY): PERMISSION_DENIED,
}

_STATUS_OF_HTTP: Final = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    431: INTERNAL,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}

# Nanoseconds in each unit of grpc-timeout, the finest first.
_UNITS: Final[dict[bytes, int]] = {
    b"n": 1,
    b"u": 1_000,
    b"m": 1_000_000,
    b"S": 1_000_000_000,
    b"M": 60_000_000_000,
    b"H": 3_600_000_000_000,
}
_MAX_DIGITS: Final = 8


def is_grpc(head: Fields) -> bool:
    """Tell whether a head belongs to gRPC, whatever its message encoding."""
    content_type = head.find(CONTENT_TYPE)
    if content_type is None:
        return False
    rest = content_type[16:17]
    return content_type[:16] == b"application/grpc" and rest in (b"", b"+", b";")


def status_of_reset(code: int) -> int:
    """Return the status that a RST_STREAM with this code means to gRPC."""
    return _STATUS_OF_RESET.get(code, INTERNAL)


def status_of_http(status: int) -> int:
    """Return the status that an HTTP status means to gRPC where nothing else is said."""
    return _STATUS_OF_HTTP.get(status, _UNKNOWN)


def percent_encoded(message: str) -> bytes:
    """Write a grpc-message: everything but printable ASCII and the percent sign is encoded."""
    return b"".join(
        b"%c" % octet if 0x20 <= octet <= 0x7E and octet != 0x25 else b"%%%02X" % octet
        for octet in message.strip()[:500].encode()
    )


def percent_decoded(message: bytes) -> str:
    """Read a grpc-message; what is not UTF-8 becomes U+FFFD."""
    return unquote_to_bytes(message).decode("utf-8", "replace")


def timeout_of(head: Fields) -> float:
    """Return the seconds that `grpc-timeout` allows; NO_TIMEOUT if it is absent or no timeout."""
    value = head.find(GRPC_TIMEOUT)
    if value is None:
        return NO_TIMEOUT
    digits = value[:-1]
    unit = _UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        return NO_TIMEOUT
    return int(digits) * unit / 1e9


def with_timeout(head: Fields, seconds: float) -> Fields:
    """Return a request head whose `grpc-timeout` allows this long, and not longer."""
    field = Field(b"grpc-timeout", _timeout(seconds))
    items = [field if item.token == GRPC_TIMEOUT else item for item in head.items]
    return Fields(items).vouch(Kind.REQUEST)


def _timeout(seconds: float) -> bytes:
    """Write a timeout in the finest unit that eight digits allow; at least a nanosecond."""
    left = max(int(seconds * 1e9), 1)
    fitting = (each for each in _UNITS.items() if left // each[1] < 10**_MAX_DIGITS)
    letter, unit = next(fitting)
    return b"%d%s" % (left // unit, letter)
