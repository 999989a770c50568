"""Stand-ins: how a witness hears of an exchange without a word of its own on the way of parts.

What an owner is told and what a source is paid is passed on as it is; the witness only
hears of it. Both are classes that anybody may take the place of.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from trailproxy.core.fault import Cause, Fault, Initiator
from trailproxy.core.record import Direction, Progress
from trailproxy.core.stream import Owner, Stream
from trailproxy.core.timeline import Kind
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange
    from trailproxy.core.lane import Lane
    from trailproxy.core.witness import Witness


class SourceStandIn:
    """A lane's source, in a witness's hand: who is paid on departure knows what has departed."""

    def __init__(self, witness: "Witness", lane: "Lane", stream: Stream) -> None:
        self.stream: Final = stream
        self._witness: Final = witness
        self._lane: Final = lane

    def credit(self, octets: i64) -> None:
        """Pass window octets on."""
        self._witness.departed(self._lane)
        self.stream.credit(octets)


class OwnerStandIn(Owner):
    """The owner of an exchange's lanes and streams, with a witness at its ear."""

    def __init__(self, witness: "Witness", exchange: "Exchange") -> None:
        self.exchange: Final = exchange
        self._witness: Final = witness
        self._reset: Stream | None = None  # the stream that a RST_STREAM passed on last

    # -- of lanes ------------------------------------------------------------------------

    def head_arrived(self, lane: "Lane", fields: Fields, end: bool) -> None:
        """Pass on that a response head came, and see it depart."""
        self._witness.head_came(lane, fields, end)
        self.exchange.head_arrived(lane, fields, end)
        self._witness.look()

    def trailers_arrived(self, lane: "Lane", fields: Fields) -> Fields:
        """Pass on that trailers came."""
        self._witness.trailers_came(lane, fields)
        return self.exchange.trailers_arrived(lane, fields)

    def end_arrived(self, lane: "Lane") -> Fields:
        """Pass on that a message came to its end without any."""
        return self.exchange.end_arrived(lane)

    def trailers_lost(self, lane: "Lane") -> None:
        """Pass on that trailers can reach nobody."""
        self._witness.trailers_lost(lane)
        self.exchange.trailers_lost(lane)

    def lane_done(self, lane: "Lane") -> None:
        """Pass on that an end has departed."""
        self._witness.done(lane)
        self.exchange.lane_done(lane)

    # -- of streams ----------------------------------------------------------------------

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        """Pass on that a stream is gone; of one that was reset, the witness knows already."""
        if stream is not self._reset:
            self._witness.broke(
                stream, Direction.RECEIVED, Kind.LOST, cause=fault.cause, note=fault.why
            )
        self.exchange.stream_gone(stream, fault)

    def trailers_rejected(self, stream: Stream) -> None:
        """Pass on that trailers were malformed."""
        self.exchange.trailers_rejected(stream)

    def progress(self, stream: Stream) -> Progress:
        """Tell how far the response has come on this stream's side."""
        return self.exchange.progress(stream)

    def reset_noted(
        self, stream: Stream, initiator: Initiator, code: i64, progress: Progress, cause: Cause
    ) -> None:
        """Pass on that a RST_STREAM went by."""
        self._reset = stream
        way = Direction.RECEIVED if initiator is Initiator.PEER else Direction.SENT
        self._witness.broke(stream, way, Kind.RESET, code=int(code), cause=cause)
        self.exchange.reset_noted(stream, initiator, code, progress, cause)
