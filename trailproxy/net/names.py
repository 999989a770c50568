"""Names: where the endpoints of an upstream are that DNS knows.

A name is asked for again when its records run out, and no later than the upstream's
interval. A resolver that fails is no news of the backend: what a name stood for stays.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, final

from trailproxy.core.address import Address
from trailproxy.net.tasks import spawn

if TYPE_CHECKING:
    import aiodns
    import pycares

SHORTEST_S: Final = 1.0
"""Records that run out sooner are kept as long: nobody asks more often."""

MOST_FOUND: Final = 1024
"""Places of one name: what it stands for is a peer's word too."""

_T = TypeVar("_T")

_log: Final = logging.getLogger("trailproxy.net")


@dataclass(frozen=True, slots=True)
class Spot:
    """An address and its share of the streams, beside the others' shares."""

    address: Address
    weight: int = 1


#: Hears where spots are now that had to be found out; None: nobody knows.
Told = Callable[[Mapping[Spot, list[Spot] | None]], None]


@final
class Names:
    """The names among the spots of one upstream."""

    def __init__(
        self, upstream: str, spots: Sequence[Spot], interval_s: float, servers: tuple[str, ...]
    ) -> None:
        """Prepare.

        Args:
            upstream: who asks, for the log.
            spots: the names.
            interval_s: seconds after which a name is asked for again at the latest.
            servers: the DNS servers, host:port; none: those of the system.
        """
        self._upstream: Final = upstream
        self._spots: Final = spots
        self._interval_s: Final = interval_s
        self._servers: Final = servers
        self._failing: Final[set[Spot]] = set()
        self._task: asyncio.Task[None] | None = None
        self._resolver: aiodns.DNSResolver

    def start(self, told: Told) -> None:
        """Ask now and again; `told` hears about all of them each time."""
        # loaded only where there are names to resolve
        import aiodns  # noqa: PLC0415

        self._resolver = aiodns.DNSResolver(
            list(self._servers) or None, asyncio.get_running_loop(), timeout=2.0, tries=2
        )
        self._task = spawn(self._keep_asking(told), f"resolve {self._upstream}")

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _keep_asking(self, told: Told) -> None:
        try:
            while True:
                places, lasting_s = await self._ask()
                told(places)
                await asyncio.sleep(max(SHORTEST_S, min(lasting_s, self._interval_s)))
        finally:
            await self._resolver.close()

    async def _ask(self) -> tuple[dict[Spot, list[Spot] | None], float]:
        """Return what each name stands for, and for how many seconds that holds."""
        places: dict[Spot, list[Spot] | None] = {}
        lasting_s = self._interval_s
        for spot in self._spots:
            try:
                places[spot], ttl = await self._places(spot)
            except OSError as error:
                places[spot] = None
                self._fails(spot, error)
            else:
                self._failing.discard(spot)
                lasting_s = min(lasting_s, ttl)
        return places, lasting_s

    def _fails(self, spot: Spot, error: OSError) -> None:
        if spot not in self._failing:
            self._failing.add(spot)
            why = error.args[-1] if error.args else error
            _log.warning("upstream %s: %s: %s", self._upstream, spot.address, why)

    async def _places(self, spot: Spot) -> tuple[list[Spot], float]:
        """Return what a name stands for, and for how many seconds.

        Raises:
            OSError: nobody knows.
        """
        if not spot.address.is_service:
            return await self._addresses(spot)
        places: list[Spot] = []
        records, ttl = await self._services(spot.address.host)
        for record in records:
            # what a service's name leads to is a name again (RFC 2782)
            host = Address(record.target.rstrip("."), record.port)
            weight = spot.weight * max(record.weight, 1)
            found, lasting_s = await self._addresses(Spot(host, weight))
            ttl = min(ttl, lasting_s)
            places += found
        return places[:MOST_FOUND], ttl

    async def _addresses(self, spot: Spot) -> tuple[list[Spot], float]:
        address = spot.address
        answer = await _asked(
            self._resolver.getaddrinfo(
                address.host, socket.AF_UNSPEC, address.port, type=socket.SOCK_STREAM
            )
        )
        found = [Spot(address.resolved(_text(node.addr[0])), spot.weight) for node in answer.nodes]
        # what comes from a hosts file has no time to live
        ttl = min((node.ttl for node in answer.nodes if node.ttl > 0), default=self._interval_s)
        return found[:MOST_FOUND], ttl

    async def _services(self, name: str) -> tuple[list["pycares.SRVRecordData"], float]:
        """Return the records that come first by priority, and for how many seconds they hold."""
        import pycares  # noqa: PLC0415

        answer = await _asked(self._resolver.query_dns(name, "SRV"))
        found = [
            (record.data, record.ttl)
            for record in answer.answer
            if isinstance(record.data, pycares.SRVRecordData)
        ]
        if not found:
            raise OSError(0, "there is no such service")
        first = min(data.priority for data, _ in found)
        chosen = [each for each in found if each[0].priority == first]
        return [data for data, _ in chosen], min(ttl for _, ttl in chosen)


async def _asked(answer: Awaitable[_T]) -> _T:
    """Await an answer of DNS.

    Raises:
        OSError: there was none.
    """
    import aiodns  # noqa: PLC0415

    try:
        return await answer
    except aiodns.error.DNSError as error:
        raise OSError(*error.args) from error


def _text(host: bytes | str) -> str:
    return host.decode() if isinstance(host, bytes) else host
