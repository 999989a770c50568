"""Framing: bytes to whole frames, for the h2 codec (RFC 9113 sections 3.4, 4 and 6.10).

hyperframe reads the frames. The preface, the sizes and the order of frames are
held to here, so that what a frame then costs is decided a stream at a time.
"""

from collections.abc import Iterator, Mapping
from typing import Final, final

from hyperframe.exceptions import HyperframeError, InvalidFrameError
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from trailproxy.wire.codec import MAX_SID, PREFACE
from trailproxy.wire.errors import ErrorCode

_HEAD: Final = 9  # octets
_PADDED: Final = 0x08
_FRAGMENT_LIMIT: Final = 64  # HEADERS and CONTINUATION frames in one field block


class FramingError(Exception):
    """The connection cannot go on; `code` is what GOAWAY will say."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code: Final = code


@final
class FrameReader:
    """Cuts what is read from a socket into frames; at most one frame's octets wait."""

    def __init__(self, *, client: bool, max_frame_size: int, max_block: int) -> None:
        """Prepare; a client expects no preface. `max_block` bounds one field block, in octets."""
        self._max_frame_size: Final = max_frame_size
        self._max_block: Final = max_block
        self._preface_left = b"" if client else PREFACE
        self._settings_came = False
        self._heard = 0  # octets, from the first on
        self._rest = b""  # octets that are no whole frame yet
        self._block: HeadersFrame | None = None  # a field block without its end
        self._block_number = 0  # how many of them there were
        self._fragments: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[Frame, bytes]]:
        """Yield each frame that is whole, with its payload.

        A field block comes as one HEADERS frame, its fragments joined. PRIORITY
        and WINDOW_UPDATE come unparsed: what is wrong with them may be the sin of
        one stream. So does ALTSVC, which nobody here asked for (section 5.5).

        Raises:
            FramingError: the connection is broken.
        """
        self._heard += len(data)
        if self._preface_left:
            data = self._take_preface(data)
        octets = self._rest + data if self._rest else data
        position, size = 0, len(octets)
        while size - position >= _HEAD:
            length = int.from_bytes(octets[position : position + 3], "big")
            if length > self._max_frame_size:
                raise FramingError(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} octets")
            if size - position - _HEAD < length:
                break
            body = position + _HEAD
            frame = self._parse(octets[position:body], octets[body : body + length])
            payload = octets[body : body + length]
            position = body + length
            whole = self._assemble(frame)
            if whole is not None:
                yield whole, payload
        self._rest = octets[position:]

    def unfinished(self, streams: Mapping[int, object]) -> int:
        """Return what has begun and not ended, see `Codec.unfinished`; `streams` are open."""
        if self._block is not None:
            return -self._block_number
        rest = self._rest
        if len(rest) < _HEAD:
            watched = not rest or bool(streams)
        else:
            sid = int.from_bytes(rest[5:9], "big") & MAX_SID
            watched = rest[3] == DataFrame.type and sid in streams
        return 0 if watched else self._heard - len(rest) + 1  # where the frame begins

    def _take_preface(self, data: bytes) -> bytes:
        expected = self._preface_left
        given = data[: len(expected)]
        if not expected.startswith(given):
            why = "the connection does not begin with the HTTP/2 preface"
            raise FramingError(ErrorCode.PROTOCOL_ERROR, why)
        self._preface_left = expected[len(given) :]
        return data[len(given) :]

    def _parse(self, head: bytes, payload: bytes) -> Frame:
        if head[3] == SettingsFrame.type and head[4] & 1 and payload:
            # hyperframe calls it a protocol error (section 6.5)
            raise FramingError(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
        if head[3] == HeadersFrame.type and head[4] & _PADDED:
            head, payload = _unpadded(head, payload)
        try:
            frame, _ = Frame.parse_frame_header(memoryview(head))
            if not isinstance(frame, PriorityFrame | WindowUpdateFrame | AltSvcFrame):
                frame.parse_body(memoryview(payload))
        except InvalidFrameError as error:
            raise FramingError(ErrorCode.FRAME_SIZE_ERROR, str(error)) from error
        except HyperframeError as error:
            raise FramingError(ErrorCode.PROTOCOL_ERROR, str(error)) from error
        if not self._settings_came:
            if not isinstance(frame, SettingsFrame) or "ACK" in frame.flags:
                why = f"the connection begins with {type(frame).__name__}, not SETTINGS"
                raise FramingError(ErrorCode.PROTOCOL_ERROR, why)
            self._settings_came = True
        return frame

    def _assemble(self, frame: Frame) -> Frame | None:
        """Join the fragments of a field block; None while it has no end."""
        block = self._block
        if block is None:
            if isinstance(frame, ContinuationFrame):
                raise FramingError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            if not isinstance(frame, HeadersFrame) or "END_HEADERS" in frame.flags:
                return frame
            self._block = frame
            self._block_number += 1
            self._fragments = [frame.data]
            return None
        if not isinstance(frame, ContinuationFrame) or frame.stream_id != block.stream_id:
            raise FramingError(ErrorCode.PROTOCOL_ERROR, "a field block was interrupted")
        fragments = self._fragments
        fragments.append(frame.data)
        if len(fragments) > _FRAGMENT_LIMIT or sum(map(len, fragments)) > self._max_block:
            raise FramingError(ErrorCode.ENHANCE_YOUR_CALM, "a field block without end")
        if "END_HEADERS" not in frame.flags:
            return None
        block.data = b"".join(fragments)
        self._block, self._fragments = None, []
        return block


def _unpadded(head: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """Return HEADERS without its padding (RFC 9113 section 6.2).

    hyperframe does not take one that is nothing but padding, and takes padding that
    reaches into a priority.
    """
    if not payload:
        why = "a padded frame without its padding's length"
        raise FramingError(ErrorCode.FRAME_SIZE_ERROR, why)
    end = len(payload) - payload[0]
    if end < 1:
        raise FramingError(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
    flags = bytes([head[4] & ~_PADDED])
    return head[:4] + flags + head[5:], payload[1:end]
