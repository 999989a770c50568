"""Provider: a backend that answers thousands of requests a second, and can leave in good order.

What it sends can be checked: bodies are a function of their size, and trailers hold the
checksum of the body and the request's own words. TERM drains it as a server should: GOAWAY, and
what is in flight finishes. `python -m benchmarks.provider 127.0.0.1:9000`.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from zlib import crc32

from trailproxy.core.address import parse_address
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import serve
from trailproxy.net.loop import run
from trailproxy.wire.events import DataReceived, TrailersReceived
from trailproxy.wire.fields import Fields

DROP: Final = b"drop by drop, "
DROP_S: Final = 0.1  # from one to the next
_LEAVE_S: Final = 8.0  # for what is in flight when it is told to go
_CHUNK: Final = 16 * 1024
_PATTERN: Final = bytes(range(251)) * 400  # a prime, so that no two chunks are alike

Answer = Callable[[AsyncConnection, int, list[str]], Awaitable[None]]


def body_of(size: int) -> bytes:
    """Return the body of this many octets."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


def checked(body: bytes) -> list[tuple[str, str]]:
    """Return the trailers behind a body."""
    return [("grpc-status", "0"), ("x-octets", str(len(body))), ("x-crc", f"{crc32(body):08x}")]


async def _bytes(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/bytes/SIZE`: a body and its checksum."""
    body = body_of(int(words[1]))
    await _begin(connection, sid)
    for start in range(0, len(body), _CHUNK):
        if not await connection.send_data(sid, body[start : start + _CHUNK]):
            return
    await connection.send_trailers(sid, checked(body))


async def _echo(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/echo`: what came, and the request's trailers among ours."""
    body, told = bytearray(), list[tuple[str | bytes, str | bytes]]()
    while True:
        part = await connection.receive(sid)
        if isinstance(part, TrailersReceived):
            told = [(field.name, field.value) for field in part.fields]
            break
        if isinstance(part, DataReceived):
            body += part.data
            if part.end:
                break
    await _begin(connection, sid)
    if await connection.send_data(sid, bytes(body)):
        await connection.send_trailers(sid, [*checked(bytes(body)), *told])


async def _drip(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/drip/COUNT`: that many drops, one after the other."""
    await _begin(connection, sid)
    for _ in range(int(words[1])):
        if not await connection.send_data(sid, DROP):
            return
        await asyncio.sleep(DROP_S)
    await connection.send_trailers(sid, checked(DROP * int(words[1])))


async def _reset(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/reset/CODE`: the beginning of an answer, and RST_STREAM."""
    await _begin(connection, sid)
    await connection.send_data(sid, DROP)
    connection.reset_stream(sid, int(words[1]))


async def _short(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/short`: less than its content-length says."""
    await connection.send_headers(sid, [(":status", "200"), ("content-length", "1000")])
    await connection.send_data(sid, DROP)
    await connection.send_trailers(sid, checked(DROP))


async def _silent(connection: AsyncConnection, sid: int, words: list[str]) -> None:
    """`/silent`: nothing at all."""
    while True:
        await connection.receive(sid)


ANSWERS: Final[dict[str, Answer]] = {
    "bytes": _bytes,
    "echo": _echo,
    "drip": _drip,
    "reset": _reset,
    "short": _short,
    "silent": _silent,
}


async def _begin(connection: AsyncConnection, sid: int) -> None:
    await connection.send_headers(sid, [(":status", "200"), ("content-type", "text/plain")])


class Provider:
    """The connections of one backend, and how it ends."""

    def __init__(self) -> None:
        self._known: dict[AsyncConnection, None] = {}
        self._leaving = False

    async def handle(self, connection: AsyncConnection, sid: int, head: Fields, end: bool) -> None:
        """Answer one request."""
        if connection not in self._known:
            self._known[connection] = None
            if self._leaving:  # it came with the last ones
                connection.core.drain()
        words = (head.get(b":path") or b"").decode().partition("?")[0].strip("/").split("/")
        await ANSWERS[words[0]](connection, sid, words)

    async def run(self, where: str) -> None:
        """Serve until told to end, then drain."""
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        server = await serve(parse_address(where), self.handle)
        while not told.is_set():
            self._tick()
            try:
                await asyncio.wait_for(told.wait(), 1.0)
            except TimeoutError:
                continue
        server.close()
        self._leaving = True
        for connection in self._known:
            connection.core.drain()
        deadline = asyncio.get_running_loop().time() + _LEAVE_S
        while self._known and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            self._known = {each: None for each in self._known if each.connected}

    def _tick(self) -> None:
        for connection in list(self._known):
            if connection.connected:
                connection.tick()
            else:
                del self._known[connection]


def main(argv: Sequence[str]) -> int:
    """Serve at the one address that is named."""
    run(Provider().run(argv[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
