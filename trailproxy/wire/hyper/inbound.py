"""Inbound: what a peer says, and what it may not, over the h2 package.

What h2 would turn into a dead connection (malformed messages, excess streams,
GOAWAY) is decided here, one stream at a time: a stream's sins stay on the
stream, and only framing, HPACK and floods end the connection.
"""

from typing import TYPE_CHECKING, Any, Final, final

from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.events import PingAckReceived, RemoteSettingsChanged
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import Settings
from hpack import HPACKError, OversizedHeaderListError
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from mypy_extensions import i64

from trailproxy.wire.codec import MAX_SID, WireParams
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
    PongReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.flood import Allowance, Cheap
from trailproxy.wire.frames import MOST_SETTINGS
from trailproxy.wire.hyper.framing import FrameReader, FramingError
from trailproxy.wire.hyper.machine import StrictDecoder
from trailproxy.wire.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

_REMEMBERED: Final = 512  # closed streams whose late frames we can still tell apart
_ENCODER_TABLE_LIMIT: Final = 64 * 1024  # HPACK table octets we keep, whatever a peer allows

_SUPPORTED: Final = frozenset(range(1, 7))  # settings (RFC 9113 section 6.5.2)

# h2's stream states need to know only that a head came, and whether it was interim.
_FINAL: Final[tuple[tuple[bytes, bytes], ...]] = ()
_INTERIM: Final = ((b":status", b"100"),)


