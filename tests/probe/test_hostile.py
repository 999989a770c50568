"""Whoever is probed is hostile until proven otherwise: whatever it does ends as a finding."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from io import StringIO

import pytest
import trustme
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, WindowUpdateFrame

from tests.support.frames import GET, Scribe, settings_frame
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.probe import report
from trailproxy.probe.client import Target, Way
from trailproxy.probe.inquiry import Column, inquire
from trailproxy.probe.origin import HEARD, Origin
from trailproxy.probe.script import CASE
from trailproxy.probe.verdict import Finding, Verdict
from trailproxy.wire.codec import PREFACE


class Peer(asyncio.Protocol):
    """One connection: what it says is written by hand, and what comes is cut into frames."""

    def __init__(self, hears: Callable[["Peer", Frame], None], hello: bytes) -> None:
        self._hears = hears
        self._hello = hello
        self._inbox = b""
        self.scribe = Scribe()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        self._inbox = (self._inbox + data).removeprefix(PREFACE)
        while len(self._inbox) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._inbox[:9]))
            if len(self._inbox) < 9 + length:
                return
            self._inbox = self._inbox[9 + length :]
            self._hears(self, frame)

    def says(self, *frames: Frame | bytes) -> None:
        self.transport.write(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))

    def answers(self, sid: int, *fields: tuple[str, str]) -> None:
        self.says(self.scribe.headers(sid, [(":status", "200"), *fields], end=True))


Hears = Callable[[Peer, Frame], None]
Start = Callable[..., Awaitable[Way]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a server; it says `hello` first: one for each connection, the last for all others."""
    servers: list[asyncio.Server] = []
    peers: list[Peer] = []

    async def one(hears: Hears, *hello: bytes, tls: ssl.SSLContext | None = None) -> Way:
        hellos = list(hello) or [settings_frame()]

        def peer() -> Peer:
            peers.append(Peer(hears, hellos.pop(0) if len(hellos) > 1 else hellos[0]))
            return peers[-1]

        loop = asyncio.get_running_loop()
        servers.append(await loop.create_server(peer, "127.0.0.1", 0, ssl=tls))
        port = servers[-1].sockets[0].getsockname()[1]
        return Way("direct", Address("127.0.0.1", port), None, "localhost")

    yield one
    for server in servers:
        server.close()
    for peer in peers:
        peer.transport.abort()


async def _ask(way: Way, *, grpc: bool = False, timeout_s: float = 2.0) -> Column:
    target = Target.of("http://localhost:1/svc/Method")
    (column,) = await inquire(target, [way], grpc=grpc, timeout_s=timeout_s)
    return column


def _found(column: Column, case: str) -> Finding:
    (finding,) = [finding for finding in column.findings if finding.case == case]
    return finding


def _nothing(_: Peer, __: Frame) -> None:
    """Say no more."""


