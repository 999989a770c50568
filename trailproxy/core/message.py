"""What a proxy changes in a message on its way (RFC 9110 section 7.6).

From field lists to field lists. What makes a message malformed is decided in
`wire.fields`; here we decide what travels on, and what we add. What becomes of a
list that recurs is worked out once, and kept with it.
"""

from enum import StrEnum
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.clock import DateStamp
from trailproxy.core.grpc import is_grpc, timeout_of
from trailproxy.core.target import has_dot_segments, plain_path
from trailproxy.wire.field import (
    AUTHORITY,
    CLIENT_CERT,
    CLIENT_CERT_ALIKE,
    DATE,
    HOST,
    MAX_FORWARDS,
    METHOD,
    PATH,
    TRACEPARENT,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    Field,
    Recurring,
    share,
)
from trailproxy.wire.fields import Fields, Kind

_VIA: Final = share(Field(b"via", b"2.0 trailproxy"))

#: Who has none of these is relayed as it came, with what this hop adds behind it.
_REWRITTEN: Final = (
    1 << HOST
    | 1 << X_FORWARDED_FOR
    | 1 << X_FORWARDED_PROTO
    | 1 << X_FORWARDED_HOST
    | 1 << MAX_FORWARDS
    | 1 << CLIENT_CERT
    | 1 << CLIENT_CERT_ALIKE
)

_KEPT_HOPS: Final = 8  # clients for whom one head is kept worked out


class Forwarding(StrEnum):
    """What becomes of x-forwarded-client-cert, which tells upstreams of a client's certificate."""

    SANITIZE = "sanitize"  # nobody says anything
    SET = "set"  # we do, and nobody else
    APPEND = "append"  # we do, behind those before us; without a certificate nobody does
    FORWARD = "forward"  # those before us do


@mypyc_attr(acyclic=True)
@final
class Hop:
    """What this hop adds to the requests of one client, on all its connections."""

    __slots__ = (
        "_added",
        "_host",
        "appends",
        "client_cert",
        "forwarded_for",
        "forwarded_proto",
        "peer",
        "rewritten",
        "scheme",
    )

    def __init__(
        self,
        peer: str,
        scheme: str,
        certificate: bytes = b"",
        forwarding: Forwarding = Forwarding.SANITIZE,
    ) -> None:
        """Prepare for a client.

        Args:
            peer: its address.
            scheme: "https" when it came by TLS, else "http".
            certificate: what is to be said of the one it showed; nothing when it showed none.
            forwarding: whether that is said, and what becomes of what the client says.
        """
        says = forwarding in (Forwarding.SET, Forwarding.APPEND) and certificate
        self.client_cert: Final = Field(b"x-forwarded-client-cert", certificate) if says else None
        self.appends: Final = forwarding is Forwarding.APPEND
        #: The tokens of what does not pass as it came, a bit for each.
        self.rewritten: Final[i64] = (
            _REWRITTEN & ~(1 << CLIENT_CERT) if forwarding is Forwarding.FORWARD else _REWRITTEN
        )
        self.peer: Final = peer
        self.scheme: Final = scheme
        # one a client, and so not shared: thousands of clients would only churn the tables
        self.forwarded_for: Final = Field(b"x-forwarded-for", peer.encode())
        self.forwarded_proto: Final = share(Field(b"x-forwarded-proto", scheme.encode()))
        self._host = Field(b"x-forwarded-host", b"")
        self._added = self._all()

    def forwarded_host(self, authority: bytes) -> Field:
        """Return the field for an authority; a client mostly speaks of one."""
        if self._host.value != authority:
            self._host = share(Field(b"x-forwarded-host", authority))
            self._added = self._all()
        return self._host

    def added(self, authority: bytes) -> Fields:
        """Return all that is added to a head without such fields of its own."""
        self.forwarded_host(authority)
        return self._added

    def _all(self) -> Fields:
        added = [self.forwarded_for, self.forwarded_proto, self._host]
        if self.client_cert is not None:
            added.append(self.client_cert)
        return Fields([*added, _VIA])


@mypyc_attr(acyclic=True)
@final
class Request:
    """What a request head says, and what goes to the upstream in its place."""

    __slots__ = (
        "authority",
        "dot_segments",
        "grpc",
        "hop",
        "method",
        "path",
        "plain_path",
        "relayed",
        "stops",
        "timeout",
        "traceparent",
    )

    def __init__(self, head: Fields, hop: Hop) -> None:
        """Work out a head that is known to be well-formed."""
        self.hop: Final = hop
        self.method: Final = _method_of(head)
        self.authority: Final[bytes] = head.find(AUTHORITY) or head.find(HOST) or b""
        self.path: Final[bytes] = head.find(PATH) or b""  # as it came
        self.plain_path: Final = plain_path(self.path)  # as it is compared
        self.dot_segments: Final = has_dot_segments(self.plain_path)
        self.grpc: Final = is_grpc(head)
        self.timeout: Final = timeout_of(head)  # seconds; NO_TIMEOUT without one
        self.stops: Final = stops_here(head)
        self.traceparent: Final = head.find(TRACEPARENT)  # as it came (W3C Trace Context)
        self.relayed: Final = request_to_relay(head, hop)


@mypyc_attr(acyclic=True)
@final
class _Asked:
    """What was worked out of a recurring head, for each of some clients."""

    __slots__ = ("by_hop",)

    def __init__(self) -> None:
        self.by_hop: Final[dict[Hop, Request]] = {}


#: The same words again and again: whoever counts them compares objects.
_METHODS: Final[dict[bytes, str]] = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}


