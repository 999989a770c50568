"""Record: what happened, told once, at the end.

The hot path counts in plain ints; an Observer is called when a stream breaks
and when an exchange is over, never per frame.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.message import Request

if TYPE_CHECKING:
    from trailproxy.wire.fields import Fields


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
    REWRITTEN = "rewritten"  # relayed, as a policy changed it, or without its load report
    SYNTHESIZED = "synthesized"  # we wrote it
    REJECTED = "rejected"  # malformed, oversized or refused: the stream was reset
    DROPPED = "dropped"  # arrived, and its sink was gone
    EMPTY = "empty"  # nothing to send in it; the message still ended cleanly
    MISSING = "missing"  # announced, or owed by gRPC, and never came


# What every exchange says. Python 3.11 looks a member up through its metaclass, 250 ns
# each time; a name of this module costs a compiled caller nothing.
END: Final = Ending.END
TRAILERS: Final = Ending.TRAILERS
CANCELLED: Final = Ending.CANCELLED
REQUEST: Final = Direction.REQUEST
RESPONSE: Final = Direction.RESPONSE
RELAYED: Final = Outcome.RELAYED
DROPPED: Final = Outcome.DROPPED


@mypyc_attr(acyclic=True)
@final
class Record:
    """One exchange, from its first byte to its last."""

    __slots__ = (
        "answered",
        "asked",
        "attempts",
        "began",
        "dropped",
        "dropped_side",
        "ended",
        "endpoint",
        "grpc_status",
        "listener",
        "meter",
        "notes",
        "request_bytes",
        "request_ending",
        "request_messages",
        "request_section",
        "request_sent_at",
        "request_trailers",
        "resets",
        "response_bytes",
        "response_ending",
        "response_head",
        "response_head_at",
        "response_messages",
        "response_section",
        "response_trailers",
        "route",
        "status",
        "status_owed",
        "trailers_announced",
        "upstream",
        "why",
    )

    def __init__(self, listener: str, asked: Request, began: float) -> None:
        # known when the request head arrives
        self.listener: Final = listener
        self.asked: Final = asked
        self.began: Final = began  # clock seconds
        self.route = ""  # "" when no route matched
        # set on the way
        self.upstream = ""
        self.endpoint = ""
        self.attempts = 0  # leases that reached a connection
        self.status = 0  # of the response the client got; 0: none was sent
        self.grpc_status = ""  # wherever it stood: head or trailers; "" when there was none
        self.status_owed = False  # the response is gRPC, and no grpc-status has come yet
        self.trailers_announced = False  # the response head has a Trailer field
        self.response_head_at: float | None = None  # clock seconds
        self.request_sent_at: float | None = None  # the head went upstream; clock seconds
        # set at the end
        self.ended = 0.0
        self.request_ending = CANCELLED
        self.response_ending = CANCELLED
        self.request_bytes = 0  # body octets that departed upstream
        self.response_bytes = 0  # body octets that departed to the client
        self.request_trailers = 0  # fields that departed
        self.response_trailers = 0
        self.answered = False  # the response is our own
        self.dropped: Cause | None = None  # why there was no clean end relayed both ways
        self.dropped_side: Side | None = None  # whose fault that was
        self.why = ""
        self.resets: list[tuple[Side, Initiator, int, Progress, Cause]] | None = None
        self.notes: list[str] | None = None  # what policies want the log to say
        self.request_messages = 0  # of gRPC, that came whole
        self.response_messages = 0
        self.request_section: Fields | None = None  # trailers that departed, or came and were lost
        self.response_section: Fields | None = None
        self.response_head: Fields | None = None  # as it went to the client
        #: What the observer keeps beside it from the beginning to the end; its business alone.
        self.meter: object = None

    def note(self, what: str) -> None:
        """Have the access log say something."""
        self.notes = [*(self.notes or ()), what]

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.asked.method

    @property
    def authority(self) -> str:
        """What the request was made to."""
        return self.asked.authority.decode("latin-1")

    @property
    def path(self) -> str:
        """The path and query of the request."""
        return self.asked.path.decode("latin-1")

    @property
    def peer(self) -> str:
        """The client's address, without port; "unix" for unix sockets."""
        return self.asked.hop.peer

    @property
    def grpc(self) -> bool:
        """Whether the request is application/grpc."""
        return self.asked.grpc

    @property
    def request_trailer_bytes(self) -> int:
        """Octets of the trailers that departed upstream (RFC 9113 section 6.5.2)."""
        section = self.request_section
        return 0 if section is None or not self.request_trailers else section.size

    @property
    def response_trailer_bytes(self) -> int:
        """Octets of the trailers that departed to the client (RFC 9113 section 6.5.2)."""
        section = self.response_section
        return 0 if section is None or not self.response_trailers else section.size

    @property
    def weight(self) -> int:
        """Octets of all field lists it holds (RFC 9113 section 6.5.2)."""
        lists = (
            self.asked.relayed,
            self.response_head,
            self.request_section,
            self.response_section,
        )
        return sum([int(fields.size) for fields in lists if fields is not None])

    @property
    def duration(self) -> float:
        """Seconds from the request head to the end of both lanes."""
        return self.ended - self.began

    @property
    def response_head_seconds(self) -> float | None:
        """Seconds from the request head sent upstream to the response head, if there was one."""
        if self.request_sent_at is None or self.response_head_at is None or self.answered:
            return None
        return self.response_head_at - self.request_sent_at


