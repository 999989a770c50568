"""Proxy: what all exchanges share, and the door requests come in by.

The router is swapped whole on reload; an exchange keeps what it began with.
"""

from collections.abc import Mapping
from typing import Any, Final, final

from trailproxy.core.books import TrailerBooks
from trailproxy.core.clock import Clock, DateStamp, Pulse
from trailproxy.core.connection import Connection
from trailproxy.core.exchange import Exchange
from trailproxy.core.fault import Cause, Side
from trailproxy.core.inspection import Inspector
from trailproxy.core.matrix import expire
from trailproxy.core.message import Forwarding, Hop, understand
from trailproxy.core.record import Observer, Tally
from trailproxy.core.routing import Router
from trailproxy.core.stream import Host, Stream
from trailproxy.core.view import describe
from trailproxy.wire.fields import Fields

_KEPT_HOPS: Final = 1024  # clients; one that was forgotten is only made anew


@final
class Proxy:
    """The exchanges in flight, and what they need."""

    def __init__(
        self,
        router: Router,
        observer: Observer,
        tallies: Mapping[Side, Tally],
        clock: Clock,
        date: DateStamp,
    ) -> None:
        self.router = router  # what requests go by
        self._router = router  # the same, without anybody who looks on
        self._onlooker: Inspector | None = None
        self.observer: Final = observer
        self.downstream: Final = tallies[Side.DOWNSTREAM]
        self.upstream: Final = tallies[Side.UPSTREAM]
        self._clock: Final = clock
        self.books: Final = TrailerBooks(observer)
        self._pulse: Final = Pulse(clock, self._look)
        self.date: Final = date
        self._active: Final[dict[Exchange, None]] = {}
        self._hops: Final[dict[tuple[str, str, bytes, Forwarding], Hop]] = {}

    def hop(
        self,
        peer: str,
        scheme: str,
        certificate: bytes = b"",
        forwarding: Forwarding = Forwarding.SANITIZE,
    ) -> Hop:
        """Return what is added to the requests of a client; it may have many connections."""
        key = (peer, scheme, certificate, forwarding)
        hop = self._hops.get(key)
        if hop is None:
            if len(self._hops) >= _KEPT_HOPS:
                self._hops.clear()
            self._hops[key] = hop = Hop(peer, scheme, certificate, forwarding)
        return hop

    def route_by(self, router: Router) -> None:
        """Let requests go by this router from now on."""
        self._router = router
        self.show_to(self._onlooker)

    def show_to(self, onlooker: Inspector | None) -> None:
        """Let somebody look at the exchanges that begin from now on; None: nobody any more.

        That is another router, so that exchanges cost what they always did when nobody looks.
        """
        self._onlooker = onlooker
        self.router = self._router if onlooker is None else self._router.shown_to(onlooker)

    def now(self) -> float:
        """Return the moment, in clock seconds."""
        return self._clock.time()

    def began(self, exchange: Exchange) -> None:
        """Note an exchange in flight."""
        self._active[exchange] = None
        self._pulse.start()
        self.observer.exchange_began(exchange.record)

    def finished(self, exchange: Exchange) -> None:
        """Note that an exchange is over."""
        del self._active[exchange]
        self.observer.exchange_finished(exchange.record)

    def later(self, delay: float, exchange: Exchange) -> None:
        """Let an exchange lease again in `delay` seconds."""
        self._clock.call_later(delay, exchange.lease_again)

    def _look(self, now: float) -> bool:
        """See whose deadlines have passed."""
        for exchange in list(self._active):
            exchange.look(now)
        return bool(self._active)

    @property
    def exchanges(self) -> list[Exchange]:
        """Those in flight, the oldest first."""
        return list(self._active)

    @property
    def active(self) -> int:
        """How many exchanges are in flight."""
        return len(self._active)

    def describe(self) -> list[dict[str, Any]]:
        """Describe every exchange in flight."""
        now = self.now()
        return [describe(exchange, now) for exchange in self._active]

    def expire_all(self, cause: Cause) -> None:
        """End every exchange in flight; each gets the answer or the reset it is due."""
        for exchange in list(self._active):
            expire(exchange, cause)


@final
class Front(Host):
    """The host of one downstream connection: its requests become exchanges."""

    __slots__ = ("hop", "listener", "proxy")

    def __init__(
        self,
        proxy: Proxy,
        listener: str,
        peer: str,
        scheme: str,
        certificate: bytes = b"",
        forwarding: Forwarding = Forwarding.SANITIZE,
    ) -> None:
        """Prepare for a connection of a client; what is told of it is decided here: see Hop."""
        self.proxy: Final = proxy
        self.listener: Final = listener
        self.hop: Final = proxy.hop(peer, scheme, certificate, forwarding)

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Begin an exchange for a request."""
        Exchange(self, stream, understand(fields, self.hop)).begin(end)

    def connection_changed(self, connection: Connection) -> None:
        """Downstream connections come and go as their clients like."""
