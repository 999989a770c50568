"""Outlook: what one process can tell of itself, from all rooms, to whoever looks on."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from trailproxy.core.proxy import Proxy
from trailproxy.net.endpoint import Endpoint
from trailproxy.net.origin import Origin
from trailproxy.ops.drops import Drops
from trailproxy.ops.sight import Place, Sight, Wish

if TYPE_CHECKING:
    from trailproxy.ops.live import Live

_MOST_PLACES: Final = 256


@final
class Outlook:
    """The exchanges and the endpoints of one process."""

    def __init__(
        self,
        proxy: Proxy,
        drops: Drops,
        wall: Callable[[], float],
        origins: Callable[[], Iterable[Origin]],
    ) -> None:
        """Prepare.

        Args:
            proxy: whose exchanges they are.
            drops: those that it dropped.
            wall: the time of day in seconds since 1970.
            origins: returns those of now.
        """
        self._proxy: Final = proxy
        self._drops: Final = drops
        self._wall: Final = wall
        self._origins: Final = origins
        self._live: Live | None = None  # made for the first who looks

    def look(self, wish: Wish) -> Sight:
        """Tell what there was since the last look, and go on as wished until the next."""
        if self._live is None:
            # 0.7 MB in each worker, which nobody may ever ask for
            from trailproxy.ops.live import Live  # noqa: PLC0415

            self._live = Live(self._proxy, self._drops, self._wall)
        sight = self._live.look(wish)
        if not wish.streams:
            return sight
        places = [place for origin in self._origins() for place in _places(origin)]
        return msgspec.structs.replace(sight, places=tuple(places[:_MOST_PLACES]))

    def timeline(self, key: str) -> dict[str, Any] | None:
        """Tell all that is known of an exchange; None when it is forgotten."""
        return None if self._live is None else self._live.timeline(key)

    def tick(self) -> None:
        """A second has passed."""
        if self._live is not None:
            self._live.tick()


def _places(origin: Origin) -> Iterator[Place]:
    for endpoint in origin.endpoints:
        yield Place(
            upstream=origin.name,
            endpoint=endpoint.label,
            state=_state(endpoint),
            connections=len(endpoint.connections),
            streams=endpoint.streams,
        )


def _state(endpoint: Endpoint) -> str:
    if endpoint.sick:
        return "sick"
    if endpoint.ejected:
        return "ejected"
    if endpoint.connections:
        return "connected"
    return "unreachable" if endpoint.failures else "idle"
