"""Victims: what hostile peers are let loose on, and what must hold of it at every moment.

A codec alone, whose owner answers as a careless program would; and a proxy between two
connections, with the routes, deadlines and queues of a real one, and no socket. Whatever
is written is audited; whatever was taken is given back when it is over.
"""

from typing import Final, Protocol

from benchmarks.auditor import Auditor
from benchmarks.hostile import ASK, CLIENT, DRAIN, FREE, FULL, GONE, SECOND, SERVER, Step
from tests.support.clock import FakeClock
from tests.support.table import Notebook
from trailproxy.core.clock import DateStamp
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Initiator, Side, ours
from trailproxy.core.matching import Wanted
from trailproxy.core.proxy import Front, Proxy
from trailproxy.core.record import Progress, Tally
from trailproxy.core.routing import Deadlines, Route, Router, Share
from trailproxy.core.stream import Stream
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    HeadReceived,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.fields import Fields

PARAMS: Final = WireParams(
    max_concurrent_streams=20, stream_window=50_000, connection_window=1 << 18
)
_QUEUE: Final = 8  # requests that may wait for the upstream
_OWN_OCTETS: Final = 1000  # of a response that we make up, at most
_STEP_S: Final = 7.0  # deadlines are a few of these
_OK: Final = Fields.of([(":status", "200"), ("x-server", "victim")])
_POST: Final = Fields.of(
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
)
_TRAILERS: Final = Fields.of([("grpc-status", "0")])


class Victim(Protocol):
    """What a script is played to."""

    def play(self, step: Step) -> None:
        """Let one thing happen."""
        ...

    def finish(self) -> None:
        """Let everybody leave, and look for what is left."""
        ...


class CodecVictim:
    """A codec alone; its owner answers what it hears, and sends as much as it may."""

    def __init__(self, codec: str, role: Role) -> None:
        self._make = codec, role
        self._begin()

    def _begin(self) -> None:
        name, role = self._make
        self._serves = role is Role.SERVER
        self._codec = make_codec(name, role, PARAMS)
        self._auditor = Auditor(from_client=not self._serves)
        self._broken = False
        self._asked = 0  # streams of ours
        self._unsent: dict[int, int] = {}  # body octets, by stream
        self._flush()

    def play(self, step: Step) -> None:
        """Let one thing happen."""
        if step.octets:
            self._hear(step.octets)
        elif step.what == ASK and self._asked < self._codec.max_streams:
            self._asked += 1
            self._say(self._codec.open_stream(), _POST)
        elif step.what == SECOND:
            self._codec.replenish()
        elif step.what == DRAIN:
            self._codec.goaway(self._codec.last_peer_sid, ErrorCode.NO_ERROR)
        elif step.what.endswith(GONE):
            self._begin()
        self._flush()

    def _hear(self, octets: bytes) -> None:
        self._auditor.peer_says(octets)
        events = self._codec.receive(octets)
        broken = [event for event in events if isinstance(event, ConnectionFault)]
        assert not (self._broken and events), f"heard behind the end: {events}"
        assert not broken or broken == events[-1:], f"not the last words: {events}"
        self._broken = self._broken or bool(broken)
        for event in events:
            self._answer(event)

    def _answer(self, event: Event) -> None:
        if isinstance(event, HeadReceived) and self._serves:
            self._say(event.sid, _OK)
        elif isinstance(event, DataReceived) and event.sid % 5:
            self._codec.consumed(event.sid, event.credit)
        elif isinstance(event, TrailersReceived) and event.sid % 4 == 1:
            self._codec.reset(event.sid, ErrorCode.CANCEL)
        elif isinstance(event, WindowOpened):
            for sid in list(self._unsent):
                self._send(sid)

    def _say(self, sid: int, head: Fields) -> None:
        size = (0, 10, 3000, 100_000)[sid % 4]
        try:
            self._codec.send_head(sid, head, end=size == 0)
        except HTTP2Error as error:
            # what ended the stream came in the same read
            if error.code != ErrorCode.STREAM_CLOSED:
                raise
            return
        if size:
            self._unsent[sid] = size
            self._send(sid)

    def _send(self, sid: int) -> None:
        left, room = self._unsent[sid], self._codec.sendable(sid)
        if not room:
            return
        size = min(left, room)
        self._codec.send_data(sid, bytes(size), end=False)
        self._unsent[sid] -= size
        if size == left:
            del self._unsent[sid]
            self._codec.send_trailers(sid, _TRAILERS)

    def _flush(self) -> None:
        self._auditor.read(self._codec.take_output())

    def finish(self) -> None:
        """Look at the books."""
        assert self._auditor.errors == self._broken, "a broken connection says so once"


