"""The connections to one upstream: dialled on demand, filled, replaced, never more than allowed."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.support.dns import Dns
from tests.support.frames import GET, goaway, settings_frame
from tests.support.records import record_of
from tests.support.table import Notebook
from tests.support.waiting import until
from trailproxy.core.address import Address, parse_address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Fault
from trailproxy.core.load_report import LoadReport
from trailproxy.core.message import Hop, understand
from trailproxy.core.record import Tally
from trailproxy.core.upstream import Tenant
from trailproxy.net.clock import CLOCK
from trailproxy.net.connection import Patience
from trailproxy.net.names import Spot
from trailproxy.net.origin import Origin
from trailproxy.net.origin_params import OriginParams
from trailproxy.net.outliers import OutlierParams
from trailproxy.net.weights import LoadParams
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields


class Dials(Notebook):
    """A notebook that counts dials too."""

    def __init__(self) -> None:
        super().__init__()
        self.dials: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.states: tuple[int, int, int] = (0, 0, 0)
        self.reports: Counter[str] = Counter()
        self.waiting: list[int] = []

    def endpoint_told(self, upstream: str, event: str) -> None:
        self.events[event] += 1

    def endpoints_are(self, upstream: str, healthy: int, sick: int, ejected: int) -> None:
        self.states = (healthy, sick, ejected)

    def requests_wait(self, upstream: str, count: int) -> None:
        self.waiting.append(count)

    def load_reported(self, upstream: str, outcome: str) -> None:
        self.reports[outcome] += 1

    def connected(self, upstream: str, outcome: str) -> None:
        self.dials[outcome] += 1


class Guest(Tenant):
    """A tenant: it opens a stream where it is told to, or learns why there is none."""

    def __init__(self, peer: str = "", *extra: tuple[str, str]) -> None:
        super().__init__()
        self.asked = understand(Fields.of([*GET, *extra]), Hop(peer, "http"))
        self.connection: Connection | None = None
        self.endpoint = ""
        self.fault: Fault | None = None
        self._told = asyncio.Event()

    def attach(self, connection: Connection, endpoint: str) -> None:
        stream = connection.open()
        assert stream is not None, "a slot was promised"
        connection.send_headers(stream.sid, Fields.of(GET), end=True)
        self.connection, self.endpoint = connection, endpoint
        self._told.set()

    def lease_failed(self, fault: Fault) -> None:
        self.fault = fault
        self._told.set()

    async def told(self) -> "Guest":
        async with asyncio.timeout(5):
            await self._told.wait()
        return self

    @property
    def waits(self) -> bool:
        return not self._told.is_set()


class Backend:
    """A listening socket that greets whoever connects, and reads what they say."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.transports: list[asyncio.Transport] = []
        self._server: asyncio.Server

    async def start(self) -> Address:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Greeter(self), "127.0.0.1", 0)
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        self._server.close()
        for transport in self.transports:
            transport.abort()


class _Greeter(asyncio.Protocol):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._backend.transports.append(transport)
        transport.write(self._backend.greeting)


@pytest.fixture
async def backends() -> AsyncIterator[list[Backend]]:
    made: list[Backend] = []
    yield made
    for backend in made:
        backend.stop()


@pytest.fixture
async def dns() -> AsyncIterator[Dns]:
    server = Dns()
    await server.start()
    yield server
    server.stop()


@pytest.fixture
def notes() -> Dials:
    return Dials()


async def _origin(notes: Dials, *addresses: Address, **params: object) -> Origin:
    spots = tuple(Spot(address) for address in addresses)
    made = OriginParams(**{"name": "app", "spots": spots} | params)  # type: ignore[arg-type]
    return Origin(made, notes, Tally(), CLOCK)


async def _backend(backends: list[Backend], greeting: bytes) -> Address:
    backends.append(Backend(greeting))
    return await backends[-1].start()


async def test_a_connection_is_dialled_on_demand_and_shared(
    notes: Dials, backends: list[Backend]
) -> None:
    origin = await _origin(notes, await _backend(backends, settings_frame()))
    assert backends[0].transports == []
    guests = [Guest() for _ in range(5)]
    for guest in guests:
        origin.lease(guest)
    told = [await guest.told() for guest in guests]
    assert len({id(guest.connection) for guest in told}) == 1
    assert notes.dials == {"ok": 1}
    origin.close()


