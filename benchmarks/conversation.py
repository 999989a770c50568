"""A conversation the proxy hears twice: recorded with real peers, then played to it alone.

No sockets, no clock, no collector, and the same octets every time: what is played can be
counted instruction by instruction, and nothing in the count is a peer's.
"""

import gc
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.parts import Said, data, grpc_request, head, request, trailers
from tests.support.table import Table
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.wire import Role, WireParams, make_codec

#: What one side of the proxy heard: whether it came from the server, and the octets in hex.
Heard = tuple[bool, str]
Tape = list[list[Heard]]  # exchange by exchange
Talk = Callable[[int], tuple[Said, ...]]

AGENT: Final = "bench/1.0"
ANSWER: Final = (
    head(200, server="bench/1.0", content_type="text/plain", content_length="200"),
    data(b"x" * 200),
    trailers(grpc_status="0", x_checksum="crc32c=yZRlqg=="),
)


def _small_get(_: int) -> tuple[Said, ...]:
    return (request("GET", "/small", end=True, user_agent=AGENT, te="trailers"),)


def _unique_get(number: int) -> tuple[Said, ...]:
    asked = request(
        "GET",
        f"/small?item={number:016x}",
        end=True,
        user_agent=AGENT,
        te="trailers",
        traceparent=f"00-{number:032x}-{number:016x}-01",
        authorization=f"Bearer {number:096x}",
    )
    return (asked,)


def _grpc_post(_: int) -> tuple[Said, ...]:
    return grpc_request("/greet.Greeter/SayHello"), data(b"m" * 100, end=True)


TALKS: Final[dict[str, Talk]] = {
    "small-get": _small_get,
    "unique-get": _unique_get,
    "grpc-post": _grpc_post,
}


class Stand(Table):
    """A table with a codec of our choice, which writes down what the proxy hears."""

    codec = ""
    holding = False

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.heard: list[Heard] = []
        super().__init__()
        self.heard.clear()  # both tables greet alike

    def _core(self, role: Role, side: Side, host: object, params: WireParams) -> Connection:
        codec = make_codec(self.codec, role, params)
        return Connection(codec, side, host, self.notes, self.tallies[side])  # type: ignore[arg-type]

    def settle(self) -> None:
        """Carry octets until nobody has any left; what is held back then goes in one read."""
        moving = not self.holding
        while moving:
            moving = False
            for peer in (self.client, self.server):
                for octets in peer.output():
                    moving = True
                    self.heard.append((peer is self.server, octets.hex()))
                    peer.core.receive(octets)
                if octets := peer.core.codec.take_output():
                    moving = True
                    peer.listen(octets)

    @contextmanager
    def in_one_read(self) -> Iterator[None]:
        """Let what is said meanwhile reach the proxy all at once."""
        self.holding = True
        yield
        self.holding = False
        self.settle()

    def exchange(self, asked: Sequence[Said]) -> list[Heard]:
        """Hold one exchange; return what the proxy heard of it."""
        self.heard.clear()
        with self.in_one_read():
            self.client.opens(*asked)
        self.server.hears(*asked)
        with self.in_one_read():
            self.server.says(*ANSWER)
        self.client.hears(*ANSWER)
        return list(self.heard)


def record(codec: str, talk: Talk, exchanges: int) -> Tape:
    """Hold a conversation with real peers; return what the proxy heard, exchange by exchange."""
    stand = Stand(codec)
    return [stand.exchange(talk(number)) for number in range(exchanges)]


def play(stand: Stand, tape: Tape) -> int:
    """Let a fresh proxy hear it again, peers silent; return how many exchanges it finished."""
    cores = {False: stand.client.core, True: stand.server.core}
    for exchange in tape:
        for from_server, octets in exchange:
            cores[from_server].receive(bytes.fromhex(octets))
            for core in cores.values():
                core.codec.take_output()
    return len(stand.notes.finished)


def main(codec: str, tape: str, exchanges: str) -> int:
    """Play the first exchanges of a tape; 1 if the proxy did not finish every one."""
    gc.disable()
    heard = json.loads(Path(tape).read_text())[: int(exchanges)]
    return int(play(Stand(codec), heard) != int(exchanges))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