def _method_of(head: Fields) -> str:
    method = head.find(METHOD) or b""
    known = _METHODS.get(method)
    return method.decode("latin-1") if known is None else known


def understand(head: Fields, hop: Hop) -> Request:
    """Return what a request head says; of one that recurs, what was worked out before."""
    asked = head.heir
    if isinstance(asked, _Asked):
        known = asked.by_hop.get(hop)
        if known is not None:
            return known
    request = Request(head, hop)
    if head.recurring is not None:
        request.relayed.recurring = Recurring()
        if not isinstance(asked, _Asked) or len(asked.by_hop) >= _KEPT_HOPS:
            head.heir = asked = _Asked()
        asked.by_hop[hop] = request
    return request


def request_to_relay(head: Fields, hop: Hop) -> Fields:
    """Rewrite a request head for the upstream.

    `:authority` takes the place of `host`; `via` and `x-forwarded-for` grow by
    this hop; `x-forwarded-proto` and `-host` are set where no earlier proxy has;
    `x-forwarded-client-cert` says what this listener lets be said.
    """
    target = head.first(AUTHORITY)
    if target is not None and not head.has_any(hop.rewritten):
        added = hop.added(target.value)
        return Fields(head.items + added.items, head.size + added.size).vouch(Kind.REQUEST)
    relayed: list[Field] = []
    for field in head.items:
        token = field.token
        if token == MAX_FORWARDS:
            relayed.append(_one_hop_less(head, field))
        elif not hop.rewritten & (1 << token):
            relayed.append(field)
    if target is None:
        target = Field(b":authority", head.find(HOST) or b"")
        relayed.insert(0, target)
    relayed.append(_forwarded_for(head, hop))
    relayed.append(head.first(X_FORWARDED_PROTO) or hop.forwarded_proto)
    relayed.append(head.first(X_FORWARDED_HOST) or hop.forwarded_host(target.value))
    if hop.client_cert is not None:
        relayed.append(_client_cert(head, hop, hop.client_cert))
    relayed.append(_VIA)
    return Fields(relayed).vouch(Kind.REQUEST)


def request_that_came(asked: Request) -> Fields:
    """Return a head without what this hop has added: as it came, for people to see.

    Of what an earlier hop may have said in the same words, nobody knows who did.
    """
    hop, authority = asked.hop, asked.authority
    ours = {hop.forwarded_for, hop.forwarded_proto, Field(b"x-forwarded-host", authority), _VIA}
    items = asked.relayed.items
    if hop.forwarded_for in items:
        return Fields([field for field in items if field not in ours])
    us = b", " + hop.forwarded_for.value
    return Fields(
        [
            Field(field.name, field.value.removesuffix(us))
            if field.token == X_FORWARDED_FOR
            else field
            for field in items
            if field != _VIA
        ]
    )


def _forwarded_for(head: Fields, hop: Hop) -> Field:
    if head.first(X_FORWARDED_FOR) is None:
        return hop.forwarded_for
    earlier = head.all(b"x-forwarded-for")
    return Field(b"x-forwarded-for", b", ".join([*earlier, hop.forwarded_for.value]))


def _client_cert(head: Fields, hop: Hop, ours: Field) -> Field:
    if not hop.appends or head.first(CLIENT_CERT) is None:
        return ours
    earlier = b",".join(head.all(b"x-forwarded-client-cert"))
    return Field(ours.name, b"%b,%b" % (earlier, ours.value)) if _closes(earlier) else ours


def _closes(elements: bytes) -> bool:
    """Tell whether quotes are closed at the end, however their reader takes backslashes.

    What follows an open one would be read as a part of it.
    """
    unescaped = elements.replace(b'\\"', b"")
    paired = elements.replace(b"\\\\", b"").replace(b'\\"', b"")
    return not (elements.count(b'"') | unescaped.count(b'"') | paired.count(b'"')) & 1


def _one_hop_less(head: Fields, field: Field) -> Field:
    """Count Max-Forwards down, for the methods that have it (RFC 9110 section 7.6.2)."""
    if not _counts_hops(head) or not field.value.isdigit():
        return field
    return Field(field.name, b"%d" % max(int(field.value[:9]) - 1, 0))


@mypyc_attr(acyclic=True)
@final
class _Response:
    """What goes to the client in a recurring head's place; on one date, if it had none."""

    __slots__ = ("date", "relayed")

    def __init__(self, date: bytes, relayed: Fields) -> None:
        self.date: Final = date
        self.relayed: Final = relayed


def response_to_relay(head: Fields, today: DateStamp) -> Fields:
    """Rewrite a final response head for the client: `via` grows, a missing `date` is added."""
    dated = head.first(DATE) is not None
    date = b"" if dated else today()
    known = head.heir
    if isinstance(known, _Response) and known.date == date:
        return known.relayed
    items = head.items.copy()
    if not dated:
        items.append(share(Field(b"date", date)))
    items.append(_VIA)
    relayed = Fields(items).vouch(Kind.RESPONSE)
    if head.recurring is not None:
        relayed.recurring = Recurring()
        head.heir = _Response(date, relayed)
    return relayed


def stops_here(head: Fields) -> bool:
    """Tell whether a TRACE or OPTIONS has no hops left (RFC 9110 section 7.6.2)."""
    return head.find(MAX_FORWARDS) == b"0" and _counts_hops(head)


def _counts_hops(head: Fields) -> bool:
    method = head.find(METHOD)
    return method == b"OPTIONS" or method == b"TRACE"  # a tuple would be built
