"""Timing: where the time of an exchange went, told as a trailer (Server-Timing)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from trailproxy.core.inspection import Inspector, Interest
from trailproxy.core.record import RESPONSE, Direction, Record
from trailproxy.wire.field import TRAILER, Field, Recurring
from trailproxy.wire.fields import Fields, Kind

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange


@final
class ServerTiming(Inspector):
    """Adds `server-timing` behind a response, in milliseconds.

    `queue` is the wait for an upstream stream, `upstream` that for the response head,
    `total` all since the request head, and `proxy` what of it was not the upstream's head.
    """

    def __init__(self) -> None:
        self._announcement: Final = Announcement(b"server-timing")

    def look_at(self, exchange: "Exchange") -> Inspector:
        """Each exchange is asked the time."""
        return _Timing(exchange.front.proxy.now, self._announcement)


@final
class _Timing(Inspector):
    def __init__(self, now: Callable[[], float], announcement: "Announcement") -> None:
        self._now: Final = now
        self._announcement: Final = announcement

    def interests(self) -> int:
        """Responses that came without trailers get one."""
        return Interest.RESPONSE_END

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Announce the trailer."""
        return head if end else self._announcement.on(head)

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Add what is known at the end of the body."""
        sent, head = record.request_sent_at, record.response_head_at
        if direction is not RESPONSE or sent is None or head is None:
            return trailers
        total = self._now() - record.began
        spans = {
            "proxy": total - (head - sent),
            "queue": sent - record.began,
            "upstream": head - sent,
            "total": total,
        }
        value = ", ".join(f"{name};dur={span * 1000:.1f}" for name, span in spans.items())
        return Fields([*trailers.items, Field(b"server-timing", value.encode())])


@final
class Announcement:
    """A field name that `trailer` in response heads announces (RFC 9110 section 6.6.2)."""

    def __init__(self, name: bytes) -> None:
        self._name: Final = name
        # of a head that recurs, what became of it last time
        self._before: Fields | None = None
        self._after = Fields([])

    def on(self, head: Fields) -> Fields:
        """Return the head with the announcement, behind those that stand there already."""
        if head is self._before:
            return self._after
        earlier = head.first(TRAILER)
        if earlier is None:
            items = [*head.items, Field(b"trailer", self._name)]
        else:
            more = Field(b"trailer", earlier.value + b", " + self._name)
            items = [more if field is earlier else field for field in head.items]
        made = Fields(items).vouch(Kind.RESPONSE)
        if head.recurring is not None:
            made.recurring = Recurring()
            self._before, self._after = head, made
        return made
