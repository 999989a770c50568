"""AccessLine: what the access log says of one exchange.

One JSON object a line, its members always in the same order. What went well is
written octet by octet into a buffer, from words that were made JSON before; all
that is rare, or that a peer has made strange, goes through a JSON encoder. No peer
can end a line early, or make it endless.
"""

from collections.abc import Callable
from typing import Any, Final, final

import msgspec
from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from trailproxy.core.grpc import percent_decoded
from trailproxy.core.record import Record
from trailproxy.ops.flags import flags_of
from trailproxy.wire.errors import code_name
from trailproxy.wire.field import GRPC_STATUS, consists_of, octet_set
from trailproxy.wire.fields import Fields

# Characters kept of what peers choose, so that a line keeps below what a pipe takes at once.
_MAX_METHOD: Final = 32
_MAX_AUTHORITY: Final = 256
_MAX_PATH: Final = 2048
_MAX_WHY: Final = 256
_MAX_GRPC_STATUS: Final = 3  # no code is as long
_MAX_GRPC_MESSAGE: Final = 256
_MAX_TRAILER: Final = 256  # of the values under one name

_MOST_WORDS: Final = 1024  # of one member; methods and addresses are of the clients' choice
_QUOTE: Final[u8] = 0x22
_POINT: Final[u8] = 0x2E
_ZERO: Final = 0x30

#: What stands in a JSON string as it is: visible ASCII and the space, but for two.
_PLAIN: Final = octet_set(bytes(set(range(0x20, 0x7F)) - set(b'"\\')))

_GRPC_NAMES: Final = {
    str(number): name
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
} | {"": ""}


def grpc_name(status: str) -> str:
    """Name a grpc-status: its canonical name, `invalid`, or an empty string when there is none."""
    return _GRPC_NAMES.get(status, "invalid")


def route_name(route: str) -> str:
    """Name a route; requests that matched none share `none`."""
    return route or "none"


@final
class _Word:
    """A member of the line whose words come again; most often it is the last line's."""

    __slots__ = ("_key", "_last", "_name", "_words", "_written")

    def __init__(self, key: bytes, name: Callable[[str], str] = str) -> None:
        self._key: Final = key
        self._name: Final = name  # what the line calls it
        self._words: Final[dict[str, bytes]] = {}  # with the key before it
        self._last: str | None = None
        self._written = b""

    def put(self, out: BytesWriter, word: str) -> None:
        if word is not self._last:
            self._written = self._find(word)
            self._last = word
        out.write(self._written)

    def _find(self, word: str) -> bytes:
        known = self._words.get(word)
        if known is None:
            known = self._key + msgspec.json.encode(self._name(word))
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            self._words[word] = known
        return known


@final
class _Number:
    """A member of the line that counts; most often it is what the last line had."""

    __slots__ = ("_key", "_last", "_written")

    def __init__(self, key: bytes) -> None:
        self._key: Final = key
        self._last: i64 = -1
        self._written = b""

    def put(self, out: BytesWriter, number: i64) -> None:
        if number != self._last:
            self._written = b"%s%d" % (self._key, number)
            self._last = number
        out.write(self._written)


@final
class LineWriter:
    """Writes lines; it remembers the words that come again."""

    __slots__ = (
        "_attempts",
        "_endpoint",
        "_grpc_status",
        "_listener",
        "_method",
        "_peer",
        "_request",
        "_request_bytes",
        "_request_names",
        "_request_trailers",
        "_response",
        "_response_bytes",
        "_response_names",
        "_response_trailers",
        "_route",
        "_status",
        "_upstream",
    )

    def __init__(self, request: tuple[str, ...] = (), response: tuple[str, ...] = ()) -> None:
        """Write the trailers of these lower-case names, too."""
        self._request_names: Final = [name.encode() for name in request]
        self._response_names: Final = [name.encode() for name in response]
        self._listener: Final = _Word(b'","listener":')
        self._route: Final = _Word(b',"route":', route_name)
        self._peer: Final = _Word(b',"peer":')
        self._method: Final = _Word(b',"method":')
        self._status: Final = _Number(b',"status":')
        self._grpc_status: Final = _Word(b',"grpc_status":', grpc_name)
        self._upstream: Final = _Word(b',"upstream":')
        self._endpoint: Final = _Word(b',"endpoint":')
        self._attempts: Final = _Number(b',"attempts":')
        self._request_bytes: Final = _Number(b',"request_bytes":')
        self._response_bytes: Final = _Number(b',"response_bytes":')
        self._request: Final = _Word(b',"request":{"ending":')
        self._request_trailers: Final = _Number(b',"trailers":')
        self._response: Final = _Word(b'},"response":{"ending":')
        self._response_trailers: Final = _Number(b',"trailers":')

    def write(self, out: BytesWriter, record: Record, time: bytes) -> None:
        """Write the line of a finished exchange, with its end.

        Args:
            out: behind what is in it.
            record: of the exchange.
            time: when it ended, ISO 8601 in UTC.

        Raises:
            UnicodeEncodeError: a name from the configuration is no text; half a line is written.
        """
        asked = record.asked
        out.write(b'{"time":"')
        out.write(time)
        self._listener.put(out, record.listener)
        self._route.put(out, record.route)
        self._peer.put(out, asked.hop.peer)
        self._method.put(out, _cut(asked.method, _MAX_METHOD))
        _put_octets(out, b',"authority":', asked.authority, _MAX_AUTHORITY)
        _put_octets(out, b',"path":', asked.path, _MAX_PATH)
        self._status.put(out, record.status)
        self._grpc_status.put(out, _cut(record.grpc_status, _MAX_GRPC_STATUS))
        if record.grpc_status and record.grpc_status != "0":
            _put_grpc_message(out, record)
        self._upstream.put(out, record.upstream)
        self._endpoint.put(out, record.endpoint)
        self._attempts.put(out, record.attempts)
        _put_milliseconds(out, b',"duration_ms":', record.duration)
        _put_milliseconds(out, b',"response_head_ms":', record.response_head_seconds)
        self._request_bytes.put(out, record.request_bytes)
        self._response_bytes.put(out, record.response_bytes)
        self._request.put(out, record.request_ending)
        self._request_trailers.put(out, record.request_trailers)
        if self._request_names:
            _put_fields(out, self._request_names, record.request_section)
        self._response.put(out, record.response_ending)
        self._response_trailers.put(out, record.response_trailers)
        if self._response_names:
            _put_fields(out, self._response_names, _response_trailers(record))
        out.write(b'},"answered":true' if record.answered else b'},"answered":false')
        _put_rare(out, record)
        out.write(b"}\n")


