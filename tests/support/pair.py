"""One connection of the core and the peer at its other end, with no exchange between.

For what a connection promises to whoever uses it; conversations are at the table.
"""

from tests.support.codec import CODEC
from tests.support.parts import Said
from tests.support.table import WIDE, Notebook, Peer
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Fault, Initiator, Side
from trailproxy.core.record import Progress, Tally
from trailproxy.core.stream import Feed, Host, Owner, Stream
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.fields import Fields


class _Doorman(Host):
    """A host that tells its diary."""

    def __init__(self, diary: "Diary") -> None:
        self._diary = diary

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        self._diary.stream_opened(stream, fields, end)

    def connection_changed(self, connection: Connection) -> None:
        self._diary.changes += 1


class _Ear(Feed):
    """A feed that tells its diary."""

    def __init__(self, diary: "Diary") -> None:
        self._diary = diary

    def head(self, fields: Fields, end: bool) -> None:
        self._diary.fed.append(fields)

    def data(self, data: bytes, credit: int, end: bool) -> None:
        self._diary.data(data, credit, end)

    def trailers(self, fields: Fields) -> None:
        self._diary.fed.append(fields)


class Diary(Owner):
    """A host, a stream's owner and its feed: it writes down what it is told."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.gone: list[tuple[int, Fault]] = []
        self.rejected: list[int] = []
        self.noted: list[Cause] = []
        self.fed: list[object] = []
        self.changes = 0
        self.host = _Doorman(self)
        self.ear = _Ear(self)

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        self.opened.append(stream.sid)
        stream.owner = self
        stream.feeds = self.ear

    def data(self, data: bytes, credit: int, end: bool) -> None:
        self.fed.append(data)

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        self.gone.append((stream.sid, fault))

    def trailers_rejected(self, stream: Stream) -> None:
        self.rejected.append(stream.sid)

    def progress(self, stream: Stream) -> Progress:
        return Progress.BODY

    def reset_noted(
        self, stream: Stream, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        self.noted.append(cause)


class Pair:
    """A connection on `side` of the proxy, and its peer."""

    def __init__(
        self,
        side: Side = Side.DOWNSTREAM,
        *,
        peer_window: int = 1 << 20,
        diary: Diary | None = None,
    ) -> None:
        self.notes = Notebook()
        self.tally = Tally()
        self.diary = diary or Diary()
        serves = side is Side.DOWNSTREAM
        ours, theirs = (Role.SERVER, Role.CLIENT) if serves else (Role.CLIENT, Role.SERVER)
        self.core = Connection(
            make_codec(CODEC, ours, WIDE), side, self.diary.host, self.notes, self.tally
        )
        params = WireParams(stream_window=peer_window, connection_window=1 << 24)
        self.peer = Peer(theirs, params, "peer")
        self.peer.core = self.core
        self.peer._deliver = self.settle
        self.settle()

    def settle(self) -> None:
        """Carry octets back and forth until neither has anything left to say."""
        busy = True
        while busy:
            busy = False
            for octets in self.peer.output():
                busy = True
                if self.core.fault is None:
                    self.core.receive(octets)
            octets = self.core.codec.take_output()
            if octets:
                busy = True
                self.peer.listen(octets)

    def takes(self, *parts: Said) -> Stream:
        """Let the peer open a stream; return it."""
        stream = self.core.find(self.peer.opens(*parts))
        assert stream is not None
        return stream

    def opens(self, fields: Fields, *, end: bool = False) -> Stream:
        """Open a stream to the peer."""
        stream = self.core.open()
        assert stream is not None
        stream.owner = self.diary
        stream.feeds = self.diary.ear
        assert self.core.send_headers(stream.sid, fields, end)
        self.settle()
        return stream
