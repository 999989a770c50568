"""One socket, one connection: what is written when, and who is told what."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Scribe, ping
from tests.support.pair import Diary
from tests.support.table import Notebook
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.record import Direction, Observer, Tally
from trailproxy.core.stream import Host, Stream
from trailproxy.net.connection import AsyncConnection, Patience
from trailproxy.net.listener import Listener, ListenParams
from trailproxy.net.local import connect, serve
from trailproxy.wire import Codec, Role, WireParams, make_codec
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import Event, HeadReceived
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


class Slow(Codec):
    """A codec to which it takes long to hear anything at all."""

    def receive(self, data: bytes) -> list[Event]:
        until = time.monotonic() + 0.006
        while time.monotonic() < until:
            pass
        return []

    def take_pieces(self) -> list[bytes]:
        return []


class Reader(Notepad):
    """A socket that notes when it is read; its buffer and its end are the test's to set."""

    def __init__(self) -> None:
        super().__init__(secure=False)
        self.reads = True
        self.unsent = 0
        self.closing = False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing


def _reading(codec: Codec) -> tuple[AsyncConnection, Reader]:
    core = Connection(codec, Side.UPSTREAM, Diary().host, Observer(), Tally())
    connection, reader = AsyncConnection(lambda _: core, lambda _: None, Tally()), Reader()
    connection.connection_made(reader)
    return connection, reader


async def test_a_large_read_that_takes_long_lets_others_be_read_first() -> None:
    """One socket would be read 32 times in a row: 8 MB of small frames, and nobody else."""
    connection, reader = _reading(Slow())
    connection.data_received(LARGE)
    assert not reader.reads
    await asyncio.sleep(0)
    assert reader.reads


async def test_what_is_small_or_quick_is_read_on() -> None:
    connection, reader = _reading(Slow())
    connection.data_received(ping())
    assert reader.reads
    connection, reader = _reading(make_codec("native", Role.CLIENT, WireParams()))
    connection.data_received(Scribe().hello(client=False) + LARGE)
    assert reader.reads


@pytest.mark.parametrize("why", ["it reads nothing", "it has gone"])
async def test_whoever_is_not_to_be_read_is_not_read_on(why: str) -> None:
    connection, reader = _reading(Slow())
    connection.data_received(LARGE)
    connection.core.writable = why == "it has gone"
    reader.closing = why == "it has gone"
    reader.unsent = 2 * 1024 * 1024
    await asyncio.sleep(0)
    assert not reader.reads


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


# -- once a second: the tests make the seconds ----------------------------------------------------


class Butler(Host):
    """Answers every request at once, but for those it was told to keep waiting."""

    def __init__(self, peer: str, scheme: str, certificate: bytes) -> None:
        self.told = (peer, scheme)

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        if fields.get(b":path") != b"/wait":
            stream.connection.send_headers(stream.sid, Fields.of(OK), True)

    def connection_changed(self, connection: Connection) -> None:
        """Nothing depends on it."""


