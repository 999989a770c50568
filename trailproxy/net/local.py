"""Local: HTTP/2 connections whose other end is this program.

`connect` and `serve` give the awaitable face of AsyncConnection to the demo
and to tests; the relay needs neither.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, final

from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Direction, Observer, Outcome, Progress, Record, Tally
from trailproxy.core.stream import Host, Stream
from trailproxy.net.channel import StreamGoneError
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.tasks import spawn
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.fields import Fields

Handler = Callable[[AsyncConnection, int, Fields, bool], Awaitable[None]]


@final
class Unobserved(Observer):
    """An Observer for programs that keep no counts."""

    def exchange_began(self, record: Record) -> None:
        """Count nothing."""

    def exchange_finished(self, record: Record) -> None:
        """Count nothing."""

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Count nothing."""

    def trailers(
        self, direction: Direction, outcome: Outcome, route: str, cause: Cause | None = None
    ) -> None:
        """Count nothing."""

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Count nothing."""

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Count nothing."""

    def connected(self, upstream: str, outcome: str) -> None:
        """Count nothing."""

    def retried(self, route: str, reason: str, outcome: str) -> None:
        """Count nothing."""

    def endpoint_told(self, upstream: str, event: str) -> None:
        """Count nothing."""

    def load_reported(self, upstream: str, outcome: str) -> None:
        """Count nothing."""

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        """Count nothing."""

    def requests_wait(self, upstream: str, count: int) -> None:
        """Count nothing."""


@final
class ClientHost(Host):
    """The host of a connection we opened."""

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Leave it: a server opens no streams, and the codec refuses those that try."""

    def connection_changed(self, connection: Connection) -> None:
        """Nothing depends on it."""


@final
class _Server(Host):
    """The host of a connection we accepted: each stream goes to the handler, in its own task."""

    def __init__(self, handler: Handler) -> None:
        self._handler: Final = handler
        self.connection: AsyncConnection

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Start the handler."""
        self.connection.take_up(stream)
        spawn(self._handle(stream.sid, fields, end), f"stream {stream.sid}")

    async def _handle(self, sid: int, fields: Fields, end: bool) -> None:
        try:
            await self._handler(self.connection, sid, fields, end)
        except StreamGoneError:
            return  # the peer left; there is nobody to tell
        finally:
            self.connection.forget(sid)

    def connection_changed(self, connection: Connection) -> None:
        """Nothing depends on it."""


async def connect(
    address: Address, tls: ssl.SSLContext | None = None, params: WireParams | None = None
) -> AsyncConnection:
    """Connect to an HTTP/2 server, and wait for its SETTINGS.

    Raises:
        OSError: there is no connection.
        HTTP2Error: the peer does not speak HTTP/2.
    """
    tally = Tally()

    def build(_: AsyncConnection) -> Connection:
        return _core(Role.CLIENT, Side.UPSTREAM, ClientHost(), params, tally)

    connection = AsyncConnection(build, _forget, tally)
    protocol = connection.as_protocol
    loop = asyncio.get_running_loop()
    if address.is_unix:
        await loop.create_unix_connection(protocol, address.path, ssl=tls)
    else:
        await loop.create_connection(protocol, address.host, address.port, ssl=tls)
    await connection.settled()
    return connection


async def serve(
    address: Address,
    handler: Handler,
    tls: ssl.SSLContext | None = None,
    params: WireParams | None = None,
) -> asyncio.Server:
    """Serve every stream of every client with `handler`, until the server is closed."""
    tally = Tally()

    def build(connection: AsyncConnection) -> Connection:
        host = _Server(handler)
        host.connection = connection
        return _core(Role.SERVER, Side.DOWNSTREAM, host, params, tally)

    def protocol() -> asyncio.Protocol:
        return AsyncConnection(build, _forget, tally).as_protocol()

    loop = asyncio.get_running_loop()
    if address.is_unix:
        return await loop.create_unix_server(protocol, address.path, ssl=tls)
    return await loop.create_server(protocol, address.host, address.port, ssl=tls)


def _core(
    role: Role, side: Side, host: Host, params: WireParams | None, tally: Tally
) -> Connection:
    codec = make_codec("native", role, params or WireParams())
    return Connection(codec, side, host, Unobserved(), tally)


def _forget(connection: AsyncConnection) -> None:
    """Nobody keeps a list."""