async def test_a_full_connection_is_joined_by_another_and_then_one_waits(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame(max_concurrent_streams=2))
    origin = await _origin(notes, address, max_connections=2)
    guests = [Guest() for _ in range(5)]
    for guest in guests:
        origin.lease(guest)
    told = [await guest.told() for guest in guests[:4]]
    assert sorted(Counter(id(guest.connection) for guest in told).values()) == [2, 2]
    assert guests[4].waits
    first = told[0].connection
    assert first is not None
    first.reset(next(iter(first.streams.values())), 8, Cause.CLIENT_RESET)
    assert (await guests[4].told()).connection is first
    assert notes.dials == {"ok": 2}
    origin.close()


async def test_what_one_read_brought_stays_together(notes: Dials, backends: list[Backend]) -> None:
    address = await _backend(backends, settings_frame(max_concurrent_streams=5))
    origin = await _origin(notes, address)
    first = [Guest() for _ in range(6)]
    for guest in first:
        origin.lease(guest)
        await guest.told()
    one, other = first[0].connection, first[5].connection
    assert one is not None
    assert other is not None
    assert (len(one.streams), len(other.streams)) == (5, 1)

    CLOCK.hold()  # a read is being heard
    then = [Guest() for _ in range(3)]
    for guest in then:
        origin.lease(guest)
    assert {guest.connection for guest in then} == {other}
    for stream in list(one.streams.values()):
        one.reset(stream, 8, Cause.CLIENT_RESET)
    late = [Guest(), Guest()]
    origin.lease(late[0])  # together still, though the other one is idle now
    assert late[0].connection is other
    CLOCK.go_on()

    origin.lease(late[1])
    assert late[1].connection is one
    origin.close()


async def test_the_queue_has_a_length_and_a_patience(notes: Dials, backends: list[Backend]) -> None:
    address = await _backend(backends, settings_frame(max_concurrent_streams=0))
    origin = await _origin(notes, address, max_connections=1, queue_limit=2, queue_timeout_s=0.1)
    patient, second, third = Guest(), Guest(), Guest()
    for guest in (patient, second, third):
        origin.lease(guest)
    assert third.fault is not None
    assert third.fault.cause is Cause.QUEUE_FULL
    origin.cancel(second)
    fault = (await patient.told()).fault
    assert fault is not None
    assert fault.cause is Cause.QUEUE_TIMEOUT
    assert second.waits
    origin.close()


async def test_who_waits_is_told_once_a_second_and_when_nobody_does_any_more(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame(max_concurrent_streams=0))
    origin = await _origin(notes, address, max_connections=1)
    guests = [Guest() for _ in range(3)]
    for guest in guests:
        origin.lease(guest)
    origin.tick()
    origin.tick()
    origin.cancel(guests[0])
    origin.tick()
    assert notes.waiting == [3, 2]
    origin.retire()  # who still waits is served, or given up, under a name that another has
    origin.tick()
    assert notes.waiting == [3, 2, 0]
    origin.close()


async def test_goaway_brings_a_new_connection_and_leaves_the_old_streams(
    notes: Dials, backends: list[Backend]
) -> None:
    origin = await _origin(notes, await _backend(backends, settings_frame()))
    first, second = Guest(), Guest()
    origin.lease(first)
    old = (await first.told()).connection
    assert old is not None
    backends[0].transports[0].write(goaway(1))
    await until(lambda: old.away)
    assert len(old.streams) == 1
    origin.lease(second)
    assert (await second.told()).connection is not old
    old.reset(next(iter(old.streams.values())), 8, Cause.CLIENT_RESET)
    assert old.closing
    origin.close()


async def test_a_connection_that_nobody_needs_is_let_go_and_dialled_anew_for_the_next(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1, patience=Patience(idle_s=3))
    origin.lease(guest := Guest())
    first = (await guest.told()).connection
    assert first is not None
    for _ in range(10):
        origin.tick()
    assert not first.away, "a stream is open on it"
    first.reset(next(iter(first.streams.values())), 8, Cause.CLIENT_RESET)
    for _ in range(3):
        assert not first.away
        origin.tick()
    assert first.closing
    origin.lease(late := Guest())
    assert (await late.told()).connection is not first
    assert notes.dials == {"ok": 2}
    origin.close()


