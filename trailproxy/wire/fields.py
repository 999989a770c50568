"""Fields: a header list that knows whether it may travel.

A field list is immutable, so each verdict about it is worked out once and
carried along: whether it breaks RFC 9113 section 8.2 and 8.3 as a request head,
a response head or trailers, what its content-length says, how large it is.
Order, duplicates and never-indexed marks are kept as the sender chose them.
"""

from collections.abc import Iterable, Iterator
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.authority import is_authority, names_port
from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.field import (
    AUTHORITY,
    CLIENT_CERT_ALIKE,
    CONNECTION_SPECIFIC,
    CONTENT_LENGTH,
    HOST,
    METHOD,
    OTHER_PSEUDO,
    PATH,
    PLAIN,
    SCHEME,
    SECRET,
    STATUS,
    TE,
    Field,
    Recurring,
    consists_of,
    octet_set,
    share,
    show,
    token_of,
)

NO_LENGTH: Final = -1
BAD_LENGTH: Final = -2

_LISTS_LIMIT: Final = 256  # lists shared by all connections of this process

_ALPHANUMERIC: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_METHOD_OCTETS: Final = octet_set(_ALPHANUMERIC + b"!#$%&'*+-.^_`|~")
_SCHEME_OCTETS: Final = octet_set(_ALPHANUMERIC + b"+-.")
_SLASH: Final = 0x2F
# RFC 3986 has fewer; but browsers send the rest of ASCII in queries, and only `#` means
# another thing to those behind us. Beyond ASCII each would have a reading of its own.
_TARGET_OCTETS: Final = octet_set(bytes(range(0x21, 0x7F)).translate(None, b"#"))


class Kind:
    """Which rules a field list is held to."""

    REQUEST: Final = 0
    RESPONSE: Final = 1
    TRAILERS: Final = 2


_KINDS: Final = ("request", "response", "trailers")


