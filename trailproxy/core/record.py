"""Record: what happened, told once, at the end.

The hot path counts in plain ints; an Observer is called when a stream breaks
and when an exchange is over, never per frame.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from trailproxy.core.fault import Cause, Initiator, Side


class Ending(StrEnum):
    """How one lane ended. There is no fifth way."""

    END = "end"  # cleanly, without trailers
    TRAILERS = "trailers"  # cleanly, with trailers
    RESET = "reset"  # its source was cut short
    CANCELLED = "cancelled"  # its sink, or we, wanted no more of it


class Progress(StrEnum):
    """How far the response had come on one side when something happened."""

    BEFORE_HEAD = "before_head"
    HEAD = "head"  # the head has passed, no body yet
    BODY = "body"
    TRAILERS = "trailers"  # the end is known, and waits behind parked bytes
    AFTER_END = "after_end"


class Direction(StrEnum):
    """Which message of an exchange, or which way bytes and GOAWAYs went."""

    REQUEST = "request"
    RESPONSE = "response"
    RECEIVED = "received"
    SENT = "sent"


class Outcome(StrEnum):
    """What became of a trailer section."""

    RELAYED = "relayed"
    SYNTHESIZED = "synthesized"  # we wrote it
    REJECTED = "rejected"  # malformed or oversized: the stream was reset
    DROPPED = "dropped"  # arrived, and its sink was gone
    EMPTY = "empty"  # nothing to send in it; the message still ended cleanly
    MISSING = "missing"  # announced, or owed by gRPC, and never came


@dataclass(slots=True, eq=False)
class Record:
    """One exchange, from its first byte to its last."""

    # set when the request head arrives
    listener: str
    route: str  # "" when no route matched
    method: str
    authority: str
    path: str
    peer: str  # the client's address, without port; "unix" for unix sockets
    began: float  # clock seconds
    grpc: bool  # the request is application/grpc
    # set on the way
    upstream: str = ""
    endpoint: str = ""
    attempts: int = 0  # leases that reached a connection
    status: int = 0  # of the response the client got; 0: none was sent
    grpc_status: str = ""  # wherever it stood: head or trailers; "" when there was none
    response_head_at: float | None = None  # clock seconds
    request_sent_at: float | None = None  # the head went upstream; clock seconds
    # set at the end
    ended: float = 0.0
    request_ending: Ending = Ending.CANCELLED
    response_ending: Ending = Ending.CANCELLED
    request_bytes: int = 0  # body octets that departed upstream
    response_bytes: int = 0  # body octets that departed to the client
    request_trailers: int = 0  # fields that departed
    response_trailers: int = 0
    answered: bool = False  # the response is our own
    dropped: Cause | None = None  # why there was no clean end relayed both ways
    dropped_side: Side | None = None  # whose fault that was
    why: str = ""
    resets: list[tuple[Side, Initiator, int, Progress, Cause]] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds from the request head to the end of both lanes."""
        return self.ended - self.began


@dataclass(slots=True, eq=False)
class Tally:
    """Plain counts of one side, shared by all its connections, read at scrape time."""

    connections: int = 0  # open now
    streams: int = 0  # open now
    bytes_received: int = 0  # body octets
    bytes_sent: int = 0  # body octets
    parked_bytes: int = 0  # body octets from this side that wait in lanes now
    stalls: int = 0  # times a lane towards this side ran out of window or socket


class Observer(Protocol):
    """Who is told. Calls must be quick and must not raise."""

    def exchange_began(self, record: Record) -> None:
        """Note a request whose head was accepted; it is now active."""
        ...

    def exchange_finished(self, record: Record) -> None:
        """Note that an exchange is over: completed, or dropped with a cause."""
        ...

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Note one RST_STREAM, sent or received."""
        ...

    def trailers(
        self, direction: Direction, outcome: Outcome, route: str, cause: Cause | None = None
    ) -> None:
        """Note what became of a trailer section; a dropped one has a cause."""
        ...

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Note fields that may not travel in trailers (RFC 9110 section 6.5.1)."""
        ...

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Note a GOAWAY, sent or received."""
        ...

    def connected(self, upstream: str, outcome: str) -> None:
        """Note a dial: `ok`, `refused`, `timeout`, `tls`, `dns`, `protocol` or `error`."""
        ...
