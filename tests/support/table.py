"""A table with a client at one end, a server at the other, and the core between.

Both peers speak through real codecs, so every octet the proxy writes is read
by somebody; there is no socket, no loop and no time but what a test gives.
"""

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.clock import FakeClock
from tests.support.codec import CODEC, OTHER
from tests.support.parts import Data, Head, Reset, Said, Trailers
from trailproxy.core.clock import DateStamp
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Fault, Initiator, Refusal, Side
from trailproxy.core.load_report import LoadReport
from trailproxy.core.proxy import Front, Proxy
from trailproxy.core.record import Direction, Observer, Outcome, Progress, Record, Tally
from trailproxy.core.routing import Deadlines, Handling, Route, Router, Share
from trailproxy.core.stream import Host
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.wire import Codec, Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    DataReceived,
    GoAwayReceived,
    HeadReceived,
    StreamReset,
    TrailersReceived,
)
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = WireParams(stream_window=1 << 20, connection_window=1 << 24)


class Notebook(Observer):
    """An Observer that writes everything down."""

    def __init__(self) -> None:
        self.began: list[Record] = []
        self.finished: list[Record] = []
        self.resets: list[tuple[Side, Initiator, ErrorCode, Progress, Cause]] = []
        self.trailer_outcomes: Counter[tuple[Direction, Outcome]] = Counter()
        self.retries: Counter[tuple[str, str]] = Counter()
        self.trailer_losses: list[Cause] = []
        self.fields_removed = 0
        self.digests: Counter[tuple[Direction, str]] = Counter()
        self.hook_calls: Counter[tuple[str, bool]] = Counter()
        self.goaways: list[tuple[Side, Direction, int]] = []
        self.refusals: list[tuple[str, Refusal]] = []

    def exchange_began(self, record: Record) -> None:
        self.began.append(record)

    def exchange_finished(self, record: Record) -> None:
        self.finished.append(record)

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        self.resets.append((side, initiator, ErrorCode(code), progress, cause))

    def trailers(
        self, direction: Direction, outcome: Outcome, route: str, cause: Cause | None = None
    ) -> None:
        self.trailer_outcomes[direction, outcome] += 1
        if outcome is Outcome.DROPPED:
            assert cause is not None, "a dropped trailer section has a cause"
            self.trailer_losses.append(cause)

    def trailer_fields_removed(self, direction: Direction, route: str, count: int) -> None:
        self.fields_removed += count

    def digest_checked(self, direction: Direction, outcome: str, route: str) -> None:
        self.digests[direction, outcome] += 1

    def hook_called(self, hook: str, seconds: float, *, failed: bool) -> None:
        self.hook_calls[hook, failed] += 1

    def connection_refused(self, listener: str, cause: Refusal) -> None:
        self.refusals.append((listener, cause))

    def goaway(self, side: Side, direction: Direction, code: int) -> None:
        self.goaways.append((side, direction, code))

    def connected(self, upstream: str, outcome: str) -> None:
        raise AssertionError("nobody dials at this table")

    def retried(self, route: str, reason: str, outcome: str) -> None:
        self.retries[reason, outcome] += 1

    def endpoint_told(self, upstream: str, event: str) -> None:
        raise AssertionError("nobody asks for health at this table")

    def load_reported(self, upstream: str, outcome: str) -> None:
        raise AssertionError("nobody weighs endpoints at this table")

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        raise AssertionError("nobody has endpoints at this table")

    def requests_wait(self, upstream: str, count: int) -> None:
        raise AssertionError("nobody waits for endpoints at this table")


