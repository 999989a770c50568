"""What a proxy changes in a message on its way (RFC 9110 section 7.6).

Pure functions from field lists to field lists. What makes a message malformed
is decided in `wire.fields`; here we decide what travels on, and what we add.
"""

from collections.abc import Iterable
from typing import Final

from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.fields import Field, Fields

_VIA: Final = Field(b"via", b"2.0 trailproxy")

#: Fields with no meaning behind the body (RFC 9110 section 6.5.1): they frame the
#: message, route it, or belong to one connection.
NEVER_TRAILERS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"max-forwards",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REFORWARDED: Final = frozenset(
    {b"host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
)


def request_to_relay(head: Fields, peer: str, scheme: str) -> Fields:
    """Rewrite a request head for the upstream.

    `:authority` takes the place of `host`; `via` and `x-forwarded-for` grow by
    this hop; `x-forwarded-proto` and `-host` are set where no earlier proxy has.

    Args:
        head: what the client sent, known to be well-formed.
        peer: the client's address.
        scheme: "https" when the client came over TLS, else "http".
    """
    method = head.get(b":method")
    authority = head.get(b":authority") or head.get(b"host") or b""
    relayed = [f for f in head if f[0][:1] == b":" and f[0] != b":authority"]
    relayed.append(Field(b":authority", authority))
    countdown = method in (b"OPTIONS", b"TRACE")
    for field in head:
        name = field[0]
        if name[:1] == b":" or name in _REFORWARDED:
            continue
        if countdown and name == b"max-forwards" and field[1].isdigit():
            field = Field(name, b"%d" % max(int(field[1][:9]) - 1, 0))  # noqa: PLW2901
        relayed.append(field)
    earlier = [*head.all(b"x-forwarded-for"), peer.encode()]
    relayed.append(Field(b"x-forwarded-for", b", ".join(earlier)))
    proto = head.get(b"x-forwarded-proto") or scheme.encode()
    relayed.append(Field(b"x-forwarded-proto", proto))
    relayed.append(Field(b"x-forwarded-host", head.get(b"x-forwarded-host") or authority))
    relayed.append(_VIA)
    return Fields(relayed)


def response_to_relay(head: Fields, date: bytes) -> Fields:
    """Rewrite a final response head for the client: `via` grows, a missing `date` is added."""
    if head.get(b"date") is None:
        return Fields([*head, Field(b"date", date), _VIA])
    return Fields([*head, _VIA])


def trailers_to_relay(trailers: Fields) -> tuple[Fields, int]:
    """Return the trailers that may travel on, and how many fields had to stay behind."""
    kept = [f for f in trailers if f[0] not in NEVER_TRAILERS]
    removed = len(trailers) - len(kept)
    return (Fields(kept) if removed else trailers), removed


def vet_trailers(trailers: Iterable[tuple[str | bytes, str | bytes]] | Fields) -> Fields:
    """Check trailers before anything is queued or encoded.

    Raises:
        HTTP2Error: a field may not stand in trailers; the message names it.
    """
    fields = trailers if isinstance(trailers, Fields) else Fields.of(trailers)
    wrong = fields.illegal_field()
    if wrong:
        raise HTTP2Error(f"{wrong} in trailers")
    for field in fields:
        if field[0] in NEVER_TRAILERS:
            raise HTTP2Error(f"field {field[0].decode()!r} is not allowed in trailers")
    return fields


def is_grpc(head: Fields) -> bool:
    """Tell whether a head belongs to gRPC, whatever its message encoding."""
    content_type = head.get(b"content-type") or b""
    rest = content_type[16:17]
    return content_type[:16] == b"application/grpc" and rest in (b"", b"+", b";")


def stops_here(head: Fields) -> bool:
    """Tell whether a TRACE or OPTIONS has no hops left (RFC 9110 section 7.6.2)."""
    method = head.get(b":method")
    return method in (b"OPTIONS", b"TRACE") and head.get(b"max-forwards") == b"0"
