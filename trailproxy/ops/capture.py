"""Capture: what a tap has caught so far, in the process that has the admin page.

Nothing is captured unless somebody orders it, for a while, up to a number of exchanges
and a number of octets; whatever comes first ends it. What was caught is kept for some
minutes, to be fetched.
"""

import secrets
from collections.abc import Iterable
from typing import Annotated, Any, Final, final

import msgspec

from trailproxy.ops.har import archive
from trailproxy.ops.sight import Only, Tapped

KEPT_S: Final = 600.0
"""How long what was caught is kept."""
MOST_OCTETS: Final = 16 * 1024 * 1024
"""How much of it there may be, as JSON."""

_Seconds = Annotated[float, msgspec.Meta(ge=1, le=600)]
_Exchanges = Annotated[int, msgspec.Meta(ge=1, le=1000)]
_Octets = Annotated[int, msgspec.Meta(ge=0, le=1024 * 1024)]


class TapOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be captured, and how much of it at most."""

    only: Only = Only()
    seconds: _Seconds = 60.0
    exchanges: _Exchanges = 100
    body_octets: _Octets = 0  # of each body


@final
class Capture:
    """One capture, under way or over.

    Attributes:
        id: what it is fetched by; not to be guessed.
        ended: why it is over; empty while it is under way.
    """

    def __init__(self, order: TapOrder, now: float) -> None:
        """Begin `now`, by the loop's time."""
        self.id: Final = secrets.token_urlsafe(16)
        self.ended = ""
        self._order: Final = order
        self._until: Final = now + order.seconds
        self._entries: Final[list[msgspec.Raw]] = []
        self._octets = 0
        self._lost = 0

    def wish(self) -> Tapped:
        """Return what it still takes."""
        order = self._order
        return Tapped(self.id, order.only, order.body_octets, order.exchanges - len(self._entries))

    def add(self, entries: Iterable[dict[str, Any]], lost: int, now: float) -> bool:
        """Take what was caught up to `now`, by the loop's time; True if that ended it.

        Args:
            entries: of the archive.
            lost: how many more were wanted, and could not be kept.
            now: the loop's time.
        """
        if self.ended:
            return False
        self._lost += lost
        for raw in map(msgspec.json.encode, entries):
            if len(self._entries) >= self._order.exchanges:
                break
            if self._octets + len(raw) > MOST_OCTETS:
                self.end("size")
                break
            self._entries.append(msgspec.Raw(raw))
            self._octets += len(raw)
        if len(self._entries) >= self._order.exchanges:
            self.end("exchanges")
        elif now >= self._until:
            self.end("time")
        return bool(self.ended)

    def end(self, why: str) -> None:
        """Take no more."""
        self.ended = self.ended or why

    def state(self, now: float) -> dict[str, Any]:
        """Say how it goes, by the loop's time."""
        order = self._order
        return {
            "id": self.id,
            "only": order.only,
            "body_octets": order.body_octets,
            "seconds": order.seconds,
            "seconds_left": 0.0 if self.ended else round(max(self._until - now, 0.0), 1),
            "exchanges": order.exchanges,
            "caught": len(self._entries),
            "octets": self._octets,
            "lost": self._lost,
            "ended": self.ended,
        }

    def archive(self, now: float) -> bytes:
        """Return what was caught, as HAR."""
        return msgspec.json.encode(archive(self._entries, self.state(now)))
