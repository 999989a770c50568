"""Codecs and parsers with something wrong with them, for what should find it."""

from benchmarks.fuzz.wrapped import Wrapped
from tests.support import frames
from trailproxy.wire import make_codec
from trailproxy.wire.events import ConnectionFault, PongReceived
from trailproxy.wire.fields import Fields


class Planted(Wrapped):
    """A codec of any kind, made as `make_codec` makes them."""

    def __init__(self, name, role, params):
        super().__init__(make_codec(name, role, params))


class Raises(Planted):
    def receive(self, data):
        return [] if len(data) < 20 else [][len(data)]


class Stutters(Planted):
    def take_pieces(self):
        octets = b"".join(super().take_pieces())
        return [octets, octets[-13:]]


class Overdraws(Planted):
    def sendable(self, sid):
        return 2_000_000


class BreaksTwice(Planted):
    def receive(self, data):
        events = super().receive(data)
        return [event for event in events if isinstance(event, ConnectionFault)] * 2 or events


class EndsTooEarly(Planted):
    def send_data(self, sid, data, end):
        super().send_data(sid, data, end=True)


class LosesTrailers(Planted):
    def send_trailers(self, sid, fields):
        super().send_trailers(sid, Fields([]))


class ChangesBodies(Planted):
    def send_data(self, sid, data, end):
        super().send_data(sid, bytes(len(data)), end)


class LosesFields(Planted):
    def send_head(self, sid, fields, end):
        super().send_head(sid, Fields([field for field in fields if field.name != b"x-a"]), end)


class Malforms(Planted):
    """It lets a length through that is not the body's."""

    def send_head(self, sid, fields, end):
        lengthy = [*fields, *Fields.of([("content-length", "99")])]
        super().send_head(sid, fields if end else Fields(lengthy), end)


class HearsNoPongs(Planted):
    """One of two codecs, which do not tell the same any more."""

    def __init__(self, name, role, params):
        super().__init__(name, role, params)
        self.deaf = name == "h2"

    def receive(self, data):
        events = super().receive(data)
        return [event for event in events if not (self.deaf and isinstance(event, PongReceived))]


class AnswersNoPings(Planted):
    """One of two codecs, which do not answer the same any more."""

    def __init__(self, name, role, params):
        super().__init__(name, role, params)
        self.mute = name == "h2"

    def take_pieces(self):
        pieces = super().take_pieces()
        return [] if self.mute and frames.raw(6, 1, 0, b"12345678") in pieces else pieces
