"""Origin: the connections to one upstream.

Streams are leased, not connections: a tenant gets a slot on a connection that
is ready, or waits in one queue for the next one. Connections are dialled on
demand, never for each request, and leave when the peer says so.
"""

from functools import partial
from typing import Final, final

from trailproxy.core.clock import Clock, Pulse
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, ours
from trailproxy.core.load_report import LoadReport
from trailproxy.core.record import Observer, Record, Tally
from trailproxy.core.stream import Stream
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.net.balance import Balance
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.dial import DialError, dial
from trailproxy.net.endpoint import Endpoint
from trailproxy.net.health import Checks
from trailproxy.net.names import Spot
from trailproxy.net.origin_params import OriginParams
from trailproxy.net.outliers import Outliers
from trailproxy.net.tasks import spawn
from trailproxy.net.weights import Weights
from trailproxy.net.whereabouts import Whereabouts
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

_FIRST_SID: Final = 1


@final
class Origin(Upstream):
    """One upstream: its endpoints, their connections, and the tenants that wait."""

    def __init__(
        self, params: OriginParams, observer: Observer, tally: Tally, clock: Clock
    ) -> None:
        self.name = params.name
        self.params: Final = params
        self._observer: Final = observer
        self._tally: Final = tally
        self._clock: Final = clock
        self._pulse: Final = Pulse(clock, self._look)
        self._balance: Final = Balance(params.balance, clock, params.panic, params.hash_by)
        self._whereabouts: Final = Whereabouts(params, observer)
        self._checks: Final = (
            None if params.health is None else Checks(params, params.health, self._checked)
        )
        self._outliers: Final = (
            None
            if params.outliers is None
            else Outliers(params.outliers, clock, self._went_or_came_back)
        )
        self._weights: Final = None if params.load is None else Weights(params.load, clock)
        self.attentive = params.outliers is not None
        self.reads_load = params.load is not None
        self._queue: Final[dict[Tenant, float]] = {}  # until when, in clock seconds; in this order
        self._told_waiting = 0  # how many there were when it was last told
        # that finish what they have; and of those that others relieve, whose they were
        self._retiring: Final[dict[AsyncConnection, Endpoint | None]] = {}
        self._retired = False
        self._started = False
        self._endpoints: list[Endpoint] = []
        self.set_spots(self._whereabouts.now)

    # -- Upstream: what the core sees ----------------------------------------------------

    def lease(self, tenant: Tenant) -> None:
        """Find the tenant a connection: now, or when a slot is free."""
        if self._attach(tenant):
            return
        if not self._endpoints and self._whereabouts.settled:
            tenant.lease_failed(ours(Cause.NO_ENDPOINT, f"upstream {self.name} has no address"))
            return
        if len(self._queue) >= self.params.queue_limit:
            tenant.lease_failed(ours(Cause.QUEUE_FULL, f"too many requests wait for {self.name}"))
            return
        self._queue[tenant] = self._clock.time() + self.params.queue_timeout_s
        self._pulse.start()
        self._dial_for(tenant)

    def _attach(self, tenant: Tenant) -> bool:
        """Give the tenant a free slot, if there is one."""
        if self._is_full():
            return False
        endpoint = self._balance.choose(tenant.asked, tenant.avoid)
        if endpoint is None:
            return False
        connection = endpoint.free_connection(self._clock.time())
        if connection is None:
            return False
        if self._queue:
            self.cancel(tenant)
        tenant.attach(connection.core, endpoint.label)
        return True

    def _is_full(self) -> bool:
        most = self.params.max_streams
        if most is None:
            return False
        finishing = sum([len(member.core.streams) for member in self._retiring])
        return finishing + sum([e.streams for e in self._endpoints]) >= most

    def cancel(self, tenant: Tenant) -> None:
        """The tenant waits no more; one that does not wait is no error."""
        self._queue.pop(tenant, None)

    def _look(self, now: float) -> bool:
        """See whose wait has been too long; all wait equally long, so the oldest come first."""
        while self._queue:
            tenant, until = next(iter(self._queue.items()))
            if until > now:
                return True
            self.cancel(tenant)
            why = f"no stream to {self.name} was free within {self.params.queue_timeout_s:g} s"
            tenant.lease_failed(ours(Cause.QUEUE_TIMEOUT, why))
        return False

    def _serve_queue(self) -> None:
        """Give free slots to those who wait, first come, first served."""
        for tenant in list(self._queue):
            if tenant not in self._queue:
                continue  # an earlier one's luck ended this one's wait
            if not self._attach(tenant):
                return

    # -- Host: what the connections tell --------------------------------------------------

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Refuse: an upstream opens no streams, push is off."""
        stream.connection.reset(stream, ErrorCode.REFUSED_STREAM, Cause.UPSTREAM_PROTOCOL)

    def connection_changed(self, connection: Connection) -> None:
        """A slot may be free, or the connection takes no more streams."""
        if connection.away:
            self._put_away(connection)
        if self._queue:
            self._serve_queue()
            self._dial_for_next()
        elif self._retired:
            self._retire_connections()

    def _put_away(self, connection: Connection) -> None:
        for endpoint in self._endpoints:
            for member in endpoint.connections:
                if member.core is connection:
                    endpoint.connections.remove(member)
                    self._let_finish(member)
                    if connection.codec.open_stream() == _FIRST_SID:
                        # of no use to anybody: who goes away at once is not dialled at once
                        endpoint.failed(self._clock.time())
                    return

    def _let_finish(self, member: AsyncConnection, relieved: Endpoint | None = None) -> None:
        self._retiring[member] = relieved
        member.core.retire()

    def _tired(self, endpoint: Endpoint) -> AsyncConnection | None:
        """Return a connection that rests, and whose place another may take.

        Servers end a connection for resets in masses, with everybody's streams on it, and
        a client can have us send as many as it cancels. It must not have us dial as often,
        either: of those that finish, there are never more than may serve.
        """
        weary = endpoint.weary()
        finishing = sum([each is endpoint for each in self._retiring.values()])
        return weary[0] if weary and finishing < self.params.max_connections else None

    def _has_room(self, endpoint: Endpoint) -> bool:
        if len(endpoint.connections) < self.params.max_connections:
            return True
        return self._tired(endpoint) is not None

    def _take_up(self, member: AsyncConnection, endpoint: Endpoint) -> None:
        """Let a new connection serve, in the place of one that rests if there is no other."""
        if len(endpoint.connections) >= self.params.max_connections:
            tired = self._tired(endpoint)
            if tired is None:
                self._let_finish(member)  # it has rested enough, meanwhile
                return
            endpoint.connections.remove(tired)
            self._let_finish(tired, endpoint)
            self._observer.endpoint_told(self.name, "relieved")
        if not endpoint.connections:
            endpoint.forget_load()
        endpoint.connections.append(member)

    def _let_all_finish(self, endpoint: Endpoint) -> None:
        for member in list(endpoint.connections):
            endpoint.connections.remove(member)
            self._let_finish(member)

    def _lost(self, member: AsyncConnection) -> None:
        self._retiring.pop(member, None)
        for endpoint in self._endpoints:
            if member in endpoint.connections:
                endpoint.connections.remove(member)
        self._dial_for_next()  # there may be room for another now

    # -- dialling ------------------------------------------------------------------------

    def _dial_for(self, tenant: Tenant) -> None:
        """Dial where the tenant would go, and wherever nothing is connected yet."""
        if self._is_full():
            return
        now = self._clock.time()
        wanted = self._balance.prefer(tenant.asked)
        for endpoint in self._endpoints:
            if endpoint.dialling or (endpoint is not wanted and endpoint.connections):
                continue
            if not self._has_room(endpoint):
                continue
            endpoint.dialling = True
            delay = endpoint.retry_at - now
            if delay > 0:
                self._clock.call_later(delay, partial(self._start_dial, endpoint))
            else:
                self._start_dial(endpoint)

    def _dial_for_next(self) -> None:
        """Dial for the one who has waited longest."""
        for tenant in self._queue:
            self._dial_for(tenant)
            return

    def _start_dial(self, endpoint: Endpoint) -> None:
        if self._queue or endpoint.failures == 0:
            spawn(self._dial(endpoint), f"dial {self.name} {endpoint.label}")
        else:
            endpoint.dialling = False

    async def _dial(self, endpoint: Endpoint) -> None:
        try:
            member = await dial(
                endpoint.address, self.params, self, self._lost, self._observer, self._tally
            )
        except DialError as error:
            endpoint.dialling = False
            endpoint.failed(self._clock.time())
            self._observer.connected(self.name, error.outcome)
            self._dial_failed(endpoint, error)
            return
        endpoint.dialling = False
        endpoint.failures = 0
        self._observer.connected(self.name, "ok")
        if endpoint not in self._endpoints:
            self._let_finish(member)
        elif not member.closed:
            self._take_up(member, endpoint)
        self.connection_changed(member.core)

    def _dial_failed(self, endpoint: Endpoint, error: DialError) -> None:
        """Tell those who wait, unless somebody may still take them."""
        for other in self._endpoints:
            if other.connections or other.dialling:
                return
        why = f"cannot connect to {endpoint.label}: {error}"
        for tenant in list(self._queue):
            if tenant in self._queue:
                self.cancel(tenant)
                tenant.lease_failed(ours(Cause.CONNECT_FAILED, why, code=ErrorCode.CONNECT_ERROR))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses it stands for now."""
        return tuple(self._endpoints)

    # -- addresses -----------------------------------------------------------------------

    def set_spots(self, spots: list[Spot]) -> None:
        """Take up the endpoints there are now; those that are gone finish what they have."""
        known = {endpoint.address: endpoint for endpoint in self._endpoints}
        window = self.params.wire.connection_window
        self._endpoints = []
        for spot in {spot.address: spot for spot in spots}.values():
            endpoint = known.pop(spot.address, None)
            if endpoint is None:
                endpoint = Endpoint(spot.address, window, most_resets=self.params.max_resets)
            endpoint.weigh(spot.weight, endpoint.factor)
            self._endpoints.append(endpoint)
        for endpoint in known.values():
            self._let_all_finish(endpoint)
        if self._checks is not None and self._started:
            self._checks.watch(self._endpoints)
        self._health_changed()

    def _found(self, spots: list[Spot]) -> None:
        """Hear where the endpoints are now."""
        self.set_spots(spots)
        self._dial_for_next()
        if spots or not self._whereabouts.settled:
            return
        for tenant in list(self._queue):
            self.cancel(tenant)
            tenant.lease_failed(ours(Cause.NO_ENDPOINT, f"upstream {self.name} has no address"))

    def start(self) -> None:
        """Find out where the endpoints are, and check their health, now and again."""
        self._started = True
        self._whereabouts.start(self._found)
        if self._checks is not None:
            self._checks.watch(self._endpoints)

    # -- health --------------------------------------------------------------------------

    def exchange_over(self, record: Record) -> None:
        """Hear how an exchange ended."""
        endpoint = self._find(record.endpoint)
        if self._outliers is not None and endpoint is not None:
            self._outliers.judge(endpoint, record, self._endpoints)

    def _find(self, label: str) -> Endpoint | None:
        for endpoint in self._endpoints:
            if endpoint.label == label:
                return endpoint
        return None

    def _checked(self, endpoint: Endpoint, healthy: bool) -> None:
        self._observer.endpoint_told(self.name, "check_passed" if healthy else "check_failed")
        self._health_changed()

    def _went_or_came_back(self, endpoint: Endpoint) -> None:
        self._observer.endpoint_told(self.name, "ejected" if endpoint.ejected else "returned")
        self._health_changed()

    def _health_changed(self) -> None:
        endpoints = self._endpoints
        self._balance.renew(endpoints)
        sick = sum([endpoint.sick for endpoint in endpoints])
        ejected = sum([endpoint.ejected and not endpoint.sick for endpoint in endpoints])
        healthy = len(endpoints) - sick - ejected
        self._observer.endpoints_are(self.name, healthy, sick, ejected)
        self._serve_queue()

    # -- load ----------------------------------------------------------------------------

    def load_told(self, endpoint: str, report: LoadReport | None) -> None:
        """Hear what an endpoint says of its load; None: nobody can read it."""
        if self._weights is not None:
            outcome = self._weights.hear(self._find(endpoint), report)
            self._observer.load_reported(self.name, outcome)

    # -- the end -------------------------------------------------------------------------

    def tick(self) -> None:
        """A second has passed."""
        if self._weights is not None and self._weights.update(self._endpoints):
            self._balance.reweigh()
        for endpoint in self._endpoints:
            endpoint.tick()
            for member in list(endpoint.connections):
                if member.core.away:
                    self._put_away(member.core)  # nobody has used it for long
        for member in list(self._retiring):
            member.tick()
        if self._queue:
            self._serve_queue()  # connections may have rested enough
            self._dial_for_next()
        if not self._retired:
            self._tell_waiting(len(self._queue))

    def _tell_waiting(self, count: int) -> None:
        if count != self._told_waiting:
            self._told_waiting = count
            self._observer.requests_wait(self.name, count)

    def retire(self) -> None:
        """Serve those who wait, let what is in flight finish, then close."""
        self._retired = True
        self._whereabouts.stop()
        if self._checks is not None:
            self._checks.stop()
        self._observer.endpoints_are(self.name, 0, 0, 0)
        self._tell_waiting(0)  # another has the name from now on
        if not self._queue:
            self._retire_connections()

    def _retire_connections(self) -> None:
        for endpoint in self._endpoints:
            self._let_all_finish(endpoint)

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self._retiring and not any(e.connections for e in self._endpoints)

    def close(self) -> None:
        """Cut whatever is left."""
        self.retire()
        for member in list(self._retiring):
            member.transport.abort()
