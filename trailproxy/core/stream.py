"""Stream: one id on one connection; the lane it feeds and the lane it drains.

What a connection needs of others it asks of classes, not of Protocols: a compiled
caller then finds a method in 2 ns, without a search that takes 60.
"""

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.fault import Cause, Fault, Initiator
from trailproxy.core.record import Progress
from trailproxy.wire.fields import Fields
from trailproxy.wire.table import Numbered

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection
    from trailproxy.core.lane import Lane


@mypyc_attr(allow_interpreted_subclasses=True)
class Feed:
    """Where the parts that a peer sends on a stream go."""

    def head(self, fields: Fields, end: bool) -> None:
        """Take a response head, interim or final."""
        raise NotImplementedError

    def data(self, data: bytes, credit: i64, end: bool) -> None:
        """Take a piece of body; `credit` is owed to the source until it departs."""
        raise NotImplementedError

    def trailers(self, fields: Fields) -> None:
        """Take the trailers; they end the message."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Owner:
    """Who answers for a stream, and decides what the parts in its lanes mean."""

    def stream_gone(self, stream: "Stream", fault: Fault) -> None:
        """The stream ended before its time; nothing more comes from it, or goes to it."""
        raise NotImplementedError

    def trailers_rejected(self, stream: "Stream") -> None:
        """The peer's trailers were malformed; `stream_gone` follows."""
        raise NotImplementedError

    def progress(self, stream: "Stream") -> Progress:
        """Tell how far the response has come on this stream's side."""
        raise NotImplementedError

    def reset_noted(
        self, stream: "Stream", initiator: Initiator, code: i64, progress: Progress, cause: Cause
    ) -> None:
        """A RST_STREAM was sent or received on the stream."""
        raise NotImplementedError

    def head_arrived(self, lane: "Lane", fields: Fields, end: bool) -> None:
        """A head came from a lane's source: answer with `open`, or relay an interim one."""
        raise NotImplementedError

    def trailers_arrived(self, lane: "Lane", fields: Fields) -> Fields:
        """Return what of the trailers may travel on."""
        raise NotImplementedError

    def end_arrived(self, lane: "Lane") -> Fields:
        """Return the trailers that a message gets which came without."""
        raise NotImplementedError

    def trailers_lost(self, lane: "Lane") -> None:
        """Trailers came, or were parked, and can reach nobody."""
        raise NotImplementedError

    def lane_done(self, lane: "Lane") -> None:
        """The end has departed."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Host:
    """Who owns a connection."""

    def stream_opened(self, stream: "Stream", fields: Fields, end: bool) -> None:
        """The peer opened a stream with this request head: take it up."""
        raise NotImplementedError

    def connection_changed(self, connection: "Connection") -> None:
        """A stream is over, the peer's settings came, or it takes no more streams."""
        raise NotImplementedError


@final
class Stream(Numbered):
    """One stream; the connection keeps its state, its owner the meaning."""

    __slots__ = (
        "connection",
        "drains",
        "ended",
        "feeds",
        "head_sent",
        "heard_end",
        "over",
        "owner",
    )

    def __init__(self, connection: "Connection", sid: i64) -> None:
        super().__init__(sid)
        self.connection: Final = connection
        # set by whoever takes the stream up
        self.owner: Owner | None = None
        self.feeds: Feed | None = None
        self.drains: Lane | None = None
        # kept by the connection
        self.head_sent = False  # the final head
        self.ended = False  # we have sent END_STREAM
        self.heard_end = False  # the peer has
        self.over = False  # nothing more can be sent or received

    @property
    def end_said(self) -> bool:
        """Whether our end was sent, or waits behind parked octets."""
        return self.ended or (self.drains is not None and self.drains.end_waits)

    def room(self) -> i64:
        """Return how many body octets may be sent now."""
        return self.connection.room(self.sid)

    def credit(self, octets: i64) -> None:
        """Give window octets back to the peer: what it sent has departed."""
        self.connection.credit(self.sid, octets)

    def release(self) -> None:
        """Forget the owner and the lanes, so that no reference cycle outlives the exchange."""
        self.owner = None
        self.feeds = None
        self.drains = None
