"""The load h2load cannot make: every request with headers nobody has sent before.

Requests are encoded ahead of time, one tape a connection, with HPACK inserting each new
value into the table as most clients do; under measurement they are only replayed, so that
one Python process can keep a proxy written in C busy. A response counts if its head says
200 and it ends with trailers. The closing words and the log are h2load's.
"""

import argparse
import asyncio
import functools
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hpack import Encoder

from benchmarks.origin import SMALL

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 0x1, 0x4
DEFAULT_TABLE = 4096  # RFC 9113 section 6.5.2
DEFAULT_WINDOW = 65_535  # section 6.9.2
WIDE_WINDOW = 2**30 - 1
STATUS_200 = 0x88  # RFC 7541 appendix A: entry 8, indexed

#: Requests on one tape; a run may replay fewer.
TAPE_LENGTH = 4000


def frame(kind: int, flags: int, sid: int, payload: bytes) -> bytes:
    """Build one frame (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, sid) + payload


def frames(buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (kind, flags, stream, payload) of each whole frame in a buffer."""
    start = 0
    while start + 9 <= len(buffer):
        end = start + 9 + int.from_bytes(buffer[start : start + 3], "big")
        if end > len(buffer):
            return
        sid = int.from_bytes(buffer[start + 5 : start + 9], "big") & 0x7FFF_FFFF
        yield buffer[start + 3], buffer[start + 4], sid, buffer[start + 9 : end]
        start = end


def request_headers(chance: random.Random) -> list[tuple[str, str]]:
    """Return what a client with tracing and a token sends: three fields are new each time.

    Two are values; the third is the path, which the origin reads up to the question mark.
    """
    trace, span, item = (chance.getrandbits(bits) for bits in (128, 64, 64))
    token = chance.randbytes(48).hex()
    return [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", f"{SMALL}?item={item:016x}"),
        (":authority", "items.bench:8443"),
        ("user-agent", "bench/1.0"),
        ("te", "trailers"),
        ("traceparent", f"00-{trace:032x}-{span:016x}-01"),
        ("authorization", f"Bearer {token}"),
    ]


def record(seed: int, length: int) -> list[bytes]:
    """Encode the requests of one connection, in the order they must be sent."""
    encoder = Encoder()
    chance = random.Random(seed)
    return [
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            sid,
            encoder.encode(request_headers(chance), huffman=False),
        )
        for sid in range(1, 2 * length, 2)
    ]


def write_tapes(directory: Path, clients: int) -> None:
    """Record a tape for each connection."""
    for client in range(clients):
        _tape_file(directory, client).write_bytes(b"".join(record(client, TAPE_LENGTH)))


def read_tape(directory: Path, client: int, requests: int) -> list[bytes]:
    """Return the first requests of a tape, one HEADERS frame each."""
    buffer = _tape_file(directory, client).read_bytes()
    tape: list[bytes] = []
    start = 0
    while start < len(buffer) and len(tape) < requests:
        end = start + 9 + int.from_bytes(buffer[start : start + 3], "big")
        tape.append(buffer[start:end])
        start = end
    return tape


def _tape_file(directory: Path, client: int) -> Path:
    return directory / f"tape.{client}"


