"""One socket, one connection: what is written when, and who is told what."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.support.frames import GET, POST, Scribe, ping
from tests.support.pair import Diary
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.record import Observer, Tally
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import serve
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.fields import Fields

#: A frame of a type nobody knows, often enough that more is likely to wait behind it.
LARGE = 9 * (b"\x00\x40\x00\x99" + bytes(5) + bytes(16_384))


class House:
    """A server on loopback, and the one connection it has accepted."""

    def __init__(self) -> None:
        self.connection: AsyncConnection | None = None
        self.server: asyncio.Server

    async def handle(self, connection: AsyncConnection, sid: int, _: Fields, __: bool) -> None:
        self.connection = connection
        await connection.send_headers(sid, [(":status", "200")])
        await connection.send_data(sid, b"x" * 10)
        await connection.send_trailers(sid, [("x-sum", "1")])

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.server.sockets[0].getsockname())


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    made.server = await serve(Address("127.0.0.1", 0), made.handle)
    yield made
    made.server.close()
    if made.connection is not None:
        held = made.connection
        held.transport.abort()
        await until(lambda: held.closed)


async def _all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read(-1)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
async def test_an_http1_client_is_told_so_before_anything_else(house: House, line: bytes) -> None:
    reader, writer = await house.dial()
    writer.write(line)
    answer = await _all(reader)
    assert answer.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert answer.endswith(b"as h2 over TLS\n")
    writer.close()


@pytest.mark.parametrize("junk", [b"INVALID CONNECTION PREFACE\r\n\r\n", b"\x16\x03\x01\0\xa5"])
async def test_junk_gets_goaway_and_the_door(house: House, junk: bytes) -> None:
    reader, writer = await house.dial()
    writer.write(junk)
    answer = await _all(reader)
    assert b"preface" in answer
    assert not answer.startswith(b"HTTP/1.1")
    writer.close()


async def test_a_preface_may_come_octet_by_octet(house: House) -> None:
    reader, writer = await house.dial()
    scribe = Scribe()
    for octet in PREFACE:
        writer.write(bytes([octet]))
        await writer.drain()
    writer.write(scribe.hello(client=False) + scribe.headers(1, GET, end=True))
    async with asyncio.timeout(5):
        answer = b""
        while b"x-sum" not in answer:
            answer += await reader.read(65_536)
    writer.close()


async def test_everything_of_one_read_is_one_write_and_where_others_may_add_of_one_round(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await house.dial()
    scribe = Scribe()
    writer.write(scribe.hello() + scribe.headers(1, GET, end=True))
    await until(lambda: house.connection is not None)
    held = house.connection
    assert held is not None
    async with asyncio.timeout(5):
        while b"x-sum" not in await reader.read(65_536):
            pass
    writes: list[bytes] = []
    monkeypatch.setattr(held.transport, "write", writes.append)
    held.data_received(ping(b"11111111") + ping(b"22222222"))
    held.data_received(ping(b"33333333"))
    assert [(b"11111111" in write, b"22222222" in write) for write in writes] == [
        (True, True),
        (False, False),
    ]
    writes.clear()
    held._tally.connections += 1  # another client, who may say something in the same round
    held.data_received(ping(b"44444444"))
    held.data_received(ping(b"55555555"))
    assert writes == []
    await asyncio.sleep(0)
    assert [(b"44444444" in write, b"55555555" in write) for write in writes] == [(True, True)]
    held._tally.connections -= 1
    writer.close()


async def test_large_reads_that_follow_each_other_share_a_write(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await house.dial()
    writer.write(Scribe().hello() + Scribe().headers(1, GET, end=True))
    await until(lambda: house.connection is not None)
    held = house.connection
    assert held is not None
    async with asyncio.timeout(5):
        while b"x-sum" not in await reader.read(65_536):
            pass
    writes: list[bytes] = []
    monkeypatch.setattr(held.transport, "write", writes.append)
    held.data_received(ping(b"11111111") + LARGE)
    held.data_received(ping(b"22222222") + LARGE)
    assert writes == []  # the next read waits already
    await asyncio.sleep(0)
    assert len(writes) == 1  # or it did not
    assert b"11111111" in writes[0]
    assert b"22222222" in writes[0]
    held.data_received(ping(b"33333333") + LARGE)
    held.data_received(ping(b"44444444"))
    assert len(writes) == 2  # the last one was small
    for _ in range(1_000_000 // len(LARGE) + 1):
        held.data_received(ping(b"55555555") + LARGE)
    assert len(writes) == 3  # there is a bound
    writer.close()


class Notepad(asyncio.Transport):
    """A socket, with or without TLS, that keeps what is written to it, call by call."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__({"ssl_object": object()} if secure else None)
        self.writes: list[list[bytes]] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append([bytes(data)])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.writes.append([bytes(data) for data in list_of_data])

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have none."""

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("secure", [False, True])
async def test_a_large_body_is_a_piece_of_its_own_but_over_tls(secure: bool) -> None:
    codec = make_codec("native", Role.CLIENT, WireParams())
    core = Connection(codec, Side.UPSTREAM, Diary().host, Observer(), Tally())
    connection = AsyncConnection(lambda _: core, lambda _: None, Tally())
    notepad = Notepad(secure=secure)
    connection.connection_made(notepad)
    stream = core.open()
    assert stream is not None
    core.send_headers(stream.sid, Fields.of(POST), end=False)
    notepad.writes.clear()
    body = b"b" * 10_000
    core.send_data(stream.sid, body, end=True)
    connection.flush()
    (pieces,) = notepad.writes
    assert (body in pieces) is not secure  # of TLS each piece would be a record
    assert b"".join(pieces).endswith(body)


async def test_a_peer_that_reads_nothing_is_not_read_either(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, writer = await house.dial()
    scribe = Scribe()
    writer.write(scribe.hello() + scribe.headers(1, GET, end=True))
    await until(lambda: house.connection is not None)
    held = house.connection
    assert held is not None
    read: list[str] = []
    monkeypatch.setattr(held.transport, "get_write_buffer_size", lambda: 2 * 1024 * 1024)
    monkeypatch.setattr(held.transport, "pause_reading", lambda: read.append("paused"))
    monkeypatch.setattr(held.transport, "resume_reading", lambda: read.append("resumed"))
    held.pause_writing()
    assert held.core.room(1) == 0
    held.data_received(ping())
    assert read == ["paused"]
    held.resume_writing()
    assert read == ["paused", "resumed"]
    writer.close()


async def test_a_client_that_never_speaks_is_let_go(house: House) -> None:
    """The seconds are ticks: ten are patience, the eleventh is too many."""
    reader, writer = await house.dial()
    scribe = Scribe()
    writer.write(scribe.hello() + scribe.headers(1, GET, end=True))
    await until(lambda: house.connection is not None)
    held = house.connection
    assert held is not None
    await until(lambda: not held.core.streams)
    for _ in range(30):
        held.tick()
    assert not held.transport.is_closing(), "an idle connection is no fault"
    held.core.ready = False
    for _ in range(10):
        held.tick()
    assert not held.transport.is_closing()
    held.tick()
    assert held.transport.is_closing()
    writer.close()
    assert reader is not None