class Hall:
    """A listener whose guests are let go after 3 s of dripping, or 5 s without a stream."""

    def __init__(self) -> None:
        self.notes = Notebook()
        self.listener = Listener(Address("127.0.0.1", 0), self.notes, Tally())

    async def opens(self, *, idle_s: float | None = 5) -> None:
        self.listener.bind()
        patience = Patience(head_s=3, idle_s=idle_s)
        await self.listener.serve(ListenParams(make_host=Butler, patience=patience))

    def waits(self, seconds: int) -> None:
        for _ in range(seconds):
            self.listener.tick()

    async def guest(self) -> AsyncConnection:
        return await connect(self.listener.bound_to)

    async def speaker(self, *octets: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Let a guest say this, and wait until it was heard: a PING behind it is answered."""
        address = self.listener.bound_to
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(Scribe().hello() + ping(b"are here") + b"".join(octets))
        async with asyncio.timeout(5):
            heard = b""
            while b"are here" not in heard:
                heard += await reader.read(65_536)
        return reader, writer


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    made = Hall()
    yield made
    made.listener.close()
    await until(lambda: made.listener.empty)


async def _said(hall: Hall, writer: asyncio.StreamWriter, octets: bytes) -> None:
    """Say this, and let it be heard."""
    (connection,) = hall.listener._connections
    writer.write(octets)
    before = connection.core.codec.unfinished
    await until(lambda: connection.core.codec.unfinished != before)


async def test_a_client_that_asks_for_nothing_is_let_go_in_two_steps(hall: Hall) -> None:
    await hall.opens()
    guest = await hall.guest()
    hall.waits(4)
    assert hall.notes.goaways == []
    hall.waits(1)
    assert hall.notes.goaways == [(Side.DOWNSTREAM, Direction.SENT, ErrorCode.NO_ERROR)]
    sid = await guest.open(GET, end=True)  # it has not heard that yet
    part = await guest.receive(sid)
    assert isinstance(part, HeadReceived)
    assert part.fields.status == 200
    await guest.wait_closed()
    assert hall.notes.goaways == [(Side.DOWNSTREAM, Direction.SENT, ErrorCode.NO_ERROR)] * 2


async def test_who_asks_now_and_then_is_not_idle_however_short_the_answer(hall: Hall) -> None:
    await hall.opens()
    guest = await hall.guest()
    for _ in range(3):
        hall.waits(4)
        await guest.receive(await guest.open(GET, end=True))
    assert hall.notes.goaways == []
    guest.transport.abort()


async def test_a_connection_with_a_stream_is_not_idle(hall: Hall) -> None:
    await hall.opens()
    guest = await hall.guest()
    await guest.open([*GET[:3], (":path", "/wait")], end=True)
    (held,) = hall.listener._connections
    await until(lambda: len(held.core.streams) == 1)
    hall.waits(60)
    assert hall.notes.goaways == []
    guest.transport.abort()


async def test_a_connection_may_be_idle_for_ever_where_that_is_wanted(hall: Hall) -> None:
    await hall.opens(idle_s=None)
    guest = await hall.guest()
    hall.waits(10_000)
    assert hall.notes.goaways == []
    guest.transport.abort()


DRIPS = {
    "a field block": (frames.raw(1, 0, 1, b"\x82"), frames.raw(9, 0, 1, b"\x86")),
    "an empty one": (frames.raw(1, 0, 1, b""), frames.raw(9, 0, 1, b"")),
    "a head in one frame": (Scribe().headers(1, GET)[:12], b"x"),
    "the head of a frame": (ping()[:3], ping()[3:4]),
    "settings": (frames.settings_frame(max_frame_size=16_384)[:10], b"\0"),
}


@pytest.mark.parametrize(("first", "more"), DRIPS.values(), ids=DRIPS)
async def test_what_begins_and_does_not_end_is_given_up(
    hall: Hall, first: bytes, more: bytes
) -> None:
    await hall.opens()
    reader, writer = await hall.speaker()
    await _said(hall, writer, first)
    (held,) = hall.listener._connections
    unfinished = held.core.codec.unfinished
    for _ in range(3):
        hall.waits(1)
        writer.write(more)
        await writer.drain()
    assert held.core.codec.unfinished == unfinished
    assert hall.notes.goaways == []
    hall.waits(1)
    calm = ErrorCode.ENHANCE_YOUR_CALM
    assert hall.notes.goaways == [(Side.DOWNSTREAM, Direction.SENT, calm)]
    assert b"not ended it within 3 s" in await _all(reader)
    writer.close()


async def test_who_is_caught_in_the_middle_of_another_frame_each_time_is_not_slow(
    hall: Hall,
) -> None:
    await hall.opens(idle_s=None)
    _, writer = await hall.speaker()
    await _said(hall, writer, ping()[:12])
    for _ in range(5):
        hall.waits(2)
        await _said(hall, writer, ping()[12:] + ping()[:12])
    assert hall.notes.goaways == []
    writer.close()


async def test_a_frame_that_we_do_not_read_is_not_slow(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.opens(idle_s=None)
    _, writer = await hall.speaker()
    await _said(hall, writer, ping()[:12])
    (held,) = hall.listener._connections
    monkeypatch.setattr(held.transport, "is_reading", lambda: False)
    hall.waits(10)
    assert hall.notes.goaways == []
    monkeypatch.undo()
    hall.waits(4)
    assert len(hall.notes.goaways) == 1
    writer.close()


async def test_a_preface_that_drips_is_not_waited_for(hall: Hall) -> None:
    await hall.opens()
    address = hall.listener.bound_to
    _, writer = await asyncio.open_connection(address.host, address.port)
    await until(lambda: bool(hall.listener._connections))
    for octet in PREFACE[:3]:
        writer.write(bytes([octet]))
        hall.waits(1)
    (held,) = hall.listener._connections
    assert not held.transport.is_closing()
    hall.waits(1)
    assert held.transport.is_closing()
    writer.close()
