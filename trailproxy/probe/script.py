"""Script: a response as data. The origin plays it, and the client compares what came with it.

So neither can expect what the other does not send. Each script is a promise of HTTP/2 that
hops are known to break.
"""

from dataclasses import dataclass
from typing import Final

from trailproxy.wire.errors import ErrorCode

Pairs = tuple[tuple[str, bytes], ...]

CASE: Final = "trailproxy-probe"
"""The field that asks the origin for a script, and in which it says which one it plays."""

_PREFIX: Final = 5  # octets before a gRPC message: not compressed, and its size


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One response."""

    name: str
    sends: str  # for people
    section: str  # where the promise stands
    method: str = "GET"
    interim: tuple[int, ...] = ()  # statuses of heads before the head
    fields: Pairs = ()  # of the head
    pieces: tuple[int, ...] = ()  # octets of body in each DATA
    trailers: Pairs | None = None  # None: the message ends before; (): in an empty DATA
    breaks: int | None = None  # with a RST_STREAM in place of the end
    cuts: bool = False  # with the connection closed in place of the end
    grpc: bool | None = None  # spoken as gRPC only, or never; None: as is asked
    slow: bool = False  # the client reads nothing until its window is full

    @property
    def body(self) -> bytes:
        """All octets of the body; gRPC takes them for one message."""
        return body(sum(self.pieces))

    def ending(self, grpc: bool) -> Pairs | None:
        """Return the trailers; to gRPC they are no end without a status."""
        status: Pairs = (("grpc-status", b"0"),) if grpc and self.trailers is not None else ()
        return None if self.trailers is None else status + self.trailers


def body(size: int) -> bytes:
    """Return that many octets; gRPC takes them for one message."""
    if size < _PREFIX:
        return b"x" * size
    rest = size - _PREFIX
    pattern = bytes(range(256)) * (rest // 256 + 1)
    return b"\0" + rest.to_bytes(4) + pattern[:rest]


def _fields(count: int, size: int) -> Pairs:
    return tuple((f"x-probe-{number}", b"v" * size) for number in range(count))


_SUM: Final[Pairs] = (("x-probe-sum", b"0f343b0931126a20"), ("x-probe-end", b"yes"))

SCRIPTS: Final = (
    Script(
        name="trailers-present",
        sends="head, body, 2 trailers",
        section="RFC 9113 8.1",
        pieces=(100, 900),
        trailers=_SUM,
    ),
    Script(
        name="announced",
        sends="trailers named by the field `trailer` of the head",
        section="RFC 9110 6.6.2",
        fields=(("trailer", b"x-probe-sum"),),
        pieces=(100,),
        trailers=_SUM,
    ),
    Script(
        name="with-length",
        sends="content-length: 1000, body, 2 trailers",
        section="RFC 9113 8.1.1",
        fields=(("content-length", b"1000"),),
        pieces=(1000,),
        trailers=_SUM,
    ),
    Script(
        name="trailers-only",
        sends="grpc-status in a head that ends the message",
        section="gRPC over HTTP2",
        method="POST",
        fields=(("grpc-status", b"5"), ("grpc-message", b"not found")),
        grpc=True,
    ),
    Script(
        name="empty-body",
        sends="head, no body, 2 trailers",
        section="RFC 9113 8.1",
        trailers=_SUM,
    ),
    Script(
        name="empty-trailers",
        sends="head, body, an empty DATA that ends the message",
        section="RFC 9113 8.1",
        pieces=(100,),
        trailers=(),
        grpc=False,
    ),
    Script(
        name="large-trailers-8k",
        sends="a trailer of 8,000 octets",
        section="RFC 9113 10.5.1",
        pieces=(100,),
        trailers=_fields(1, 8_000),
    ),
    Script(
        name="large-trailers-12k",
        sends="a trailer of 12,000 octets",
        section="RFC 9113 10.5.1",
        pieces=(100,),
        trailers=_fields(1, 12_000),
    ),
    Script(
        name="large-trailers-60k",
        sends="15 trailers of 4,000 octets",
        section="RFC 9113 10.5.1",
        pieces=(100,),
        trailers=_fields(15, 4_000),
    ),
    Script(
        name="duplicate-fields",
        sends="trailers a, b, a with values 1, 2, 3",
        section="RFC 9110 5.3",
        pieces=(100,),
        trailers=(("x-probe-a", b"1"), ("x-probe-b", b"2"), ("x-probe-a", b"3")),
    ),
    Script(
        name="binary-fields",
        sends="trailers with base64, and with octets from 0x80 up",
        section="RFC 9110 5.5",
        pieces=(100,),
        trailers=(("x-probe-bin", b"AAEC/v8="), ("x-probe-octets", b"\xe9t\xe9 \x80\xff")),
    ),
    Script(
        name="body-65535",
        sends="a body of 65,535 octets, 2 trailers",
        section="RFC 9113 6.9.2",
        pieces=(65_535,),
        trailers=_SUM,
    ),
    Script(
        name="slow-reader",
        sends="200,000 octets to a client that lets its window fill, 2 trailers",
        section="RFC 9113 5.2",
        pieces=(100_000, 100_000),
        trailers=_SUM,
        slow=True,
    ),
    Script(
        name="early-hints",
        sends="103, then head, body, 2 trailers",
        section="RFC 9110 15.2",
        interim=(103,),
        pieces=(100,),
        trailers=_SUM,
    ),
    Script(
        name="head-request",
        sends="to HEAD: content-length: 1000, and no body",
        section="RFC 9110 9.3.2",
        method="HEAD",
        fields=(("content-length", b"1000"),),
        grpc=False,
    ),
    Script(
        name="reset-after-head",
        sends="head, RST_STREAM INTERNAL_ERROR",
        section="RFC 9113 5.4.2",
        breaks=ErrorCode.INTERNAL_ERROR,
    ),
    Script(
        name="reset-in-body",
        sends="head, half a body, RST_STREAM ENHANCE_YOUR_CALM",
        section="RFC 9113 5.4.2",
        pieces=(1000,),
        breaks=ErrorCode.ENHANCE_YOUR_CALM,
    ),
    Script(
        name="reset-cancel",
        sends="head, half a body, RST_STREAM CANCEL",
        section="RFC 9113 5.4.2",
        pieces=(1000,),
        breaks=ErrorCode.CANCEL,
    ),
    Script(
        name="connection-cut",
        sends="head, half a body, and the connection closed",
        section="RFC 9113 8.1.1",
        pieces=(1000,),
        cuts=True,
    ),
)