class Peer:
    """One end of the table: it says parts, and tells what it has heard."""

    def __init__(self, role: Role, params: WireParams, name: str) -> None:
        self.name = name
        self.codec: Codec = make_codec(OTHER, role, params)
        self.core: Connection
        self.sid = 0  # the stream that is spoken of
        self.heard: dict[int, list[Said]] = {}
        self.goaways: list[GoAwayReceived] = []
        self.holds = False  # keep the credit instead of paying it back
        self.split = 0  # feed the proxy this many octets at a time; 0: all at once
        self._held: list[tuple[int, int]] = []
        self._deliver: Callable[[], None]

    def says(self, *parts: Said, sid: int = 0) -> None:
        """Send parts on a stream, and let the proxy react to each."""
        for part in parts:
            self._say(sid or self.sid, part)
            self._deliver()

    def opens(self, *parts: Said) -> int:
        """Open a stream with these parts; it becomes the one that is spoken of."""
        self.sid = self.codec.open_stream()
        self.says(*parts)
        return self.sid

    def grants(self, octets: int) -> None:
        """Pay back credit that was held."""
        self._deliver()
        left = octets
        while left and self._held:
            sid, credit = self._held.pop(0)
            paid = min(credit, left)
            self.codec.consumed(sid, paid)
            left -= paid
            if credit > paid:
                self._held.insert(0, (sid, credit - paid))
        self._deliver()

    def leaves(self) -> None:
        """Close the socket."""
        self._deliver()
        self.core.lost_socket(f"{self.core.side} closed the connection")
        self._deliver()

    def goes_away(self, last_sid: int, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Send GOAWAY."""
        self.codec.goaway(last_sid, code)
        self._deliver()

    def hears(self, *parts: Said, sid: int = 0) -> None:
        """Check that exactly these parts have come on a stream since the last look."""
        said = self.heard.pop(sid or self.sid, [])
        assert _joined(said) == _joined(list(parts))

    def hears_nothing(self, sid: int = 0) -> None:
        """Check that nothing has come since the last look."""
        self.hears(sid=sid)

    def _say(self, sid: int, part: Said) -> None:
        if isinstance(part, Head):
            self.codec.send_head(sid, Fields.of(part.fields), part.end)
        elif isinstance(part, Data):
            self.codec.send_data(sid, part.octets, part.end)
        elif isinstance(part, Trailers):
            self.codec.send_trailers(sid, Fields.of(part.fields))
        else:
            self.codec.reset(sid, part.code)

    def listen(self, octets: bytes) -> None:
        """Take what the proxy wrote."""
        for event in self.codec.receive(octets):
            if isinstance(event, HeadReceived):
                self._hear(event.sid, Head(_pairs(event.fields), event.end))
                self.sid = max(self.sid, event.sid)
            elif isinstance(event, DataReceived):
                self._hear(event.sid, Data(event.data, event.end))
                self._pay(event.sid, event.credit)
            elif isinstance(event, TrailersReceived):
                self._hear(event.sid, Trailers(_pairs(event.fields)))
            elif isinstance(event, StreamReset):
                self._hear(event.sid, Reset(ErrorCode(event.code)))
            elif isinstance(event, GoAwayReceived):
                self.goaways.append(event)

    def _pay(self, sid: int, credit: int) -> None:
        if self.holds:
            self._held.append((sid, credit))
        else:
            self.codec.consumed(sid, credit)

    def _hear(self, sid: int, part: Said) -> None:
        self.heard.setdefault(sid, []).append(part)

    def output(self) -> list[bytes]:
        """Return what this peer has written, split as the test wants it."""
        octets = self.codec.take_output()
        step = self.split or len(octets) or 1
        return [octets[at : at + step] for at in range(0, len(octets), step)]


class Kitchen(Upstream):
    """An Upstream whose one connection is the table's server, or whatever a test decides."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "app"
        self.core: Connection | None = None
        self.waiting: list[Tenant] = []
        self.leases = 0
        self.avoided: list[str] = []  # the endpoints its tenants had enough of
        self.heard: list[Record] = []  # what it was told of, where it is attentive
        self.loads: list[LoadReport | None] = []  # where it reads them

    def lease(self, tenant: Tenant) -> None:
        self.leases += 1
        self.avoided.append(tenant.avoid)
        if self.core is None:
            self.waiting.append(tenant)
        else:
            tenant.attach(self.core, "server")

    def cancel(self, tenant: Tenant) -> None:
        if tenant in self.waiting:
            self.waiting.remove(tenant)

    def exchange_over(self, record: Record) -> None:
        self.heard.append(record)

    def load_told(self, endpoint: str, report: LoadReport | None) -> None:
        assert endpoint == "server"
        self.loads.append(report)

    def opens(self, core: Connection) -> None:
        """A connection is there: serve those who wait."""
        self.core = core
        waiting, self.waiting = self.waiting, []
        for tenant in waiting:
            tenant.attach(core, "server")

    def fails(self, fault: Fault) -> None:
        """There is none to be had: tell those who wait."""
        waiting, self.waiting = self.waiting, []
        for tenant in waiting:
            tenant.lease_failed(fault)


class UpstreamHost(Host):
    """The host of the connection to the server."""

    def stream_opened(self, stream: object, fields: Fields, end: bool) -> None:
        raise AssertionError("a server opens no streams")

    def connection_changed(self, connection: Connection) -> None:
        pass


class Table:
    """Client, proxy and server."""

    def __init__(
        self,
        *,
        client_window: int = 1 << 20,
        client_connection_window: int = 1 << 24,
        server_window: int = 1 << 20,
        proxy: WireParams = WIDE,
        deadlines: Deadlines | None = None,
        handling: Handling | None = None,
        connected: bool = True,
    ) -> None:
        self.clock = FakeClock()
        self.notes = Notebook()
        self.kitchen = Kitchen()
        self.tallies = {Side.DOWNSTREAM: Tally(), Side.UPSTREAM: Tally()}
        route = Route(
            name="all",
            share=Share([(self.kitchen, 1)]),
            deadlines=deadlines or Deadlines(),
            handling=handling,
        )
        self.proxy = Proxy(
            Router((route,)),
            self.notes,
            self.tallies,
            self.clock,
            DateStamp(lambda: 784111777.0),
        )
        self.client = Peer(
            Role.CLIENT,
            WireParams(stream_window=client_window, connection_window=client_connection_window),
            "client",
        )
        self.server = Peer(
            Role.SERVER,
            WireParams(stream_window=server_window, connection_window=1 << 24),
            "server",
        )
        front = Front(self.proxy, "main", "192.0.2.7", "http")
        self.client.core = self._core(Role.SERVER, Side.DOWNSTREAM, front, proxy)
        self.server.core = self._core(Role.CLIENT, Side.UPSTREAM, UpstreamHost(), proxy)
        for peer in (self.client, self.server):
            peer._deliver = self.settle
        self.settle()
        if connected:
            self.connect()

    def _core(self, role: Role, side: Side, host: object, params: WireParams) -> Connection:
        codec = make_codec(CODEC, role, params)
        return Connection(codec, side, host, self.notes, self.tallies[side])  # type: ignore[arg-type]

    def connect(self) -> None:
        """Give the upstream its connection."""
        self.kitchen.opens(self.server.core)
        self.settle()

    def settle(self) -> None:
        """Carry octets back and forth until nobody has anything left to say."""
        busy = True
        while busy:
            busy = False
            for peer in (self.client, self.server):
                for octets in peer.output():
                    busy = True
                    if peer.core.fault is None:
                        peer.core.receive(octets)
                octets = peer.core.codec.take_output()
                if octets:
                    busy = True
                    peer.listen(octets)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.settle()

    @property
    def record(self) -> Record:
        """The one exchange that has finished."""
        (record,) = self.notes.finished
        return record

    def is_clean(self) -> None:
        """Check that nothing is left over, and that the books balance."""
        completed = sum(1 for record in self.notes.finished if record.dropped is None)
        dropped = len(self.notes.finished) - completed
        assert len(self.notes.began) == completed + dropped + self.proxy.active
        assert self.proxy.active == 0
        for side, tally in self.tallies.items():
            assert tally.streams == 0, side
            assert tally.parked_bytes == 0, side
        assert not self.client.core.streams
        assert not self.server.core.streams


def _pairs(fields: Fields) -> tuple[tuple[str, str], ...]:
    ours = {b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"date"}
    return tuple((f.name.decode(), f.value.decode()) for f in fields if f.name not in ours)


def _joined(parts: list[Said]) -> list[Said]:
    """Make adjacent pieces of body one: how they were cut is nobody's promise."""
    joined: list[Said] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, Data) and isinstance(before, Data) and not before.end:
            joined[-1] = Data(before.octets + part.octets, part.end)
        else:
            joined.append(part)
    return joined
