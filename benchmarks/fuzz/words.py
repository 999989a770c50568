"""Words: the small parsers, each with what it is for.

Operators write addresses, durations, sizes and patterns; strangers write timeouts, digests,
traces, messages, and whatever the access log then shows. Each parser gives a value or says
no in the way it promises, and what it gives can be written and read again.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec
from librt.strings import BytesWriter

from benchmarks.fuzz.settings import VALUES
from tests.support.log_line import Line
from tests.support.records import record_of
from trailproxy.core.address import Address, parse_address, parse_endpoint
from trailproxy.core.digest import claims_in, hashes_for
from trailproxy.core.grpc import (
    NO_TIMEOUT,
    percent_decoded,
    percent_encoded,
    timeout_of,
    with_timeout,
)
from trailproxy.core.message import Hop, request_to_relay, understand
from trailproxy.core.reply import own_reply
from trailproxy.ops import patterns
from trailproxy.ops.access_line import LineWriter
from trailproxy.ops.trace import parent_of, trace_id
from trailproxy.ops.units import Duration, Size
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields, Kind

_HEAD: Final = [
    Field(b":method", b"POST"),
    Field(b":scheme", b"http"),
    Field(b":authority", b"a"),
    Field(b":path", b"/a.B/C"),
    Field(b"content-type", b"application/grpc"),
]
_DIGESTS: Final = (
    *(b"content-digest", b"repr-digest", b"x-amz-checksum-crc32c", b"x-amz-checksum-sha256"),
    *(b"trailer", b"x-amz-trailer"),
)
_ALGORITHMS: Final = (b"sha-256", b"sha-512", b"crc32", b"crc32c", b"sha1")
_HOP: Final = Hop("192.0.2.7", "http")
_ENCODED: Final = re.compile(rb"([ -$&-~]|%[0-9A-F]{2})*")
_LONGEST: Final = 100_000  # of what a line of the log may have; a pipe takes 4096 at once
_MOST: Final = 60_000  # octets of a path that a pattern meets


def _address(octets: bytes) -> None:
    _read_again(parse_address, octets)


def _endpoint(octets: bytes) -> None:
    _read_again(parse_endpoint, octets)


def _read_again(parse: Callable[[str], Address], octets: bytes) -> None:
    """An address, once written, is the same address."""
    try:
        address = parse(octets.decode("utf-8", "replace"))
    except ValueError as error:
        why = error
    else:
        assert parse(str(address)) == address, f"{address!r} is written {address}"
        assert address.authority, f"nobody could ask {address!r}"
        return
    assert type(why) is ValueError, f"not meant for operators: {why!r}"
    assert str(why), "it does not say why"


def _unit(octets: bytes) -> None:
    """A duration or size, once written, is the same."""
    text = octets.decode("utf-8", "replace")
    for kind in (Duration, Size):
        try:
            value = kind.parse(text)
        except ValueError:
            continue
        assert kind.parse(str(value)) == value >= 0, f"{value!r} is written {value}"


def _timeout(octets: bytes) -> None:
    """What is left of a grpc-timeout is never more than it was."""
    head = Fields([*_HEAD, Field(b"grpc-timeout", octets)])
    seconds = timeout_of(head)
    assert seconds == NO_TIMEOUT or 0 <= seconds < 10**8 * 3600
    if seconds != NO_TIMEOUT:
        passed_on = timeout_of(with_timeout(head, seconds))
        assert 0 < passed_on <= max(seconds, 1e-9), f"{seconds} s became {passed_on} s"


def _message(octets: bytes) -> None:
    """A message for people survives gRPC's encoding, and never breaks a field."""
    text = percent_decoded(octets)
    coded = percent_encoded(text)
    assert _ENCODED.fullmatch(coded), f"not to be sent: {coded!r}"
    assert percent_decoded(coded) == text.strip()[:500]
    for speaks_grpc in (True, False):
        head = own_reply(503, text, speaks_grpc=speaks_grpc, date=b"now").head
        assert not head.fault(Kind.RESPONSE), head.fault(Kind.RESPONSE)


