"""Whereabouts: where the endpoints of an upstream are now, whoever knows.

Some stand in the configuration as they are. Names are asked of DNS, the pods of a Service of
the API server of the cluster. Who knows nothing new changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.record import Observer
from trailproxy.net.api_server import ApiServer
from trailproxy.net.names import Names, Spot
from trailproxy.net.slices import Slices

if TYPE_CHECKING:
    from trailproxy.net.origin_params import OriginParams


@final
class Whereabouts:
    """The spots of one upstream."""

    def __init__(self, params: "OriginParams", observer: Observer) -> None:
        """Prepare; `observer` is told what became of watches."""
        self._spots: Final = params.spots
        self._known: Final[dict[Spot, list[Spot]]] = {}
        self._awaited: Final[set[Spot]] = set()  # nobody has said anything about them yet
        self._sources: Final[list[Names | Slices]] = []
        names: list[Spot] = []
        for spot in params.spots:
            if spot.address.is_unix or spot.address.is_ip:
                self._known[spot] = [spot]
                continue
            self._awaited.add(spot)
            if spot.address.namespace:
                self._sources.append(Slices(params.name, spot, _api_server(params), observer))
            else:
                names.append(spot)
        if names:
            self._sources.append(
                Names(params.name, names, params.resolve_interval_s, params.dns_servers)
            )
        self._found: Callable[[list[Spot]], None]

    @property
    def now(self) -> list[Spot]:
        """The spots that are known."""
        return [place for spot in self._spots for place in self._known.get(spot, [])]

    @property
    def settled(self) -> bool:
        """Whether whoever may know a spot was asked, and had an answer or none."""
        return not self._awaited

    def start(self, found: Callable[[list[Spot]], None]) -> None:
        """Find out, now and again; `found` is told all spots each time."""
        self._found = found
        for source in self._sources:
            source.start(self._told)

    def stop(self) -> None:
        """Find out no more."""
        for source in self._sources:
            source.stop()

    def _told(self, places: Mapping[Spot, list[Spot] | None]) -> None:
        for spot, found in places.items():
            self._awaited.discard(spot)
            if found is not None:
                self._known[spot] = found
        self._found(self.now)


def _api_server(params: "OriginParams") -> ApiServer:
    if params.api is None:
        raise ValueError(f"upstream {params.name} has nobody to ask for the pods of a Service")
    return ApiServer(params.api, params)