class _Line(Upstream):
    """The upstream of one connection at a time, and a queue before it."""

    def __init__(self) -> None:
        self.name = "app"
        self.core: Connection | None = None
        self.waiting: dict[Tenant, None] = {}

    def lease(self, tenant: Tenant) -> None:
        core = self._free()
        if core is not None:
            tenant.attach(core, "server")
        elif len(self.waiting) < _QUEUE:
            self.waiting[tenant] = None
        else:
            tenant.lease_failed(ours(Cause.QUEUE_FULL, "too many wait"))

    def cancel(self, tenant: Tenant) -> None:
        self.waiting.pop(tenant, None)

    def _free(self) -> Connection | None:
        core = self.core
        if core is None or not core.ready or core.away:
            return None
        return core if len(core.streams) < core.codec.max_streams else None

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        stream.connection.reset(stream, ErrorCode.REFUSED_STREAM, Cause.UPSTREAM_PROTOCOL)

    def connection_changed(self, connection: Connection) -> None:
        if connection.away:
            connection.retire()
        while self.waiting:
            core = self._free()
            if core is None:
                break
            tenant = next(iter(self.waiting))
            self.cancel(tenant)
            tenant.attach(core, "server")


class _Notes(Notebook):
    """A notebook for peers who make up error codes of their own."""

    def stream_reset(
        self, side: Side, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        assert cause is not Cause.INTERNAL, f"a reset that is our own fault, {progress}: {side}"


class ProxyVictim:
    """A proxy, and a connection on either side."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._clock = FakeClock()
        self._notes = _Notes()
        self._line = _Line()
        self._tallies = {Side.DOWNSTREAM: Tally(), Side.UPSTREAM: Tally()}
        deadlines = Deadlines(response_head=2 * _STEP_S, idle=3 * _STEP_S, total=9 * _STEP_S)
        routes = [
            Route(
                name=name,
                share=Share([(self._line, 1)]),
                wanted=Wanted(prefix=path),
                deadlines=deadlines,
            )
            for name, path in (("root", b"/"), ("long", b"/1"))
        ]
        date = DateStamp(lambda: 784111777.0)
        self._proxy = Proxy(Router(tuple(routes)), self._notes, self._tallies, self._clock, date)
        self._cores: dict[str, Connection] = {}
        self._auditors: dict[str, Auditor] = {}
        for who in (CLIENT, SERVER):
            self._connect(who)

    def _connect(self, who: str) -> None:
        serves = who == CLIENT
        side = Side.DOWNSTREAM if serves else Side.UPSTREAM
        host = Front(self._proxy, "main", "192.0.2.7", "http") if serves else self._line
        codec = make_codec(self._codec, Role.SERVER if serves else Role.CLIENT, PARAMS)
        core = Connection(codec, side, host, self._notes, self._tallies[side])
        self._cores[who] = core
        self._auditors[who] = Auditor(from_client=not serves)
        if not serves:
            self._line.core = core
        self._flush()

    def play(self, step: Step) -> None:
        """Let one thing happen."""
        if step.octets:
            self._auditors[step.what].peer_says(step.octets)
            self._cores[step.what].receive(step.octets)
        elif step.what == SECOND:
            for core in self._cores.values():
                core.codec.replenish()
            self._clock.advance(_STEP_S)
        elif step.what == DRAIN:
            self._cores[CLIENT].drain()
        else:
            self._befall(*step.what.split())
        self._flush()
        self._look()

    def _befall(self, who: str, what: str) -> None:
        core = self._cores[who]
        if what == GONE.strip():
            core.lost_socket("gone")
            self._flush()
            self._connect(who)
        elif what == FULL.strip():
            core.writable = False
        elif what == FREE.strip():
            core.writable = True
            core.take_turns()

    def _flush(self) -> None:
        for who, core in self._cores.items():
            core.woken = False
            self._auditors[who].read(core.codec.take_output())

    def _look(self) -> None:
        """See that nothing grows beyond its bound."""
        for side, tally in self._tallies.items():
            most = PARAMS.connection_window + PARAMS.max_concurrent_streams * _OWN_OCTETS
            assert 0 <= tally.parked_bytes <= most, f"{tally.parked_bytes} octets wait: {side}"
        served = len(self._cores[CLIENT].streams)
        assert served <= PARAMS.max_concurrent_streams, f"{served} streams"
        assert all(core.owed >= 0 for core in self._cores.values()), "paid for more than came"
        assert all(auditor.errors < 2 for auditor in self._auditors.values()), "broken twice"

    def finish(self) -> None:
        """Let everybody leave; nothing is left, and the books balance."""
        for core in self._cores.values():
            core.lost_socket("the script is over")
        self._clock.advance(10 * _STEP_S)
        began, finished = len(self._notes.began), len(self._notes.finished)
        assert began == finished + self._proxy.active, f"{began} began, {finished} finished"
        assert not self._proxy.active, f"{self._proxy.active} exchanges are left"
        assert not self._line.waiting, "somebody still waits"
        for side, tally in self._tallies.items():
            left = tally.connections, tally.streams, tally.parked_bytes
            assert left == (0, 0, 0), f"{side}: {left} connections, streams, octets"
        for core in self._cores.values():
            assert not len(core.streams), "streams are left"
            assert not core.owed, f"{core.owed} octets were never paid for"
        causes = [record.dropped for record in self._notes.finished]
        assert Cause.INTERNAL not in causes, "a drop that is our own fault"