def _pattern(octets: bytes) -> None:
    """A pattern is refused, or fits the same alone and among others."""
    expression, _, path = octets.partition(b"\0")
    pattern = expression.decode("utf-8", "replace")
    why = patterns.complaint(pattern)
    if not why:
        path = (path or expression) * (_MOST // max(len(path or expression), 1))
        alone = bool(patterns.whole(pattern)(path))
        assert (patterns.combine([pattern, "/other"])(path) == [0]) == alone, "not the same"


def _digest(octets: bytes) -> None:
    """A digest is told of an algorithm that is known, or not at all; and none is overlong."""
    fields = Fields([*_HEAD, *(Field(name, octets) for name in _DIGESTS)])
    hashes = hashes_for(fields)
    assert 0 < len(hashes) <= len(_ALGORITHMS), f"hashes: {[*hashes]}"
    for claim in claims_in(fields, whole=True):
        assert claim.algorithm in _ALGORITHMS, f"who knows {claim.algorithm!r}?"
        assert len(claim.digest) <= len(octets), f"{claim.digest!r} was never said"


def _trace(octets: bytes) -> None:
    """A trace has an id that is one."""
    parent = parent_of(octets)
    assert trace_id(octets) == ("" if parent is None else parent[0])
    if parent is not None:
        assert int(parent[0], 16) * int(parent[1], 16), "an id of zeros"
        assert octets.startswith(f"{octets[:2].decode()}-{parent[0]}-{parent[1]}-".encode())


def _log(octets: bytes) -> None:
    """Whatever a stranger says, it is one line, and says what was said."""
    words = octets.decode("latin-1")
    trailers = Fields([Field(b"grpc-message", octets), Field(b"x-a", octets), Field(b"x-a", b"b")])
    record = record_of("main", words, words, words, "192.0.2.7", 0.0, True, traceparent=words)
    record.grpc_status, record.response_section, record.why = words, trailers, words
    record.note(words)
    out = BytesWriter()
    LineWriter((), ("x-a", "grpc-message")).write(out, record, b"now")
    written = out.getvalue()
    assert written.count(b"\n") == 1, "not one line"
    assert written.endswith(b"}\n")
    assert len(written) <= _LONGEST, f"{len(written)} octets"
    line = msgspec.json.decode(written, type=Line)
    assert words.startswith(line.path), "another path"
    assert line.path == words or len(line.path) == 2048, "not all of the path"
    assert words.startswith(line.method), "another method"


def _head(octets: bytes) -> None:
    """What is made of a head that is well-formed is well-formed."""
    lines = [line.partition(b":") for line in octets.split(b"\n")]
    items = [Field(b":" * (line[0] == b"") + line[0], line[2]) for line in lines]
    head = Fields([*_HEAD[:4], *items])
    if head.fault(Kind.REQUEST):
        return
    for relayed in (request_to_relay(head, _HOP), understand(head, _HOP).relayed):
        again = Fields([Field(field.name, field.value) for field in relayed.items])
        assert not again.fault(Kind.REQUEST), f"{again.fault(Kind.REQUEST)}: {relayed}"


PARSERS: Final[tuple[Callable[[bytes], None], ...]] = (
    _address,
    _endpoint,
    _unit,
    _timeout,
    _message,
    _pattern,
    _digest,
    _trace,
    _log,
    _head,
)

#: What the parsers read, and nearly.
WORDS: Final = (
    *(value.encode() for value in VALUES),
    *(b"[fe80::1%eth0]:1", b"[::ffff:1.2.3.4]:80", b"1.2.3.4.:5", b"01.2.3.4:5", b"unix:/\0"),
    *(b"1H", b"99999999n", b"00000001S", b"-1S", b"1", b"S", b"\xb2S"),
    *(b"%41%zz%", b"%E2%82%AC", b"%ff", b" a ", b"a\r\nb"),
    *(b"(?i)a\0A", b"[^/]*\0/", b"(?:a*)*$\0aaaa", b"\\C+", b"\\pN", b"(?P<a>b)", b"x{0,1000}"),
    *(b"sha-256=:YQ==:", b"sha-512=:YQ==:;a=1, sha-256=::", b"x-amz-checksum-sha1"),
    *(b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", b"ff-", b"01-", b"-extra"),
    *(b"host:a", b"te:trailers", b"max-forwards:1", b"x-forwarded-for:a", b"content-length:1"),
    *(b"grpc-timeout:1S", b"cookie:a=b", b'a"b\\c', b"\x7f", b"\xc3\xa9", b"\x1b[2J", b"\n"),
)


def play(octets: bytes) -> None:
    """Let one parser read; the first octet chooses it."""
    if octets:
        PARSERS[octets[0] % len(PARSERS)](octets[1:])


def make(chance: Random) -> bytes:
    """Make up something to read."""
    some = [chance.choice(WORDS) for _ in range(chance.choice((1, 1, 2, 3, 300)))]
    octets = chance.choice((b"", b"", b"\n", b",", b"\0")).join(some)
    if chance.random() < 0.3:
        at = chance.randrange(len(octets) + 1)
        octets = octets[:at] + chance.randbytes(2) + octets[at + chance.randrange(3) :]
    return bytes([chance.randrange(len(PARSERS))]) + octets