@dataclass(eq=False)
class Tally:
    """Plain counts of one side, shared by all its connections, read at scrape time."""

    connections: int = 0  # open now
    streams: int = 0  # open now
    bytes_received: int = 0  # body octets
    bytes_sent: int = 0  # body octets
    parked_bytes: int = 0  # body octets from this side that wait in lanes now
    stalls: int = 0  # times a lane towards this side ran out of window or socket


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Who is told. Calls must be quick and must not raise."""

    def exchange_began(self, record: Record) -> None:
        """Note a request whose head was accepted; it is now active."""
        raise NotImplementedError

    def exchange_finished(self, record: Record) -> None:
        """Note that an exchange is over: completed, or dropped with a cause."""
        raise NotImplementedError

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Note one RST_STREAM, sent or received."""
        raise NotImplementedError

    def trailers(
        self, direction: Direction, outcome: Outcome, route: str, cause: Cause | None = None
    ) -> None:
        """Note what became of a trailer section; a dropped one has a cause."""
        raise NotImplementedError

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        """Note fields that may not travel in trailers (RFC 9110 section 6.5.1)."""
        raise NotImplementedError

    def digest_checked(self, direction: Direction, outcome: str, route: str) -> None:
        """Note a body: `verified`, `mismatch`, `unverified` or `added` (RFC 9530)."""
        raise NotImplementedError

    def hook_called(self, hook: str, seconds: float, *, failed: bool) -> None:
        """Note how long a hook took for one part, and whether it raised."""
        raise NotImplementedError

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        """Note a GOAWAY, sent or received."""
        raise NotImplementedError

    def connection_refused(self, listener: str, cause: Refusal) -> None:
        """Note a client's connection that none of its streams was taken up from."""
        raise NotImplementedError

    def connected(self, upstream: str, outcome: str) -> None:
        """Note a dial: `ok`, `refused`, `timeout`, `tls`, `dns`, `protocol` or `error`."""
        raise NotImplementedError

    def retried(self, route: str, reason: str, outcome: str) -> None:
        """Note a wish for another attempt, and what became of it, see `core.tries`."""
        raise NotImplementedError

    def endpoint_told(self, upstream: str, event: str) -> None:
        """Note `check_passed`, `check_failed`, `ejected`, `returned` or `relieved`.

        Or, of all that a cluster tells of, `listed`, `changed` or `watch_failed`.
        """
        raise NotImplementedError

    def load_reported(self, upstream: str, outcome: str) -> None:
        """Note a load report: `read`, `incomplete` or `malformed`."""
        raise NotImplementedError

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        """Note how many endpoints an upstream has, and how they are."""
        raise NotImplementedError

    def requests_wait(self, upstream: str, count: int) -> None:
        """Note how many requests wait for a connection to an upstream; once a second at most."""
        raise NotImplementedError