@mypyc_attr(acyclic=True)
@final
class Fields:
    """An immutable list of field lines with its cached verdicts."""

    __slots__ = (
        "_judged",
        "_length",
        "_size",
        "_status",
        "_tokens",
        "_verdict",
        "heir",
        "items",
        "recurring",
    )

    def __init__(self, items: list[Field], size: i64 = -1) -> None:
        """Take over a list, which nobody changes any more; and its size, if it is known."""
        #: The field lines, in order.
        self.items: Final = items
        self._size: i64 = size
        self._tokens: i64 = -1  # one bit for each that is in the list, once somebody asked
        self._status: i64 = -1  # once somebody asked
        self._judged: i64 = -1  # the kind of the verdict
        self._verdict = ""
        self._length: i64 = -3  # the announced body size, once somebody asked
        #: Set when the same list came twice: then what is made of it is worth keeping.
        self.recurring: Recurring | None = None
        #: What the core made of a recurring list; its business alone.
        self.heir: object = None

    @classmethod
    def of(cls, pairs: Iterable[tuple[str | bytes, str | bytes] | Field]) -> "Fields":
        """Build from names and values as `str` or `bytes`; names are lower-cased.

        Raises:
            HTTP2Error: an item is no pair of `str` or `bytes`, and its name says which.
        """
        given: Iterable[object] = pairs  # what comes from outside may be anything
        return cls([_field(pair) for pair in given])

    @property
    def size(self) -> i64:
        """Octets as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section 6.5.2)."""
        if self._size < 0:
            size: i64 = 0
            for field in self.items:
                size += field.size
            self._size = size
        return self._size

    def vouch(self, kind: i64) -> "Fields":
        """Hold the list for well-formed: it was made of one that is, by rules that keep it so."""
        self._judged = kind
        return self

    def __iter__(self) -> Iterator[Field]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.items == other.items

    def __hash__(self) -> int:
        return hash(tuple(self.items))

    def __repr__(self) -> str:
        return f"Fields({', '.join([repr(field) for field in self.items])})"

    def get(self, name: bytes) -> bytes | None:
        """Return the first value under `name`, or None."""
        token = token_of(name)
        if token not in (PLAIN, OTHER_PSEUDO, CONNECTION_SPECIFIC, SECRET, CLIENT_CERT_ALIKE):
            return self.find(token)  # the token stands for this one name
        for field in self.items:
            if field.name == name:
                return field.value
        return None

    def has_any(self, tokens: i64) -> bool:
        """Tell whether there is a field with one of these tokens; each stands for its bit."""
        if self._tokens < 0:
            self._tokens = _tokens_in(self.items)
        return self._tokens & tokens != 0

    def first(self, token: i64) -> Field | None:
        """Return the first field with this token, or None."""
        if token > OTHER_PSEUDO and not self.has_any(1 << token):
            return None  # pseudo-headers come first, and are found at once
        for field in self.items:
            if field.token == token:
                return field
        return None

    def find(self, token: i64) -> bytes | None:
        """Return the value of the first field with this token, or None."""
        field = self.first(token)
        return None if field is None else field.value

    def all(self, name: bytes) -> list[bytes]:
        """Return every value under `name`, in order."""
        return [field.value for field in self.items if field.name == name]

    def fault(self, kind: i64) -> str:
        """Say what makes this list malformed as a `Kind`, or return an empty string."""
        if self._judged != kind:
            self._verdict = self._find_fault(kind)
            self._judged = kind
        return self._verdict

    def _find_fault(self, kind: i64) -> str:
        tokens: i64 = 0
        regular = False
        for field in self.items:
            token = field.token
            why = ""
            if 0 < token <= OTHER_PSEUDO:
                why = _pseudo_fault(field, kind, tokens, regular)
            else:
                regular = True
                if not field.sound:
                    why = field.fault()
                if not why and CONNECTION_SPECIFIC <= token <= TE:
                    why = _hop_fault(field, kind)
            if why:
                return why
            tokens |= 1 << token
        self._tokens = tokens
        if kind == Kind.TRAILERS:
            return ""
        if self.content_length == BAD_LENGTH:
            return "unusable content-length"
        return _request_fault(self, tokens) if kind == Kind.REQUEST else _response_fault(self)

    def illegal_field(self) -> str:
        """Say which plain field breaks RFC 9113 section 8.2.1; an empty string if none does."""
        for field in self.items:
            wrong = field.fault()
            if wrong:
                return wrong
        return ""

    @property
    def content_length(self) -> i64:
        """The announced body size in bytes, NO_LENGTH, or BAD_LENGTH (RFC 9110 section 8.6)."""
        if self._length == -3:
            self._length = _content_length(self)
        return self._length

    @property
    def status(self) -> i64:
        """The status of a response head; 0 if there is none, or none of three digits."""
        if self._status < 0:
            self._status = _status(self)
        return self._status

    @property
    def interim(self) -> bool:
        """Whether this is an informational response head (RFC 9110 section 15.2)."""
        return 100 <= self.status < 200


def _field(pair: object) -> Field:
    if isinstance(pair, Field):
        return pair
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise HTTP2Error(f"a field is a name and a value, not {pair!r}")
    name = _octets(pair[0], "field name")
    return Field(name.lower(), _octets(pair[1], f"value of field {show(name)}"))


def _octets(text: object, what: str) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8")
    if not isinstance(text, bytes):
        raise HTTP2Error(f"{what} is neither str nor bytes: {text!r}")
    return text


def _tokens_in(items: list[Field]) -> i64:
    tokens: i64 = 0
    for field in items:
        tokens |= 1 << field.token
    return tokens


def _status(fields: Fields) -> i64:
    status = fields.find(STATUS) or b""
    return int(status) if len(status) == 3 and status.isdigit() else 0


def _content_length(fields: Fields) -> i64:
    """Read the one content-length there may be.

    A second one, even alike, is no length: who forwards it must make them one, or refuse
    (RFC 9110 section 8.6), and refusing is what nobody behind us can read otherwise.
    """
    if not fields.has_any(1 << CONTENT_LENGTH):
        return NO_LENGTH
    length: bytes | None = None
    for field in fields.items:
        if field.token == CONTENT_LENGTH:
            if length is not None:
                return BAD_LENGTH
            length = field.value
    # Eighteen digits is past any body; more would only overflow.
    if length is None or not length.isdigit() or len(length) > 18:
        return BAD_LENGTH
    return int(length)