def _put_grpc_message(out: BytesWriter, record: Record) -> None:
    """Write what stands beside a grpc-status that is not OK, for people."""
    for fields in (record.response_section, record.response_head):
        message = None if fields is None else fields.get(b"grpc-message")
        if message:
            text = percent_decoded(message[: 3 * 4 * _MAX_GRPC_MESSAGE])
            _put_json(out, b',"grpc_message":', _cut(text, _MAX_GRPC_MESSAGE))
            return


def _response_trailers(record: Record) -> Fields | None:
    """Return the trailers; those of a gRPC response that is nothing else stand in its head."""
    head, section = record.response_head, record.response_section
    if section is None and record.grpc and head is not None and head.find(GRPC_STATUS) is not None:
        return head
    return section


def _put_fields(out: BytesWriter, names: list[bytes], section: Fields | None) -> None:
    """Write the trailers of these names; those of one name are joined (RFC 9110 section 5.3)."""
    if section is None:
        return
    found: dict[str, str] = {}
    for name in names:
        values = section.all(name)
        if values:
            found[name.decode()] = b", ".join(values)[:_MAX_TRAILER].decode("latin-1")
    if found:
        _put_json(out, b',"fields":', found)


def _put_rare(out: BytesWriter, record: Record) -> None:
    """Write what most lines do not have."""
    if record.dropped is not None or record.answered:
        _put_unclean(out, record)
    if record.notes is not None:
        _put_json(out, b',"notes":', [_cut(note, _MAX_WHY) for note in record.notes])
    if record.resets is not None:
        _put_json(out, b',"resets":', _resets(record))


def _put_unclean(out: BytesWriter, record: Record) -> None:
    """Write why there was no clean end relayed both ways: in our words, then in Envoy's."""
    if record.dropped is not None:
        _put_json(out, b',"dropped":', _dropped(record))
    flags = flags_of(record)
    if flags:
        _put_json(out, b',"flags":', flags)
    if record.dropped is not None and record.resets is not None:
        _put_json(out, b',"reset":', _resets(record)[0])


def _put_octets(out: BytesWriter, key: bytes, octets: bytes, most: i64) -> None:
    """Write what a peer said as a string, each octet a character."""
    if len(octets) > most:
        octets = octets[:most]
    if consists_of(octets, _PLAIN):
        out.write(key)
        out.append(_QUOTE)
        out.write(octets)
        out.append(_QUOTE)
    else:
        _put_json(out, key, octets.decode("latin-1"))


def _put_milliseconds(out: BytesWriter, key: bytes, seconds: float | None) -> None:
    """Write milliseconds with one to three places behind the point, or null."""
    if seconds is None:
        out.write(key)
        out.write(b"null")
        return
    micros: i64 = i64(seconds * 1_000_000 + 0.5)
    out.write(key)
    _put_digits(out, micros // 1000)
    rest = micros % 1000
    out.append(_POINT)
    out.append(u8(_ZERO + rest // 100))
    if rest % 100:
        out.append(u8(_ZERO + rest // 10 % 10))
    if rest % 10:
        out.append(u8(_ZERO + rest % 10))


def _put_digits(out: BytesWriter, number: i64) -> None:
    if number >= 10:
        _put_digits(out, number // 10)
    out.append(u8(_ZERO + number % 10))


def _put_json(out: BytesWriter, key: bytes, value: Any) -> None:
    out.write(key)
    out.write(msgspec.json.encode(value))


def _cut(text: str, most: i64) -> str:
    return text if len(text) <= most else text[:most]


def _dropped(record: Record) -> dict[str, str | None]:
    """Say why there was no clean end relayed both ways."""
    why = _cut(record.why, _MAX_WHY)
    return {"side": record.dropped_side, "cause": record.dropped, "why": why}


def _resets(record: Record) -> list[dict[str, str]]:
    """List the RST_STREAMs of the exchange."""
    return [
        {
            "side": side,
            "initiator": initiator,
            "code": code_name(code),
            "phase": phase,
            "cause": cause,
        }
        for side, initiator, code, phase, cause in record.resets or ()
    ]