async def test_nobody_listening_is_told_at_once_and_dialled_again_later(notes: Dials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address("127.0.0.1", listening.getsockname()[1])
    origin = await _origin(notes, address)
    for attempt in (1, 2):
        guest = Guest()
        origin.lease(guest)
        fault = (await guest.told()).fault
        assert fault is not None
        assert fault.cause is Cause.CONNECT_FAILED
        assert fault.why == f"cannot connect to {address}: connection refused"
        assert notes.dials == {"refused": attempt}
    origin.close()


@pytest.mark.parametrize(
    ("greeting", "outcome", "why"),
    [
        (b"", "timeout", "no HTTP/2 SETTINGS within 0.2 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "does not speak HTTP/2"),
    ],
    ids=["silent", "http1"],
)
async def test_a_peer_that_speaks_no_http2_is_named(
    notes: Dials, backends: list[Backend], greeting: bytes, outcome: str, why: str
) -> None:
    address = await _backend(backends, greeting)
    origin = await _origin(notes, address, connect_timeout_s=0.2)
    guest = Guest()
    origin.lease(guest)
    fault = (await guest.told()).fault
    assert fault is not None
    assert why in fault.why
    assert notes.dials == {outcome: 1}
    origin.close()


@pytest.mark.parametrize("balance", ["round_robin", "least_request"])
async def test_streams_are_spread_over_the_endpoints(
    notes: Dials, backends: list[Backend], balance: str
) -> None:
    addresses = [await _backend(backends, settings_frame()) for _ in range(3)]
    origin = await _origin(notes, *addresses, balance=balance)
    origin.lease(first := Guest())
    await first.told()
    await until(lambda: notes.dials == {"ok": 3})
    guests = [Guest() for _ in range(9)]
    for guest in guests:
        origin.lease(guest)
    spread = Counter(guest.endpoint for guest in guests)
    assert len(spread) == 3
    assert max(spread.values()) <= 4
    origin.close()


async def test_hash_keeps_a_client_with_its_endpoint(notes: Dials, backends: list[Backend]) -> None:
    addresses = [await _backend(backends, settings_frame()) for _ in range(4)]
    origin = await _origin(notes, *addresses, balance="hash")
    homes: dict[str, set[str]] = {}
    for name in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"):
        for _ in range(3):
            origin.lease(guest := Guest(name))
            homes.setdefault(name, set()).add((await guest.told()).endpoint)
    assert all(len(endpoints) == 1 for endpoints in homes.values())
    assert len({home for endpoints in homes.values() for home in endpoints}) > 1
    origin.close()


async def test_one_dead_endpoint_costs_nobody_a_request(
    notes: Dials, backends: list[Backend]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dead = Address("127.0.0.1", listening.getsockname()[1])
    alive = await _backend(backends, settings_frame())
    origin = await _origin(notes, dead, alive)
    for _ in range(6):
        origin.lease(guest := Guest())
        assert (await guest.told()).endpoint == str(alive)
    origin.close()


async def test_names_are_resolved_again_and_endpoints_come_and_go(
    notes: Dials, backends: list[Backend], dns: Dns
) -> None:
    address = await _backend(backends, settings_frame())
    dns.tells("backend.test", "A", 1, "127.0.0.1")
    origin = await _origin(notes, Address("backend.test", address.port), dns_servers=(dns.address,))
    origin.start()
    origin.lease(guest := Guest())
    assert (await guest.told()).endpoint == str(address)
    dns.tells("backend.test", "A", 1, "127.0.0.1", "127.0.0.2")
    await until(lambda: len(origin.endpoints) == 2)
    dns.silent = True
    asked = dns.asked["backend.test"]
    await until(lambda: dns.asked["backend.test"] > asked)
    labels = {endpoint.label for endpoint in origin.endpoints}
    assert labels == {str(address), f"127.0.0.2:{address.port}"}, "silence changes nothing"
    origin.close()


async def test_services_tell_ports_and_weights(
    notes: Dials, backends: list[Backend], dns: Dns
) -> None:
    one, other = [await _backend(backends, settings_frame()) for _ in range(2)]
    dns.tells("one.test", "A", 60, "127.0.0.1")
    dns.tells(
        "_grpc._tcp.app.test",
        "SRV",
        60,
        f"1 3 {one.port} one.test.",
        f"1 1 {other.port} one.test.",
        "2 1 9 one.test.",
    )
    service = Address("_grpc._tcp.app.test", is_service=True)
    origin = await _origin(notes, service, dns_servers=(dns.address,))
    origin.start()
    origin.lease(guest := Guest())
    await guest.told()
    found = {endpoint.label: endpoint.weight for endpoint in origin.endpoints}
    assert found == {str(one): 3, str(other): 1}
    origin.close()


@pytest.mark.parametrize("service", [False, True])
async def test_a_name_that_stands_for_nothing_is_no_endpoint(
    notes: Dials, dns: Dns, service: bool, caplog: pytest.LogCaptureFixture
) -> None:
    address = Address("nowhere.test", 0 if service else 1, is_service=service)
    origin = await _origin(notes, address, dns_servers=(dns.address,))
    origin.start()
    origin.lease(guest := Guest())
    fault = (await guest.told()).fault
    assert fault is not None
    assert fault.cause is Cause.NO_ENDPOINT
    assert f"upstream app: {address}: " in caplog.text
    origin.close()


async def test_a_hosts_file_will_do(notes: Dials, backends: list[Backend]) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, Address("localhost", address.port))
    origin.start()
    origin.lease(guest := Guest())
    assert (await guest.told()).endpoint.endswith(f":{address.port}")
    origin.close()


async def test_no_more_streams_are_open_than_an_upstream_may_have(
    notes: Dials, backends: list[Backend]
) -> None:
    origin = await _origin(
        notes, await _backend(backends, settings_frame()), max_streams=2, queue_limit=1
    )
    guests = [Guest() for _ in range(2)]
    for guest in guests:
        origin.lease(guest)
        await guest.told()
    origin.lease(patient := Guest())
    origin.lease(late := Guest())
    assert (await late.told()).fault is not None
    assert late.fault is not None
    assert late.fault.cause is Cause.QUEUE_FULL
    assert patient.waits
    first = guests[0].connection
    assert first is not None
    stream = first.find(1)
    assert stream is not None
    first.reset(stream, ErrorCode.CANCEL, Cause.CLIENT_RESET)
    assert (await patient.told()).fault is None
    assert notes.dials == {"ok": 1}
    origin.close()


# -- resets have a budget -------------------------------------------------------------------------


def _cancel(guest: Guest) -> None:
    """Have the stream of a guest reset, as if its client had hung up."""
    connection = guest.connection
    assert connection is not None
    stream = connection.streams.values()[-1]
    connection.reset(stream, ErrorCode.CANCEL, Cause.CLIENT_RESET)  # type: ignore[arg-type]


async def _served(origin: Origin, count: int) -> list[Guest]:
    guests = [Guest() for _ in range(count)]
    for guest in guests:
        origin.lease(guest)
    return [await guest.told() for guest in guests]


async def test_a_connection_whose_socket_is_full_gets_no_more_requests(
    notes: Dials, backends: list[Backend]
) -> None:
    """Heads need no window: they would gather in memory, however large they are."""
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1)
    (first,) = await _served(origin, 1)
    (member,) = origin.endpoints[0].connections
    (transport,) = backends[0].transports
    transport.pause_reading()
    member.transport.write(bytes(16 * 1024 * 1024))
    guest = Guest()
    origin.lease(guest)
    assert guest.waits
    transport.resume_reading()
    await until(lambda: member.core.writable)
    origin.tick()
    assert (await guest.told()).connection is first.connection
    origin.close()


async def test_a_connection_that_has_sent_too_many_resets_is_relieved_and_loses_no_stream(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1, max_resets=3)
    (kept,) = await _served(origin, 1)
    for _ in range(3):
        (guest,) = await _served(origin, 1)
        assert guest.connection is kept.connection
        _cancel(guest)
    (late,) = await _served(origin, 1)
    old = kept.connection
    assert old is not None
    assert late.connection is not old
    assert (notes.dials, notes.events) == ({"ok": 2}, {"relieved": 1})
    assert (old.away, old.closing, len(old.streams)) == (True, False, 1)
    _cancel(kept)
    assert old.closing
    origin.close()


async def test_resets_are_forgotten_in_time_and_nobody_is_dialled_for_them(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_resets=60)
    for _ in range(30):
        origin.tick()
        for _ in range(2):  # what is forgotten in a second
            (guest,) = await _served(origin, 1)
            _cancel(guest)
    origin.tick()
    for _ in range(60):
        (guest,) = await _served(origin, 1)
        _cancel(guest)
    assert notes.dials == {"ok": 1}
    origin.close()


async def test_of_those_that_finish_there_are_no_more_than_may_serve(
    notes: Dials, backends: list[Backend]
) -> None:
    """Who keeps a stream on each connection cannot have us dial without end."""
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=2, max_resets=30)
    kept: list[Guest] = []
    for _ in range(4):
        kept += await _served(origin, 1)
        for guest in await _served(origin, 30):
            _cancel(guest)
    assert len({id(guest.connection) for guest in kept}) == 4
    origin.lease(patient := Guest())
    origin.tick()
    assert notes.dials == {"ok": 4}
    assert notes.events == {"relieved": 2}
    # two finish, two rest: those have had a second
    assert not patient.waits
    assert patient.connection in {guest.connection for guest in kept[2:]}
    # and when one that finished is gone, another is relieved
    for guest in (patient, *kept[2:]):
        for _ in range(30):
            assert guest.connection is not None
            guest.connection.resets += 1
    origin.lease(late := Guest())
    assert late.waits
    _cancel(kept[0])
    assert not (await late.told()).fault
    assert notes.events == {"relieved": 3}
    origin.close()


