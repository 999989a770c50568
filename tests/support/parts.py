"""The parts of a conversation, as tests write them and as they compare."""

from typing import NamedTuple

from trailproxy.wire.errors import ErrorCode

Pairs = tuple[tuple[str, str], ...]


class Head(NamedTuple):
    """A request or response head; `end` when nothing follows."""

    fields: Pairs
    end: bool = False


class Data(NamedTuple):
    """Body octets; adjacent pieces are one when compared."""

    octets: bytes
    end: bool = False


class Trailers(NamedTuple):
    """The trailing fields."""

    fields: Pairs


class Reset(NamedTuple):
    """A RST_STREAM."""

    code: ErrorCode


Said = Head | Data | Trailers | Reset


def request(method: str = "POST", path: str = "/", *, end: bool = False, **extra: str) -> Head:
    """Build a request head; underscores in names become hyphens."""
    fields = (
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "api.example.com"),
    )
    return Head(fields + _more(extra), end)


def grpc_request(path: str = "/greet.Greeter/Hello", *, end: bool = False, **extra: str) -> Head:
    """Build the head of a gRPC call."""
    return request("POST", path, end=end, te="trailers", content_type="application/grpc", **extra)


def grpc_head(*, end: bool = False, **extra: str) -> Head:
    """Build the head of a gRPC response."""
    return head(200, end=end, content_type="application/grpc", **extra)


def head(status: int = 200, *, end: bool = False, **extra: str) -> Head:
    """Build a response head."""
    return Head(((":status", str(status)), *_more(extra)), end)


def data(octets: bytes, *, end: bool = False) -> Data:
    """Build a piece of body."""
    return Data(octets, end)


def trailers(*pairs: tuple[str, str], **named: str) -> Trailers:
    """Build trailers from pairs, from names, or both."""
    return Trailers(pairs + _more(named))


def reset(code: ErrorCode = ErrorCode.CANCEL) -> Reset:
    """Build a RST_STREAM."""
    return Reset(code)


def _more(extra: dict[str, str]) -> Pairs:
    return tuple((name.replace("_", "-"), value) for name, value in extra.items())
