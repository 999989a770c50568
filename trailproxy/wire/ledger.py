"""Ledger: what a peer has said on one stream, and what it may therefore say next.

The rules of a message (RFC 9113 section 8.1): heads, body, trailers, and that
the body is as long as its content-length says, also when trailers end it.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.field import METHOD
from trailproxy.wire.fields import NO_LENGTH, Fields, Kind
from trailproxy.wire.table import Numbered

_MOST_INTERIMS: Final = 32  # informational heads a stream; more is no conversation
_INTERIM_OCTETS: Final = 64 * 1024  # in all of them: they are passed on, read or not


@mypyc_attr(acyclic=True)
class Ledger(Numbered):
    """One message from the peer, as far as it has come."""

    __slots__ = (
        "_bodiless",
        "_connect",
        "_expected",
        "_head_request",
        "_interim_octets",
        "_interims",
        "_received",
        "_request",
        "head_came",
    )

    def __init__(self, request: bool, method: bytes = b"", sid: i64 = 0) -> None:
        """Open it for a request, or for the response to a request with `method`."""
        super().__init__(sid)
        self._request: Final = request
        self._head_request: Final = method == b"HEAD"  # its response has no body
        self._connect = method == b"CONNECT"  # a tunnel has no trailers (section 8.5)
        self._bodiless = False
        self._expected: i64 = NO_LENGTH  # body octets announced
        self._received: i64 = 0  # body octets come
        self._interims: i64 = 0
        self._interim_octets: i64 = 0
        self.head_came = False  # the final head

    @property
    def next_kind(self) -> i64:
        """What the next field section would be."""
        if self.head_came:
            return Kind.TRAILERS
        return Kind.REQUEST if self._request else Kind.RESPONSE

    def fields_fault(self, fields: Fields, end: bool) -> str:
        """Enter a field section; say why it cannot stand here, or return an empty string."""
        kind = self.next_kind
        if kind == Kind.TRAILERS:
            return self._trailers_fault(fields, end)
        if kind == Kind.RESPONSE and fields.interim:
            return self._interim_fault(fields, end)
        why = fields.fault(kind)
        if not why:
            self._enter_head(fields)
            why = self._length_fault(end) if end else ""
        return why

    def data_fault(self, size: i64, end: bool) -> str:
        """Enter a piece of body; say why it cannot stand here, or return an empty string."""
        if not self.head_came:
            return "DATA before the head"
        self._received += size
        return self._length_fault(end)

    def _interim_fault(self, fields: Fields, end: bool) -> str:
        self._interims += 1
        self._interim_octets += fields.size
        if end or self._interims > _MOST_INTERIMS or self._interim_octets > _INTERIM_OCTETS:
            return "an interim response that ends the stream, or one too many"
        return fields.fault(Kind.RESPONSE)

    def _trailers_fault(self, fields: Fields, end: bool) -> str:
        if not end:
            return "trailers without END_STREAM"
        if self._connect:
            return "trailers on a tunnel"
        return fields.fault(Kind.TRAILERS) or self._length_fault(True)

    def _enter_head(self, fields: Fields) -> None:
        self.head_came = True
        if self._request:
            self._connect = fields.find(METHOD) == b"CONNECT"
        else:
            status = fields.status
            self._connect = self._connect and 200 <= status < 300
            self._bodiless = self._head_request or status == 204 or status == 304
        if not self._bodiless and not self._connect:
            self._expected = fields.content_length

    def _length_fault(self, end: bool) -> str:
        """RFC 9113 section 8.1.1."""
        if self._bodiless and self._received:
            return "body octets in a response that cannot have any"
        expected, received = self._expected, self._received
        if expected != NO_LENGTH and (received > expected or (end and received != expected)):
            return f"content-length {expected}, and {received} octets came"
        return ""