def _pseudo_fault(field: Field, kind: i64, seen: i64, late: bool) -> str:
    """RFC 9113 section 8.3: known for this kind, once, and before every regular field."""
    token = field.token
    request = METHOD <= token <= PATH
    if not (request if kind == Kind.REQUEST else kind == Kind.RESPONSE and token == STATUS):
        return f"pseudo-header {show(field.name)} does not belong in {_KINDS[kind]}"
    if late:
        return f"pseudo-header {show(field.name)} behind a regular field"
    return f"pseudo-header {show(field.name)} twice" if seen & (1 << token) else ""


def _hop_fault(field: Field, kind: i64) -> str:
    """RFC 9113 section 8.2.2; in trailers such fields are dropped instead (core.message)."""
    if kind == Kind.TRAILERS:
        return ""
    if field.token == CONNECTION_SPECIFIC:
        return f"connection-specific field {show(field.name)}"
    if field.token == TE and (kind == Kind.RESPONSE or field.value.lower() != b"trailers"):
        return "te other than 'trailers'"
    return ""


def _response_fault(fields: Fields) -> str:
    """RFC 9113 section 8.3.2; 101 does not exist in HTTP/2 (section 8.6)."""
    if fields.status >= 100 and fields.status != 101:
        return ""
    return f"unusable :status {show(fields.find(STATUS) or b'')}"


def _request_fault(fields: Fields, seen: i64) -> str:
    """RFC 9113 sections 8.3.1 and 8.5."""
    method = fields.find(METHOD) or b""
    if not method or not consists_of(method, _METHOD_OCTETS):
        return f"unusable :method {show(method)}"
    if method == b"CONNECT":
        return _connect_fault(fields, seen)
    return _target_fault(fields, method) or _authority_fault(fields)


def _connect_fault(fields: Fields, seen: i64) -> str:
    """RFC 9113 section 8.5; its target has a port, and none is understood."""
    if seen & (1 << SCHEME | 1 << PATH):
        return "CONNECT with :scheme or :path"
    authority = fields.find(AUTHORITY)
    if authority is None:
        return "CONNECT without :authority"
    why = _authority_fault(fields)
    if not why and not names_port(authority):
        why = f"CONNECT without a port: {show(authority)}"
    return why


def _target_fault(fields: Fields, method: bytes) -> str:
    scheme = fields.find(SCHEME) or b""
    if scheme != b"http" and scheme != b"https" and not _is_scheme(scheme):
        return f"unusable :scheme {show(scheme)}"
    path = fields.find(PATH) or b""
    if path == b"*" and method == b"OPTIONS":
        return ""
    if not path or path[0] != _SLASH or not consists_of(path, _TARGET_OCTETS):
        return f"unusable :path {show(path)}"
    return ""


def _is_scheme(scheme: bytes) -> bool:
    """RFC 3986 section 3.1."""
    return scheme[:1].isalpha() and consists_of(scheme, _SCHEME_OCTETS)


def _authority_fault(fields: Fields) -> str:
    """RFC 9113 section 8.3.1, RFC 9110 sections 4.2 and 7.2.

    Two hosts, or a host that is not :authority's, are refused rather than one of them chosen:
    whoever is behind us may choose the other. They are compared as they stand but for their
    case; a default port left out of one is a difference.
    """
    authority, host = fields.find(AUTHORITY), fields.find(HOST)
    if host is not None and len(fields.all(b"host")) > 1:
        return "host twice"
    target = host if authority is None else authority
    if not target:
        return "neither :authority nor host"
    if not is_authority(target):
        return f"unusable authority {show(target)}"
    if authority is not None and host is not None and host.lower() != authority.lower():
        return "host differs from :authority"
    return ""


_lists: Final[dict[tuple[Recurring | None, ...], Fields]] = {}


def share_list(fields: Fields) -> Fields:
    """Return the one object that stands for a list that recurs, in the whole process.

    What hundreds of connections say alike is then worked out once, and lies in the
    processor's cache. A list with a field too large to be shared stands for itself.
    """
    items = [share(field) for field in fields.items]
    key = tuple([field.recurring for field in items])
    known = _lists.get(key)
    if known is None:
        known = Fields(items, fields.size)
        known.recurring = Recurring()
        if None not in key:
            if len(_lists) >= _LISTS_LIMIT:
                _lists.clear()
            _lists[key] = known
    return known
