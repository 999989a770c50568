"""Target: what a path says to whoever chooses by it.

A path goes to the upstream as it came, and what stands there may read it in more ways
than one. So routes compare it as RFC 3986 says that paths are equal; and one with a
dot-segment, which leads out of the prefix it has as soon as somebody resolves it, is not
for them to judge: `/public/../admin` would come in by the door of `/public/`. Clients
resolve such segments before they ask (RFC 3986 section 5.2.4).
"""

import re
from typing import Final

from mypy_extensions import i64

from trailproxy.wire.field import octet_set

_PERCENT: Final = 0x25
_DOT: Final = 0x2E
_SLASH: Final = 0x2F
_QUESTION_MARK: Final = 0x3F
_BACKSLASH: Final = 0x5C

# letters, digits, and -._~ (RFC 3986 section 2.3)
_UNRESERVED: Final = re.compile(
    rb"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])"
)
_ENDS: Final = octet_set(b"/;?")  # of a segment
_SOMEBODYS_SLASHES: Final = re.compile(rb"\\|%2[fF]|%5[cC]")


def plain_path(path: bytes) -> bytes:
    """Return a path as it is compared: what need not be encoded is not (section 6.2.2.2)."""
    return _UNRESERVED.sub(_decoded, path) if _PERCENT in path else path


def _decoded(encoded: re.Match[bytes]) -> bytes:
    return bytes([int(encoded[1], 16)])


def has_dot_segments(path: bytes) -> bool:
    """Tell whether a plain path has a segment `.` or `..` before its query.

    To some servers a segment ends at an encoded slash, at a backslash, or where path
    parameters begin (`..;x`), so here it does.
    """
    if _PERCENT in path or _BACKSLASH in path:
        path = _SOMEBODYS_SLASHES.sub(b"/", path)
    ends = _ENDS  # a local: a module's name is looked up anew at each use, 12 ns
    dots: i64 = -1  # in this segment; -1: there is something else in it
    position: i64 = 0
    size: i64 = len(path)
    while position < size:
        octet: i64 = path[position]
        position += 1
        if ends[octet]:
            if 1 <= dots <= 2 or octet == _QUESTION_MARK:
                break
            dots = 0 if octet == _SLASH else -1
        elif octet != _DOT:
            dots = -1
        elif dots >= 0:
            dots += 1
    return 1 <= dots <= 2
