"""Trailers: what may stand in them, and how much.

They come behind all that was decided by the head, so whoever merges them into it
could be made to believe them. What frames or routes a message or says who its
sender is never travels as a trailer, whatever its spelling: many servers take
x_auth_user for x-auth-user.
"""

from collections.abc import Iterable
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.field import GRPC_STATUS
from trailproxy.wire.fields import Fields, Kind

#: Fields with no meaning behind the body (RFC 9110 section 6.5.1), or a dangerous one.
NEVER_TRAILERS: Final = frozenset(
    {
        # framing, and what belongs to one connection
        b"connection",
        b"content-length",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # routing
        b"forwarded",
        b"host",
        b"max-forwards",
        b"x-http-method-override",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        # who somebody is
        b"authorization",
        b"cookie",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"remote-user",
        b"set-cookie",
        b"www-authenticate",
        b"x-remote-user",
    }
)
_X: Final = 0x78
_UNDERSCORE: Final = 0x5F
_LONGEST: Final = max(len(name) for name in NEVER_TRAILERS)


def may_trail(name: bytes) -> bool:
    """Tell whether a field of this lower-case name may travel in trailers."""
    if _UNDERSCORE in name:  # a number: bytes would cost an exception that is thrown away
        name = name.replace(b"_", b"-")
    if len(name) <= _LONGEST and name in NEVER_TRAILERS:
        return False
    if name[0] != _X:
        return True
    return name[:7] != b"x-auth-" and name[:12] != b"x-forwarded-"


@mypyc_attr(acyclic=True)
@final
class _Harmless:
    """Hangs on a list all of which may travel: it is looked through once."""


_HARMLESS: Final = _Harmless()


def trailers_to_relay(trailers: Fields) -> tuple[Fields, int]:
    """Return the trailers that may travel on, and how many fields had to stay behind."""
    if _all_may_trail(trailers):
        return trailers, 0
    kept = [field for field in trailers.items if may_trail(field.name)]
    return Fields(kept).vouch(Kind.TRAILERS), len(trailers) - len(kept)


def _all_may_trail(trailers: Fields) -> bool:
    if trailers.heir is _HARMLESS:
        return True
    for field in trailers.items:
        if not may_trail(field.name):
            return False
    trailers.heir = _HARMLESS
    return True


def vet_trailers(trailers: Iterable[tuple[str | bytes, str | bytes]] | Fields) -> Fields:
    """Check trailers before anything is queued or encoded.

    Raises:
        HTTP2Error: a field may not stand in trailers; the message names it.
    """
    fields = trailers if isinstance(trailers, Fields) else Fields.of(trailers)
    wrong = fields.illegal_field()
    if wrong:
        raise HTTP2Error(f"{wrong} in trailers")
    if not _all_may_trail(fields):
        wrong = next(field.name.decode() for field in fields if not may_trail(field.name))
        raise HTTP2Error(f"field {wrong!r} is not allowed in trailers")
    return fields


@mypyc_attr(acyclic=True)
@final
class TrailerLimits:
    """How large the trailers of a message may be, and what becomes of larger ones."""

    __slots__ = ("_cuts", "_max_fields", "_max_size")

    def __init__(
        self, max_fields: int = 256, max_size: int = 64 * 1024, *, cuts: bool = False
    ) -> None:
        """Set the limits; size as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113 6.5.2)."""
        self._max_fields: Final[i64] = max_fields
        self._max_size: Final[i64] = max_size
        self._cuts: Final = cuts

    def excess(self, trailers: Fields) -> str:
        """Say what is too much about trailers, or return an empty string."""
        if len(trailers.items) > self._max_fields:
            return f"{len(trailers.items)} trailer fields, of at most {self._max_fields}"
        if trailers.size > self._max_size:
            return f"trailers of {trailers.size} octets, of at most {self._max_size}"
        return ""

    def cut(self, trailers: Fields) -> Fields | None:
        """Return the fields that fit, in order, a grpc-status first of all; None to refuse them."""
        if not self._cuts:
            return None
        room = self._max_size
        places = self._max_fields
        items = trailers.items
        kept = []
        for place in sorted(range(len(items)), key=lambda at: items[at].token != GRPC_STATUS):
            if places > 0 and items[place].size <= room:
                kept.append(place)
                room -= items[place].size
                places -= 1
        return Fields([items[place] for place in sorted(kept)]).vouch(Kind.TRAILERS)


GENEROUS: Final = TrailerLimits()
