"""Auditor: reads what a codec writes as a stranger would, with hyperframe and hpack.

Whatever its peer did, what we write is frames in an order that RFC 9113 knows, within the
windows and the limits that the peer has set, and its field blocks can be decoded.
"""

from typing import Final, NamedTuple

from hpack import Decoder, HeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from trailproxy.wire.codec import MAX_SID, PREFACE

_HEAD: Final = 9  # octets
_DEFAULT_WINDOW: Final = 65_535
_DEFAULT_FRAME_SIZE: Final = 16_384
_SETTINGS: Final = 4
_WINDOW_UPDATE: Final = 8

_TABLE, _WINDOW, _FRAME_SIZE = 1, 4, 5  # settings


class AuditError(Exception):
    """What was written must not be."""


class Line(NamedTuple):
    """One frame, as a stranger reads it; a field section is one line, in as many frames as may be.

    `said` is what matters of it: fields, body octets, an error code, a PING's ACK and payload, or
    last stream and error code of a GOAWAY.
    """

    kind: int  # RFC 9113 section 6
    sid: int
    end: bool
    said: tuple[object, ...]


class Auditor:
    """The books of one connection."""

    def __init__(self, *, from_client: bool) -> None:
        """Begin; `from_client` tells that the codec we read is a client."""
        self.errors = 0  # GOAWAYs that told of one
        self._preface = PREFACE if from_client else b""
        self._from_client = from_client
        self._written = b""  # octets that are no whole frame yet
        self._decoder = Decoder(max_header_list_size=1 << 20)
        self._block: HeadersFrame | None = None
        self._lines: list[Line] = []  # of what is being read
        self._last_sid = MAX_SID
        self._begun: set[int] = set()  # streams whose final head was written
        self._ended: set[int] = set()
        # what the peer has said of itself
        self._said = b""
        self._skip = 0 if from_client else len(PREFACE)
        self._deaf = False  # it broke the framing: nothing more is heard of it
        self._unacknowledged: list[list[tuple[int, int]]] = []
        self._largest = _DEFAULT_FRAME_SIZE
        self._initial = _DEFAULT_WINDOW
        self._room = _DEFAULT_WINDOW  # of the connection
        self._rooms: dict[int, int] = {}  # of streams, beside the initial window

    # -- what the peer says ---------------------------------------------------------------

    def peer_says(self, octets: bytes) -> None:
        """Note what the codec is about to hear."""
        said = self._said + octets[self._skip :]
        self._skip = max(0, self._skip - len(octets))
        at = 0
        while len(said) - at >= _HEAD and not self._deaf:
            size = int.from_bytes(said[at : at + 3], "big")
            self._deaf = size > _DEFAULT_FRAME_SIZE
            if self._deaf or len(said) - at < _HEAD + size:
                break
            kind, flags = said[at + 3], said[at + 4]
            sid = int.from_bytes(said[at + 5 : at + 9], "big") & MAX_SID
            payload = said[at + _HEAD : at + _HEAD + size]
            at += _HEAD + size
            if kind == _SETTINGS and not flags & 1 and not sid and not size % 6:
                self._note_settings(payload)
            elif kind == _WINDOW_UPDATE and size == 4:
                self._note_credit(sid, int.from_bytes(payload, "big") & MAX_SID)
        self._said = said[at:]

    def _note_settings(self, payload: bytes) -> None:
        at = range(0, len(payload), 6)
        values = [
            (
                int.from_bytes(payload[i : i + 2], "big"),
                int.from_bytes(payload[i + 2 : i + 6], "big"),
            )
            for i in at
        ]
        self._unacknowledged.append(values)
        for name, value in values:
            if name == _WINDOW:
                self._initial = value
            elif name == _FRAME_SIZE:
                self._largest = max(self._largest, value)

    def _note_credit(self, sid: int, octets: int) -> None:
        if sid:
            self._rooms[sid] = self._rooms.get(sid, 0) + octets
        else:
            self._room += octets

    # -- what the codec writes ------------------------------------------------------------

    def read(self, octets: bytes) -> list[Line]:
        """Read what was written, and return it.

        Raises:
            AuditError: it should not have been; so do hyperframe and hpack, in their words.
        """
        self._lines = []
        if self._preface:
            _expect(octets.startswith(self._preface), "the preface is missing")
            octets, self._preface = octets[len(self._preface) :], b""
        at = 0
        while at < len(octets):
            _expect(len(octets) >= at + _HEAD, "half a frame was written")
            frame, size = Frame.parse_frame_header(memoryview(octets[at : at + _HEAD]), strict=True)
            at += _HEAD
            _expect(len(octets) >= at + size, "half a frame was written")
            _expect(size <= self._largest, f"a frame of {size} octets")
            frame.parse_body(memoryview(octets[at : at + size]))
            at += size
            self._read_frame(frame)
        _expect(self._block is None, "a field block was not finished")
        return self._lines

    def _note(self, frame: Frame, *said: object) -> None:
        end = "END_STREAM" in frame.flags
        self._lines.append(Line(frame.type or 0, frame.stream_id, end, said))

    def _read_frame(self, frame: Frame) -> None:
        if self.errors and not isinstance(frame, GoAwayFrame):
            return  # the codec has stopped listening, and its peer has stopped reading
        block = self._block
        continues = isinstance(frame, ContinuationFrame)
        same = block is not None and frame.stream_id == block.stream_id
        _expect(
            continues == (block is not None) and (same or not continues), f"out of turn: {frame}"
        )
        if isinstance(frame, ContinuationFrame) and block is not None:
            block.data += frame.data
            block.flags |= frame.flags
            self._read_block(block)
        elif isinstance(frame, HeadersFrame):
            self._read_block(frame)
        elif isinstance(frame, DataFrame):
            self._read_data(frame)
        elif isinstance(frame, RstStreamFrame):
            self._ended.add(frame.stream_id)
            self._note(frame, frame.error_code)
        else:
            self._read_control(frame)

    def _read_control(self, frame: Frame) -> None:
        if isinstance(frame, PingFrame):
            self._note(frame, "ACK" in frame.flags, frame.opaque_data)
        elif isinstance(frame, SettingsFrame) and "ACK" in frame.flags:
            self._read_acknowledgement()
        elif isinstance(frame, GoAwayFrame):
            _expect(frame.last_stream_id <= self._last_sid, "GOAWAY takes more than the last one")
            self._last_sid = frame.last_stream_id
            self.errors += bool(frame.error_code)
            self._note(frame, frame.last_stream_id, frame.error_code)

    def _read_block(self, frame: HeadersFrame) -> None:
        self._block = None if "END_HEADERS" in frame.flags else frame
        if self._block is not None:
            return
        sid, end = frame.stream_id, "END_STREAM" in frame.flags
        fields = [(bytes(field[0]), bytes(field[1])) for field in self._decode(frame)]
        self._note(frame, *fields)
        _expect(sid not in self._ended, f"HEADERS behind the end of stream {sid}")
        interim = not self._from_client and fields[0][1].startswith(b"1") and sid not in self._begun
        _expect(end or sid not in self._begun, f"two heads on stream {sid}")
        _expect(not (end and interim), f"an interim head ends stream {sid}")
        if not interim:
            self._begun.add(sid)
        if end:
            self._ended.add(sid)

    def _decode(self, frame: HeadersFrame) -> list[HeaderTuple]:
        return list(self._decoder.decode(frame.data, raw=True))

    def _read_data(self, frame: DataFrame) -> None:
        sid, size = frame.stream_id, frame.flow_controlled_length
        self._note(frame, frame.data)
        _expect(sid in self._begun, f"DATA before the head of stream {sid}")
        _expect(sid not in self._ended, f"DATA behind the end of stream {sid}")
        if size:
            self._note_credit(sid, -size)
            self._note_credit(0, -size)
            room = min(self._initial + self._rooms[sid], self._room)
            _expect(room >= 0, f"{-room} octets beyond a window, on stream {sid}")
        if "END_STREAM" in frame.flags:
            self._ended.add(sid)

    def _read_acknowledgement(self) -> None:
        _expect(bool(self._unacknowledged), "SETTINGS were acknowledged that nobody sent")
        for name, value in self._unacknowledged.pop(0):
            if name == _TABLE:
                self._decoder.max_allowed_table_size = value


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise AuditError(otherwise)