async def test_a_hop_that_dies_is_found_out_by_what_it_was_sent() -> None:
    heads = 0

    def hears(peer: Peer, frame: Frame) -> None:
        nonlocal heads
        if isinstance(frame, HeadersFrame):
            heads += 1
            if heads < 3:
                peer.answers(frame.stream_id)
                return
            server.close()
            peer.transport.abort()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(hears, settings_frame()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    column = await _ask(Way("direct", Address("127.0.0.1", port), None, "localhost"))
    assert _found(column, "te-trailers").verdict is Verdict.KEPT
    assert _found(column, "trailers-present").why.startswith("the connection went")
    assert _found(column, "slow-reader").why.startswith("nobody is there any more: 127.0.0.1:")
    assert _found(column, "reset-from-client").verdict is Verdict.SKIPPED
    assert not column.unreachable
    assert report.status([column]) == 1


async def test_one_that_turns_to_another_protocol_is_not_passed_over(start: Start) -> None:
    def hears(peer: Peer, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame):
            answer = peer.scribe.headers(frame.stream_id, [(":status", "200")], end=True)
            peer.says(answer, GoAwayFrame(0, last_stream_id=frame.stream_id))

    hellos = [settings_frame(), settings_frame(), b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    column = await _ask(await start(hears, *hellos))
    assert _found(column, "te-trailers").verdict is Verdict.KEPT
    assert _found(column, "trailers-present").why == "it speaks HTTP/1.1"
    assert report.status([column]) == 1


async def test_who_goes_at_once_is_found_to_go(start: Start) -> None:
    way = await start(_nothing, settings_frame() + GoAwayFrame(0, error_code=2).serialize())
    column = await _ask(way)
    assert _found(column, "negotiated").why == "the connection went: GOAWAY INTERNAL_ERROR"


@pytest.mark.parametrize("grpc", [False, True])
async def test_a_reset_before_anything_could_be_sent_is_a_finding(start: Start, grpc: bool) -> None:
    heads = 0

    def hears(peer: Peer, frame: Frame) -> None:
        nonlocal heads
        if isinstance(frame, HeadersFrame):
            heads += 1
            if heads == 1 and not grpc:
                peer.answers(frame.stream_id, (CASE, "hello"))
            else:
                peer.says(RstStreamFrame(frame.stream_id, error_code=2))

    column = await _ask(await start(hears, settings_frame(initial_window_size=0)), grpc=grpc)
    finding = _found(column, "trailers-present" if grpc else "request-trailers")
    assert finding.came == "nothing, RST_STREAM INTERNAL_ERROR"
    assert finding.verdict is Verdict.BROKEN


async def test_a_cancel_that_costs_the_connection_is_told(start: Start) -> None:
    cancelled = False

    def hears(peer: Peer, frame: Frame) -> None:
        nonlocal cancelled
        if isinstance(frame, RstStreamFrame):
            cancelled = True
            peer.says(GoAwayFrame(0, error_code=1))
            peer.transport.close()
        elif isinstance(frame, HeadersFrame) and not cancelled:
            peer.answers(frame.stream_id)

    finding = _found(await _ask(await start(hears)), "reset-from-client")
    assert finding.why == "the connection went: GOAWAY PROTOCOL_ERROR"


async def test_a_case_that_hangs_is_not_in_the_way_of_the_next(start: Start) -> None:
    asked: list[Peer] = []

    def hears(peer: Peer, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame):
            asked.append(peer)
            if peer is not asked[0]:
                peer.answers(frame.stream_id)

    column = await _ask(await start(hears), timeout_s=0.1)
    assert _found(column, "te-trailers").why == "not over within 0.1 s"
    assert _found(column, "reset-from-client").verdict is Verdict.KEPT


async def test_nobody_waits_for_one_who_does_not_end_tls(start: Start) -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    for context in (serving, trusting):
        context.set_alpn_protocols(["h2"])

    def hears(peer: Peer, _: Frame) -> None:
        peer.says(GoAwayFrame(0))
        peer.transport.pause_reading()

    way = await start(hears, tls=serving)
    async with asyncio.timeout(10):  # asyncio itself would wait half a minute, each time
        column = await _ask(Way(way.name, way.address, trusting, way.server_name))
    assert report.status([column]) == 1


async def test_what_servers_say_does_not_play_the_terminal(start: Start) -> None:
    cases = ["hello", "te-trailers"]

    def hears(peer: Peer, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame):
            case = cases.pop(0) if cases else "none"
            words = "\x9b0;evil\x9c\x9b31m" + "z" * 1000  # other controls are malformed
            peer.answers(frame.stream_id, (CASE, case), (HEARD, words))

    column = await _ask(await start(hears), timeout_s=0.1)
    assert "evil" in _found(column, "te-trailers").came
    assert max(len(finding.came) for finding in column.findings) <= 200
    out = StringIO()
    report.print_table([column], out)
    assert "evil" in out.getvalue()
    assert out.getvalue().isascii()
    assert out.getvalue().replace("\n", "").isprintable()


# -- the origin, whose clients are hops under suspicion ---------------------------------------


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """An origin that serves nobody yet."""
    serving = Origin()
    yield serving
    await serving.close()


async def _dial(origin: Origin, hears: Hears) -> Peer:
    hello = PREFACE + settings_frame(initial_window_size=2**20)
    address = await origin.start(Address("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(lambda: Peer(hears, hello), address.host, address.port)
    return peer


def _request(peer: Peer, sid: int, case: str, *, end: bool = True) -> bytes:
    return peer.scribe.headers(sid, [*GET, (CASE, case)], end=end)


async def test_a_request_taken_back_at_once_is_no_fault_of_the_origin(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    answered = asyncio.Event()

    def hears(_: Peer, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame) and frame.stream_id == 3:
            answered.set()

    peer = await _dial(origin, hears)
    taken_back = _request(peer, 1, "trailers-present", end=False)
    peer.says(taken_back, RstStreamFrame(1, error_code=8), _request(peer, 3, "hello"))
    async with asyncio.timeout(5):
        await answered.wait()
    peer.transport.abort()
    assert not caplog.records


async def test_who_reads_nothing_is_not_read_and_not_waited_for(origin: Origin) -> None:
    peer = await _dial(origin, _nothing)
    peer.transport.pause_reading()
    peer.says(WindowUpdateFrame(0, window_increment=2**30))
    # 40 MB of answers: more than the sockets between them hold
    peer.says(*(_request(peer, sid, "slow-reader") for sid in range(1, 401, 2)))
    await until(lambda: any(not known._transport.is_reading() for known in origin._peers))
    async with asyncio.timeout(5):
        await origin.close()
    peer.transport.abort()
