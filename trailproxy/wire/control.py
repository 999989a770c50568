"""Control: the frames that carry no message (RFC 9113 sections 6.3 to 6.9)."""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    GoAwayReceived,
    PeerSettings,
    PongReceived,
    StreamReset,
    WindowOpened,
)
from trailproxy.wire.flood import Cheap
from trailproxy.wire.frames import (
    ACK,
    DEFAULT_FRAME_SIZE,
    ENABLE_PUSH,
    GOAWAY,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MOST_DEBUG_DATA,
    MOST_SETTINGS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    number_at,
)
from trailproxy.wire.hpack import Encoder
from trailproxy.wire.standing import Standing
from trailproxy.wire.streams import THEIRS

_UNLIMITED: Final = 2**32 + 1  # streams, of a peer that names no limit (section 6.5.2)


@final
class Control:
    """What the peer says of the connection, and of the life of its streams."""

    __slots__ = (
        "_encoder",
        "_initial_window",
        "_standing",
        "max_frame_size",
        "max_streams",
        "settings_came",
    )

    def __init__(self, standing: Standing, encoder: Encoder) -> None:
        self._standing: Final = standing
        self._encoder: Final = encoder
        self.settings_came = False
        self._initial_window: i64 = 0  # what the SETTINGS that are being heard say last
        # the peer's settings
        self.max_frame_size: i64 = DEFAULT_FRAME_SIZE
        self.max_streams: i64 = _UNLIMITED  # that the peer lets us open

    def on_frame(self, kind: i64, flags: i64, sid: i64, payload: bytes) -> None:
        """Hear one frame that is part of no message."""
        standing = self._standing
        if kind == WINDOW_UPDATE:  # ordered by frequency
            self._on_window_update(sid, payload)
        elif kind == RST_STREAM:
            self._on_reset(sid, payload)
        elif kind == PRIORITY:
            self._on_priority(sid, payload)
        elif kind == PUSH_PROMISE:
            why = f"PUSH_PROMISE on stream {sid}, and push is off"
            standing.fail(ErrorCode.PROTOCOL_ERROR, why)
        elif kind > GOAWAY:
            standing.spend(Cheap.IDLE)  # unknown types are ignored (section 5.5)
        elif sid:
            why = f"a frame of type {kind} on stream {sid}"
            standing.fail(ErrorCode.PROTOCOL_ERROR, why)
        else:
            self._on_connection_frame(kind, flags, payload)

    def _on_connection_frame(self, kind: i64, flags: i64, payload: bytes) -> None:
        if kind == SETTINGS:
            self._on_settings(flags, payload)
        elif kind == PING:
            self._on_ping(flags, payload)
        else:
            self._on_goaway(payload)

    def _on_window_update(self, sid: i64, payload: bytes) -> None:
        """There may be room to send (section 6.9)."""
        standing = self._standing
        streams = standing.streams
        if len(payload) != 4:
            why = f"WINDOW_UPDATE of {len(payload)} octets"
            standing.fail(ErrorCode.FRAME_SIZE_ERROR, why)
        elif sid and streams.idle(sid):
            standing.fail(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on idle stream {sid}")
        elif standing.spend(Cheap.WINDOW_UPDATE):
            increment = number_at(payload, 0) & MAX_SID
            stream = streams.find(sid)
            if stream is not None:
                stream.send_window += increment
                why = _increment_fault(increment, stream.send_window)
                if why:
                    standing.sin(stream, _increment_code(increment), why, False)
                    return
            elif sid:
                return
            else:
                streams.send_window += increment
                why = _increment_fault(increment, streams.send_window)
                if why:
                    standing.fail(_increment_code(increment), why)
                    return
            standing.events.append(WindowOpened(sid))

    def _on_reset(self, sid: i64, payload: bytes) -> None:
        """The peer breaks a stream off (section 6.4)."""
        standing = self._standing
        if len(payload) != 4:
            standing.fail(ErrorCode.FRAME_SIZE_ERROR, f"RST_STREAM of {len(payload)} octets")
        elif standing.streams.idle(sid):
            standing.fail(ErrorCode.PROTOCOL_ERROR, f"RST_STREAM on idle stream {sid}")
        else:
            stream = standing.streams.find(sid)
            if stream is None:
                standing.spend(Cheap.RESET)
            elif standing.streams.client or standing.spend(Cheap.RESET):
                # a server breaks off what we have opened, once each: that is bound enough
                standing.streams.bury(stream, THEIRS)
                standing.events.append(StreamReset(sid, number_at(payload, 0)))

    def _on_settings(self, flags: i64, payload: bytes) -> None:
        """The peer names its limits, or has taken up ours (section 6.5)."""
        standing = self._standing
        self.settings_came = True
        size: i64 = len(payload)
        if size % 6 or (flags & ACK and size):
            standing.fail(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {size} octets")
            return
        if not standing.spend(Cheap.SETTINGS) or flags & ACK:
            return
        if size > 6 * MOST_SETTINGS:
            standing.fail(ErrorCode.ENHANCE_YOUR_CALM, f"{size // 6} settings in one frame")
            return
        self._initial_window = standing.streams.initial_window
        position: i64 = 0
        while position < size:
            name = payload[position] << 8 | payload[position + 1]
            code, why = self._set(name, number_at(payload, position + 2))
            if why:
                standing.fail(code, why)
                return
            position += 6
        # of several sizes the last one counts: each would be a walk over all streams
        if not standing.streams.change_initial_window(self._initial_window):
            why = f"an initial window of {self._initial_window} octets"
            standing.fail(ErrorCode.FLOW_CONTROL_ERROR, why)
            return
        standing.writer.settings_ack()
        standing.events.append(PeerSettings(self.max_streams))
        standing.events.append(WindowOpened(0))

    def _set(self, name: i64, value: i64) -> tuple[ErrorCode, str]:
        """Take up one setting (section 6.5.2); say what is wrong with it, if anything is."""
        streams = self._standing.streams
        if name == HEADER_TABLE_SIZE:
            self._encoder.resize(value)
        elif name == MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif name == INITIAL_WINDOW_SIZE:
            if value > MAX_SID:
                return ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} octets"
            self._initial_window = value
        elif name == MAX_FRAME_SIZE:
            if not DEFAULT_FRAME_SIZE <= value < 1 << 24:
                return ErrorCode.PROTOCOL_ERROR, f"a maximum frame size of {value} octets"
            self.max_frame_size = value
        elif name == ENABLE_PUSH and value > (0 if streams.client else 1):
            return ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}"
        return ErrorCode.NO_ERROR, ""

    def _on_ping(self, flags: i64, payload: bytes) -> None:
        """The peer asks for a sign of life, or gives one (section 6.7)."""
        standing = self._standing
        if len(payload) != 8:
            standing.fail(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} octets")
        elif standing.spend(Cheap.PING):
            if flags & ACK:
                standing.events.append(PongReceived(payload))
            else:
                standing.writer.ping(payload, True)

    def _on_goaway(self, payload: bytes) -> None:
        """The peer takes its leave (section 6.8)."""
        if len(payload) < 8:
            why = f"GOAWAY of {len(payload)} octets"
            self._standing.fail(ErrorCode.FRAME_SIZE_ERROR, why)
        elif self._standing.spend(Cheap.GOAWAY):
            why = payload[8 : 8 + MOST_DEBUG_DATA].decode("utf-8", "replace")
            last_sid = number_at(payload, 0) & MAX_SID
            self._standing.events.append(GoAwayReceived(last_sid, number_at(payload, 4), why))

    def _on_priority(self, sid: i64, payload: bytes) -> None:
        """PRIORITY does nothing but break rules (section 5.3, 6.3)."""
        standing = self._standing
        code, why = ErrorCode.PROTOCOL_ERROR, ""
        if not sid:
            why = "PRIORITY on stream 0"
        elif len(payload) != 5:
            code, why = ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} octets"
        elif number_at(payload, 0) & MAX_SID == sid:
            why = "the stream depends on itself"
        stream = standing.streams.find(sid)
        if not why:
            standing.spend(Cheap.IDLE)
        elif stream is not None:
            standing.sin(stream, code, why, False)
        else:
            standing.fail(code, why)


def _increment_fault(increment: i64, window: i64) -> str:
    """Say what is wrong with a WINDOW_UPDATE that led to this window (section 6.9, 6.9.1)."""
    if not increment:
        return "WINDOW_UPDATE of 0"
    return "WINDOW_UPDATE beyond 2^31-1" if window > MAX_SID else ""


def _increment_code(increment: i64) -> ErrorCode:
    return ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
