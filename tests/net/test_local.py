"""The awaitable face of AsyncConnection, over loopback."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.net.channel import Part, StreamGoneError
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import connect, serve
from trailproxy.wire import WireParams
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived, TrailersReceived
from trailproxy.wire.fields import Fields

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
NARROW = WireParams(stream_window=1024)


class House:
    """A server whose streams a test takes up by hand."""

    def __init__(self) -> None:
        self.opened: asyncio.Queue[tuple[AsyncConnection, int]] = asyncio.Queue()
        self.leave = asyncio.Event()
        self.visitors: list[AsyncConnection] = []
        self.visited: set[AsyncConnection] = set()
        self.address: Address
        self.server: asyncio.Server

    async def _handle(self, connection: AsyncConnection, sid: int, _: Fields, __: bool) -> None:
        self.visited.add(connection)
        self.opened.put_nowait((connection, sid))
        await self.leave.wait()

    async def visit(self, params: WireParams | None = None) -> AsyncConnection:
        self.visitors.append(await connect(self.address, params=params))
        return self.visitors[-1]

    async def close(self) -> None:
        self.leave.set()
        self.server.close()
        for visitor in self.visitors:
            visitor.transport.abort()
        await until(lambda: all(connection.closed for connection in self.visited))

    async def start(self) -> "House":
        self.server = await serve(Address("127.0.0.1", 0), self._handle)
        self.address = Address("127.0.0.1", self.server.sockets[0].getsockname()[1])
        return self


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = await House().start()
    yield made
    await made.close()


async def _met(
    house: House, params: WireParams | None = None
) -> tuple[AsyncConnection, int, AsyncConnection, int]:
    """Open a stream; return both ends of it."""
    client = await house.visit(params)
    sid = await client.open(GET, end=True)
    server, served = await house.opened.get()
    return client, sid, server, served


async def _read(connection: AsyncConnection, sid: int) -> list[Part]:
    parts: list[Part] = []
    while not parts or not (isinstance(parts[-1], TrailersReceived) or parts[-1].end):
        parts.append(await connection.receive(sid))
    return parts


async def test_trailers_return_when_they_have_departed_behind_the_last_octet(house: House) -> None:
    async with asyncio.timeout(10):
        client, sid, server, served = await _met(house, NARROW)
        await server.send_headers(served, [(":status", "200")])
        body = asyncio.ensure_future(server.send_data(served, b"x" * 3000))
        await until(lambda: server.core.streams[served].drains is not None)
        trailers = asyncio.ensure_future(server.send_trailers(served, [("X-Sum", b"1")]))
        head = await client.receive(sid)
        assert isinstance(head, HeadReceived)
        assert not trailers.done(), "1,976 octets of the body still wait for window"
        parts = await _read(client, sid)
        assert await body is True
        assert await trailers is True
    assert sum(len(part.data) for part in parts if isinstance(part, DataReceived)) == 3000
    assert parts[-1] == TrailersReceived(sid, Fields.of([("x-sum", "1")]))


@pytest.mark.parametrize(
    "trailers",
    [
        [("", "v")],
        [("x bad", "v")],
        [("x", "a\r\nb: c")],
        [("x", None)],
        [(":status", "200")],
        [("te", "gzip")],
        [("content-length", "5")],
        [("transfer-encoding", "chunked")],
    ],
    ids=lambda trailers: repr(trailers[0][0]),
)
async def test_refused_trailers_raise_and_leave_the_stream_usable(
    house: House, trailers: list[tuple[str, str]]
) -> None:
    async with asyncio.timeout(10):
        client, sid, server, served = await _met(house)
        await server.send_headers(served, [(":status", "200")])
        with pytest.raises(HTTP2Error):
            await server.send_trailers(served, [("x-good", "1"), *trailers])
        assert await server.send_trailers(served, [("x-good", "2")]) is True
        assert (await _read(client, sid))[-1] == TrailersReceived(sid, Fields.of([("x-good", "2")]))


async def test_trailers_that_have_nowhere_to_go_are_false(house: House) -> None:
    async with asyncio.timeout(10):
        _client, _, server, served = await _met(house)
        assert await server.send_trailers(99, [("x", "1")]) is False
        assert await server.send_trailers(served, [("x", "1")]) is False, "no head yet"
        assert await server.send_data(served, b"x") is False, "no head yet"
        await server.send_headers(served, [(":status", "200")])
        assert await server.send_trailers(served, []) is True
        assert await server.send_trailers(served, [("x", "1")]) is False, "ended"
        assert await server.send_data(served, b"x") is False


async def test_a_reset_is_told_behind_the_parts_that_came_before_it(house: House) -> None:
    async with asyncio.timeout(10):
        client, sid, server, served = await _met(house)
        await server.send_headers(served, [(":status", "200")])
        await server.send_data(served, b"half")
        server.reset_stream(served, ErrorCode.ENHANCE_YOUR_CALM)
        assert isinstance(await client.receive(sid), HeadReceived)
        assert isinstance(await client.receive(sid), DataReceived)
        with pytest.raises(StreamGoneError) as gone:
            await client.receive(sid)
    assert gone.value.reset_code == ErrorCode.ENHANCE_YOUR_CALM


async def test_a_lost_connection_wakes_whoever_waits_to_send(house: House) -> None:
    async with asyncio.timeout(10):
        client, _, server, served = await _met(house, NARROW)
        await server.send_headers(served, [(":status", "200")])
        sending = asyncio.ensure_future(server.send_data(served, b"x" * 3000))
        await until(lambda: served in server.core.streams)
        client.transport.abort()
        assert await sending is False


async def test_an_unknown_stream_has_nothing_to_receive(house: House) -> None:
    async with asyncio.timeout(10):
        client = await house.visit()
        with pytest.raises(HTTP2Error, match="stream 7 is unknown"):
            await client.receive(7)
