"""Tap: the exchanges that a capture wants, in one process, until they are fetched.

Each wish renews how many more are wanted; as many may be in flight or wait to be fetched,
and their bodies together have a bound.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

from trailproxy.core.record import Record
from trailproxy.core.witness import Store, Witness
from trailproxy.ops.access_line import grpc_name, route_name
from trailproxy.ops.har import entry_of
from trailproxy.ops.sight import Only, Tapped

_BODIES: Final = 8 * 1024 * 1024  # octets, of all that are in flight or wait
_WEIGHT: Final = 8 * 1024 * 1024  # octets of field lists, of all that wait
_AT_ONCE: Final = 32  # entries that are fetched at one look


@final
class Tap:
    """A net of the gallery; see `core.gallery.Net`.

    Attributes:
        lost: what was wanted, and was too much to keep until it is fetched.
    """

    def __init__(self, wish: Tapped) -> None:
        """Begin to take what is wished."""
        self.id: Final = wish.id
        self._only: Final = wish.only
        self._body_octets: Final = wish.body_octets
        self._left = wish.exchanges
        self._store: Final = Store(_BODIES)
        self.lost = 0
        self._in_flight = 0
        self._weight = 0
        self._waiting: Final[deque[Witness]] = deque()

    def renew(self, wish: Tapped) -> None:
        """Take up how many more are wanted."""
        self._left = wish.exchanges

    # -- Net -----------------------------------------------------------------------------

    def wants(self, record: Record) -> bool:
        """Say whether an exchange may turn out to be wanted."""
        if self._in_flight + len(self._waiting) >= self._left:
            return False
        only = self._only
        return (
            only.route in ("", route_name(record.route))
            and only.method in ("", record.method)
            and only.authority in ("", record.authority)
            and record.path.startswith(only.path_prefix)
        )

    def cast(self, witness: Witness) -> None:
        """Have bodies kept, if they are wanted."""
        self._in_flight += 1
        if self._body_octets:
            witness.keep_bodies(self._body_octets, self._store)

    def haul(self, witness: Witness) -> None:
        """Keep what is wanted until it is fetched."""
        self._in_flight -= 1
        if not _is_meant(witness.record, self._only):
            _give_back(witness)
        elif self._weight + witness.record.weight > _WEIGHT:
            self.lost += 1
            _give_back(witness)
        else:
            self._weight += witness.record.weight
            self._waiting.append(witness)

    # -- to fetch ------------------------------------------------------------------------

    def fetch(self, dated: Callable[[float], float]) -> tuple[dict[str, Any], ...]:
        """Return entries of exchanges that are over, and forget these; not too many at once."""
        entries: list[dict[str, Any]] = []
        while self._waiting and len(entries) < _AT_ONCE:
            witness = self._waiting.popleft()
            self._weight -= witness.record.weight
            entries.append(entry_of(witness, dated))
            _give_back(witness)
        return tuple(entries)


def _is_meant(record: Record, only: Only) -> bool:
    return (
        only.status in (0, record.status)
        and only.grpc_status in ("", grpc_name(record.grpc_status))
        and only.ending in ("", record.response_ending)
        and only.cause in ("", record.dropped)
        and (record.dropped is not None or not only.dropped)
    )


def _give_back(witness: Witness) -> None:
    for body in witness.bodies.values():
        body.give_back()
