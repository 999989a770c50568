"""Micro: each part of the codec by itself, both codecs side by side: `make micro`.

For looking at one part while changing it; what counts is `make bench` and `make
instructions`. Each round does a part BATCH times, on input that is made outside the clock
and that the part has not met, unless it says so.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import hpack
import pytest
from hpack.huffman_table import decode_huffman
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conversation import TALKS, Stand, Tape, play, record
from trailproxy.wire import CODECS, Codec, Role, WireParams, huffman, make_codec
from trailproxy.wire.events import DataReceived, Event, HeadReceived
from trailproxy.wire.fields import Fields
from trailproxy.wire.hpack import Decoder, Encoder

BATCH: Final = 50
ROUNDS: Final = 20
WIDE: Final = WireParams(
    max_concurrent_streams=1000, stream_window=1 << 24, connection_window=1 << 30
)
PAIRS: Final = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "api.example.com"),
    (":path", "/greet.Greeter/SayHello"),
    ("content-type", "application/grpc"),
    ("user-agent", "grpc-python/1.73"),
    ("te", "trailers"),
]
OK: Final = [(":status", "200"), ("content-type", "application/grpc"), ("server", "micro")]
TRAILERS: Final = [("grpc-status", "0"), ("x-checksum", "crc32c=yZRlqg==")]
PIECE: Final = bytes(16 * 1024)

codecs = pytest.mark.parametrize("codec", CODECS)
novelty = pytest.mark.parametrize("novelty", ["first_seen", "repeated", "unique"])

Pairs = list[tuple[str, str]]
Make = Callable[[], Sequence[Any]]


def measure(benchmark: BenchmarkFixture, part: Callable[[Any], object], make: Make) -> None:
    """Measure a part on what `make` gives, which is called outside the clock."""

    def all_of(inputs: Sequence[Any]) -> None:
        for each in inputs:
            part(each)

    rounds(benchmark, all_of, make)


def rounds(benchmark: Any, whole: Callable[[Any], object], make: Callable[[], Any]) -> object:
    """Measure `whole`, a round at a time, on what `make` gives; return what it returned last."""
    return benchmark.pedantic(whole, setup=lambda: ((make(),), {}), rounds=ROUNDS, warmup_rounds=2)


# -- HPACK -------------------------------------------------------------------------------------


def _unique(number: int) -> Pairs:
    trace = ("traceparent", f"00-{number:032x}-{number:016x}-01")
    return [*PAIRS, trace, ("authorization", f"Bearer {number:064x}")]


def _lists(novelty: str) -> Callable[[], list[Pairs]]:
    """Return what makes field lists: always the same one, or no two alike."""
    numbers = iter(range(1 << 40))
    return lambda: [_unique(next(numbers) if novelty == "unique" else 7) for _ in range(BATCH)]


def _encode(codec: str, novelty: str) -> Callable[[Any], bytes]:
    """Return what encodes: with one table for all lists, or with a new one for each."""
    ours, theirs = Encoder(), hpack.Encoder()
    fresh = novelty == "first_seen"

    def encode(fields: Any) -> bytes:
        if codec == "h2":
            return (hpack.Encoder() if fresh else theirs).encode(fields, huffman=False)
        return (Encoder() if fresh else ours).encode(fields)

    return encode


@codecs
@novelty
def test_fields_are_encoded(benchmark: BenchmarkFixture, codec: str, novelty: str) -> None:
    lists = _lists(novelty)
    decoded = Decoder(1 << 20)  # what comes again is known to be the same by where it came from
    encoded = Encoder()

    def make() -> Sequence[Any]:
        made = lists()
        if codec == "h2":
            return made
        fields = [Fields.of(pairs) for pairs in made]
        return [decoded.decode(encoded.encode(each)) for each in fields]

    measure(benchmark, _encode(codec, novelty), make)


@codecs
@novelty
def test_fields_are_decoded(benchmark: BenchmarkFixture, codec: str, novelty: str) -> None:
    lists = _lists(novelty)
    encoder = hpack.Encoder()
    first = hpack.Encoder().encode(_unique(7))
    ours, theirs = Decoder(1 << 20), hpack.Decoder()

    def decode(block: bytes) -> object:
        if codec == "h2":
            return (hpack.Decoder() if novelty == "first_seen" else theirs).decode(block, raw=True)
        return (Decoder(1 << 20) if novelty == "first_seen" else ours).decode(block)

    def make() -> Sequence[Any]:
        if novelty == "first_seen":
            return [first] * BATCH
        return [encoder.encode(pairs) for pairs in lists()]

    measure(benchmark, decode, make)


@codecs
@pytest.mark.parametrize("size", [8, 64, 1024])
def test_huffman_is_decoded(benchmark: BenchmarkFixture, codec: str, size: int) -> None:
    coded = huffman.encode((b"/greet.Greeter/SayHello?name=" * size)[:size])
    decode: Callable[[bytes], object] = decode_huffman
    if codec == "native":
        decode = lambda octets: huffman.decode(octets, 0, len(octets))  # noqa: E731
    assert decode(coded)
    measure(benchmark, decode, lambda: [coded] * BATCH)


# -- frames and streams ------------------------------------------------------------------------


class Line:
    """A codec as server, and a client at the other end."""

    def __init__(self, codec: str, peer: str = CODECS[0]) -> None:
        self.server: Codec = make_codec(codec, Role.SERVER, WIDE)
        self.client: Codec = make_codec(peer, Role.CLIENT, WIDE)
        self.sids: list[int] = []
        self.carry()

    def carry(self) -> list[Event]:
        """Carry what both have written to the other; return what the client has heard."""
        heard: list[Event] = []
        for _ in range(2):
            self.server.receive(self.client.take_output())
            heard += self.client.receive(self.server.take_output())
        return heard

    def ask(self, *, end: bool) -> list[bytes]:
        """Open streams; return the octets of each request head."""
        asked = []
        for _ in range(BATCH):
            sid = self.client.open_stream()
            self.client.send_head(sid, Fields.of(PAIRS), end)
            self.sids.append(sid)
            asked.append(self.client.take_output())
        return asked

    def hang_up(self) -> None:
        """Let go of all streams."""
        for sid in self.sids:
            self.client.reset(sid, 8)
        self.sids.clear()
        self.carry()
        for _ in range(10):  # seconds: so many resets are a flood
            self.server.replenish()

    def works(self) -> bool:
        """Tell whether the connection is whole: another request is heard."""
        self.hang_up()
        (asked, *_) = self.ask(end=True)
        return [type(event) for event in self.server.receive(asked)] == [HeadReceived]


@codecs
def test_a_head_is_received(benchmark: BenchmarkFixture, codec: str) -> None:
    line = Line(codec)

    def make() -> Sequence[Any]:
        line.hang_up()
        return line.ask(end=True)

    measure(benchmark, line.server.receive, make)
    assert line.works()


@codecs
def test_trailers_are_received(benchmark: BenchmarkFixture, codec: str) -> None:
    line = Line(codec)

    def make() -> Sequence[Any]:
        line.hang_up()
        for asked in line.ask(end=False):
            line.server.receive(asked)
        said = []
        for sid in line.sids:
            line.client.send_trailers(sid, Fields.of(TRAILERS))
            said.append(line.client.take_output())
        return said

    measure(benchmark, line.server.receive, make)
    assert line.works()


@codecs
def test_a_body_is_received(benchmark: BenchmarkFixture, codec: str) -> None:
    """Pieces of 16 KiB, paid for as they come."""
    line = Line(codec)
    server = line.server

    def take(octets: bytes) -> None:
        for event in server.receive(octets):
            if isinstance(event, DataReceived):
                server.consumed(event.sid, event.credit)

    def make() -> Sequence[Any]:
        line.hang_up()
        for asked in line.ask(end=False):
            server.receive(asked)
        said = []
        for _ in range(BATCH):
            line.client.send_data(line.sids[0], PIECE, False)
            said.append(line.client.take_output())
        return said

    measure(benchmark, take, make)
    assert line.works()


@codecs
def test_a_body_is_sent(benchmark: BenchmarkFixture, codec: str) -> None:
    """Pieces of 16 KiB, each taken to be written."""
    line = Line(codec)
    server, client = line.server, line.client

    def send(sid: int) -> None:
        server.send_data(sid, PIECE, False)
        server.take_output()

    def make() -> Sequence[Any]:
        line.hang_up()
        for asked in line.ask(end=True):
            server.receive(asked)
        for sid in line.sids:
            server.send_head(sid, Fields.of(OK), False)
            client.receive(server.take_output())
        return line.sids

    measure(benchmark, send, make)
    assert line.works()


@codecs
def test_a_small_exchange(benchmark: BenchmarkFixture, codec: str) -> None:
    """Request, response and trailers between two codecs of a kind; both are in the figure."""
    line = Line(codec, codec)
    server, client = line.server, line.client
    asked, head, trailers = Fields.of(PAIRS), Fields.of(OK), Fields.of(TRAILERS)

    def exchange(_: int) -> None:
        sid = client.open_stream()
        client.send_head(sid, asked, True)
        server.receive(client.take_output())
        server.send_head(sid, head, False)
        server.send_data(sid, b"x" * 200, False)
        server.send_trailers(sid, trailers)
        client.receive(server.take_output())

    measure(benchmark, exchange, lambda: range(BATCH))
    assert line.works()


# -- the whole proxy -----------------------------------------------------------------------------


@codecs
@pytest.mark.parametrize("talk", TALKS)
def test_an_exchange_through_the_proxy(benchmark: BenchmarkFixture, codec: str, talk: str) -> None:
    """Codec and core of a proxy that hears a recorded conversation; its peers are silent."""
    numbers = itertools.count()

    def make() -> tuple[Stand, Tape]:
        # with the reference: it leaves nothing behind that the native codec would know again
        tape = record("h2", lambda _: TALKS[talk](next(numbers)), BATCH)
        return Stand(codec), tape

    assert rounds(benchmark, lambda made: play(*made), make) == BATCH
