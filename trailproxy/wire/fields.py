"""Fields: a header list that knows whether it may travel.

A field list is immutable, so each verdict about it is worked out once and
carried along: whether it breaks RFC 9113 section 8.2 and 8.3 as a request head,
a response head or trailers, what its content-length says, how large it is.
Order, duplicates and never-indexed marks are kept as the sender chose them.
"""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple, final

from trailproxy.wire.errors import HTTP2Error

NO_LENGTH: Final = -1
BAD_LENGTH: Final = -2

# RFC 9113 8.2.1 lets any visible lower-case octet through, but what we forward
# must match the grammar of HTTP (RFC 9110 5.1), so names are held to `token`.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]\Z")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")
_BAD_TARGET: Final = re.compile(rb"[\x00-\x20\x7f]")
_BAD_AUTHORITY: Final = re.compile(rb"[\x00-\x20\x7f@/?#\\]")
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")

_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


class Kind(IntEnum):
    """Which rules a field list is held to."""

    REQUEST = 0
    RESPONSE = 1
    TRAILERS = 2


_PSEUDO: Final = {
    Kind.REQUEST: frozenset({b":method", b":scheme", b":authority", b":path"}),
    Kind.RESPONSE: frozenset({b":status"}),
    Kind.TRAILERS: frozenset[bytes](),
}


class Field(NamedTuple):
    """One field line; `never_indexed` survives every hop (RFC 7541 section 6.2.3)."""

    name: bytes
    value: bytes
    never_indexed: bool = False


