"""Books: what became of the trailer sections of one exchange.

Each section is entered once, under one outcome; a loss has a cause.
"""

from typing import Final, final

from trailproxy.core.fault import Cause
from trailproxy.core.lane import Lane
from trailproxy.core.record import (
    REQUEST,
    RESPONSE,
    TRAILERS,
    Direction,
    Observer,
    Outcome,
    Record,
)
from trailproxy.core.trailers import trailers_to_relay
from trailproxy.wire.field import GRPC_STATUS, TRAILER
from trailproxy.wire.fields import Fields


@final
class TrailerBooks:
    """Where all sections are entered; what an exchange still owes stands in its record."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        self._observer: Final = observer

    def head_came(self, record: Record, head: Fields) -> None:
        """Note what the response head promises."""
        record.trailers_announced = head.first(TRAILER) is not None
        if record.grpc:
            _note_status(record, head.find(GRPC_STATUS))

    def trailers_came(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Return what may travel on."""
        kept, removed = trailers_to_relay(trailers)
        if removed:
            self._observer.trailer_fields_removed(direction, record.route, removed)
        if direction is RESPONSE:
            if _ends_at_head(record):
                self.enter(record, direction, Outcome.DROPPED, Cause.NOT_ALLOWED)
                return Fields([])
            status = kept.find(GRPC_STATUS)
            if status is not None:
                _note_status(record, status)
        return kept

    def lane_done(self, record: Record, direction: Direction, lane: Lane) -> None:
        """Enter what became of the section of a message whose end has departed."""
        if lane.ending is TRAILERS:
            self.enter(record, direction, lane.outcome)
        elif direction is RESPONSE and _ends_at_head(record):
            return  # it may have none, and what came was entered as dropped
        elif lane.trailers_came:
            self.enter(record, direction, Outcome.EMPTY)
        elif direction is RESPONSE and (record.trailers_announced or record.status_owed):
            self.enter(record, direction, Outcome.MISSING)

    def enter(
        self, record: Record, direction: Direction, outcome: Outcome, cause: Cause | None = None
    ) -> None:
        """Tell the observer of one section."""
        self._observer.trailers(direction, outcome, record.route, cause)


def has_none(record: Record, direction: Direction) -> bool:
    """Whether a message can have no trailers, whatever a route would add to it."""
    if record.method == "CONNECT":  # a tunnel has DATA only (RFC 9113 section 8.5)
        return direction is REQUEST or 200 <= record.status < 300
    return direction is RESPONSE and _ends_at_head(record)


def _ends_at_head(record: Record) -> bool:
    """Whether the response has neither body nor trailers (RFC 9110 sections 9.3.2, 15.3.5)."""
    return record.method == "HEAD" or record.status == 204 or record.status == 304


def _note_status(record: Record, status: bytes | None) -> None:
    record.status_owed = status is None
    record.grpc_status = (status or b"").decode("latin-1")
