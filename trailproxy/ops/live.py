"""Live: what one process tells somebody who looks on, and that it stops when nobody does.

A look is a question with an answer. Whoever does not look again in time is gone: the
witnesses are called back, and exchanges cost what they always did.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from trailproxy.core.gallery import Gallery
from trailproxy.core.proxy import Proxy
from trailproxy.core.witness import Witness
from trailproxy.ops.drops import Drops
from trailproxy.ops.sight import Row, Sight, Tapped, Wish
from trailproxy.ops.tap import Tap
from trailproxy.ops.telling import Dated, bare_timeline_of, row_of, timeline_of

LAPSE_S: Final = 5.0
"""Who has not looked for so long is gone."""


@final
class Live:
    """The sight of one process."""

    def __init__(self, proxy: Proxy, drops: Drops, wall: Callable[[], float]) -> None:
        """Prepare; nobody looks.

        Args:
            proxy: whose exchanges they are.
            drops: those that it dropped.
            wall: the time of day in seconds since 1970.
        """
        # set once
        self._proxy: Final = proxy
        self._drops: Final = drops
        self._wall: Final = wall
        self._gallery: Final = Gallery(proxy)
        self._token: Final = secrets.token_hex(6)  # keys of drops are not to be guessed either
        # while somebody looks
        self._until = 0.0  # clock seconds
        self._stood: dict[str, tuple[int, int, int]] = {}  # where those in flight were last told
        self._drop = 0  # the number of the last one that was told
        self._tap: Tap | None = None

    def look(self, wish: Wish) -> Sight:
        """Tell what there was since the last look, and go on as wished until the next."""
        if not wish.streams and wish.tap is None:
            self._look_away()
            return Sight()
        self._until = self._proxy.now() + LAPSE_S
        self._set_tap(wish.tap)
        self._gallery.open(curious=wish.streams)
        dated = self._dated()
        entries, lost = self._fetch(dated)
        if not wish.streams:
            return Sight(entries=entries, lost_entries=lost)
        rows = (*self._rows_of_drops(dated), *self._rows_in_flight(dated), *self._rows_over(dated))
        missed, self._gallery.missed = self._gallery.missed, 0
        return Sight(rows, tuple(self._gallery.flying), missed, entries, lost)

    def tick(self) -> None:
        """A second has passed."""
        if self._until and self._proxy.now() >= self._until:
            self._look_away()

    def timeline(self, key: str) -> dict[str, Any] | None:
        """Tell all that is known of an exchange; None when it is forgotten."""
        token, _, number = key.rpartition("-")
        if token == self._token and number.isdecimal():
            record = self._drops.find(int(number))
            return None if record is None else bare_timeline_of(record, key, self._dated())
        witness = self._gallery.find(key)
        return None if witness is None else timeline_of(witness, self._dated())

    def _look_away(self) -> None:
        self._gallery.close()
        self._until = 0.0
        self._stood = {}
        self._drop = 0
        self._tap = None

    def _set_tap(self, wish: Tapped | None) -> None:
        if wish is None:
            self._tap = None
        elif self._tap is None or self._tap.id != wish.id:
            self._tap = Tap(wish)
        else:
            self._tap.renew(wish)
        self._gallery.net = self._tap

    def _fetch(self, dated: Dated) -> tuple[tuple[dict[str, Any], ...], int]:
        """Return what the tap has caught, and how many it could not keep."""
        tap = self._tap
        if tap is None:
            return (), 0
        lost, tap.lost = tap.lost, 0
        return tap.fetch(dated), lost

    def _dated(self) -> Dated:
        behind = self._wall() - self._proxy.now()
        return lambda at: at + behind

    # -- rows ----------------------------------------------------------------------------

    def _rows_in_flight(self, dated: Dated) -> Iterator[Row]:
        """Tell of those that have moved since they were last told of."""
        stood, self._stood = self._stood, {}
        for key, witness in self._gallery.flying.items():
            exchange, record = witness.exchange, witness.record
            assert exchange is not None  # else it would not be in flight
            stands = (exchange.request.moves + exchange.response.moves, record.status,
                      record.attempts)  # fmt: skip
            self._stood[key] = stands
            if stood.get(key) != stands:
                yield row_of(record, key, dated, exchange, **_marks(witness))

    def _rows_over(self, dated: Dated) -> list[Row]:
        fresh = self._gallery.fresh
        rows = [
            row_of(witness.record, key, dated, None, **_marks(witness))
            for key, witness in fresh.items()
        ]
        fresh.clear()
        return rows

    def _rows_of_drops(self, dated: Dated) -> Iterator[Row]:
        """Tell of those that nobody was a witness of."""
        seen = {id(witness.record) for witness in self._gallery.ended.values()}
        for number, record in self._drops.since(self._drop):
            self._drop = number
            if id(record) not in seen:
                yield row_of(record, f"{self._token}-{number}", dated, None, bare=True)


def _marks(witness: Witness) -> dict[str, bool]:
    return {"late": witness.late is not None, "tapped": witness.net is not None}