@final
class Fields:
    """An immutable list of field lines with its cached verdicts."""

    __slots__ = ("_faults", "_first", "_items", "_length", "size")

    def __init__(self, items: Iterable[Field]) -> None:
        self._items: Final = tuple(items)
        self._first: dict[bytes, bytes] | None = None
        self._faults: list[str | None] = [None, None, None]
        self._length: int | None = None
        #: Octets as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section 6.5.2).
        self.size: Final = sum([len(f[0]) + len(f[1]) + 32 for f in self._items])

    @classmethod
    def of(cls, pairs: Iterable[tuple[str | bytes, str | bytes]]) -> "Fields":
        """Build from names and values as `str` or `bytes`; names are lower-cased.

        Raises:
            HTTP2Error: an item is no pair of `str` or `bytes`, and its name says which.
        """
        return cls([_field(pair) for pair in pairs])

    def __iter__(self) -> Iterator[Field]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{f.name.decode('latin-1')}: {'***' if f.never_indexed else f.value.decode('latin-1')}"
            for f in self._items
        )
        return f"Fields({shown})"

    def get(self, name: bytes) -> bytes | None:
        """Return the first value under `name`, or None."""
        first = self._first
        if first is None:
            first = {}
            for field in self._items:
                first.setdefault(field[0], field[1])
            self._first = first
        return first.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Return every value under `name`, in order."""
        return [field[1] for field in self._items if field[0] == name]

    def fault(self, kind: Kind) -> str:
        """Say what makes this list malformed as a `kind`, or return an empty string."""
        verdict = self._faults[kind]
        if verdict is None:
            verdict = self._faults[kind] = _find_fault(self, kind)
        return verdict

    def illegal_field(self) -> str:
        """Say which plain field breaks RFC 9113 section 8.2.1; an empty string if none does."""
        for field in self._items:
            wrong = _illegal(field)
            if wrong:
                return wrong
        return ""

    @property
    def content_length(self) -> int:
        """The announced body size in bytes, NO_LENGTH, or BAD_LENGTH (RFC 9110 section 8.6)."""
        if self._length is None:
            self._length = _content_length(self)
        return self._length

    @property
    def interim(self) -> bool:
        """Whether this is an informational response head (RFC 9110 section 15.2)."""
        status = self.get(b":status")
        return status is not None and status[:1] == b"1"


def _field(pair: "tuple[str | bytes, str | bytes] | Field") -> Field:
    if isinstance(pair, Field):
        return pair
    name = _octets(pair[0], "field name")
    return Field(name.lower(), _octets(pair[1], f"value of field {_show(name)}"))


def _octets(text: object, what: str) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8")
    if not isinstance(text, bytes):
        raise HTTP2Error(f"{what} is neither str nor bytes: {text!r}")
    return text


def _show(octets: bytes) -> str:
    return repr(octets.decode("latin-1"))


def _illegal(field: Field) -> str:
    name = field[0]
    if _NAME.fullmatch(name) is None:
        if name[:1] == b":":
            return f"pseudo-header {_show(name)} is not allowed here"
        return f"illegal field name {_show(name)}"
    if _BAD_VALUE.search(field[1]) is not None:
        return f"illegal value in field {_show(name)}"
    return ""


def _content_length(fields: Fields) -> int:
    values = fields.all(b"content-length")
    if not values:
        return NO_LENGTH
    first = values[0]
    # Nineteen digits is past any body; more only serve to burn CPU in int().
    if not first.isdigit() or len(first) > 19 or any(value != first for value in values):
        return BAD_LENGTH
    return int(first)


def _find_fault(fields: Fields, kind: Kind) -> str:
    pseudo: dict[bytes, bytes] = {}
    regular = False
    for field in fields:
        if field[0][:1] == b":":
            why = _pseudo_fault(field[0], pseudo, regular, kind)
            pseudo[field[0]] = field[1]
        else:
            regular = True
            why = _illegal(field) or _hop_fault(field[0], field[1], kind)
        if why:
            return why
    if kind is Kind.TRAILERS:
        return ""
    if fields.content_length == BAD_LENGTH:
        return "unusable content-length"
    return _request_fault(fields, pseudo) if kind is Kind.REQUEST else _response_fault(pseudo)


def _pseudo_fault(name: bytes, seen: dict[bytes, bytes], late: bool, kind: Kind) -> str:
    """RFC 9113 section 8.3: known for this kind, once, and before every regular field."""
    if name not in _PSEUDO[kind]:
        return f"pseudo-header {_show(name)} does not belong in {kind.name.lower()}"
    if late:
        return f"pseudo-header {_show(name)} behind a regular field"
    return f"pseudo-header {_show(name)} twice" if name in seen else ""


def _hop_fault(name: bytes, value: bytes, kind: Kind) -> str:
    """RFC 9113 section 8.2.2; in trailers such fields are dropped instead (core.message)."""
    if kind is Kind.TRAILERS:
        return ""
    if name in _CONNECTION_SPECIFIC:
        return f"connection-specific field {_show(name)}"
    if name == b"te" and (kind is Kind.RESPONSE or value.lower() != b"trailers"):
        return "te other than 'trailers'"
    return ""


def _response_fault(pseudo: dict[bytes, bytes]) -> str:
    """RFC 9113 section 8.3.2; 101 does not exist in HTTP/2 (section 8.6)."""
    status = pseudo.get(b":status", b"")
    if _STATUS.fullmatch(status) is None or status == b"101":
        return f"unusable :status {_show(status)}"
    return ""


def _request_fault(fields: Fields, pseudo: dict[bytes, bytes]) -> str:
    """RFC 9113 sections 8.3.1 and 8.5."""
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        return f"unusable :method {_show(method)}"
    why = _connect_fault(pseudo) if method == b"CONNECT" else _target_fault(method, pseudo)
    return why or _authority_fault(fields, pseudo)


def _connect_fault(pseudo: dict[bytes, bytes]) -> str:
    if b":scheme" in pseudo or b":path" in pseudo:
        return "CONNECT with :scheme or :path"
    return "" if pseudo.get(b":authority") else "CONNECT without :authority"


def _target_fault(method: bytes, pseudo: dict[bytes, bytes]) -> str:
    scheme = pseudo.get(b":scheme", b"")
    if _SCHEME.fullmatch(scheme) is None:
        return f"unusable :scheme {_show(scheme)}"
    path = pseudo.get(b":path", b"")
    whole_server = path == b"*" and method == b"OPTIONS"
    if not whole_server and (path[:1] != b"/" or _BAD_TARGET.search(path) is not None):
        return f"unusable :path {_show(path)}"
    return ""


def _authority_fault(fields: Fields, pseudo: dict[bytes, bytes]) -> str:
    authority = pseudo.get(b":authority")
    hosts = fields.all(b"host")
    if len(hosts) > 1:
        return "host twice"
    target = authority if authority is not None else (hosts[0] if hosts else b"")
    if not target:
        return "neither :authority nor host"
    if _BAD_AUTHORITY.search(target) is not None:
        return f"unusable authority {_show(target)}"
    if authority is not None and hosts and hosts[0].lower() != authority.lower():
        return "host differs from :authority"
    return ""
