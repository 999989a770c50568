"""Digest: whether a body is what its sender says of it, worked out as it passes.

Nothing is buffered: each algorithm that could be asked for hashes the octets on their
way, and what the trailers say is compared before the end can look clean. Told are
Content-Digest and Repr-Digest (RFC 9530), and the checksums of S3 (x-amz-checksum-*).
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from mypy_extensions import i64

from trailproxy.core.fault import Cause, Side, ours
from trailproxy.core.inspection import Halt, Inspector, Interest
from trailproxy.core.message import Request
from trailproxy.core.record import REQUEST, RESPONSE, Direction, Observer, Record
from trailproxy.core.timing import Announcement
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import TRAILER, Field
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange

#: A member of a dictionary of byte sequences (RFC 8941 section 3.2); parameters have no meaning.
_MEMBER: Final = re.compile(rb"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?")
_CONTENT: Final = b"content-digest"
_REPRESENTATION: Final = b"repr-digest"
_AMAZON: Final = b"x-amz-checksum-"


class Hash(Protocol):
    """What hashlib's objects can do, as far as it is needed."""

    def update(self, octets: bytes, /) -> None:
        """Hash more octets."""

    def digest(self) -> bytes:
        """Return the digest of all of them."""


def _crc32c_table() -> list[int]:
    """Return the table of the Castagnoli polynomial, reflected (RFC 3720 appendix B.4)."""
    table = []
    for octet in range(256):
        value = octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C: Final = _crc32c_table()


@final
class Crc32c:
    """CRC-32C, octet by octet."""

    def __init__(self) -> None:
        self._value: i64 = 0xFFFFFFFF

    def update(self, octets: bytes) -> None:
        """Hash more octets."""
        table = _CRC32C
        value = self._value
        position: i64 = 0
        size: i64 = len(octets)
        while position < size:  # compiled, 5 ns an octet
            value = i64(table[(value ^ octets[position]) & 0xFF]) ^ (value >> 8)
            position += 1
        self._value = value

    def digest(self) -> bytes:
        """Return four octets, the highest first."""
        return int(self._value ^ 0xFFFFFFFF).to_bytes(4, "big")


