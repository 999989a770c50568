"""Inbound: what a peer says, frame by frame (RFC 9113 sections 4 to 6).

Frames are cut out of the octets, field blocks joined and decoded, messages held
to their order and length; what that means for the peer, `standing` decides.
"""

from typing import Final, final

from librt.strings import read_i64_be
from mypy_extensions import i64

from trailproxy.wire.codec import MAX_SID, PREFACE, WireParams
from trailproxy.wire.control import Control
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import DataReceived, Event, HeadReceived, TrailersReceived
from trailproxy.wire.flood import Cheap
from trailproxy.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    PADDED,
    PRIORITIZED,
    SETTINGS,
    number_at,
)
from trailproxy.wire.hpack import Decoder, FieldBlockError
from trailproxy.wire.standing import Standing
from trailproxy.wire.streams import ENDED, FORGOTTEN, Streams, WireStream

_MOST_FRAGMENTS: Final = 64  # HEADERS and CONTINUATION frames in one field block
_NOTHING: Final = b""
_NO_EVENTS: Final[list[Event]] = []


@final
class Inbound:
    """The receiving half of the native codec; owns what is known of the peer."""

    __slots__ = (
        "_block",
        "_block_end",
        "_block_number",
        "_block_selfish",
        "_block_sid",
        "_control",
        "_decoder",
        "_heard",
        "_max_block",
        "_params",
        "_preface_left",
        "_rest",
        "_standing",
        "_streams",
    )

    def __init__(self, standing: Standing, control: Control) -> None:
        params = standing.params
        self._standing: Final = standing
        self._control: Final = control
        self._params: Final[WireParams] = params
        self._streams: Final[Streams] = standing.streams
        # a block may be decoded beyond the limit, so that its stream alone pays for it
        self._max_block: Final[i64] = 4 * params.max_header_list + 64 * 1024
        self._decoder: Final = Decoder(self._max_block)
        self._preface_left = _NOTHING if standing.streams.client else PREFACE
        self._heard: i64 = 0  # octets, from the first on
        self._rest = _NOTHING  # octets that are no whole frame yet
        self._block: list[bytes] = []  # fragments of a field block without its end
        self._block_sid: i64 = 0  # its stream; 0: there is none
        self._block_number: i64 = 0  # how many of them there were
        self._block_end = False
        self._block_selfish = False

    # -- frames out of octets --------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        standing = self._standing
        events: list[Event] = []
        if standing.broken:
            return events
        standing.events = events
        self._heard += len(data)
        if self._preface_left:
            data = self._take_preface(data)
        start: i64 = 0
        if len(self._rest) >= HEAD:
            # only the frame that was begun is copied, not the whole read behind it
            missing = HEAD + (number_at(self._rest, 0) >> 8) - len(self._rest)
            start = min(missing, len(data))
            self._hear(self._rest + data[:start], 0)
        elif self._rest:
            data = self._rest + data
        if start < len(data):
            self._hear(data, start)
        standing.events = _NO_EVENTS  # what was read is not to be kept until the next read
        return events

    def _hear(self, data: bytes, position: i64) -> None:
        """Hear the whole frames from `position` on, and keep the rest."""
        standing = self._standing
        size: i64 = len(data)
        while size - position >= HEAD and not standing.broken:
            # one read of eight octets: 2 ns, where octet by octet takes 10
            head = read_i64_be(data, position)
            length = head >> 40 & 0xFF_FFFF
            if length > self._params.max_frame_size:
                standing.fail(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} octets")
                break
            start = position + HEAD
            if size - start < length:
                break
            sid = (head << 8 | data[position + 8]) & MAX_SID
            end = start + length
            self._on_frame(head >> 32 & 0xFF, head >> 24 & 0xFF, sid, data, start, end)
            position = end
        self._rest = data[position:] if position < size and not standing.broken else _NOTHING

    def unfinished(self) -> i64:
        """Return what the peer has begun to say and not ended, see `Codec.unfinished`."""
        if self._block_sid:
            return -self._block_number
        rest = self._rest
        size: i64 = len(rest)
        if size < HEAD:
            watched = size == 0 or len(self._streams.live) > 0
        else:
            sid = number_at(rest, 5) & MAX_SID
            watched = rest[3] == DATA and self._streams.find(sid) is not None
        return 0 if watched else self._heard - size + 1  # where the frame begins

    def _take_preface(self, data: bytes) -> bytes:
        expected = self._preface_left
        given = data[: len(expected)]
        if not expected.startswith(given):
            why = "the connection does not begin with the HTTP/2 preface"
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, why)
            return _NOTHING
        self._preface_left = expected[len(given) :]
        return data[len(given) :]

    def _on_frame(self, kind: i64, flags: i64, sid: i64, data: bytes, start: i64, end: i64) -> None:
        """Hear one frame, whose payload is `data[start:end]`."""
        if self._block_sid and (kind != CONTINUATION or sid != self._block_sid):
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, "a field block was interrupted")
        elif not self._control.settings_came and (kind != SETTINGS or flags & ACK):
            why = "the connection does not begin with SETTINGS"
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, why)
        elif kind == DATA:  # ordered by frequency
            self._on_data(flags, sid, data, start, end)
        elif kind == HEADERS:
            self._on_headers(flags, sid, data, start, end)
        elif kind == CONTINUATION:
            self._on_continuation(flags, sid, data[start:end])
        else:
            self._control.on_frame(kind, flags, sid, data[start:end])

    # -- messages --------------------------------------------------------------------------

    def _on_data(self, flags: i64, sid: i64, data: bytes, start: i64, end: i64) -> None:
        streams = self._streams
        credit = end - start  # padding counts (section 6.9.1)
        if flags & PADDED:
            start, end = self._unpad(data, start, end)
            if end < 0:
                return
        if streams.idle(sid):
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, f"DATA on idle stream {sid}")
            return
        streams.recv_window -= credit
        if streams.recv_window < 0:
            why = "DATA beyond the connection's window"
            self._standing.fail(ErrorCode.FLOW_CONTROL_ERROR, why)
            return
        stream = streams.find(sid)
        if stream is None:
            self._standing.pay(sid, credit)
            self._standing.late(sid, "DATA")
        else:
            stream.recv_window -= credit
            self._on_body(stream, data[start:end], credit, flags & END_STREAM != 0)

    def _on_body(self, stream: WireStream, body: bytes, credit: i64, last: bool) -> None:
        standing = self._standing
        if not body and not last and not standing.spend(Cheap.EMPTY_DATA):
            return
        why = _data_fault(stream, len(body), last)
        if why:
            standing.sin(stream, _data_code(stream), why, False)
            standing.pay(stream.sid, credit)
            return
        standing.events.append(DataReceived(stream.sid, body, credit, last))
        if last:
            standing.heard_end(stream)

    def _on_headers(self, flags: i64, sid: i64, data: bytes, start: i64, end: i64) -> None:
        if not sid:
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
            return
        if flags & PADDED:
            start, end = self._unpad(data, start, end)
            if end < 0:
                return
        selfish = False
        if flags & PRIORITIZED:
            if end - start < 5:
                self._standing.fail(
                    ErrorCode.FRAME_SIZE_ERROR, "HEADERS without the priority it announces"
                )
                return
            selfish = number_at(data, start) & MAX_SID == sid
            start += 5
        block = data[start:end]
        if flags & END_HEADERS:
            self._on_block(sid, block, flags & END_STREAM != 0, selfish)
            return
        self._block_sid = sid
        self._block_number += 1
        self._block_end = flags & END_STREAM != 0
        self._block_selfish = selfish
        self._block = [block]

    def _on_continuation(self, flags: i64, sid: i64, fragment: bytes) -> None:
        if not self._block_sid:
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            return
        fragments = self._block
        fragments.append(fragment)
        if len(fragments) > _MOST_FRAGMENTS or sum(map(len, fragments)) > self._max_block:
            self._standing.fail(ErrorCode.ENHANCE_YOUR_CALM, "a field block without end")
        elif flags & END_HEADERS:
            self._block = []
            self._block_sid = 0
            self._on_block(sid, b"".join(fragments), self._block_end, self._block_selfish)

    def _on_block(self, sid: i64, block: bytes, end: bool, selfish: bool) -> None:
        try:
            # even when nobody wants it: HPACK is one long stream
            fields = self._decoder.decode(block)
        except FieldBlockError as error:
            self._standing.fail(error.code, str(error))
            return
        stream = self._streams.find(sid) or self._admit(sid)
        if stream is None:
            return
        if stream.heard_end:
            why = "HEADERS behind the end of the message"
            self._standing.sin(stream, ErrorCode.STREAM_CLOSED, why, False)
            return
        trailers = stream.head_came
        why = self._params.excess(fields)
        if why:
            self._standing.sin(stream, ErrorCode.ENHANCE_YOUR_CALM, why, trailers)
            return
        why = "the stream depends on itself" if selfish else ""
        why = why or stream.fields_fault(fields, end)
        if why:
            self._standing.sin(stream, ErrorCode.PROTOCOL_ERROR, why, trailers)
            return
        self._standing.events.append(
            TrailersReceived(sid, fields) if trailers else HeadReceived(sid, fields, end)
        )
        if end:
            self._standing.heard_end(stream)

    def _admit(self, sid: i64) -> WireStream | None:
        """Open a stream for the peer, if it may have one (section 5.1.1, 5.1.2)."""
        streams = self._streams
        if streams.client or not sid & 1:
            if streams.idle(sid):
                why = f"HEADERS on stream {sid}, which is not the peer's to open"
                self._standing.fail(ErrorCode.PROTOCOL_ERROR, why)
            else:
                self._standing.late(sid, "HEADERS")
        elif sid > streams.goaway_last:
            # no longer idle: the rest of its message is ignored as well
            if sid > streams.highest:
                streams.advance(sid)
            self._standing.spend(Cheap.IDLE)
        elif sid <= streams.highest:
            self._reused(sid)
        else:
            streams.advance(sid)
            limit = self._params.max_concurrent_streams
            if len(streams.live) < limit:
                return streams.open(sid, _NOTHING, self._params.stream_window)
            self._standing.refuse(
                sid, ErrorCode.REFUSED_STREAM, f"more than {limit} streams at once", True, False
            )
        return None

    def _reused(self, sid: i64) -> None:
        fate = self._streams.fate(sid)
        if fate == ENDED:
            self._standing.fail(
                ErrorCode.STREAM_CLOSED, f"HEADERS on stream {sid}, which has ended"
            )
        elif fate == FORGOTTEN:
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, f"stream id {sid} used again")
        else:
            self._standing.late(sid, "HEADERS")

    def _unpad(self, data: bytes, start: i64, end: i64) -> tuple[i64, i64]:
        """Return where the payload begins and ends without its padding; -1 if it is all padding."""
        if start == end:
            self._standing.fail(
                ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its padding's length"
            )
            return start, -1
        padding: i64 = data[start]
        if padding >= end - start:
            self._standing.fail(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
            return start, -1
        return start + 1, end - padding


def _data_fault(stream: WireStream, size: i64, last: bool) -> str:
    """Say why a piece of body cannot stand where it came; an empty string if it can."""
    if stream.heard_end:
        return "DATA behind the end of the message"
    if stream.recv_window < 0:
        return "DATA beyond the stream's window"
    return stream.data_fault(size, last)


def _data_code(stream: WireStream) -> ErrorCode:
    """Return the error code for what `_data_fault` has found."""
    if stream.heard_end:
        return ErrorCode.STREAM_CLOSED
    if stream.recv_window < 0:
        return ErrorCode.FLOW_CONTROL_ERROR
    return ErrorCode.PROTOCOL_ERROR
