"""H2Codec: the h2 package behind our seam.

h2 gives HPACK, the stream states and the windows. What it receives is judged in
`inbound`; what is sent is checked here, before anything is encoded.
"""

from typing import Final, final

from h2.stream import StreamState
from hpack import NeverIndexedHeaderTuple

from trailproxy.wire.codec import MAX_SID, Codec, Role, WireParams
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import Event
from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.hyper.inbound import Inbound
from trailproxy.wire.hyper.machine import make_machine
from trailproxy.wire.ledger import Ledger


@final
class H2Codec(Codec):
    """One end of an HTTP/2 connection over the h2 package; promises: wire.codec."""

    def __init__(self, role: Role, params: WireParams) -> None:
        self._client: Final = role is Role.CLIENT
        self._h2: Final = make_machine(params, client=self._client)
        self._inbound: Final = Inbound(self._h2, params, client=self._client)

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        return self._inbound.receive(data)

    # -- sending -------------------------------------------------------------------------

    def take_pieces(self) -> list[bytes]:
        """Return what must be written to the socket, once; h2 keeps it in one piece."""
        output = self._h2.data_to_send()
        return [output] if output else []

    def open_stream(self) -> int:
        """Return the id of the next stream of ours, or 0 when the ids are used up."""
        sid = (self._h2.highest_outbound_stream_id or -1) + 2
        return sid if sid <= MAX_SID else 0

    def send_head(self, sid: int, fields: Fields, end: bool) -> None:
        """Send a request head, an interim head or a response head."""
        kind = Kind.REQUEST if self._client else Kind.RESPONSE
        _vet(fields, kind)
        if self._client and sid > self._h2.highest_outbound_stream_id:
            self._inbound.ledgers[sid] = Ledger(False, method=fields.get(b":method") or b"")
        else:
            self._live(sid)
        self._h2.send_headers(sid, _headers(fields), end)
        self._inbound.bury_if_closed(sid)

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
        self._inbound.allowance.honest_frames += 2 + position // limit
        self._inbound.bury_if_closed(sid)

    def send_trailers(self, sid: int, fields: Fields) -> None:
        """Send trailers and end the stream; an empty list ends it with an empty DATA frame."""
        _vet(fields, Kind.TRAILERS)
        if not len(fields):
            self.send_data(sid, b"", end=True)
            return
        self._live(sid)
        self._h2.send_headers(sid, _headers(fields), end_stream=True)
        self._inbound.bury_if_closed(sid)

    def reset(self, sid: int, code: int) -> None:
        """Send RST_STREAM; for a stream that is over, do nothing."""
        if sid in self._h2.streams:
            self._h2.reset_stream(sid, code)
            self._inbound.bury(sid, "ours")

    def _live(self, sid: int) -> None:
        stream = self._h2.streams.get(sid)
        if stream is None or stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL:
            raise HTTP2Error(f"stream {sid} is over", ErrorCode.STREAM_CLOSED)

    # -- windows and the connection ------------------------------------------------------

    def sendable(self, sid: int) -> int:
        """Return how many body octets the peer's windows admit now; 0 for unknown streams."""
        stream = self._h2.streams.get(sid)
        if stream is None:
            return 0 if sid else self._h2.outbound_flow_control_window
        room = min(stream.outbound_flow_control_window, self._h2.outbound_flow_control_window)
        return max(room, 0)

    def consumed(self, sid: int, credit: int) -> None:
        """Give `credit` window octets back to the peer."""
        if credit:
            self._h2.acknowledge_received_data(credit, sid)

    def goaway(self, last_sid: int, code: ErrorCode, why: str = "") -> None:
        """Announce that streams above `last_sid` are not taken (RFC 9113 section 6.8)."""
        self._inbound.say_goaway(last_sid, code, why)

    def ping(self, payload: bytes) -> None:
        """Send a PING with eight octets; the answer is `PongReceived`."""
        self._h2.ping(payload)

    def replenish(self) -> None:
        """A second has passed: let the peer's flood allowances recover."""
        self._inbound.allowance.replenish()

    @property
    def unfinished(self) -> int:
        """What the peer has begun to say and not ended, by a number; 0 if there is nothing."""
        return self._inbound.unfinished()

    @property
    def max_streams(self) -> int:
        """How many streams the peer lets us have open at once."""
        return self._h2.remote_settings.max_concurrent_streams

    @property
    def last_peer_sid(self) -> int:
        """The highest stream id of the peer's that we took up; 0 if none."""
        return self._inbound.last_taken


def _vet(fields: Fields, kind: int) -> None:
    why = fields.fault(kind)
    if why:
        raise HTTP2Error(why)


def _headers(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [
        NeverIndexedHeaderTuple(f.name, f.value) if f.never_indexed else (f.name, f.value)
        for f in fields.items
    ]
