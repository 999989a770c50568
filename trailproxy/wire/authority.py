"""Authority: whose a request is, as it is written (RFC 3986 section 3.2).

A host and perhaps a port, and nothing else: no userinfo (RFC 9110 section 4.2.4), which
some would take for the host, and nothing that could begin a path. Beyond ASCII it would
have a reading for each of those behind us.
"""

from typing import Final

from mypy_extensions import i64

from trailproxy.wire.field import consists_of, octet_set

_COLON: Final = 0x3A
_BRACKET: Final = 0x5B
# section 3.2.2: a registered name or an IPv4 address, and what brackets hold
_HOST_OCTETS: Final = octet_set(
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;="
)
_IPV6_OCTETS: Final = octet_set(b"0123456789abcdefABCDEF:.")
_MAX_PORT: Final = 65_535


def is_authority(target: bytes) -> bool:
    """Tell whether some octets, one at least, are an authority."""
    hosts = _HOST_OCTETS  # a local: a module's name is looked up anew at each use, 12 ns
    end: i64 = 0  # of the host
    size: i64 = len(target)
    if target[0] == _BRACKET:
        end = target.find(b"]") + 1
        if not consists_of(target[1 : end - 1], _IPV6_OCTETS) or end < 4:
            return False
    else:
        while end < size and hosts[target[end]]:
            end += 1
    if end == size:
        return True
    return end > 0 and target[end] == _COLON and _is_port(target[end + 1 :])


def _is_port(digits: bytes) -> bool:
    """RFC 3986 section 3.2.3: it may be empty."""
    return not digits or (digits.isdigit() and len(digits) <= 5 and int(digits) <= _MAX_PORT)


def names_port(authority: bytes) -> bool:
    """Tell whether a well-formed authority has a port that can be dialled."""
    _, colon, port = authority.rpartition(b":")
    return colon != b"" and port.isdigit() and int(port) > 0