class Client(asyncio.Protocol):
    """One connection replaying its tape."""

    transport: asyncio.Transport

    def __init__(self, tape: list[bytes], in_flight: int) -> None:
        # set once
        self.tape = tape
        self.in_flight = in_flight
        self.over = asyncio.get_running_loop().create_future()
        # what has been sent
        self.sent = 0
        self.began: dict[int, tuple[float, int]] = {}
        # what has come back
        self.rest = b""
        self.heads: set[int] = set()  # streams whose 200 has arrived
        self.ended = 0
        self.body_bytes = 0
        self.log: list[tuple[int, int, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with wide windows and fill the pipe."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDE_WINDOW)
        wider = struct.pack(">I", WIDE_WINDOW - DEFAULT_WINDOW)
        hello = frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, wider)
        transport.write(PREFACE + hello)
        self.send_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever has not come back by now never will."""
        self.finish()

    def data_received(self, data: bytes) -> None:
        """Count what came back and send as many again."""
        buffer = self.rest + data
        read = 0
        for kind, flags, sid, payload in frames(buffer):
            read += 9 + len(payload)
            if kind == DATA:
                self.body_bytes += len(payload)
            elif kind == HEADERS and not flags & END_STREAM:
                if says_200(payload):
                    self.heads.add(sid)
            elif sid == 0:
                self.obey(kind, flags, payload)
            if (kind <= HEADERS and flags & END_STREAM) or kind == RST_STREAM:
                self.end(sid, good=kind == HEADERS)
        self.rest = buffer[read:]
        self.send_more()
        if self.ended == len(self.tape):
            self.finish()

    def send_more(self) -> None:
        """Keep the agreed number of requests in flight."""
        batch = []
        now = time.perf_counter()
        while self.sent < len(self.tape) and self.sent - self.ended < self.in_flight:
            batch.append(self.tape[self.sent])
            self.began[2 * self.sent + 1] = now, time.time_ns() // 1000
            self.sent += 1
        if batch:
            self.transport.write(b"".join(batch))

    def end(self, sid: int, *, good: bool) -> None:
        """Log the end of one stream; a second end of it (RST_STREAM behind it) is nothing."""
        if sid not in self.began:
            return
        started, epoch = self.began.pop(sid)
        status = 200 if good and sid in self.heads else -1
        self.heads.discard(sid)
        self.log.append((epoch, status, round((time.perf_counter() - started) * 1e6)))
        self.ended += 1

    def obey(self, kind: int, flags: int, payload: bytes) -> None:
        """Do what a connection's own frame asks for."""
        if kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == HEADER_TABLE_SIZE and value < DEFAULT_TABLE:
                    sys.stderr.write(f"the tape needs an HPACK table of {DEFAULT_TABLE} octets\n")
                    self.transport.abort()
            self.transport.write(frame(SETTINGS, ACK, 0, b""))

    def finish(self) -> None:
        """Say that nothing more will happen here."""
        if not self.over.done():
            self.over.set_result(None)
        self.transport.close()


def says_200(block: bytes) -> bool:
    """Whether a response's field block begins with an indexed `:status: 200`.

    A table size update (RFC 7541 section 6.3) may stand before it.
    """
    start = 0
    while start < len(block) and block[start] >> 5 == 0b001:
        longer = block[start] & 0x1F == 0x1F
        start += 1
        while longer:
            longer = bool(block[start] & 0x80)
            start += 1
    return block[start : start + 1] == bytes([STATUS_200])


async def replay(port: int, tapes: list[list[bytes]], in_flight: int) -> tuple[list[Client], float]:
    """Replay all tapes at once; return the clients and the seconds it took."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = []
    for tape in tapes:
        _, client = await loop.create_connection(
            functools.partial(Client, tape, in_flight), "127.0.0.1", port
        )
        clients.append(client)
    for client in clients:
        await client.over
    return clients, time.perf_counter() - began


def main() -> None:
    """Replay and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True, help="in flight on each connection")
    parser.add_argument("--requests", type=int, required=True, help="over all connections")
    parser.add_argument("--log-file", type=Path, required=True)
    parser.add_argument("directory", type=Path, help="where the tapes are")
    chosen = parser.parse_args()

    each = chosen.requests // chosen.clients
    tapes = [read_tape(chosen.directory, client, each) for client in range(chosen.clients)]
    clients, seconds = asyncio.run(replay(chosen.port, tapes, chosen.streams))

    rows = [row for client in clients for row in client.log]
    chosen.log_file.write_text("".join(f"{at}\t{status}\t{us}\n" for at, status, us in rows))
    total = sum(len(tape) for tape in tapes)
    good = sum(status == 200 for _, status, _ in rows)
    body = sum(client.body_bytes for client in clients)
    sys.stdout.write(
        f"finished in {seconds:.6f}s, {good / seconds:.2f} req/s\n"
        f"requests: {total} total, {good} succeeded, {total - good} failed\n"
        f"status codes: {good} 2xx\n"
        f"traffic: ({body}) data\n"
    )


if __name__ == "__main__":
    main()
