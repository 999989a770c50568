"""The things a peer can tell us.

Each event is immutable, and the end of a message rides on the part that
carries it: there is no separate "ended" that could be lost or reordered.
"""

from typing import NamedTuple

from trailproxy.wire.fields import Fields


class HeadReceived(NamedTuple):
    """A request head, an interim response head, or a final response head."""

    sid: int
    fields: Fields
    end: bool


class DataReceived(NamedTuple):
    """A piece of body."""

    sid: int
    data: bytes
    credit: int  # window bytes owed back, padding included (RFC 9113 section 6.1)
    end: bool


class TrailersReceived(NamedTuple):
    """The trailing fields; they always end the message (RFC 9113 section 8.1)."""

    sid: int
    fields: Fields


class StreamReset(NamedTuple):
    """The peer sent RST_STREAM."""

    sid: int
    code: int


class StreamFault(NamedTuple):
    """The peer broke a rule on one stream; the codec has already reset it.

    `refused` tells that the stream was never opened (too many at once): nothing
    of it was processed. `trailers` tells that its trailer section was the sin.
    """

    sid: int
    code: int
    why: str
    refused: bool = False
    trailers: bool = False


class WindowOpened(NamedTuple):
    """There may be room to send on this stream; 0 means on all of them."""

    sid: int


class GoAwayReceived(NamedTuple):
    """The peer takes no streams above `last_sid` (RFC 9113 section 6.8)."""

    last_sid: int
    code: int
    why: str


class PeerSettings(NamedTuple):
    """The peer's SETTINGS arrived; `max_streams` is what it lets us open at once."""

    max_streams: int


class PongReceived(NamedTuple):
    """The answer to one of our PINGs."""

    payload: bytes


class ConnectionFault(NamedTuple):
    """The peer broke the connection; the codec has already said GOAWAY."""

    code: int
    why: str


Event = (
    HeadReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | StreamFault
    | WindowOpened
    | GoAwayReceived
    | PeerSettings
    | PongReceived
    | ConnectionFault
)