@final
class Inbound:
    """The receiving half of the h2 codec; owns what is known of the peer's streams."""

    def __init__(self, machine: H2Connection, params: WireParams, *, client: bool) -> None:
        # set once
        self._h2: Final = machine
        self._params: Final = params
        self._client: Final = client
        # a block may be decoded beyond the limit, so that its stream alone pays for it
        max_block = 4 * params.max_header_list + 64 * 1024
        self._reader: Final = FrameReader(
            client=client, max_frame_size=params.max_frame_size, max_block=max_block
        )
        self._decoder: Final = StrictDecoder(max_header_list_size=max_block)
        self._handlers: Final[dict[type[Frame], Callable[[Any, bytes], None]]] = {
            DataFrame: self._on_data,
            WindowUpdateFrame: self._on_window_update,
            HeadersFrame: self._on_block,
            RstStreamFrame: self._on_reset,
            SettingsFrame: self._on_settings,
            PingFrame: self._on_ping,
            GoAwayFrame: self._on_goaway,
            PriorityFrame: self._on_priority,
            PushPromiseFrame: self._on_push,
        }
        # shared with the sending half
        self.ledgers: Final[dict[int, Ledger]] = {}  # of the streams that are open
        self.allowance: Final = Allowance()
        # ours
        self._closed: Final[dict[int, str]] = {}  # "ours", "peer" or "end"; at most _REMEMBERED
        self._events: list[Event] = []
        self._broken = False
        self._goaway_last = MAX_SID

    # -- receiving ---------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        events: list[Event] = []
        if self._broken:
            return events
        self._events = events
        try:
            for frame, payload in self._reader.feed(data):
                handler = self._handlers.get(type(frame))
                if handler is None:
                    self._spend(Cheap.IDLE)  # unknown types are ignored (RFC 9113 section 5.5)
                else:
                    handler(frame, payload)
                if events and isinstance(events[-1], ConnectionFault):
                    break
        except FramingError as error:
            self._break(error.code, str(error))
        except ProtocolError as error:
            self._break(error.error_code, str(error))
        return events

    def _on_block(self, frame: HeadersFrame, _: bytes) -> None:
        sid = frame.stream_id
        end = "END_STREAM" in frame.flags
        fields = self._decode(frame.data)
        if fields is None or (sid not in self._h2.streams and not self._admit(sid)):
            return
        ledger = self.ledgers[sid]
        kind = ledger.next_kind
        interim = kind == Kind.RESPONSE and fields.interim
        self._h2.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        try:
            self._h2.streams[sid].receive_headers(_INTERIM if interim else _FINAL, end, None)
            why = ""
        except StreamClosedError:
            self._sin(sid, ErrorCode.STREAM_CLOSED, "HEADERS behind the end of the message")
            return
        except ProtocolError as error:
            why = str(error)
        excess = self._params.excess(fields)
        code = ErrorCode.PROTOCOL_ERROR
        if excess:
            code, why = ErrorCode.ENHANCE_YOUR_CALM, excess
        elif "PRIORITY" in frame.flags and frame.depends_on == sid:
            why = "the stream depends on itself"
        why = why or ledger.fields_fault(fields, end)
        trailers = kind == Kind.TRAILERS
        if why:
            self._sin(sid, code, why, trailers=trailers)
            return
        self._events.append(
            TrailersReceived(sid, fields) if trailers else HeadReceived(sid, fields, end)
        )
        self.bury_if_closed(sid)

    def _decode(self, octets: bytes) -> Fields | None:
        """Decode a block. It must be, even when nobody wants it: HPACK is one long stream."""
        try:
            headers = self._decoder.decode(octets, raw=True)
        except OversizedHeaderListError as error:
            self._break(ErrorCode.ENHANCE_YOUR_CALM, str(error))
            return None
        except HPACKError as error:
            self._break(ErrorCode.COMPRESSION_ERROR, str(error) or "undecodable field block")
            return None
        return Fields([Field(bytes(h[0]), bytes(h[1]), not h.indexable) for h in headers])

    def _admit(self, sid: int) -> bool:
        """Open a stream for the peer, if it may have one (RFC 9113 section 5.1.1, 5.1.2)."""
        h2 = self._h2
        if self._client or sid % 2 == 0:
            if not self._client or self._idle(sid):
                raise ProtocolError(f"HEADERS on stream {sid}, which is not the peer's to open")
            self._late(sid, "HEADERS")
            return False
        if sid > self._goaway_last:
            # no longer idle: the rest of its message is ignored as well
            h2.highest_inbound_stream_id = max(sid, h2.highest_inbound_stream_id)
            self._spend(Cheap.IDLE)
            return False
        if sid <= h2.highest_inbound_stream_id:
            how = self._closed.get(sid)
            if how == "end":
                raise StreamClosedError(sid)
            if how is None:
                raise ProtocolError(f"stream id {sid} used again")
            self._late(sid, "HEADERS")
            return False
        if len(h2.streams) >= self._params.max_concurrent_streams:
            h2.highest_inbound_stream_id = sid
            why = f"more than {self._params.max_concurrent_streams} streams at once"
            self._refuse(sid, ErrorCode.REFUSED_STREAM, why, refused=True)
            return False
        h2.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        h2._begin_new_stream(sid, AllowedStreamIDs.ODD)
        self.ledgers[sid] = Ledger(True)
        return True

    # -- the other frames --------------------------------------------------------------

    def _on_data(self, frame: DataFrame, _: bytes) -> None:
        sid, credit = frame.stream_id, frame.flow_controlled_length
        end = "END_STREAM" in frame.flags
        if self._idle(sid):
            raise ProtocolError(f"DATA on idle stream {sid}")
        self._h2._inbound_flow_control_window_manager.window_consumed(credit)
        if sid not in self._h2.streams:
            self._h2.acknowledge_received_data(credit, sid)
            if sid <= self._goaway_last or self._client:
                self._late(sid, "DATA")
            else:
                self._spend(Cheap.IDLE)
            return
        if not frame.data and not end and not self._spend(Cheap.EMPTY_DATA):
            return
        code, why = self._data_fault(sid, frame, end)
        if why:
            self._sin(sid, code, why)
            self._h2.acknowledge_received_data(credit, sid)
            return
        self._events.append(DataReceived(sid, frame.data, credit, end))
        self.bury_if_closed(sid)

    def _data_fault(self, sid: int, frame: DataFrame, end: bool) -> tuple[ErrorCode, str]:
        try:
            self._h2.streams[sid].receive_data(frame.data, end, frame.flow_controlled_length)
        except StreamClosedError:
            return ErrorCode.STREAM_CLOSED, "DATA behind the end of the message"
        except FlowControlError:
            return ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window"
        except ProtocolError as error:
            return ErrorCode.PROTOCOL_ERROR, str(error)
        return ErrorCode.PROTOCOL_ERROR, self.ledgers[sid].data_fault(len(frame.data), end)

    def _on_window_update(self, frame: WindowUpdateFrame, payload: bytes) -> None:
        sid = frame.stream_id
        if len(payload) != 4:
            self._break(ErrorCode.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} octets")
            return
        if sid and self._idle(sid):
            raise ProtocolError(f"WINDOW_UPDATE on idle stream {sid}")
        if not self._spend(Cheap.WINDOW_UPDATE) or (sid and sid not in self._h2.streams):
            return
        frame.window_increment = increment = int.from_bytes(payload, "big") & MAX_SID
        window = self._h2.streams[sid].outbound_flow_control_window + increment if sid else 0
        if not increment and not sid:
            raise ProtocolError("WINDOW_UPDATE of 0")
        if not increment:
            self._sin(sid, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif window > MAX_SID:
            self._sin(sid, ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE beyond 2^31-1")
        else:
            self._h2._receive_frame(frame)
            self._events.append(WindowOpened(sid))

    def _on_reset(self, frame: RstStreamFrame, _: bytes) -> None:
        sid = frame.stream_id
        if self._idle(sid):
            raise ProtocolError(f"RST_STREAM on idle stream {sid}")
        if sid not in self._h2.streams:
            self._spend(Cheap.RESET)
        elif self._client or self._spend(Cheap.RESET):
            # a server breaks off what we have opened, once each: that is bound enough
            self._h2._receive_frame(frame)
            self.bury(sid, "peer")
            self._events.append(StreamReset(sid, frame.error_code))

    def _on_settings(self, frame: SettingsFrame, payload: bytes) -> None:
        if not self._spend(Cheap.SETTINGS):
            return
        if len(payload) > 6 * MOST_SETTINGS:
            why = f"{len(payload) // 6} settings in one frame"
            self._break(ErrorCode.ENHANCE_YOUR_CALM, why)
            return
        # h2 would see the last of each name alone, and what we do not support
        each = Settings(client=not self._client)
        for at in range(0, len(payload), 6):
            name = int.from_bytes(payload[at : at + 2], "big")
            if name in _SUPPORTED:
                each[name] = int.from_bytes(payload[at + 2 : at + 6], "big")
            else:
                frame.settings.pop(name, None)
        for event in self._h2._receive_frame(frame):
            if isinstance(event, RemoteSettingsChanged):
                self._events.append(PeerSettings(self._h2.remote_settings.max_concurrent_streams))
                self._events.append(WindowOpened(0))
        encoder = self._h2.encoder
        if encoder.header_table_size > _ENCODER_TABLE_LIMIT:
            encoder.header_table_size = _ENCODER_TABLE_LIMIT

    def _on_ping(self, frame: PingFrame, _: bytes) -> None:
        if not self._spend(Cheap.PING):
            return
        for event in self._h2._receive_frame(frame):
            if isinstance(event, PingAckReceived):
                self._events.append(PongReceived(frame.opaque_data))

    def _on_goaway(self, frame: GoAwayFrame, _: bytes) -> None:
        if self._spend(Cheap.GOAWAY):
            last = frame.last_stream_id & MAX_SID
            why = frame.additional_data[:256].decode("utf-8", "replace")
            self._events.append(GoAwayReceived(last, frame.error_code, why))

    def _on_push(self, frame: PushPromiseFrame, _: bytes) -> None:
        raise ProtocolError(f"PUSH_PROMISE on stream {frame.stream_id}, and push is off")

    def _on_priority(self, frame: PriorityFrame, payload: bytes) -> None:
        """PRIORITY does nothing but break rules (RFC 9113 section 5.3, 6.3)."""
        sid = frame.stream_id
        if len(payload) != 5:
            code, why = ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} octets"
        elif int.from_bytes(payload[:4], "big") & MAX_SID == sid:
            code, why = ErrorCode.PROTOCOL_ERROR, "the stream depends on itself"
        else:
            self._spend(Cheap.IDLE)
            return
        if sid in self._h2.streams:
            self._sin(sid, code, why)
        else:
            self._break(code, why)

    def unfinished(self) -> int:
        """Return what the peer has begun to say and not ended, see `Codec.unfinished`."""
        return self._reader.unfinished(self._h2.streams)

    @property
    def last_taken(self) -> int:
        """The highest stream id of the peer's that we took up; GOAWAY never raises it."""
        return min(self._h2.highest_inbound_stream_id, self._goaway_last)

    # -- sins, and streams that are over -------------------------------------------------

    def _idle(self, sid: int) -> bool:
        h2 = self._h2
        mine = (sid % 2 == 1) is self._client
        return sid > (h2.highest_outbound_stream_id if mine else h2.highest_inbound_stream_id)

    def _late(self, sid: int, what: str) -> None:
        """A frame for a stream that is over: expected behind our reset, else STREAM_CLOSED."""
        if self._closed.get(sid) == "ours" or (self._client and sid not in self._closed):
            self._spend(Cheap.IDLE)
        else:
            self._refuse(sid, ErrorCode.STREAM_CLOSED, f"{what} on a closed stream")

    def _sin(self, sid: int, code: ErrorCode, why: str, trailers: bool = False) -> None:
        """Reset a live stream for what its peer did."""
        self.bury(sid, "ours")
        self._tell(sid, code, why, trailers=trailers)
        if not self._client:  # a server can provoke us once for each stream of ours
            self._spend(Cheap.PROVOKED)

    def _refuse(self, sid: int, code: ErrorCode, why: str, refused: bool = False) -> None:
        """Reset a stream that is not open, for what the peer did on it."""
        self._tell(sid, code, why, refused)
        self._spend(Cheap.PROVOKED)

    def _tell(
        self, sid: int, code: ErrorCode, why: str, refused: bool = False, trailers: bool = False
    ) -> None:
        self._h2._prepare_for_sending([RstStreamFrame(sid, error_code=code)])
        self._remember(sid, "ours")
        self._events.append(StreamFault(sid, code, why, refused, trailers))

    def _spend(self, kind: i64) -> bool:
        if self.allowance.spend(kind):
            return True
        self._break(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames: {Cheap.NAMES[kind]}")
        return False

    def _break(self, code: int, why: str) -> None:
        self._broken = True
        self.say_goaway(self.last_taken, ErrorCode(code), why)
        self._events.append(ConnectionFault(code, why))

    def say_goaway(self, last_sid: int, code: ErrorCode, why: str) -> None:
        """Write GOAWAY; streams of the peer's above `last_sid` are not taken up any more."""
        self._goaway_last = last_sid
        frame = GoAwayFrame(
            0, last_stream_id=last_sid, error_code=code, additional_data=why.encode()[:256]
        )
        self._h2._prepare_for_sending([frame])

    def bury_if_closed(self, sid: int) -> None:
        """Let go of a stream on which both sides have said their end."""
        stream = self._h2.streams.get(sid)
        if stream is not None and stream.closed:
            self.bury(sid, "end")
            self.allowance.honest_streams += 1

    def bury(self, sid: int, how: str) -> None:
        """Let go of a stream: it was reset by `ours` or by the `peer`, or came to its `end`."""
        self._h2.streams.pop(sid, None)
        self.ledgers.pop(sid, None)
        self._remember(sid, how)

    def _remember(self, sid: int, how: str) -> None:
        self._closed[sid] = how
        if len(self._closed) > _REMEMBERED:
            del self._closed[next(iter(self._closed))]
