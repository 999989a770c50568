"""Crowd: clients that ask at a steady pace, check every answer, and know what they may not lose.

The pace does not wait for answers. Connections come and go, over TLS and in the clear. A client
keeps RFC 9113 section 8.7: what was refused, or lies above a GOAWAY's last id, was not
processed and is asked again elsewhere. Orders come on stdin, a line each, and are answered:
`python -m benchmarks.crowd RATE ADDRESS TLS_ADDRESS CA`.
"""

import asyncio
import json
import random
import ssl
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final, NamedTuple

from benchmarks.provider import DROP, body_of, checked
from trailproxy.core.address import Address, parse_address
from trailproxy.net.channel import StreamGoneError
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import connect
from trailproxy.net.loop import run, spare_the_collector
from trailproxy.net.tasks import spawn
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived

PLACES: Final = 24  # connections at once; every third is in the clear
ASKED: Final = 400  # requests a connection has before another takes its place
BEAT_S: Final = 0.005
LATE_S: Final = 20.0  # for one request
ATTEMPTS: Final = 5

# how a request ends
WHOLE, CANCELLED, ANSWERED, CUT = "whole", "cancelled", "answered", "cut"
LOST, LATE, UNREACHED, REFUSED = "lost", "late", "unreached", "refused"


class Refused(Exception):  # noqa: N818 - a word of the peer's, not an error
    """It was not processed."""


