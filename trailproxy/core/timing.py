"""Timing: where the time of an exchange went, told as a trailer (Server-Timing)."""

from collections.abc import Callable
from typing import Final, final

from trailproxy.core.inspection import Inspector
from trailproxy.core.record import RESPONSE, Direction, Record
from trailproxy.wire.field import TRAILER, Field
from trailproxy.wire.fields import Fields, Kind


@final
class ServerTiming(Inspector):
    """Adds `server-timing` behind a response, in milliseconds.

    `queue` is the wait for an upstream stream, `upstream` that for the response head,
    `total` all since the request head, and `proxy` what of it was not the upstream's head.
    """

    def __init__(self, record: Record, now: Callable[[], float]) -> None:
        self._record: Final = record
        self._now: Final = now

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Announce the trailer."""
        return head if end else announced(head, b"server-timing")

    def trailers(self, direction: Direction, trailers: Fields) -> Fields:
        """Add what is known at the end of the body."""
        record = self._record
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

    def adds_end(self, direction: Direction) -> bool:
        """Responses that came without trailers get one."""
        return direction is RESPONSE


def announced(head: Fields, name: bytes) -> Fields:
    """Return a response head whose `trailer` names one field more (RFC 9110 section 6.6.2)."""
    earlier = head.find(TRAILER)
    if earlier is None:
        return Fields([*head.items, Field(b"trailer", name)]).vouch(Kind.RESPONSE)
    more = Field(b"trailer", earlier + b", " + name)
    first = head.first(TRAILER)
    items = [more if field is first else field for field in head.items]
    return Fields(items).vouch(Kind.RESPONSE)
