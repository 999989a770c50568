"""Books: what became of the trailer sections of one exchange.

Each section is entered once, under one outcome; a loss has a cause.
"""

from typing import Final, final

from trailproxy.core.fault import Cause
from trailproxy.core.lane import Lane
from trailproxy.core.message import trailers_to_relay
from trailproxy.core.record import (
    RELAYED,
    RESPONSE,
    TRAILERS,
    Direction,
    Observer,
    Outcome,
    Record,
)
from trailproxy.wire.field import GRPC_STATUS, TRAILER
from trailproxy.wire.fields import Fields


@final
class TrailerBooks:
    """The entries of one exchange, and the grpc-status that its record shows."""

    __slots__ = ("_announced", "_grpc_owed", "_observer", "_record")

    def __init__(self, observer: Observer, record: Record) -> None:
        self._observer: Final = observer
        self._record: Final = record
        self._announced = False  # the response head has a Trailer field
        self._grpc_owed = False  # the response is gRPC, and no grpc-status has come yet

    def head_came(self, head: Fields) -> None:
        """Note what the response head promises."""
        self._announced = head.find(TRAILER) is not None
        if self._record.grpc:
            self._note_status(head.find(GRPC_STATUS))

    def trailers_came(self, direction: Direction, trailers: Fields) -> Fields:
        """Return what may travel on."""
        kept, removed = trailers_to_relay(trailers)
        if removed:
            self._observer.trailer_fields_removed(direction, self._record.route, removed)
        if direction is RESPONSE:
            if self._ends_at_head:
                self.enter(direction, Outcome.DROPPED, Cause.NOT_ALLOWED)
                return Fields(())
            status = kept.find(GRPC_STATUS)
            if status is not None:
                self._note_status(status)
        return kept

    def lane_done(self, direction: Direction, lane: Lane) -> None:
        """Enter what became of the section of a message whose end has departed."""
        bare = direction is RESPONSE and self._ends_at_head
        if lane.ending is TRAILERS:
            self.enter(direction, RELAYED)
        elif bare:
            return  # it may have none, and what came was entered as dropped
        elif lane.trailers_came:
            self.enter(direction, Outcome.EMPTY)
        elif direction is RESPONSE and (self._announced or self._grpc_owed):
            self.enter(direction, Outcome.MISSING)

    def enter(self, direction: Direction, outcome: Outcome, cause: Cause | None = None) -> None:
        """Tell the observer of one section."""
        self._observer.trailers(direction, outcome, self._record.route, cause)

    @property
    def _ends_at_head(self) -> bool:
        """Whether the response has neither body nor trailers (RFC 9110 sections 9.3.2, 15.3.5)."""
        return self._record.method == "HEAD" or self._record.status in (204, 304)

    def _note_status(self, status: bytes | None) -> None:
        self._grpc_owed = status is None
        self._record.grpc_status = (status or b"").decode("latin-1")
