"""H2Codec: the h2 package behind our seam.

h2 gives the frames, HPACK, the stream states and the windows. What it would
turn into a dead connection (malformed messages, excess streams, GOAWAY) is
decided here, one stream at a time. This is the only file that knows h2; it
leans on private names of h2 4.4, and the contract test is the alarm.
"""

from collections.abc import Iterable
from typing import Any, Final, final

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.events import PingAckReceived, RemoteSettingsChanged
from h2.events import StreamReset as H2StreamReset
from h2.events import WindowUpdated
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hpack import (
    Decoder,
    Encoder,
    HPACKError,
    NeverIndexedHeaderTuple,
    OversizedHeaderListError,
)
from hyperframe.exceptions import HyperframeError, InvalidFrameError
from hyperframe.frame import (
    ContinuationFrame,
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

from trailproxy.wire.codec import MAX_SID, PREFACE, Role, WireParams
from trailproxy.wire.errors import ErrorCode, HTTP2Error
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
from trailproxy.wire.fields import NO_LENGTH, Field, Fields, Kind
from trailproxy.wire.flood import Allowance, Cheap

_REMEMBERED: Final = 512  # closed streams whose late frames we can still tell apart
_INTERIM_LIMIT: Final = 32  # informational heads a stream; more is no conversation
_FRAGMENT_LIMIT: Final = 64  # HEADERS and CONTINUATION frames in one field block
_ENCODER_TABLE_LIMIT: Final = 64 * 1024  # HPACK table octets we keep, whatever a peer allows
_DEFAULT_WINDOW: Final = 65_535  # RFC 9113 section 6.9.2

# h2's stream states need to know only that a head came, and whether it was interim.
_FINAL: Final[tuple[tuple[bytes, bytes], ...]] = ()
_INTERIM: Final = ((b":status", b"100"),)


class _Machine(H2Connection):
    """h2's connection, without the walk over all streams for each new one."""

    def _open_streams(self, remainder: int) -> int:  # noqa: ARG002 - without push all are of one kind
        return len(self.streams)


class _PlainEncoder(Encoder):
    """hpack's encoder, without Huffman coding.

    It shifts one huge integer: 7 ms for a value of 4,000 octets, 935 ms for one of
    60,000, with the loop standing still. Plain, both take less than 0.1 ms.
    """

    def encode(
        self, headers: Iterable[Any] | dict[Any, Any], huffman: bool = False
    ) -> bytes:  # huffman: h2 never gives it
        """Encode a field block."""
        return super().encode(headers, huffman)


@final
class _Ledger:
    """What h2 does not keep about the message a peer sends on one stream."""

    __slots__ = ("bodiless", "connect", "expected", "head", "head_request", "interims", "received")

    def __init__(self) -> None:
        self.head = False  # the final head has come
        self.interims = 0
        self.expected = NO_LENGTH  # body octets announced
        self.received = 0  # body octets come
        self.head_request = False  # we asked with HEAD: the response has no body
        self.connect = False  # no trailers on a tunnel (RFC 9113 section 8.5)
        self.bodiless = False

    def head_came(self, fields: Fields, kind: Kind) -> None:
        """Take up what the final head says about the body."""
        self.head = True
        if kind is Kind.REQUEST:
            self.connect = fields.get(b":method") == b"CONNECT"
            self.expected = NO_LENGTH if self.connect else fields.content_length
            return
        status = fields.get(b":status") or b""
        self.connect = self.connect and status[:1] == b"2"
        self.bodiless = self.head_request or status in (b"204", b"304")
        if not self.bodiless and not self.connect:
            self.expected = fields.content_length

    def length_fault(self, end: bool) -> str:
        """Say how the body breaks its announcement (RFC 9113 section 8.1.1)."""
        if self.bodiless and self.received:
            return "body octets in a response that cannot have any"
        if self.expected != NO_LENGTH and (
            self.received > self.expected or (end and self.received != self.expected)
        ):
            return f"content-length {self.expected}, and {self.received} octets came"
        return ""


@final
class H2Codec:
    """One end of an HTTP/2 connection over the h2 package; promises: wire.codec."""

    def __init__(self, role: Role, params: WireParams) -> None:
        self._client: Final = role is Role.CLIENT
        self._params: Final = params
        self._h2: Final = _Machine(
            H2Configuration(
                client_side=self._client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self._ledgers: Final[dict[int, _Ledger]] = {}
        self._closed: Final[dict[int, str]] = {}  # "ours", "peer" or "end"; at most _REMEMBERED
        self._allowance: Final = Allowance()
        self._events: list[Event] = []
        self._broken = False
        self._goaway_last = MAX_SID
        # what was read and is no whole frame yet
        self._rest = b""
        self._preface_left = b"" if self._client else PREFACE
        self._settings_came = False
        self._block: HeadersFrame | None = None
        self._fragments: list[bytes] = []
        # a block may be decoded beyond the limit, so that its stream alone pays for it
        self._block_limit: Final = 4 * params.max_header_list + 64 * 1024
        self._decoder: Final = Decoder(max_header_list_size=self._block_limit)
        self._start()

    def _start(self) -> None:
        params = self._params
        values = {
            SettingCodes.MAX_CONCURRENT_STREAMS: params.max_concurrent_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: params.stream_window,
            SettingCodes.MAX_FRAME_SIZE: params.max_frame_size,
            SettingCodes.MAX_HEADER_LIST_SIZE: params.max_header_list,
            SettingCodes.ENABLE_PUSH: 0,
        }
        self._h2.local_settings = Settings(client=self._client, initial_values=values)
        self._h2.max_inbound_frame_size = params.max_frame_size
        self._h2.encoder = _PlainEncoder()
        self._h2.initiate_connection()
        if params.connection_window > _DEFAULT_WINDOW:
            self._h2.increment_flow_control_window(params.connection_window - _DEFAULT_WINDOW)

    # -- receiving ---------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        events: list[Event] = []
        if self._broken:
            return events
        self._events = events
        try:
            self._split(data)
        except ProtocolError as error:
            self._break(error.error_code, str(error))
        except InvalidFrameError as error:
            self._break(ErrorCode.FRAME_SIZE_ERROR, str(error))
        except HyperframeError as error:
            self._break(ErrorCode.PROTOCOL_ERROR, str(error))
        return events

    def _split(self, data: bytes) -> None:
        """Cut the bytes into frames; what is left over waits for the next read."""
        if self._preface_left:
            data = self._take_preface(data)
        octets = self._rest + data if self._rest else data
        position, size = 0, len(octets)
        while size - position >= 9 and not self._broken:
            length = int.from_bytes(octets[position : position + 3], "big")
            if length > self._params.max_frame_size:
                self._break(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} octets")
                return
            if size - position - 9 < length:
                break
            body = position + 9
            frame, _ = Frame.parse_frame_header(memoryview(octets[position:body]))
            position = body + length
            self._frame(frame, octets[body:position])
        self._rest = octets[position:]

    def _take_preface(self, data: bytes) -> bytes:
        """RFC 9113 section 3.4."""
        expected = self._preface_left
        given = data[: len(expected)]
        if not expected.startswith(given):
            raise ProtocolError("the connection does not begin with the HTTP/2 preface")
        self._preface_left = expected[len(given) :]
        return data[len(given) :]

    def _frame(self, frame: Frame, body: bytes) -> None:
        kind = type(frame)
        if self._block is not None and (
            kind is not ContinuationFrame or frame.stream_id != self._block.stream_id
        ):
            raise ProtocolError("a field block was interrupted")
        if not self._settings_came and kind is not SettingsFrame:
            raise ProtocolError(f"the first frame is {kind.__name__}, not SETTINGS")
        if kind is PriorityFrame:
            self._on_priority(frame.stream_id, body)
            return
        if kind is WindowUpdateFrame and self._null_update(frame.stream_id, body):
            return
        frame.parse_body(memoryview(body))
        if isinstance(frame, DataFrame):
            self._on_data(frame)
        elif isinstance(frame, WindowUpdateFrame):
            self._on_window_update(frame)
        elif isinstance(frame, HeadersFrame | ContinuationFrame):
            self._on_fragment(frame)
        elif isinstance(frame, RstStreamFrame):
            self._on_reset(frame)
        elif isinstance(frame, SettingsFrame):
            self._on_settings(frame)
        elif isinstance(frame, PingFrame):
            self._on_ping(frame)
        elif isinstance(frame, GoAwayFrame):
            self._on_goaway(frame)
        elif isinstance(frame, PushPromiseFrame):
            raise ProtocolError("PUSH_PROMISE, and push is off")
        else:
            self._spend(Cheap.IDLE)  # unknown types are ignored (RFC 9113 section 5.5)

    # -- field blocks ------------------------------------------------------------------

    def _on_fragment(self, frame: HeadersFrame | ContinuationFrame) -> None:
        block = self._block
        if block is None:
            if not isinstance(frame, HeadersFrame):
                raise ProtocolError("CONTINUATION without HEADERS")
            block = self._block = frame
        fragments = self._fragments
        fragments.append(frame.data)
        if "END_HEADERS" in frame.flags:
            octets = b"".join(fragments)
            self._block, self._fragments = None, []
            self._on_block(block, octets)
        elif (
            len(fragments) > _FRAGMENT_LIMIT or sum(map(len, fragments)) > self._block_limit
        ):
            self._break(ErrorCode.ENHANCE_YOUR_CALM, "a field block without end")

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

    def _on_block(self, frame: HeadersFrame, octets: bytes) -> None:
        sid = frame.stream_id
        end = "END_STREAM" in frame.flags
        fields = self._decode(octets)
        if fields is None or (sid not in self._h2.streams and not self._admit(sid)):
            return
        ledger = self._ledgers[sid]
        if ledger.head:
            kind = Kind.TRAILERS
        else:
            kind = Kind.RESPONSE if self._client else Kind.REQUEST
        interim = kind is Kind.RESPONSE and fields.interim
        why = self._judge(ledger, fields, kind, end, interim)
        if not why and "PRIORITY" in frame.flags and frame.depends_on == sid:
            why = "the stream depends on itself"
        self._h2.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        try:
            self._h2.streams[sid].receive_headers(_INTERIM if interim else _FINAL, end, None)
        except StreamClosedError:
            self._sin(sid, ErrorCode.STREAM_CLOSED, "HEADERS behind the end of the message")
            return
        except ProtocolError as error:
            why = why or str(error)
        if why:
            over = fields.size > self._params.max_header_list
            code = ErrorCode.ENHANCE_YOUR_CALM if over else ErrorCode.PROTOCOL_ERROR
            self._sin(sid, code, why, trailers=kind is Kind.TRAILERS)
            return
        self._accept(sid, ledger, fields, kind, end)

    def _judge(self, ledger: _Ledger, fields: Fields, kind: Kind, end: bool, interim: bool) -> str:
        """Say why this field section cannot stand where it stands, or nothing."""
        limit = self._params.max_header_list
        if fields.size > limit:
            return f"field section of {fields.size} octets, the limit is {limit}"
        if kind is Kind.TRAILERS:
            if not end:
                return "trailers without END_STREAM"
            if ledger.connect:
                return "trailers on a tunnel"
            return fields.fault(kind) or ledger.length_fault(end=True)
        if interim:
            ledger.interims += 1
            if end or ledger.interims > _INTERIM_LIMIT:
                return "an interim response that ends the stream, or one too many"
        return fields.fault(kind)

    def _accept(self, sid: int, ledger: _Ledger, fields: Fields, kind: Kind, end: bool) -> None:
        if kind is Kind.TRAILERS:
            self._events.append(TrailersReceived(sid, fields))
        else:
            if kind is Kind.REQUEST or not fields.interim:
                ledger.head_came(fields, kind)
                why = ledger.length_fault(end=True) if end else ""
                if why:
                    self._sin(sid, ErrorCode.PROTOCOL_ERROR, why)
                    return
            self._events.append(HeadReceived(sid, fields, end))
        self._bury_if_closed(sid)

    def _admit(self, sid: int) -> bool:
        """Open a stream for the peer, if it may have one (RFC 9113 section 5.1.1, 5.1.2)."""
        h2 = self._h2
        if self._client or sid % 2 == 0:
            if not self._client or self._idle(sid):
                raise ProtocolError(f"HEADERS on stream {sid}, which is not the peer's to open")
            self._late(sid, "HEADERS")
            return False
        if sid <= h2.highest_inbound_stream_id:
            how = self._closed.get(sid)
            if how == "end":
                raise StreamClosedError(sid)
            if how is None:
                raise ProtocolError(f"stream id {sid} used again")
            self._late(sid, "HEADERS")
            return False
        if sid > self._goaway_last:
            return False
        if len(h2.streams) >= self._params.max_concurrent_streams:
            h2.highest_inbound_stream_id = sid
            why = f"more than {self._params.max_concurrent_streams} streams at once"
            self._refuse(sid, ErrorCode.REFUSED_STREAM, why, refused=True)
            return False
        h2.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        h2._begin_new_stream(sid, AllowedStreamIDs.ODD)
        self._ledgers[sid] = _Ledger()
        return True

    # -- the other frames --------------------------------------------------------------

    def _on_data(self, frame: DataFrame) -> None:
        sid, credit = frame.stream_id, frame.flow_controlled_length
        end = "END_STREAM" in frame.flags
        h2 = self._h2
        if self._idle(sid):
            raise ProtocolError(f"DATA on idle stream {sid}")
        h2._inbound_flow_control_window_manager.window_consumed(credit)
        stream = h2.streams.get(sid)
        if stream is None:
            self.consumed(sid, credit)
            if sid <= self._goaway_last or self._client:
                self._late(sid, "DATA")
            return
        if not frame.data and not end and not self._spend(Cheap.EMPTY_DATA):
            return
        ledger = self._ledgers[sid]
        ledger.received += len(frame.data)
        code, why = ErrorCode.PROTOCOL_ERROR, ledger.length_fault(end)
        if not why:
            try:
                stream.receive_data(frame.data, end, credit)
            except StreamClosedError:
                code, why = ErrorCode.STREAM_CLOSED, "DATA behind the end of the message"
            except FlowControlError:
                code, why = ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window"
            except ProtocolError:
                why = "DATA before the head"
        if why:
            self._sin(sid, code, why)
            self.consumed(sid, credit)
            return
        self._events.append(DataReceived(sid, frame.data, credit, end))
        self._bury_if_closed(sid)

    def _null_update(self, sid: int, body: bytes) -> bool:
        """Handle an increment of 0: a stream's sin stays on the stream (RFC 9113 section 6.9)."""
        if len(body) != 4 or int.from_bytes(body, "big") & 0x7FFFFFFF:
            return False
        if sid == 0 or self._idle(sid):
            raise ProtocolError("WINDOW_UPDATE of 0")
        if sid in self._h2.streams:
            self._sin(sid, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        return True

    def _on_window_update(self, frame: WindowUpdateFrame) -> None:
        if not self._spend(Cheap.WINDOW_UPDATE):
            return
        sid = frame.stream_id
        if sid and sid not in self._h2.streams:
            if self._idle(sid):
                raise ProtocolError(f"WINDOW_UPDATE on idle stream {sid}")
            return
        for event in self._h2._receive_frame(frame):
            if isinstance(event, WindowUpdated):
                self._events.append(WindowOpened(sid))
            elif isinstance(event, H2StreamReset):
                why = "WINDOW_UPDATE beyond 2^31-1"
                self._bury(sid, "ours")
                self._events.append(StreamFault(sid, ErrorCode.FLOW_CONTROL_ERROR, why))

    def _on_reset(self, frame: RstStreamFrame) -> None:
        sid = frame.stream_id
        if self._idle(sid):
            raise ProtocolError(f"RST_STREAM on idle stream {sid}")
        if not self._spend(Cheap.RESET) or sid not in self._h2.streams:
            return
        self._h2._receive_frame(frame)
        self._bury(sid, "peer")
        self._events.append(StreamReset(sid, frame.error_code))

    def _on_settings(self, frame: SettingsFrame) -> None:
        if "ACK" in frame.flags and not self._settings_came:
            raise ProtocolError("the first frame acknowledges SETTINGS")
        self._settings_came = True
        if not self._spend(Cheap.SETTINGS):
            return
        for event in self._h2._receive_frame(frame):
            if isinstance(event, RemoteSettingsChanged):
                self._events.append(PeerSettings(self.max_streams))
                self._events.append(WindowOpened(0))
        encoder = self._h2.encoder
        if encoder.header_table_size > _ENCODER_TABLE_LIMIT:
            encoder.header_table_size = _ENCODER_TABLE_LIMIT

    def _on_ping(self, frame: PingFrame) -> None:
        if not self._spend(Cheap.PING):
            return
        for event in self._h2._receive_frame(frame):
            if isinstance(event, PingAckReceived):
                self._events.append(PongReceived(frame.opaque_data))

    def _on_goaway(self, frame: GoAwayFrame) -> None:
        last = frame.last_stream_id & MAX_SID
        why = frame.additional_data[:256].decode("utf-8", "replace")
        self._events.append(GoAwayReceived(last, frame.error_code, why))

    def _on_priority(self, sid: int, body: bytes) -> None:
        """PRIORITY does nothing but break rules (RFC 9113 section 5.3, 6.3)."""
        if len(body) != 5:
            code, why = ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(body)} octets"
        elif int.from_bytes(body[:4], "big") & MAX_SID == sid:
            code, why = ErrorCode.PROTOCOL_ERROR, "the stream depends on itself"
        else:
            self._spend(Cheap.IDLE)
            return
        if sid in self._h2.streams:
            self._sin(sid, code, why)
        else:
            self._break(code, why)

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
        self._bury(sid, "ours")
        self._refuse(sid, code, why, trailers=trailers)

    def _refuse(
        self, sid: int, code: ErrorCode, why: str, refused: bool = False, trailers: bool = False
    ) -> None:
        self._h2._prepare_for_sending([RstStreamFrame(sid, error_code=code)])
        self._remember(sid, "ours")
        self._events.append(StreamFault(sid, code, why, refused, trailers))
        self._spend(Cheap.PROVOKED)

    def _spend(self, kind: Cheap) -> bool:
        if self._allowance.spend(kind):
            return True
        self._break(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames: {kind.name.lower()}")
        return False

    def _break(self, code: int, why: str) -> None:
        if self._broken:
            return
        self._broken = True
        self.goaway(self.last_peer_sid, ErrorCode(code), why)
        self._events.append(ConnectionFault(code, why))

    def _bury_if_closed(self, sid: int) -> None:
        stream = self._h2.streams.get(sid)
        if stream is not None and stream.closed:
            self._bury(sid, "end")
            self._allowance.earn(Cheap.RESET)
            self._allowance.earn(Cheap.IDLE)

    def _bury(self, sid: int, how: str) -> None:
        self._h2.streams.pop(sid, None)
        self._ledgers.pop(sid, None)
        self._remember(sid, how)

    def _remember(self, sid: int, how: str) -> None:
        closed = self._closed
        closed[sid] = how
        if len(closed) > _REMEMBERED:
            del closed[next(iter(closed))]

    # -- sending -------------------------------------------------------------------------

    def take_output(self) -> bytes:
        """Return what must be written to the socket, once."""
        return self._h2.data_to_send()

    def open_stream(self) -> int:
        """Return the id of the next stream of ours, or 0 when the ids are used up."""
        sid = (self._h2.highest_outbound_stream_id or -1) + 2
        return sid if sid <= MAX_SID else 0

    def send_head(self, sid: int, fields: Fields, end: bool) -> None:
        """Send a request head, an interim head or a response head."""
        kind = Kind.REQUEST if self._client else Kind.RESPONSE
        _vet(fields, kind)
        if self._client and sid not in self._h2.streams:
            ledger = self._ledgers[sid] = _Ledger()
            method = fields.get(b":method")
            ledger.head_request = method == b"HEAD"
            ledger.connect = method == b"CONNECT"
        else:
            self._live(sid)
        self._h2.send_headers(sid, _headers(fields), end)
        self._bury_if_closed(sid)

    def send_data(self, sid: int, data: bytes, end: bool) -> None:
        """Send body octets, no more than `sendable(sid)`; split into frames as the peer likes."""
        self._live(sid)
        limit = self._h2.max_outbound_frame_size
        last = len(data) - limit
        position = 0
        while position < last:
            self._h2.send_data(sid, data[position : position + limit])
            position += limit
        self._h2.send_data(sid, data[position:] if position else data, end)
        self._allowance.earn(Cheap.WINDOW_UPDATE, 2 + position // limit)
        self._bury_if_closed(sid)

    def send_trailers(self, sid: int, fields: Fields) -> None:
        """Send trailers and end the stream; an empty list ends it with an empty DATA frame."""
        _vet(fields, Kind.TRAILERS)
        if not len(fields):
            self.send_data(sid, b"", end=True)
            return
        self._live(sid)
        self._h2.send_headers(sid, _headers(fields), end_stream=True)
        self._bury_if_closed(sid)

    def reset(self, sid: int, code: int) -> None:
        """Send RST_STREAM; for a stream that is over, do nothing."""
        if sid in self._h2.streams:
            self._h2.reset_stream(sid, code)
            self._bury(sid, "ours")

    def _live(self, sid: int) -> None:
        if sid not in self._h2.streams:
            raise HTTP2Error(f"stream {sid} is over", ErrorCode.STREAM_CLOSED)

    # -- windows and the connection ------------------------------------------------------

    def sendable(self, sid: int) -> int:
        """Return how many body octets the peer's windows admit now; 0 for unknown streams."""
        stream = self._h2.streams.get(sid)
        if stream is None:
            return 0
        room = min(stream.outbound_flow_control_window, self._h2.outbound_flow_control_window)
        return max(room, 0)

    def consumed(self, sid: int, credit: int) -> None:
        """Give `credit` window octets back to the peer."""
        if credit:
            self._h2.acknowledge_received_data(credit, sid)

    def goaway(self, last_sid: int, code: ErrorCode, why: str = "") -> None:
        """Announce that streams above `last_sid` are not taken (RFC 9113 section 6.8)."""
        self._goaway_last = last_sid
        frame = GoAwayFrame(
            0, last_stream_id=last_sid, error_code=code, additional_data=why.encode()[:256]
        )
        self._h2._prepare_for_sending([frame])

    def ping(self, payload: bytes) -> None:
        """Send a PING with eight octets; the answer is `PongReceived`."""
        self._h2.ping(payload)

    def replenish(self) -> None:
        """A second has passed: let the peer's flood allowances recover."""
        self._allowance.replenish()

    @property
    def max_streams(self) -> int:
        """How many streams the peer lets us have open at once."""
        return self._h2.remote_settings.max_concurrent_streams

    @property
    def last_peer_sid(self) -> int:
        """The highest stream id of the peer's that we took up; 0 if none."""
        return self._h2.highest_inbound_stream_id


def _vet(fields: Fields, kind: Kind) -> None:
    why = fields.fault(kind)
    if why:
        raise HTTP2Error(why)


def _headers(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [NeverIndexedHeaderTuple(f[0], f[1]) if f[2] else (f[0], f[1]) for f in fields]
