"""Conversation: a whole proxy between two peers, at least one of whom means it no good.

It has the routes, policies, deadlines and queues of a real one, and no socket. Nothing may
escape it or grow beyond its bound; the witness compares what was said with what was heard;
credit is conserved at every moment; and when it is over nothing is left, and the books
balance.
"""

from typing import TYPE_CHECKING, Final, cast

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.hostile import ASK, CLIENT, DRAIN, FREE, FULL, GONE, SECOND, SERVER, Step
from benchmarks.fuzz.witness import Ear, Pairing
from tests.support.clock import FakeClock
from tests.support.table import Notebook
from trailproxy.core.clock import DateStamp
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Initiator, Side, ours
from trailproxy.core.proxy import Front, Proxy
from trailproxy.core.record import Progress, Tally
from trailproxy.core.stream import Stream
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.ops.settings import parse
from trailproxy.ops.snapshot import compile_snapshot
from trailproxy.wire import CODECS, Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange

PARAMS: Final = WireParams(
    max_concurrent_streams=20, stream_window=50_000, connection_window=1 << 18
)
_QUEUE: Final = 8  # requests that may wait for the upstream
_OWN_OCTETS: Final = 1000  # of a response that we make up, at most
_STEP_S: Final = 7.0  # deadlines are a few of these
ROUTES: Final = """
listeners: [{name: main, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:1"]}]
routes:
  - name: retry
    match: {path_prefix: /retry/}
    timeouts: &deadlines {response_head: 14s, idle: 21s, total: 63s}
    upstream: app
    retry: {on: [5xx, unavailable], idempotent: true, attempts: 3, peek: 1KiB, replay: 2KiB}
  - name: verify
    match: {path_prefix: /verify/}
    timeouts: *deadlines
    upstream: app
    digest: verify
  - name: add
    match: {path_prefix: /add/}
    timeouts: *deadlines
    upstream: app
    digest: add
    server_timing: true
  - name: told
    match: {path_prefix: /told/}
    timeouts: *deadlines
    upstream: app
    on_upstream_failure: trailers
  - name: rules
    match: {path_prefix: /rules/}
    timeouts: *deadlines
    upstream: app
    trailers:
      request: {max_fields: 2, on_excess: cut, append: [{name: x-hop, value: "1"}]}
      response:
        max_fields: 3
        deny: [x-l*]
        rename: [{name: grpc-status, to: x-status, when: failure}]
        set: [{name: x-seen, value: "yes"}]
  - name: tunnel
    match: {method: CONNECT}
    timeouts: *deadlines
    upstream: app
    trailers: {request: {append: [{name: x-hop, value: "1"}]}}
    server_timing: true
  - {name: plain, match: {path_regex: "/[0-9a-f]*"}, timeouts: *deadlines, upstream: app}
"""
_SETTINGS: Final = parse(ROUTES, "routes", {})
_BENDS_TRAILERS: Final = ("add", "rules", "tunnel")


class Line(Upstream):
    """The upstream of one connection at a time, and a queue before it."""

    def __init__(self) -> None:
        self.name = "app"
        self.core: Connection | None = None
        self.waiting: dict[Tenant, None] = {}
        self.pairings: dict[tuple[Ear, int], Pairing] = {}

    def lease(self, tenant: Tenant) -> None:
        core = self._free()
        if core is not None:
            self._attach(tenant, core)
        elif len(self.waiting) < _QUEUE:
            self.waiting[tenant] = None
        else:
            tenant.lease_failed(ours(Cause.QUEUE_FULL, "too many wait"))

    def cancel(self, tenant: Tenant) -> None:
        self.waiting.pop(tenant, None)

    def _attach(self, tenant: Tenant, core: Connection) -> None:
        tenant.attach(core, "server")
        exchange = cast("Exchange", tenant)
        up, down = exchange.up, exchange.down
        if up is not None:
            server, client = cast("Ear", up.connection.codec), cast("Ear", down.connection.codec)
            pairing = Pairing(exchange.record, client, down.sid, server, up.sid)
            self.pairings.setdefault((server, up.sid), pairing)

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
            self._attach(tenant, core)


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
        self._line = Line()
        self._tallies = {Side.DOWNSTREAM: Tally(), Side.UPSTREAM: Tally()}
        router = compile_snapshot(_SETTINGS, {"app": self._line}).router
        date = DateStamp(lambda: 784111777.0)
        self._proxy = Proxy(router, self._notes, self._tallies, self._clock, date)
        self._cores: dict[str, Connection] = {}
        self._ears: dict[str, Ear] = {}
        for who in (CLIENT, SERVER):
            self._connect(who)

    def _connect(self, who: str) -> None:
        serves = who == CLIENT
        side = Side.DOWNSTREAM if serves else Side.UPSTREAM
        host = Front(self._proxy, "main", "192.0.2.7", "http") if serves else self._line
        codec = make_codec(self._codec, Role.SERVER if serves else Role.CLIENT, PARAMS)
        self._ears[who] = ear = Ear(codec, serves=serves)
        self._cores[who] = core = Connection(ear, side, host, self._notes, self._tallies[side])
        if not serves:
            self._line.core = core
        self._flush()

    def play(self, step: Step) -> None:
        """Let one thing happen."""
        if step.octets:
            self._cores[step.what].receive(step.octets)
        elif step.what == SECOND:
            for core in self._cores.values():
                core.codec.replenish()
            self._clock.advance(_STEP_S)
        elif step.what == DRAIN:
            self._cores[CLIENT].drain()
        elif step.what != ASK and not step.speaks:
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
            self._ears[who].read()

    def _look(self) -> None:
        """See that nothing grows beyond its bound, and that credit is conserved."""
        for side, tally in self._tallies.items():
            most = PARAMS.connection_window + PARAMS.max_concurrent_streams * _OWN_OCTETS
            assert 0 <= tally.parked_bytes <= most, f"{tally.parked_bytes} octets wait: {side}"
        served = len(self._cores[CLIENT].streams)
        assert served <= PARAMS.max_concurrent_streams, f"{served} streams"
        for who, core in self._cores.items():
            ear = self._ears[who]
            assert core.owed >= 0, "paid for more than came"
            owed = core.owed if core.fault is None else ear.unpaid
            assert ear.unpaid == owed, f"{who}: {ear.unpaid} octets unpaid, {owed} owed"
            assert ear.auditor.errors < 2, "broken twice"

    def finish(self) -> None:
        """Let everybody leave; nothing is left, and the books balance."""
        for core in self._cores.values():
            core.lost_socket("the script is over")
        self._flush()
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
        self._compare()

    def _compare(self) -> None:
        """Compare what was said with what was heard."""
        last = {pairing.record: pairing for pairing in self._line.pairings.values()}
        for pairing in self._line.pairings.values():
            counts = last[pairing.record] is pairing
            pairing.look(last=counts, bends_trailers=pairing.record.route in _BENDS_TRAILERS)


def play(octets: bytes) -> None:
    """Play a case to a proxy."""
    case = Case.read(octets)
    victim = ProxyVictim(CODECS[0] if case.codec == "both" else case.codec)
    for step in case.unfolded():
        victim.play(step)
    victim.finish()
