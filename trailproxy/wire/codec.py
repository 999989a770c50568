"""The seam: what every HTTP/2 codec promises, whoever wrote it.

`tests/wire/test_codec_contract.py` holds every codec to these promises:

1. `receive` never raises for a peer's sin, whatever the bytes and however they
   are split; the events are the same for every split.
2. A malformed message (RFC 9113 section 8.1.1) resets its own stream and is
   reported as `StreamFault`; the other events of the same read are delivered.
   content-length must equal the DATA sum, also when trailers end the message.
3. Only faults of framing, field compression and floods end the connection;
   they are reported as one `ConnectionFault`, behind the events before it.
4. GOAWAY, sent or received, leaves the streams in flight alone.
5. Fields are checked before anything is encoded: a refused list leaves the
   compression state as it was, and raises `HTTP2Error` naming the field.
6. Empty trailers end the stream with an empty DATA frame.
7. Padding counts as credit; credit for streams that are gone still opens the
   connection's window.
8. Field order, duplicates and never-indexed marks are kept; cookies are not
   joined.
9. A stream above our limit is refused with REFUSED_STREAM, at no other cost.
10. Streams that are over cost nothing, and every table has a bound.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import Event
from trailproxy.wire.fields import Fields

MAX_SID: Final = 2**31 - 1
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Role(Enum):
    """Which end of the connection we are."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, kw_only=True)
class WireParams:
    """The limits one endpoint sets its peer, in octets, fields and streams."""

    max_concurrent_streams: int = 250  # streams the peer may have open at once
    stream_window: int = 256 * 1024  # body octets that may wait for one stream
    connection_window: int = 4 * 1024 * 1024  # the same, for all streams together
    max_header_list: int = 64 * 1024  # one field section, as RFC 9113 section 6.5.2 counts
    max_header_fields: int = 512  # in one field section
    max_frame_size: int = 16 * 1024  # RFC 9113 section 6.5.2

    def excess(self, fields: Fields) -> str:
        """Say why a field section is too large, or return an empty string."""
        if fields.size > self.max_header_list:
            return f"field section of {fields.size} octets, the limit is {self.max_header_list}"
        if len(fields.items) > self.max_header_fields:
            return f"{len(fields.items)} fields in a section, the limit is {self.max_header_fields}"
        return ""


@mypyc_attr(allow_interpreted_subclasses=True)
class Codec:
    """One end of one HTTP/2 connection, without the socket."""

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read from the socket; return what the peer told us, in order."""
        raise NotImplementedError

    def take_pieces(self) -> list[bytes]:
        """Return what must be written to the socket, once; large bodies are pieces of their own."""
        raise NotImplementedError

    def take_output(self) -> bytes:
        """Return the same in one piece."""
        return b"".join(self.take_pieces())

    def open_stream(self) -> i64:
        """Return the id of the next stream of ours, or 0 when the ids are used up."""
        raise NotImplementedError

    def send_head(self, sid: i64, fields: Fields, end: bool) -> None:
        """Send a request head, an interim head or a response head.

        Raises:
            HTTP2Error: a field must not reach the wire; nothing was sent.
        """
        raise NotImplementedError

    def send_data(self, sid: i64, data: bytes, end: bool) -> None:
        """Send body octets, no more than `sendable(sid)`; split into frames as the peer likes."""
        raise NotImplementedError

    def send_trailers(self, sid: i64, fields: Fields) -> None:
        """Send trailers and end the stream; an empty list ends it with an empty DATA frame.

        Raises:
            HTTP2Error: a field must not reach the wire; nothing was sent.
        """
        raise NotImplementedError

    def reset(self, sid: i64, code: i64) -> None:
        """Send RST_STREAM; for a stream that is over, do nothing."""
        raise NotImplementedError

    def sendable(self, sid: i64) -> i64:
        """Return how many body octets the peer's windows admit now; 0 for unknown streams.

        For stream 0 it is what the connection's window admits, for all streams together.
        """
        raise NotImplementedError

    def consumed(self, sid: i64, credit: i64) -> None:
        """Give `credit` window octets back to the peer."""
        raise NotImplementedError

    def goaway(self, last_sid: i64, code: ErrorCode, why: str = "") -> None:
        """Announce that streams above `last_sid` are not taken (RFC 9113 section 6.8)."""
        raise NotImplementedError

    def ping(self, payload: bytes) -> None:
        """Send a PING with eight octets; the answer is `PongReceived`."""
        raise NotImplementedError

    def replenish(self) -> None:
        """A second has passed: let the peer's flood allowances recover.

        The codec has no clock; its owner has.
        """
        raise NotImplementedError

    @property
    def unfinished(self) -> i64:
        """What the peer has begun to say and not ended, by a number; 0 if there is nothing.

        It is the same number as long as it is the same field block, or the same frame. A
        frame of body does not count while its stream is open, whose owner watches it; nor
        does one that may be body, while any stream is.
        """
        raise NotImplementedError

    @property
    def max_streams(self) -> i64:
        """How many streams the peer lets us have open at once."""
        raise NotImplementedError

    @property
    def last_peer_sid(self) -> i64:
        """The highest stream id of the peer's that we took up; 0 if none."""
        raise NotImplementedError
