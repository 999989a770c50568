"""Field: one field line, and what is worth knowing about it more than once.

A field that came out of a compression table comes again, so the object is
shared: its verdict and its wire form are worked out a single time. Names with a
meaning carry a token, and whoever asks compares numbers instead of octets.
"""

from itertools import product
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

# Tokens: the names that somebody here asks for.
PLAIN: Final = 0
METHOD: Final = 1
SCHEME: Final = 2
AUTHORITY: Final = 3
PATH: Final = 4
STATUS: Final = 5
OTHER_PSEUDO: Final = 6  # the last of those that begin with a colon
HOST: Final = 7
X_FORWARDED_FOR: Final = 8
X_FORWARDED_PROTO: Final = 9
X_FORWARDED_HOST: Final = 10  # the last of those that each proxy writes anew
CONNECTION_SPECIFIC: Final = 11
TE: Final = 12
CONTENT_LENGTH: Final = 13
CONTENT_TYPE: Final = 14
DATE: Final = 15
TRAILER: Final = 16
GRPC_STATUS: Final = 17
MAX_FORWARDS: Final = 18
GRPC_TIMEOUT: Final = 19
TRACEPARENT: Final = 20
SECRET: Final = 21  # never put in a compression table of ours (RFC 7541 section 7.1.3)
CLIENT_CERT: Final = 22  # x-forwarded-client-cert
CLIENT_CERT_ALIKE: Final = 23  # its other spellings: many servers take _ for -

_TOKENS: Final[dict[bytes, int]] = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":status": STATUS,
    b"connection": CONNECTION_SPECIFIC,
    b"proxy-connection": CONNECTION_SPECIFIC,
    b"keep-alive": CONNECTION_SPECIFIC,
    b"transfer-encoding": CONNECTION_SPECIFIC,
    b"upgrade": CONNECTION_SPECIFIC,
    b"te": TE,
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"content-type": CONTENT_TYPE,
    b"date": DATE,
    b"trailer": TRAILER,
    b"grpc-status": GRPC_STATUS,
    b"grpc-timeout": GRPC_TIMEOUT,
    b"max-forwards": MAX_FORWARDS,
    b"traceparent": TRACEPARENT,
    b"x-forwarded-for": X_FORWARDED_FOR,
    b"x-forwarded-proto": X_FORWARDED_PROTO,
    b"x-forwarded-host": X_FORWARDED_HOST,
    b"authorization": SECRET,
    b"proxy-authorization": SECRET,
    b"cookie": SECRET,
    b"set-cookie": SECRET,
}
_TOKENS.update(
    {b"x%cforwarded%cclient%ccert" % marks: CLIENT_CERT_ALIKE for marks in product(b"-_", repeat=3)}
)
_TOKENS[b"x-forwarded-client-cert"] = CLIENT_CERT


def octet_set(members: bytes) -> bytes:
    """Return a table of 256 octets, 1 for each member, for `consists_of`."""
    return bytes([octet in members for octet in range(256)])


# RFC 9113 8.2.1 lets any visible lower-case octet through, but what we forward
# must match the grammar of HTTP (RFC 9110 5.1), so names are held to `token`.
_NAME_OCTETS: Final = octet_set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
# and values to `field-value` (RFC 9110 5.5): RFC 9113 forbids only what ends a line, but
# a vertical tab or an escape is a line's end, or worse, to some who read what we forward.
_VALUE_OCTETS: Final = octet_set(bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]))
_SPACE: Final = 0x20
_TAB: Final = 0x09

_MOST_SHOWN: Final = 64  # octets that an error text quotes of what a peer made up

_OVERHEAD: Final = 32
_POOL_LIMIT: Final = 4096  # fields shared by all connections of this process
_POOLED_OCTETS: Final = 512  # in one of them


@mypyc_attr(acyclic=True)
@final
class Recurring:
    """The identity of something that comes again and again, for whoever keeps its wire form."""

    __slots__ = ("encoder", "place")

    def __init__(self) -> None:
        self.encoder: i64 = 0  # the number of the one that used it last
        self.place: i64 = -1  # and how many entries that had inserted before this one; -1: none


