"""The demo's backend: an HTTP/2 server on AsyncConnection.

It streams a body and ends it with trailers, says a word about every request
body it reads, and answers gRPC health checks. `python -m
trailproxy.demo_backend --bind 127.0.0.1:50051` runs it alone.
"""

import argparse
import asyncio
import hashlib
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from trailproxy.core.address import Address, parse_address
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import serve
from trailproxy.wire.events import DataReceived, HeadReceived
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.net.channel import Part

_LINES: Final = (
    b"one line\n",
    b"and another, in its own DATA frame\n",
    b"and the last; the trailers follow\n",
)
_HEALTH: Final = b"/grpc.health.v1.Health/Check"
# grpc.health.v1.HealthCheckResponse{status: SERVING}, as one uncompressed message
_SERVING: Final = b"\x00\x00\x00\x00\x02\x08\x01"


async def start_backend(address: Address) -> asyncio.Server:
    """Serve until the server is closed."""
    return await serve(address, _handle)


async def _handle(connection: AsyncConnection, sid: int, head: Fields, end: bool) -> None:
    path = head.get(b":path") or b""
    if path == _HEALTH:
        await _check_health(connection, sid, end)
    elif (head.get(b"content-type") or b"").startswith(b"application/grpc"):
        await _unimplemented(connection, sid, end)
    else:
        await _speak(connection, sid, head, end)


async def _speak(connection: AsyncConnection, sid: int, head: Fields, end: bool) -> None:
    """Stream three lines; the trailers carry their checksum and what the request was."""
    received, request_trailers = await _read(connection, sid, end)
    await connection.send_headers(
        sid,
        [
            (":status", "200"),
            ("content-type", "text/plain"),
            ("trailer", "x-body-sha256, x-request-bytes"),
        ],
    )
    total = hashlib.sha256()
    bodiless = head.get(b":method") == b"HEAD"
    for line in () if bodiless else _LINES:
        total.update(line)
        await connection.send_data(sid, line)
    await connection.send_trailers(
        sid,
        [
            ("x-body-sha256", total.hexdigest()),
            ("x-request-bytes", str(received)),
            *((f.name, f.value) for f in request_trailers if f.name.startswith(b"x-")),
        ],
    )


async def _check_health(connection: AsyncConnection, sid: int, end: bool) -> None:
    await _read(connection, sid, end)
    await connection.send_headers(sid, [(":status", "200"), ("content-type", "application/grpc")])
    await connection.send_data(sid, _SERVING)
    await connection.send_trailers(sid, [("grpc-status", "0")])


async def _unimplemented(connection: AsyncConnection, sid: int, end: bool) -> None:
    await _read(connection, sid, end)
    await connection.send_headers(
        sid,
        [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "12"),
            ("grpc-message", "the demo knows only grpc.health.v1.Health/Check"),
        ],
        end=True,
    )


async def _read(connection: AsyncConnection, sid: int, end: bool) -> tuple[int, Fields]:
    """Read the rest of a request: how many body octets it had, and its trailers."""
    received = 0
    while not end:
        part: Part = await connection.receive(sid)
        if isinstance(part, DataReceived):
            received += len(part.data)
            end = part.end
        elif isinstance(part, HeadReceived):
            end = part.end
        else:
            return received, part.fields
    return received, Fields([])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the backend until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m trailproxy.demo_backend")
    parser.add_argument("--bind", type=parse_address, default=parse_address("127.0.0.1:50051"))
    arguments = parser.parse_args(argv)

    async def run() -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        server = await start_backend(arguments.bind)
        await asked.wait()
        server.close()

    asyncio.run(run())


if __name__ == "__main__":
    main()
