"""A real HTTP/2 backend on the h2 package: one behaviour per path.

It shares no code with the proxy, streams in both directions, pays credit only
for what a behaviour has read, and ends its messages with trailers. A test runs
it in a thread (`running_backend`); the soak run starts it as a process, so that
it can kill it: `python -m tests.support.backend --bind 127.0.0.1:9000`.
"""

import argparse
import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, StreamClosedError
from hyperframe.frame import Frame, GoAwayFrame

from tests.support.behaviours import BEHAVIOURS, report

Pairs = Sequence[tuple[str, str]]


class GoneError(Exception):
    """The stream was reset, or its connection was lost."""


class Stream:
    """One request to be answered; what a behaviour is given."""

    def __init__(self, link: "Link", sid: int, head: list[tuple[str, str]]) -> None:
        self.backend = link.backend
        self.head = head
        self.trailers: list[tuple[str, str]] | None = None
        self._link = link
        self._sid = sid
        self._pieces: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self.room = asyncio.Event()

    def field(self, name: str) -> str:
        """Return the first head field called `name`, or an empty string."""
        return next((value for key, value in self.head if key == name), "")

    @property
    def steps(self) -> list[str]:
        """The path without its query, split at the slashes."""
        return self.field(":path").partition("?")[0].strip("/").split("/")

    async def read(self) -> bytes | None:
        """Return the next piece of body, paying for it; None at the end."""
        item = await self._pieces.get()
        if item is None:
            return None
        data, credit = item
        if credit:
            self._link.pay(self._sid, credit)
        return data

    def respond(self, *extra: tuple[str, str], status: int = 200, end: bool = False) -> None:
        """Send an interim or final head."""
        self._link.send(self._sid, [(":status", str(status)), *extra], end)

    async def send(self, data: bytes) -> None:
        """Send body as the peer's windows admit it."""
        while data:
            room = self._link.room(self._sid)
            if room <= 0:
                self.room.clear()
                await self.room.wait()
                continue
            self._link.send_data(self._sid, data[:room])
            data = data[room:]

    def finish(self, *trailers: tuple[str, str]) -> None:
        """End the response, with trailers if there are any."""
        if trailers:
            self._link.send(self._sid, trailers, end=True)
        else:
            self._link.send_data(self._sid, b"", end=True)

    def reset(self, code: int) -> None:
        """Send RST_STREAM."""
        self._link.reset(self._sid, code)

    def take(self, event: DataReceived | TrailersReceived | StreamEnded | StreamReset) -> None:
        """File what the link has heard."""
        if isinstance(event, DataReceived):
            self._pieces.put_nowait((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, TrailersReceived):
            self.trailers = _text(event.headers)
        elif isinstance(event, StreamEnded):
            self._pieces.put_nowait(None)
        else:
            self.backend.resets.append((self.field(":path"), int(event.error_code or 0)))
            self._link.let_go(self._sid)


Behaviour = Callable[[Stream], Awaitable[None]]


class PatientConnection(H2Connection):
    """h2 closes for good at a GOAWAY; streams in flight must finish (RFC 9113 section 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        state = self.state_machine.state
        _, events = super()._receive_goaway_frame(frame)
        self.state_machine.state = state
        return [], events


class Link(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, backend: "Backend") -> None:
        self.backend = backend
        self._h2 = PatientConnection(
            H2Configuration(
                client_side=False,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                split_outbound_cookies=False,
                normalize_inbound_headers=False,
            )
        )
        self._streams: dict[int, Stream] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._writable = True
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.backend.links.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let every behaviour of this connection go."""
        self.backend.links.discard(self)
        for task in self._tasks.values():
            task.cancel()
        self.lost.set()

    def pause_writing(self) -> None:
        """Stop sending body; the socket is full."""
        self._writable = False

    def resume_writing(self) -> None:
        """Send on."""
        self._writable = True
        self._wake(0)

    def data_received(self, data: bytes) -> None:
        """Hand what came to the streams."""
        try:
            events = self._h2.receive_data(data)
        except H2Error as broken:
            self.backend.faults.append(str(broken))
            self._flush()
            self.close()
            return
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event.stream_id, _text(event.headers))
        elif isinstance(event, WindowUpdated):
            self._wake(event.stream_id)
        elif isinstance(event, DataReceived | TrailersReceived | StreamEnded | StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.take(event)
            elif isinstance(event, DataReceived) and event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def close(self) -> None:
        """Close the socket; what was written still leaves."""
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # what a stream asks for

    def pay(self, sid: int, credit: int) -> None:
        """Give window back."""
        self._h2.acknowledge_received_data(credit, sid)
        self._flush()

    def send(self, sid: int, fields: Pairs, end: bool) -> None:
        """Send a field block."""
        try:
            self._h2.send_headers(sid, list(fields), end_stream=end)
        except H2Error as gone:
            raise GoneError from gone
        self._flush()

    def room(self, sid: int) -> int:
        """Return how much body may go now."""
        if not self._writable:
            return 0
        try:
            window = self._h2.local_flow_control_window(sid)
        except StreamClosedError as gone:
            raise GoneError from gone
        return min(window, self._h2.max_outbound_frame_size)

    def send_data(self, sid: int, data: bytes, end: bool = False) -> None:
        """Send body."""
        try:
            self._h2.send_data(sid, data, end_stream=end)
        except H2Error as gone:
            raise GoneError from gone
        self._flush()

    def reset(self, sid: int, code: int) -> None:
        """Reset a stream."""
        self._h2.reset_stream(sid, code)
        self._flush()

    def let_go(self, sid: int) -> None:
        """End the behaviour of a stream that was reset."""
        self._tasks[sid].cancel()

    def _begin(self, sid: int, head: list[tuple[str, str]]) -> None:
        stream = self._streams[sid] = Stream(self, sid, head)
        behaviour = self.backend.behaviours.get(stream.steps[0], report)
        self._tasks[sid] = asyncio.get_running_loop().create_task(self._run(sid, stream, behaviour))

    async def _run(self, sid: int, stream: Stream, behaviour: Behaviour) -> None:
        try:
            if stream.field("expect"):
                stream.respond(status=100)
            await behaviour(stream)
        except GoneError:
            return  # the client, or the proxy for it, wants no more of this stream
        finally:
            del self._tasks[sid], self._streams[sid]

    def _wake(self, sid: int) -> None:
        woken = [self._streams[sid]] if sid in self._streams else list(self._streams.values())
        for stream in woken:
            stream.room.set()

    def _flush(self) -> None:
        self._transport.write(self._h2.data_to_send())


class Backend:
    """The server, and what it has seen.

    Attributes:
        released: what the `held` behaviour waits for.
        resets: (path, code) of every RST_STREAM received.
        faults: why a connection was ended for a protocol error; stays empty behind a good proxy.
    """

    def __init__(self) -> None:
        self.links: set[Link] = set()
        self.resets: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.released = asyncio.Event()
        self.behaviours: dict[str, Behaviour] = dict(BEHAVIOURS)
        self.endpoint = ""

    async def listen(self, bind: str, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        """Listen on `host:port` or `unix:/path`."""
        loop = asyncio.get_running_loop()
        if bind.startswith("unix:"):
            self.endpoint = bind
            return await loop.create_unix_server(self._link, bind.removeprefix("unix:"), ssl=tls)
        host, _, port = bind.rpartition(":")
        server = await loop.create_server(self._link, host, int(port), ssl=tls)
        self.endpoint = f"{host}:{server.sockets[0].getsockname()[1]}"
        return server

    def _link(self) -> Link:
        return Link(self)


def _text(fields: Iterable[tuple[str | bytes, str | bytes]] | None) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in fields or ()]


class RunningBackend:
    """A backend in a thread of its own; what tests hold."""

    def __init__(self, bind: str = "127.0.0.1:0", tls: ssl.SSLContext | None = None) -> None:
        self.backend = Backend()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backend")
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            self.backend.listen(bind, tls), self._loop
        ).result(timeout=5)

    @property
    def endpoint(self) -> str:
        """The address as the configuration writes it."""
        return self.backend.endpoint

    def release(self) -> None:
        """Let every held stream go on."""
        self._loop.call_soon_threadsafe(self.backend.released.set)

    def hold(self) -> None:
        """Let streams that ask for it wait again."""
        self._loop.call_soon_threadsafe(self.backend.released.clear)

    def stop(self) -> None:
        """Close the listener and every connection; fail if the proxy ever broke the protocol."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
        assert self.backend.faults == []

    async def _close(self) -> None:
        self._server.close()
        links = list(self.backend.links)
        for link in links:
            link.abort()
        for link in links:
            await link.lost.wait()


@contextmanager
def running_backend(
    bind: str = "127.0.0.1:0", tls: ssl.SSLContext | None = None
) -> Iterator[RunningBackend]:
    """Run a backend for as long as the block lasts."""
    running = RunningBackend(bind, tls)
    try:
        yield running
    finally:
        running.stop()


async def _serve(bind: str) -> None:
    server = await Backend().listen(bind)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:9000")
    asyncio.run(_serve(parser.parse_args().bind))


if __name__ == "__main__":
    main()