@mypyc_attr(acyclic=True)
@final
class Field:
    """One field line; `never_indexed` survives every hop (RFC 7541 section 6.2.3)."""

    __slots__ = (
        "literal",
        "name",
        "never_indexed",
        "recurring",
        "sent",
        "sound",
        "static",
        "static_name",
        "token",
        "value",
    )

    def __init__(
        self,
        name: bytes,
        value: bytes,
        never_indexed: bool = False,
        token: i64 = -1,
        static_name: i64 = -1,
    ) -> None:
        """Keep the octets; who knows another field of the name gives its token and place."""
        self.name: Final = name
        self.value: Final = value
        self.never_indexed: Final = never_indexed
        if token < 0:
            token = token_of(name)
        self.token: Final[i64] = token
        #: Set when the same field came twice: then it is worth a place in a table.
        self.recurring: Recurring | None = None
        # kept by whoever asked first
        self.sound = False  # `fault` has found nothing
        self.sent = False  # by an encoder, any
        self.static: i64 = -1  # place in the static table, 0 for none; -1: nobody has looked
        #: Place of the name in the static table, 0 for none; -1: nobody has looked.
        self.static_name: i64 = static_name
        self.literal: bytes | None = None  # wire form outside every table, if sent before

    @property
    def size(self) -> i64:
        """Octets as tables and limits count them (RFC 7541 section 4.1)."""
        return len(self.name) + len(self.value) + _OVERHEAD

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Field)
            and self.name == other.name
            and self.value == other.value
            and self.never_indexed == other.never_indexed
        )

    def __hash__(self) -> int:
        return hash(self.name) ^ hash(self.value)

    def __repr__(self) -> str:
        value = "***" if self.never_indexed else self.value.decode("latin-1")
        return f"{self.name.decode('latin-1')}: {value}"

    def fault(self) -> str:
        """Say what breaks RFC 9113 section 8.2.1 or the grammar of HTTP (RFC 9110 section 5).

        Returns:
            An empty string if nothing does; pseudo-fields are judged elsewhere.
        """
        if self.sound:
            return ""
        name, value = self.name, self.value
        if not name or not consists_of(name, _NAME_OCTETS):
            if name[:1] == b":":
                return f"pseudo-header {show(name)} is not allowed here"
            return f"illegal field name {show(name)}"
        if value and (_is_space(value[0]) or _is_space(value[-1])):
            return f"space around the value of field {show(name)}"
        if not consists_of(value, _VALUE_OCTETS):
            return f"illegal value in field {show(name)}"
        self.sound = True
        return ""


def consists_of(octets: bytes, lawful: bytes) -> bool:
    """Tell whether all octets are members of an `octet_set`."""
    # 1 ns an octet, compiled; `bytes.translate` builds a table at each call, 250 ns
    position: i64 = 0
    size: i64 = len(octets)
    while position < size:
        if not lawful[octets[position]]:
            return False
        position += 1
    return True


def _is_space(octet: i64) -> bool:
    return octet == _SPACE or octet == _TAB  # a tuple would be built


def token_of(name: bytes) -> i64:
    """Return the token of a field name."""
    token = _TOKENS.get(name)
    if token is not None:
        return token
    return OTHER_PSEUDO if name[:1] == b":" else PLAIN


def show(octets: bytes) -> str:
    """Quote octets for an error text; the first of them, where there are many."""
    text = repr(octets[:_MOST_SHOWN].decode("latin-1"))
    return text if len(octets) <= _MOST_SHOWN else text + "..."


_pool: Final[dict[tuple[bytes, bytes, bool], Field]] = {}


def share(field: Field) -> Field:
    """Return the one object that stands for this field in the whole process, if it may be kept.

    The pool is emptied when it is full: what is forgotten is only found again later.
    """
    if field.recurring is not None or len(field.name) + len(field.value) > _POOLED_OCTETS:
        return field
    key = (field.name, field.value, field.never_indexed)
    known = _pool.get(key)
    if known is None:
        if len(_pool) >= _POOL_LIMIT:
            _pool.clear()
        field.recurring = Recurring()
        _pool[key] = known = field
    return known
