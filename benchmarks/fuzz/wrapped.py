"""Wrapped: a codec around another one, for whoever wants to hear or change something of it."""

from typing import Final

from trailproxy.wire import Codec
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import Event
from trailproxy.wire.fields import Fields


class Wrapped(Codec):
    """Passes everything on as it is."""

    def __init__(self, inner: Codec) -> None:
        self.inner: Final = inner

    def receive(self, data: bytes) -> list[Event]:
        return self.inner.receive(data)

    def take_pieces(self) -> list[bytes]:
        return self.inner.take_pieces()

    def open_stream(self) -> int:
        return self.inner.open_stream()

    def send_head(self, sid: int, fields: Fields, end: bool) -> None:
        self.inner.send_head(sid, fields, end)

    def send_data(self, sid: int, data: bytes, end: bool) -> None:
        self.inner.send_data(sid, data, end)

    def send_trailers(self, sid: int, fields: Fields) -> None:
        self.inner.send_trailers(sid, fields)

    def reset(self, sid: int, code: int) -> None:
        self.inner.reset(sid, code)

    def sendable(self, sid: int) -> int:
        return self.inner.sendable(sid)

    def consumed(self, sid: int, credit: int) -> None:
        self.inner.consumed(sid, credit)

    def goaway(self, last_sid: int, code: ErrorCode, why: str = "") -> None:
        self.inner.goaway(last_sid, code, why)

    def ping(self, payload: bytes) -> None:
        self.inner.ping(payload)

    def replenish(self) -> None:
        self.inner.replenish()

    @property
    def max_streams(self) -> int:
        return self.inner.max_streams

    @property
    def last_peer_sid(self) -> int:
        return self.inner.last_peer_sid
