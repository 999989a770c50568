"""The things a peer can tell us.

Each event is immutable, and the end of a message rides on the part that
carries it: there is no separate "ended" that could be lost or reordered.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.fields import Fields


@mypyc_attr(acyclic=True)
class Event:
    """What the codec returns; two events are equal when they tell the same."""

    __slots__ = ()

    def tells(self) -> tuple[object, ...]:
        """Return what the event says, in the order of its arguments."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        same = type(self) is type(other)
        return same and isinstance(other, Event) and other.tells() == self.tells()

    def __hash__(self) -> int:
        return hash(self.tells())

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.tells()!r}"


@mypyc_attr(acyclic=True)
@final
class HeadReceived(Event):
    """A request head, an interim response head, or a final response head."""

    __slots__ = ("end", "fields", "sid")

    def __init__(self, sid: i64, fields: Fields, end: bool) -> None:
        self.sid: Final[i64] = sid
        self.fields: Final = fields
        self.end: Final = end

    def tells(self) -> tuple[object, ...]:
        """Return stream id, fields and end."""
        return (self.sid, self.fields, self.end)


@mypyc_attr(acyclic=True)
@final
class DataReceived(Event):
    """A piece of body; `credit` is window octets owed back, padding included (RFC 9113 6.1)."""

    __slots__ = ("credit", "data", "end", "sid")

    def __init__(self, sid: i64, data: bytes, credit: i64, end: bool) -> None:
        self.sid: Final[i64] = sid
        self.data: Final = data
        self.credit: Final[i64] = credit
        self.end: Final = end

    def tells(self) -> tuple[object, ...]:
        """Return stream id, octets, credit and end."""
        return (self.sid, self.data, self.credit, self.end)


@mypyc_attr(acyclic=True)
@final
class TrailersReceived(Event):
    """The trailing fields; they always end the message (RFC 9113 section 8.1)."""

    __slots__ = ("fields", "sid")

    def __init__(self, sid: i64, fields: Fields) -> None:
        self.sid: Final[i64] = sid
        self.fields: Final = fields

    def tells(self) -> tuple[object, ...]:
        """Return stream id and fields."""
        return (self.sid, self.fields)


@final
class StreamReset(Event):
    """The peer sent RST_STREAM."""

    __slots__ = ("code", "sid")

    def __init__(self, sid: i64, code: i64) -> None:
        self.sid: Final[i64] = sid
        self.code: Final[i64] = code

    def tells(self) -> tuple[object, ...]:
        """Return stream id and error code."""
        return (self.sid, self.code)


@final
class StreamFault(Event):
    """The peer broke a rule on one stream; the codec has already reset it.

    `refused` tells that the stream was never opened (too many at once): nothing
    of it was processed. `trailers` tells that its trailer section was the sin.
    """

    __slots__ = ("code", "refused", "sid", "trailers", "why")

    def __init__(
        self, sid: i64, code: i64, why: str, refused: bool = False, trailers: bool = False
    ) -> None:
        self.sid: Final[i64] = sid
        self.code: Final[i64] = code
        self.why: Final = why
        self.refused: Final = refused
        self.trailers: Final = trailers

    def tells(self) -> tuple[object, ...]:
        """Return stream id, error code, reason, and the two marks."""
        return (self.sid, self.code, self.why, self.refused, self.trailers)


@mypyc_attr(acyclic=True)
@final
class WindowOpened(Event):
    """There may be room to send on this stream; 0 means on all of them."""

    __slots__ = ("sid",)

    def __init__(self, sid: i64) -> None:
        self.sid: Final[i64] = sid

    def tells(self) -> tuple[object, ...]:
        """Return the stream id."""
        return (self.sid,)


@final
class GoAwayReceived(Event):
    """The peer takes no streams above `last_sid` (RFC 9113 section 6.8)."""

    __slots__ = ("code", "last_sid", "why")

    def __init__(self, last_sid: i64, code: i64, why: str) -> None:
        self.last_sid: Final[i64] = last_sid
        self.code: Final[i64] = code
        self.why: Final = why

    def tells(self) -> tuple[object, ...]:
        """Return the last stream id, the error code and the reason."""
        return (self.last_sid, self.code, self.why)


@final
class PeerSettings(Event):
    """The peer's SETTINGS arrived; `max_streams` is what it lets us open at once."""

    __slots__ = ("max_streams",)

    def __init__(self, max_streams: i64) -> None:
        self.max_streams: Final[i64] = max_streams

    def tells(self) -> tuple[object, ...]:
        """Return the limit."""
        return (self.max_streams,)


@final
class PongReceived(Event):
    """The answer to one of our PINGs."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload: Final = payload

    def tells(self) -> tuple[object, ...]:
        """Return the eight octets."""
        return (self.payload,)


@final
class ConnectionFault(Event):
    """The peer broke the connection; the codec has already said GOAWAY."""

    __slots__ = ("code", "why")

    def __init__(self, code: i64, why: str) -> None:
        self.code: Final[i64] = code
        self.why: Final = why

    def tells(self) -> tuple[object, ...]:
        """Return the error code and the reason."""
        return (self.code, self.why)
