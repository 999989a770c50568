"""Frames: their types and flags, and how ours are written (RFC 9113 sections 4 and 6)."""

from typing import Final, final

from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from mypy_extensions import i16, i32, i64, u8

HEAD: Final = 9  # octets of a frame before its payload

# types (section 6)
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

# flags
END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITIZED: Final = 0x20

# settings (section 6.5.2)
HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

DEFAULT_WINDOW: Final = 65_535  # section 6.9.2
DEFAULT_FRAME_SIZE: Final = 16_384

MOST_DEBUG_DATA: Final = 256  # octets of a GOAWAY's reason
MOST_SETTINGS: Final = 32  # in one frame; there are some ten that anybody knows
_BY_REFERENCE: Final = 2048  # octets of body above which they are not copied into the gathering


@final
class FrameWriter:
    """What waits to be written: small frames gathered, large bodies by reference."""

    __slots__ = ("_gathered", "_pieces")

    def __init__(self) -> None:
        self._gathered = BytesWriter()
        self._pieces: list[bytes] = []  # what stands before the gathering

    def take(self) -> list[bytes]:
        """Return all of it, once, in the order it was written."""
        pieces, self._pieces = self._pieces, []
        if len(self._gathered):
            pieces.append(self._gathered.getvalue())
            self._gathered = BytesWriter()
        return pieces

    def raw(self, octets: bytes) -> None:
        """Write octets that are no frame: the preface."""
        self._gathered.write(octets)

    def _head(self, size: i64, kind: i64, flags: i64, sid: i64) -> None:
        # one eight-octet write and one octet: 3 ns, where struct takes 170
        write_i64_be(self._gathered, size << 40 | kind << 32 | flags << 24 | sid >> 8)
        self._gathered.append(u8(sid & 0xFF))

    def data(self, sid: i64, octets: bytes, end: bool) -> None:
        """Write one DATA frame."""
        self._head(len(octets), DATA, END_STREAM if end else 0, sid)
        if len(octets) < _BY_REFERENCE:
            self._gathered.write(octets)
        else:
            self._pieces.append(self._gathered.getvalue())
            self._pieces.append(octets)
            self._gathered = BytesWriter()

    def block(self, sid: i64, block: bytes, end: bool, limit: i64) -> None:
        """Write a field block as HEADERS, and CONTINUATION where it is larger than a frame."""
        flags: i64 = END_STREAM if end else 0
        size: i64 = len(block)
        if size <= limit:
            self._head(size, HEADERS, flags | END_HEADERS, sid)
            self._gathered.write(block)
            return
        self._head(limit, HEADERS, flags, sid)
        self._gathered.write(block[:limit])
        position = limit
        while position < size:
            piece = block[position : position + limit]
            position += limit
            self._head(len(piece), CONTINUATION, END_HEADERS if position >= size else 0, sid)
            self._gathered.write(piece)

    def rst_stream(self, sid: i64, code: i64) -> None:
        """Write RST_STREAM."""
        self._head(4, RST_STREAM, 0, sid)
        self._number(code)

    def settings(self, values: list[tuple[int, int]]) -> None:
        """Write SETTINGS."""
        self._head(6 * len(values), SETTINGS, 0, 0)
        for name, value in values:
            write_i16_be(self._gathered, i16(name))
            self._number(value)

    def settings_ack(self) -> None:
        """Write the answer to SETTINGS."""
        self._head(0, SETTINGS, ACK, 0)

    def ping(self, payload: bytes, ack: bool) -> None:
        """Write PING, or the answer to one."""
        self._head(8, PING, ACK if ack else 0, 0)
        self._gathered.write(payload)

    def goaway(self, last_sid: i64, code: i64, why: str) -> None:
        """Write GOAWAY with its reason."""
        reason = why.encode()[:MOST_DEBUG_DATA]
        self._head(8 + len(reason), GOAWAY, 0, 0)
        self._number(last_sid)
        self._number(code)
        self._gathered.write(reason)

    def window_update(self, sid: i64, increment: i64) -> None:
        """Write WINDOW_UPDATE."""
        self._head(4, WINDOW_UPDATE, 0, sid)
        self._number(increment)

    def _number(self, value: i64) -> None:
        """Write 32 bits; the codes of others may use the sign bit, which i32 wants as a sign."""
        write_i32_be(self._gathered, i32(value if value < 0x8000_0000 else value - 0x1_0000_0000))


def number_at(octets: bytes, position: i64) -> i64:
    """Read 32 bits, unsigned."""
    return (
        octets[position] << 24
        | octets[position + 1] << 16
        | octets[position + 2] << 8
        | octets[position + 3]
    )