async def test_a_connection_rests_where_it_is_when_no_other_can_be_had(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1, max_resets=1)
    kept, guest = await _served(origin, 2)
    _cancel(guest)
    backends[0]._server.close()
    origin.lease(patient := Guest())
    await until(lambda: bool(notes.dials["refused"]))
    assert patient.waits
    origin.tick()
    assert patient.connection is kept.connection
    assert not notes.events
    origin.close()


async def test_a_connection_that_comes_when_another_has_rested_enough_is_let_go(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1, max_resets=1)
    kept, guest = await _served(origin, 2)
    _cancel(guest)
    origin.lease(patient := Guest())
    origin.tick()
    assert patient.connection is kept.connection
    await until(lambda: notes.dials == {"ok": 2})
    (late,) = await _served(origin, 1)
    assert late.connection is kept.connection
    assert not notes.events
    origin.close()


async def test_any_number_of_resets_may_be_allowed(notes: Dials, backends: list[Backend]) -> None:
    origin = await _origin(notes, await _backend(backends, settings_frame()), max_resets=0)
    for guest in await _served(origin, 2000):
        _cancel(guest)
    await _served(origin, 1)
    assert notes.dials == {"ok": 1}
    origin.close()


async def test_streams_of_connections_that_finish_count_as_open(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, max_connections=1, max_resets=1, max_streams=2)
    kept, guest = await _served(origin, 2)
    _cancel(guest)
    await _served(origin, 1)
    origin.lease(patient := Guest())
    assert patient.waits
    _cancel(kept)
    assert not (await patient.told()).fault
    origin.close()


