"""The yardstick: HTTP/2 in, HTTP/2 out, on the h2 package and nothing else.

Each client connection is paired with an origin connection of its own, so stream ids are
the same on both legs. Heads, data and trailers are handed over with the plain h2 API and
its default checks; body bytes that find no window wait, and are paid for when they leave.
No pool, no routes, no metrics, no deadlines, no tasks per request: what a proxy costs
beyond this relay is the price of what it does beyond it.
"""

import argparse
import asyncio
import contextlib
from collections import deque

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 4 * 1024 * 1024
DEFAULT_WINDOW = 65_535  # RFC 9113 section 6.9.2

#: One waiting part: body bytes, the credit owed for them, trailers, and whether it is the last.
Part = tuple[bytes, int, list[tuple[bytes, bytes]] | None, bool]


class Leg(asyncio.Protocol):
    """One socket and its h2 connection; `peer` is the leg its events are handed to."""

    peer: "Leg"

    def __init__(self, *, client_side: bool) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=client_side, header_encoding=None))
        self.transport: asyncio.Transport | None = None
        self.waiting: dict[int, deque[Part]] = {}
        self.blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the other end with our windows."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW})
        self.h2.increment_flow_control_window(CONNECTION_WINDOW - DEFAULT_WINDOW)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the other leg along."""
        self.peer.close()

    def close(self) -> None:
        """Hang up, behind what is already written."""
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        """Let parts wait: the socket is full."""
        self.blocked = True

    def resume_writing(self) -> None:
        """Send what waited for the socket."""
        self.blocked = False
        self.pump_all()
        self.flush()
        self.peer.flush()

    def data_received(self, data: bytes) -> None:
        """Hand every event of one read to the other leg, then flush both once."""
        for event in self.h2.receive_data(data):
            # A stream that the other end has reset meanwhile has nobody left to tell.
            with contextlib.suppress(StreamClosedError):
                self.relay(event)
        self.flush()
        self.peer.flush()

    def relay(self, event: Event) -> None:
        """Hand one event over."""
        peer = self.peer
        if isinstance(event, DataReceived):
            last = event.stream_ended is not None
            peer.take(event.stream_id, (event.data, event.flow_controlled_length, None, last))
        elif isinstance(event, TrailersReceived):
            peer.take(event.stream_id, (b"", 0, event.headers, True))
        elif isinstance(event, RequestReceived | ResponseReceived | InformationalResponseReceived):
            last = getattr(event, "stream_ended", None) is not None
            peer.h2.send_headers(event.stream_id, event.headers, end_stream=last)
        elif isinstance(event, WindowUpdated) and event.stream_id:
            self.pump(event.stream_id)
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self.pump_all()
        elif isinstance(event, StreamReset):
            self.drop(event.stream_id)
            peer.drop(event.stream_id)
            peer.h2.reset_stream(event.stream_id, event.error_code)
        elif isinstance(event, ConnectionTerminated):
            peer.close()

    def take(self, sid: int, part: Part) -> None:
        """Send a part now if nothing waits before it, else let it wait its turn."""
        if sid in self.waiting:
            self.waiting[sid].append(part)
        elif rest := self.send(sid, part):
            self.waiting[sid] = deque([rest])

    def send(self, sid: int, part: Part) -> Part | None:
        """Send a part as far as window and socket allow; return what is left of it."""
        data, credit, trailers, last = part
        if self.blocked:
            return part
        if trailers is not None:
            self.h2.send_headers(sid, trailers, end_stream=True)
            return None
        while len(data) > (room := self.room(sid)):
            if room <= 0:
                return data, credit, None, last
            self.h2.send_data(sid, data[:room])
            data = data[room:]
        self.h2.send_data(sid, data, end_stream=last)
        if credit:
            self.peer.h2.acknowledge_received_data(credit, sid)
        return None

    def room(self, sid: int) -> int:
        """Return how much one DATA frame may carry now."""
        return min(self.h2.local_flow_control_window(sid), self.h2.max_outbound_frame_size)

    def pump(self, sid: int) -> None:
        """Send what waits on one stream."""
        queue = self.waiting.get(sid)
        if queue is None:
            return
        while queue:
            rest = self.send(sid, queue[0])
            if rest is not None:
                queue[0] = rest
                return
            queue.popleft()
        del self.waiting[sid]

    def pump_all(self) -> None:
        """Give every waiting stream its turn."""
        for sid in list(self.waiting):
            self.pump(sid)

    def drop(self, sid: int) -> None:
        """Forget what waits on one stream; its bytes are still paid for."""
        for _, credit, _, _ in self.waiting.pop(sid, ()):
            if credit:
                self.peer.h2.acknowledge_received_data(credit, sid)

    def flush(self) -> None:
        """Write what h2 has ready."""
        output = self.h2.data_to_send()
        if output and self.transport is not None and not self.transport.is_closing():
            self.transport.write(output)


class ClientLeg(Leg):
    """The leg a client opened; it reads nothing until its origin leg stands."""

    def __init__(self, origin_port: int) -> None:
        super().__init__(client_side=False)
        self.origin_port = origin_port
        self.peer = Leg(client_side=True)
        self.peer.peer = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Dial the origin: the one task a connection costs."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self.dial = asyncio.ensure_future(self.open_origin(self.transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop dialling as well."""
        self.dial.cancel()
        super().connection_lost(exc)

    async def open_origin(self, client: asyncio.Transport) -> None:
        """Connect the origin leg, then let the client speak."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.peer, "127.0.0.1", self.origin_port)
        except OSError:
            client.abort()
        else:
            client.resume_reading()


async def serve(port: int, origin_port: int) -> None:
    """Relay until the process is told to stop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ClientLeg(origin_port), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    """Run the relay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--origin", type=int, required=True, help="the origin's port")
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.port, chosen.origin))


if __name__ == "__main__":
    main()
