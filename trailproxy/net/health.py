"""Health: endpoints are asked how they are, each on a connection of its own.

A check that needs one of the connections that carry requests would wait behind them, and
say nothing about an endpoint that nobody is connected to.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import uniform
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.record import Tally
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.dial import DialError, dial
from trailproxy.net.local import ClientHost, Unobserved
from trailproxy.net.tasks import spawn
from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived

if TYPE_CHECKING:
    from trailproxy.net.endpoint import Endpoint
    from trailproxy.net.origin_params import OriginParams

_HEALTH: Final = "/grpc.health.v1.Health/Check"
# grpc.health.v1.HealthCheckResponse{status: SERVING}
_SERVING: Final = b"\x08\x01"
_PREFIX: Final = 5  # octets before a gRPC message
_MOST_ANSWERED: Final = 64 * 1024  # octets; a longer answer is none to a question of health


@dataclass(frozen=True, kw_only=True)
class HealthParams:
    """What is asked, and how often."""

    path: str = ""  # of a GET; empty: gRPC
    service: str = ""  # of gRPC; empty: the whole server
    authority: str = ""  # empty: the endpoint's
    interval_s: float = 5.0
    timeout_s: float = 2.0
    unhealthy_threshold: int = 3
    healthy_threshold: int = 2


@final
class Checks:
    """The checks of one upstream's endpoints."""

    def __init__(
        self,
        params: "OriginParams",
        wanted: HealthParams,
        told: Callable[["Endpoint", bool], None],
    ) -> None:
        """Prepare; `told` hears how each check of an endpoint went."""
        self._params: Final = params
        self._wanted: Final = wanted
        self._told: Final = told
        self._tasks: Final[dict[Endpoint, asyncio.Task[None]]] = {}

    def watch(self, endpoints: "list[Endpoint]") -> None:
        """Check these endpoints and no others."""
        for endpoint in [known for known in self._tasks if known not in endpoints]:
            self._tasks.pop(endpoint).cancel()
        for endpoint in endpoints:
            if endpoint not in self._tasks:
                work = self._keep_asking(endpoint)
                self._tasks[endpoint] = spawn(work, f"check {self._params.name} {endpoint.label}")

    def stop(self) -> None:
        """Check nobody any more."""
        self.watch([])

    async def _keep_asking(self, endpoint: "Endpoint") -> None:
        connection: AsyncConnection | None = None
        streak = 0  # of answers that speak against what is believed
        try:
            while True:
                connection, healthy = await self._ask_in_time(endpoint, connection)
                streak = streak + 1 if healthy is endpoint.sick else 0
                wanted = self._wanted
                most = wanted.healthy_threshold if healthy else wanted.unhealthy_threshold
                if streak >= most:
                    endpoint.sick = not healthy
                    streak = 0
                self._told(endpoint, healthy)
                # not all proxies at once
                await asyncio.sleep(wanted.interval_s * uniform(0.9, 1.1))
        finally:
            if connection is not None:
                connection.transport.abort()

    async def _ask_in_time(
        self, endpoint: "Endpoint", connection: AsyncConnection | None
    ) -> tuple[AsyncConnection | None, bool]:
        """Ask once; return the connection, if it is still of use, and whether all is well."""
        try:
            async with asyncio.timeout(self._wanted.timeout_s):
                if connection is None or connection.closed or connection.core.away:
                    connection = await dial(
                        endpoint.address,
                        self._params,
                        ClientHost(),
                        _forget,
                        Unobserved(),
                        Tally(),
                    )
                connection.tick()
                return connection, await self._ask(connection, endpoint)
        except (DialError, HTTP2Error, TimeoutError):
            if connection is not None:
                connection.transport.abort()
            return None, False

    async def _ask(self, connection: AsyncConnection, endpoint: "Endpoint") -> bool:
        wanted = self._wanted
        head = [
            (":method", "GET" if wanted.path else "POST"),
            (":scheme", "https" if self._params.tls is not None else "http"),
            (":authority", wanted.authority or endpoint.address.authority),
            (":path", wanted.path or _HEALTH),
            ("user-agent", "trailproxy-health"),
        ]
        if not wanted.path:
            head += [("content-type", "application/grpc"), ("te", "trailers")]
        sid = await connection.open(head, end=bool(wanted.path))
        if not wanted.path:
            await connection.send_data(sid, _question(wanted.service), end=True)
        try:
            return await self._hear(connection, sid)
        finally:
            connection.forget(sid)

    async def _hear(self, connection: AsyncConnection, sid: int) -> bool:
        """Read an answer to its end: a status alone says nothing while the rest is missing."""
        well, status, body, end = False, b"", b"", False
        while not end:
            part = await connection.receive(sid)
            if isinstance(part, DataReceived):
                body += part.data
                end = part.end
                if len(body) > _MOST_ANSWERED:
                    return False
                continue
            if isinstance(part, HeadReceived):
                end = part.end
                well = 200 <= part.fields.status < 300
            else:
                end = True
            status = part.fields.get(b"grpc-status") or status
        if self._wanted.path:
            return well
        return well and status == b"0" and body[_PREFIX:] == _SERVING


def _question(service: str) -> bytes:
    """Return grpc.health.v1.HealthCheckRequest{service}, as one message."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4) + message


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _forget(connection: AsyncConnection) -> None:
    """Nobody keeps a list."""