async def test_who_goes_away_at_once_is_not_dialled_at_once(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame() + goaway(0))
    origin = await _origin(notes, address, queue_timeout_s=0.5)
    origin.lease(guest := Guest())
    fault = (await guest.told()).fault
    assert fault is not None
    assert fault.cause is Cause.QUEUE_TIMEOUT
    assert 1 < notes.dials["ok"] < 10
    origin.close()


async def test_a_retired_origin_closes_when_its_streams_are_over(
    notes: Dials, backends: list[Backend]
) -> None:
    origin = await _origin(notes, await _backend(backends, settings_frame()))
    origin.lease(guest := Guest())
    connection = (await guest.told()).connection
    assert connection is not None
    origin.retire()
    assert not connection.closing
    connection.reset(next(iter(connection.streams.values())), 8, Cause.CLIENT_RESET)
    await until(lambda: origin.empty)


async def test_an_endpoint_whose_requests_fail_is_left_alone(
    notes: Dials, backends: list[Backend]
) -> None:
    addresses = [await _backend(backends, settings_frame()) for _ in range(2)]
    origin = await _origin(notes, *addresses, outliers=OutlierParams(consecutive_failures=2))
    assert origin.attentive
    bad = str(addresses[0])
    for endpoint in (bad, bad, "192.0.2.1:1"):
        lost = {"status": 200, "dropped": Cause.UPSTREAM_RESET, "endpoint": endpoint}
        origin.exchange_over(
            record_of("main", "GET", "a", "/", "192.0.2.1", 0.0, False, "", **lost)
        )
    assert notes.events == {"ejected": 1}
    assert notes.states == (1, 0, 1)
    for _ in range(4):
        origin.lease(guest := Guest())
        assert (await guest.told()).endpoint == str(addresses[1])
    origin.close()


