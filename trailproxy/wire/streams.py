"""Streams: the ones that are open on a connection, the windows, and what became of the rest.

Only the peer's half of a message is judged here (`ledger`); what is said in
which order on our half is the core's business.
"""

from typing import Final, cast, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.frames import DEFAULT_WINDOW
from trailproxy.wire.ledger import Ledger
from trailproxy.wire.table import StreamTable

# What became of a stream that is over.
FORGOTTEN: Final = 0  # or never opened
ENDED: Final = 1  # both sides have said their end
OURS: Final = 2  # we reset it
THEIRS: Final = 3  # the peer did

_REMEMBERED: Final = 512  # streams, the last ones, whose late frames we can still tell apart
_SPAN: Final = 2 * _REMEMBERED  # ids that they take up
_MOST_GAPS: Final = _SPAN // 4  # a gap, and the stream behind it, take up four ids at least


@mypyc_attr(acyclic=True)
@final
class WireStream(Ledger):
    """One open stream: the ledger of what the peer says on it, and its windows.

    One object and not two: there are two streams a request, and an object costs 0.1 µs.
    """

    __slots__ = ("ended", "heard_end", "recv_window", "send_window", "unpaid")

    def __init__(
        self, sid: i64, request: bool, method: bytes, send_window: i64, recv_window: i64
    ) -> None:
        super().__init__(request, method, sid)
        self.send_window: i64 = send_window
        self.recv_window: i64 = recv_window
        self.unpaid: i64 = 0  # credit given back and not yet announced
        self.ended = False  # we have said END_STREAM
        self.heard_end = False  # the peer has


@final
class Streams:
    """All streams of one connection, and the connection's own windows."""

    __slots__ = (
        "_fates",
        "_gaps",
        "client",
        "goaway_last",
        "highest",
        "initial_window",
        "live",
        "recv_window",
        "send_window",
        "unpaid",
    )

    def __init__(self, client: bool, recv_window: i64) -> None:
        self.client: Final = client
        self.live: Final = StreamTable()
        self.highest: i64 = -1 if client else 0  # id used by the client, whoever that is
        self.goaway_last: i64 = MAX_SID  # what our GOAWAY said
        self.initial_window: i64 = DEFAULT_WINDOW  # the peer's, for new streams
        self.send_window: i64 = DEFAULT_WINDOW
        self.recv_window: i64 = recv_window
        self.unpaid: i64 = 0
        self._fates: Final[dict[int, int]] = {}  # of the last ones, but for those that ended well
        # ids that were passed over: from the first to before the next that was used
        self._gaps: Final[list[tuple[int, int]]] = []

    def idle(self, sid: i64) -> bool:
        """Tell whether nobody has opened this stream yet (RFC 9113 section 5.1)."""
        # servers open none, push is off: an even id is always idle
        return sid > self.highest or sid & 1 == 0

    def advance(self, sid: i64) -> None:
        """The client uses this id: all lower ones that are not open never will be."""
        skipped = self.highest + 1 | 1
        self.highest = sid
        if skipped < sid:
            # noted as one: the ids in it are the peer's to choose, and may be a billion
            self._gaps.append((skipped, sid))
            if len(self._gaps) > _MOST_GAPS:
                del self._gaps[0]

    def open(self, sid: i64, method: bytes, recv_window: i64) -> WireStream:
        """Open a stream, whose id is the highest; a client's request has this method."""
        stream = WireStream(sid, not self.client, method, self.initial_window, recv_window)
        self.live.add(stream)
        return stream

    def find(self, sid: i64) -> WireStream | None:
        """Return the open stream with this id, or None."""
        return cast("WireStream | None", self.live.get(sid))

    def bury(self, stream: WireStream, fate: i64) -> None:
        """Let go of an open stream, and remember what became of it."""
        self.live.remove(stream)
        if fate != ENDED:
            self.remember(stream.sid, fate)

    def remember(self, sid: i64, fate: i64) -> None:
        """Note what became of a stream other than that it ended well."""
        fates = self._fates
        fates[sid] = fate
        if len(fates) > 2 * _REMEMBERED:
            # the first to go, not the lowest ids: what is late is late behind a stream's end
            for old in list(fates)[:_REMEMBERED]:
                del fates[old]

    def fate(self, sid: i64) -> i64:
        """Return what became of a stream that is not open."""
        known = self._fates.get(sid)
        if known is not None:
            return known
        recent = self.highest - _SPAN < sid <= self.highest
        return ENDED if recent and not self._passed_over(sid) else FORGOTTEN

    def _passed_over(self, sid: i64) -> bool:
        for first, used in self._gaps:  # noqa: SIM110 - compiled, any() would make a generator
            if first <= sid < used:
                return True
        return False

    def change_initial_window(self, size: i64) -> bool:
        """RFC 9113 section 6.9.2; False if a stream's window would go beyond 2^31-1."""
        change = size - self.initial_window
        if not change:
            return True
        self.initial_window = size
        fits = True
        for numbered in self.live.values():
            stream = cast("WireStream", numbered)
            stream.send_window += change
            fits = fits and stream.send_window <= MAX_SID
        return fits