class Heard(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    trailers: list[tuple[str, str]] | None


class Place:
    """One connection after the other."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        self._connection: AsyncConnection | None = None
        self._left = 0
        self._changing = asyncio.Lock()
        self.certificates: set[str] = set()  # that were shown, by serial number

    async def get(self) -> AsyncConnection:
        """Return a connection that takes streams."""
        connection = self._usable()
        if connection is None:
            async with self._changing:
                connection = self._usable() or await self._renew()
        self._left -= 1
        return connection

    def _usable(self) -> AsyncConnection | None:
        connection = self._connection
        if connection is None or self._left <= 0 or connection.closed or connection.core.away:
            return None
        return connection

    async def _renew(self) -> AsyncConnection:
        if self._connection is not None:
            self._connection.core.retire()  # what is in flight on it finishes
        self._connection = None
        self._connection = connection = await connect(self._address, self._tls)
        self._left = random.randrange(ASKED // 2, ASKED)
        shown = connection.transport.get_extra_info("peercert")
        if shown:
            self.certificates.add(shown["serialNumber"])
        return connection

    def tick(self) -> None:
        """A second has passed."""
        if self._connection is not None and self._connection.connected:
            self._connection.tick()


class Visit(NamedTuple):
    """One attempt at a request."""

    connection: AsyncConnection
    name: str

    async def ask(self, path: str, body: bytes = b"", trailers: Sequence[str] = ()) -> int:
        """Send a request; return its stream id."""
        head = [
            (":method", "POST" if body else "GET"),
            (":scheme", "http"),
            (":authority", "crowd.test"),
            (":path", f"{path}?{self.name}"),
            ("te", "trailers"),
        ]
        sid = await self.connection.open(head, end=not body)
        if body:
            await self.connection.send_data(sid, body, end=not trailers)
        if trailers:
            await self.connection.send_trailers(sid, [(name, self.name) for name in trailers])
        return sid

    async def hear(self, sid: int, pause_s: float = 0.0) -> Heard:
        """Take the answer to its end, perhaps slowly."""
        status, body, trailers = 0, bytearray(), None
        end = False
        while not end:
            if pause_s:
                await asyncio.sleep(pause_s)
            part = await self.connection.receive(sid)
            if isinstance(part, DataReceived):
                body += part.data
                end = part.end
            elif isinstance(part, HeadReceived):
                status, end = part.fields.status, part.end
            else:
                trailers = [(each.name.decode(), each.value.decode()) for each in part.fields]
                end = True
        self.connection.forget(sid)
        return Heard(status, bytes(body), trailers)


# -- what is asked -----------------------------------------------------------------------------


def judge(heard: Heard, body: bytes, *more: tuple[str, str]) -> str:
    """Say whether all has come; what only looks so is lost."""
    if heard.status != 200:
        return ANSWERED
    # a failure that an own ending tells is no message that looks whole
    if dict(heard.trailers or ()).get("grpc-status", "0") != "0":
        return ANSWERED
    whole = heard.body == body and heard.trailers == [*checked(body), *more]
    return WHOLE if whole else LOST


async def small(visit: Visit) -> str:
    return judge(await visit.hear(await visit.ask("/bytes/200")), body_of(200))


async def large(visit: Visit) -> str:
    return judge(await visit.hear(await visit.ask("/bytes/65536")), body_of(65536))


async def slow(visit: Visit) -> str:
    sid = await visit.ask("/bytes/65536")
    return judge(await visit.hear(sid, pause_s=0.05), body_of(65536))


async def call(visit: Visit) -> str:
    body = body_of(100)
    heard = await visit.hear(await visit.ask("/echo", body, ["x-note", "x-note"]))
    return judge(heard, body, ("x-note", visit.name), ("x-note", visit.name))


async def upload(visit: Visit) -> str:
    body = body_of(20_000)
    heard = await visit.hear(await visit.ask("/echo", body, ["x-sum"]))
    return judge(heard, body, ("x-sum", visit.name))


async def stream(visit: Visit) -> str:
    return judge(await visit.hear(await visit.ask("/drip/15")), DROP * 15)


async def cancel(visit: Visit) -> str:
    sid = await visit.ask("/drip/15")
    await asyncio.sleep(random.uniform(0, 0.2))
    visit.connection.reset_stream(sid)
    visit.connection.forget(sid)
    return CANCELLED


async def meet_a_reset(visit: Visit) -> str:
    code = random.choice((0x1, 0x2, 0x8, 0xB))
    return judge(await visit.hear(await visit.ask(f"/reset/{code}")), b"")


async def meet_a_short_one(visit: Visit) -> str:
    return judge(await visit.hear(await visit.ask("/short")), b"")


async def meet_silence(visit: Visit) -> str:
    return judge(await visit.hear(await visit.ask("/silent")), b"")


Ask = Callable[[Visit], Awaitable[str]]

#: What is asked, and how often; `faults` come on top when they are ordered.
HONEST: Final[dict[Ask, float]] = {
    small: 50, call: 28, large: 5, upload: 6, stream: 6, slow: 2, cancel: 3,
}  # fmt: skip
FAULTS: Final[dict[Ask, float]] = {meet_a_reset: 3, meet_a_short_one: 2, meet_silence: 1}


class Crowd:
    """All of them."""

    def __init__(self, rate: float, plain: Address, secure: Address, ca: str) -> None:
        tls = ssl.create_default_context(cafile=ca)
        tls.set_alpn_protocols(["h2"])
        self._rate = rate
        self._places = [
            Place(secure, tls) if number % 3 else Place(plain, None) for number in range(PLACES)
        ]
        self._numbers = count()
        self._asks = HONEST
        self._asking = False
        self._debt = 0.0  # requests that are due
        self._loop = asyncio.get_running_loop()
        # of the phase
        self._phase = "warm"
        self._running = 0
        self._quiet = asyncio.Event()  # nothing is running
        self._began = self._asked_s = 0.0
        self._ends: Counter[str] = Counter()
        self._again = 0  # asked again, as it was not processed
        self._latencies: list[float] = []  # seconds, of small requests
        self._odd: dict[str, str] = {}  # how requests ended that did not come whole, by name

    async def obey(self) -> None:
        """Do what is ordered until the end of orders."""
        spare_the_collector()
        reader = asyncio.StreamReader()
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        spawn(self._beat(), "beat")
        spawn(self._tick(), "tick")
        while order := (await reader.readline()).decode().split():
            sys.stdout.write(json.dumps(await self._order(*order)) + "\n")
            sys.stdout.flush()

    async def _order(self, verb: str, phase: str = "") -> dict[str, object]:
        if verb == "ask":
            self._phase, self._asking, self._began = phase, True, self._loop.time()
            self._asks = {**HONEST, **FAULTS} if phase == "faults" else HONEST
            return {}
        self._asked_s = self._loop.time() - self._began
        self._asking, self._debt = False, 0.0
        await self._quiet.wait()
        return self._tell()

    def _tell(self) -> dict[str, object]:
        """Tell of a phase, and forget it."""
        lasted = sorted(self._latencies) or [0.0]
        told: dict[str, object] = {
            "seconds": self._asked_s,
            "ends": dict(self._ends),
            "again": self._again,
            "p50_ms": lasted[len(lasted) // 2] * 1000,
            "p99_ms": lasted[len(lasted) * 99 // 100] * 1000,
            "odd": dict(self._odd),
            "certificates": len(set[str]().union(*[place.certificates for place in self._places])),
        }
        self._ends.clear()
        self._latencies.clear()
        self._odd.clear()
        self._again = 0
        return told

    async def _beat(self) -> None:
        last = self._loop.time()
        while True:
            await asyncio.sleep(BEAT_S)
            now = self._loop.time()
            if self._asking:
                self._debt += (now - last) * self._rate
            last = now
            while self._debt >= 1:
                self._debt -= 1
                ask = random.choices(list(self._asks), list(self._asks.values()))[0]
                spawn(self._visit(ask, f"{self._phase}-{next(self._numbers)}"), ask.__name__)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            for place in self._places:
                place.tick()

    async def _visit(self, ask: Ask, name: str) -> None:
        self._running += 1
        self._quiet.clear()
        began = self._loop.time()
        try:
            async with asyncio.timeout(LATE_S):
                end = await self._persist(ask, name)
        except TimeoutError:
            end = LATE
        self._running -= 1
        if not self._running:
            self._quiet.set()
        self._ends[end] += 1
        if ask is small:
            self._latencies.append(self._loop.time() - began)
        if end != WHOLE:
            self._odd[name] = end

    async def _persist(self, ask: Ask, name: str) -> str:
        for _ in range(ATTEMPTS):
            try:
                connection = await random.choice(self._places).get()
            except (OSError, HTTP2Error):
                return UNREACHED
            try:
                return await ask(Visit(connection, name))
            except StreamGoneError as gone:
                if gone.reset_code != ErrorCode.REFUSED_STREAM:
                    return CUT
            except HTTP2Error as error:
                if error.code not in (ErrorCode.REFUSED_STREAM, ErrorCode.STREAM_CLOSED):
                    raise
            self._again += 1
        return REFUSED


def main(argv: Sequence[str]) -> int:
    """Be the crowd."""
    rate, plain, secure, ca = argv

    async def obey() -> None:
        await Crowd(float(rate), parse_address(plain), parse_address(secure), ca).obey()

    run(obey())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