async def test_who_wants_to_hear_nothing_is_told_nothing(
    notes: Dials, backends: list[Backend]
) -> None:
    origin = await _origin(notes, await _backend(backends, settings_frame()))
    assert not origin.attentive
    origin.exchange_over(record_of("main", "GET", "a", "/", "192.0.2.1", 0.0, False))
    assert notes.events == {}
    origin.close()


async def test_who_could_bear_more_gets_more(notes: Dials, backends: list[Backend]) -> None:
    idle, busy = [str(await _backend(backends, settings_frame())) for _ in range(2)]
    origin = await _origin(
        notes,
        *map(parse_address, (idle, busy)),
        balance="round_robin",
        load=LoadParams(blackout_s=0.0),
    )
    assert origin.reads_load
    for _ in range(2):
        origin.lease(guest := Guest())
        await guest.told()
    await until(lambda: all(endpoint.connections for endpoint in origin.endpoints))
    for _ in range(10):
        origin.load_told(idle, LoadReport(0.1, 90.0, 0.0))
        origin.load_told(busy, LoadReport(0.3, 90.0, 0.0))
        origin.tick()
    told: Counter[str] = Counter()
    for _ in range(40):
        origin.lease(guest := Guest())
        told[(await guest.told()).endpoint] += 1
    assert told == {idle: 30, busy: 10}
    origin.set_spots([Spot(parse_address(idle), 1), Spot(parse_address(busy), 6)])
    assert [endpoint.share for endpoint in origin.endpoints] == [3.0, 6.0]
    origin.close()


async def test_what_endpoints_report_is_counted(notes: Dials, backends: list[Backend]) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, load=LoadParams())
    for endpoint in (str(address), "192.0.2.1:1"):  # the latter is gone
        origin.load_told(endpoint, LoadReport(0.5, 10.0, 0.0))
    origin.load_told(str(address), LoadReport(0.0, 10.0, 0.0))
    origin.load_told(str(address), None)
    assert notes.reports == {"read": 2, "incomplete": 1, "malformed": 1}
    origin.close()


async def test_who_is_connected_anew_must_report_for_a_while_again(
    notes: Dials, backends: list[Backend]
) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address, load=LoadParams())
    (endpoint,) = origin.endpoints
    origin.lease(guest := Guest())
    await guest.told()
    origin.load_told(endpoint.label, LoadReport(0.5, 10.0, 0.0))
    since = endpoint.reports_since
    backends[0].transports[0].abort()
    await until(lambda: not endpoint.connections)
    origin.lease(guest := Guest())
    await guest.told()
    origin.load_told(endpoint.label, LoadReport(0.5, 10.0, 0.0))
    assert endpoint.reports_since > since
    origin.close()


async def test_who_reads_no_reports_counts_none(notes: Dials, backends: list[Backend]) -> None:
    address = await _backend(backends, settings_frame())
    origin = await _origin(notes, address)
    assert not origin.reads_load
    origin.load_told(str(address), LoadReport(0.5, 10.0, 0.0))
    assert notes.reports == {}
    origin.close()