@final
class Crc32:
    """CRC-32, as zlib has it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, octets: bytes) -> None:
        """Hash more octets."""
        self._value = zlib.crc32(octets, self._value)

    def digest(self) -> bytes:
        """Return four octets, the highest first."""
        return self._value.to_bytes(4, "big")


_RFC9530: Final[dict[bytes, Callable[[], Hash]]] = {
    b"sha-256": hashlib.sha256,
    b"sha-512": hashlib.sha512,
}
_CHECKSUMS: Final[dict[bytes, Callable[[], Hash]]] = {
    b"crc32": Crc32,
    b"crc32c": Crc32c,
    b"sha1": lambda: hashlib.sha1(usedforsecurity=False),
    b"sha256": hashlib.sha256,
}
_SAME: Final = {b"sha256": b"sha-256"}  # two names of one hash


class Claim:
    """What somebody says of a body: an algorithm, and the digest it should have."""

    __slots__ = ("algorithm", "digest", "name")

    def __init__(self, name: bytes, algorithm: bytes, digest: bytes) -> None:
        self.name: Final = name
        self.algorithm: Final = algorithm
        self.digest: Final = digest


def claims_in(fields: Fields, *, whole: bool) -> list[Claim]:
    """Return what a head or trailers say of the body, in algorithms that are known here.

    Args:
        fields: the field list.
        whole: the body is the whole representation, so that Repr-Digest speaks of it too.
    """
    claims = []
    for field in fields.items:
        name = field.name
        if name == _CONTENT or (name == _REPRESENTATION and whole):
            for key, value in _MEMBER.findall(field.value):
                if key in _RFC9530:
                    claims.append(Claim(name, key, _decoded(value)))
        elif name.startswith(_AMAZON) and name[len(_AMAZON) :] in _CHECKSUMS:
            key = name[len(_AMAZON) :]
            claims.append(Claim(name, _SAME.get(key, key), _decoded(field.value)))
    return claims


def _decoded(value: bytes) -> bytes:
    """Decode base64; what is none is a digest that nothing has."""
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""


def hashes_for(head: Fields) -> dict[bytes, Hash]:
    """Return the hashes that may be asked for behind this head.

    `trailer` and `x-amz-trailer` say which checksums of S3 come; those of RFC 9530 are told
    by name only, so both are worked out.
    """
    told = b",".join([head.find(TRAILER) or b"", *head.all(b"x-amz-trailer")]).lower()
    hashes: dict[bytes, Hash] = {}
    for key, make in _CHECKSUMS.items():
        names = [name.strip() for name in told.split(b",")]
        if _AMAZON + key in names or head.get(_AMAZON + key) is not None:
            hashes[_SAME.get(key, key)] = make()
    if not hashes or b"-digest" in told:
        for key, make in _RFC9530.items():
            hashes.setdefault(key, make())
    return hashes


@final
class DigestCheck(Inspector):
    """Compares the digests of both bodies with what their senders say."""

    def __init__(self, *, resets: bool) -> None:
        self._resets: Final = resets

    def look_at(self, exchange: "Exchange") -> Inspector:
        """Each exchange has hashes of its own."""
        asked = exchange.record.asked
        return _Check(exchange.front.proxy.observer, asked, resets=self._resets)


@final
class _Check(Inspector):
    def __init__(self, observer: Observer, asked: Request, *, resets: bool) -> None:
        self._observer: Final = observer
        self._resets: Final = resets
        self._to_head: Final = asked.method == "HEAD"  # no body follows
        self._heads: Final[dict[Direction, Fields]] = {}
        # of a response nothing is expected before its head says that a body may follow
        self._hashes: Final[dict[Direction, dict[bytes, Hash]]] = {RESPONSE: {}}
        self._expect(REQUEST, asked.relayed)

    def _expect(self, direction: Direction, head: Fields) -> None:
        self._heads[direction] = head
        self._hashes[direction] = hashes_for(head)

    def interests(self) -> int:
        """Both bodies; and a digest may stand in the head, so each end is looked at."""
        octets = Interest.REQUEST_DATA | Interest.RESPONSE_DATA
        return octets | Interest.REQUEST_END | Interest.RESPONSE_END

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Prepare for the hashes that the response may be held to."""
        if not end and not self._to_head:
            self._expect(RESPONSE, head)
        return head

    def data(self, direction: Direction, octets: bytes) -> None:
        """Hash them."""
        for each in self._hashes[direction].values():
            each.update(octets)

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Compare, before the end can look clean.

        Raises:
            Halt: a digest is another one, and the route wants a reset.
        """
        hashes = self._hashes[direction]
        whole = direction is REQUEST or record.status == 200
        claims = claims_in(self._heads[direction], whole=whole) + claims_in(trailers, whole=whole)
        known = [claim for claim in claims if claim.algorithm in hashes]
        for claim in known:
            if hashes[claim.algorithm].digest() != claim.digest:
                self._mismatch(record, direction, claim)
                return trailers
        outcome = "verified" if known else "unverified"
        self._observer.digest_checked(direction, outcome, record.route)
        return trailers

    def _mismatch(self, record: Record, direction: Direction, claim: Claim) -> None:
        self._observer.digest_checked(direction, "mismatch", record.route)
        field = f"{claim.name.decode()} ({claim.algorithm.decode()})"
        why = f"{direction} body does not have the digest that {field} says"
        if self._resets:
            side = Side.DOWNSTREAM if direction is REQUEST else Side.UPSTREAM
            raise Halt(ours(Cause.DIGEST_MISMATCH, why, side, ErrorCode.INTERNAL_ERROR))
        record.note(why)


@final
class DigestMaker(Inspector):
    """Adds a Content-Digest of SHA-256 behind a response that has none."""

    def __init__(self) -> None:
        self._announcement: Final = Announcement(_CONTENT)

    def look_at(self, exchange: "Exchange") -> Inspector:
        """Each exchange has a hash of its own."""
        to_head = exchange.record.method == "HEAD"
        return _Maker(exchange.front.proxy.observer, self._announcement, to_head)


@final
class _Maker(Inspector):
    def __init__(self, observer: Observer, announcement: Announcement, to_head: bool) -> None:
        self._observer: Final = observer
        self._announcement: Final = announcement
        self._to_head: Final = to_head
        self._hash: Hash | None = None

    def interests(self) -> int:
        """Responses; those that came without trailers get one."""
        return Interest.RESPONSE_DATA | Interest.RESPONSE_END

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Announce the trailer, unless there is a digest already, or no body."""
        if end or self._to_head or head.get(_CONTENT) is not None:
            return head
        self._hash = hashlib.sha256()
        return self._announcement.on(head)

    def data(self, direction: Direction, octets: bytes) -> None:
        """Hash them."""
        if self._hash is not None:
            self._hash.update(octets)

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Add the digest."""
        if direction is not RESPONSE or self._hash is None or trailers.get(_CONTENT) is not None:
            return trailers
        value = b"sha-256=:" + base64.b64encode(self._hash.digest()) + b":"
        self._observer.digest_checked(direction, "added", record.route)
        return Fields([*trailers.items, Field(_CONTENT, value)])
