"""Balance: shares come out even, a client keeps its endpoint, the sick are passed over."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.clock import FakeClock
from tests.support.frames import GET, settings_frame
from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.message import Hop, Request, understand
from trailproxy.core.record import Tally
from trailproxy.net.balance import Balance, cookie_of, field_of, source_of
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.endpoint import Endpoint
from trailproxy.net.local import ClientHost, Unobserved
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.fields import Fields


def _asks(peer: str = "192.0.2.1", *extra: tuple[str, str]) -> Request:
    return understand(Fields.of([*GET, *extra]), Hop(peer, "http"))


def _endpoint(place: int, weight: int = 1, busy: int = 0) -> Endpoint:
    """Return an endpoint with a connection that has room, and some streams already."""
    endpoint = Endpoint(Address(f"192.0.2.{place}", 80), 65_535, weight)
    connection = AsyncConnection(_never, _never, Tally())
    codec = make_codec("native", Role.CLIENT, WireParams())
    connection.core = Connection(codec, Side.UPSTREAM, ClientHost(), Unobserved(), Tally())
    connection.core.wake = _nothing
    connection.core.receive(settings_frame())
    for _ in range(busy):
        assert connection.core.open() is not None
    endpoint.connections.append(connection)
    return endpoint


def _never(_: AsyncConnection) -> Any:
    raise AssertionError("there is no socket")


def _nothing() -> None:
    """Nobody writes what there is to write."""


def _spread(balance: Balance, requests: int) -> Counter[str]:
    chosen: Counter[str] = Counter()
    for _ in range(requests):
        endpoint = balance.choose(_asks())
        assert endpoint is not None
        chosen[endpoint.label] += 1
    return chosen


def _homes(balance: Balance, clients: int) -> dict[str, str]:
    homes = {}
    for number in range(clients):
        endpoint = balance.choose(_asks(f"198.51.100.{number}"))
        assert endpoint is not None
        homes[str(number)] = endpoint.label
    return homes


async def test_round_robin_deals_out_by_weight() -> None:
    balance = Balance("round_robin", FakeClock())
    balance.renew([_endpoint(1, 3), _endpoint(2), _endpoint(3)])
    assert _spread(balance, 50) == {"192.0.2.1:80": 30, "192.0.2.2:80": 10, "192.0.2.3:80": 10}


async def test_the_less_busy_of_two_is_taken() -> None:
    busy, idle = _endpoint(1, busy=5), _endpoint(2)
    balance = Balance("least_request", FakeClock())
    balance.renew([busy, idle])
    assert _spread(balance, 20) == {idle.label: 20}
    busy.weigh(12, 1.0)  # (5 + 1) / 12 is less than (0 + 1) / 1
    balance.renew([busy, idle])
    assert _spread(balance, 20) == {busy.label: 20}


async def test_the_busiest_of_many_is_never_taken() -> None:
    endpoints = [_endpoint(place, busy=9 * (place == 1)) for place in range(1, 6)]
    balance = Balance("least_request", FakeClock())
    balance.renew(endpoints)
    chosen = _spread(balance, 2000)
    assert endpoints[0].label not in chosen
    assert all(300 < count < 700 for count in chosen.values())


async def test_a_client_keeps_its_endpoint_when_others_come_and_go() -> None:
    endpoints = [_endpoint(place) for place in range(1, 6)]
    balance = Balance("hash", FakeClock())
    balance.renew(endpoints)
    before = _homes(balance, 200)
    assert len(set(before.values())) == 5
    balance.renew(endpoints[1:])
    after = _homes(balance, 200)
    gone = endpoints[0].label
    assert {client for client in before if before[client] != after[client]} == {
        client for client, home in before.items() if home == gone
    }


async def test_a_heavier_endpoint_is_home_to_more_clients() -> None:
    balance = Balance("hash", FakeClock())
    balance.renew([_endpoint(1, 9), _endpoint(2, 1)])
    homes = Counter(_homes(balance, 250).values())
    assert homes["192.0.2.1:80"] > 5 * homes["192.0.2.2:80"] > 0


@pytest.mark.parametrize("name", ["round_robin", "least_request"])
async def test_shares_count_as_soon_as_they_have_changed(name: str) -> None:
    endpoints = [_endpoint(place) for place in range(1, 5)]
    balance = Balance(name, FakeClock())
    balance.renew(endpoints)
    endpoints[0].weigh(1, 0.1)
    balance.reweigh()
    chosen = _spread(balance, 3100)
    assert 50 < chosen.pop(endpoints[0].label) < 180
    assert all(800 < count < 1200 for count in chosen.values())


async def test_two_that_are_idle_get_what_is_their_share() -> None:
    balance = Balance("least_request", FakeClock())
    balance.renew([_endpoint(1, 3), _endpoint(2)])
    chosen = _spread(balance, 1000)
    assert 150 < chosen["192.0.2.2:80"] < 350


async def test_a_client_keeps_its_endpoint_when_shares_change() -> None:
    endpoints = [_endpoint(place) for place in range(1, 6)]
    balance = Balance("hash", FakeClock())
    balance.renew(endpoints)
    before = _homes(balance, 50)
    for endpoint, factor in zip(endpoints, (0.1, 0.5, 1.0, 2.0, 5.0), strict=True):
        endpoint.weigh(1, factor)
    balance.reweigh()
    assert _homes(balance, 50) == before
    balance.renew(endpoints)
    assert _homes(balance, 50) == before


async def test_a_ring_has_a_bound() -> None:
    balance = Balance("hash", FakeClock())
    balance.renew([_endpoint(place, 1000) for place in range(1, 200)])
    assert len(balance._ring) < 70_000


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        (source_of, _asks("192.0.2.1", ("x-user", "b")), _asks("192.0.2.2")),
        (
            field_of(b"x-user"),
            _asks("192.0.2.2", ("x-user", "a")),
            _asks("192.0.2.1", ("x-user", "b")),
        ),
        (
            cookie_of(b"sid"),
            _asks("192.0.2.2", ("cookie", "x=1; sid=a"), ("cookie", "y=2")),
            _asks("192.0.2.1", ("cookie", "sid=b")),
        ),
    ],
)
async def test_what_makes_requests_go_to_one_endpoint(
    key: Callable[[Request], bytes], same: Request, other: Request
) -> None:
    asked = _asks("192.0.2.1", ("x-user", "a"), ("cookie", "sid=a"))
    assert key(asked) == key(same) != key(other)


@pytest.mark.parametrize("key", [field_of(b"x-user"), cookie_of(b"sid")])
async def test_without_what_is_gone_by_the_address_counts(key: Callable[[Request], bytes]) -> None:
    assert key(_asks("192.0.2.7", ("cookie", "other=1"))) == b"192.0.2.7"


@pytest.mark.parametrize("name", ["round_robin", "least_request", "hash"])
async def test_the_sick_and_the_ejected_are_passed_over_until_too_many_are(name: str) -> None:
    endpoints = [_endpoint(place) for place in range(1, 5)]
    balance = Balance(name, FakeClock(), panic=0.5)
    endpoints[0].sick = True
    endpoints[1].ejected = True
    balance.renew(endpoints)
    assert not balance.panics
    assert set(_homes(balance, 100).values()) <= {endpoints[2].label, endpoints[3].label}
    endpoints[2].sick = True
    balance.renew(endpoints)
    assert balance.panics
    assert len(set(_homes(balance, 100).values())) == 4


@pytest.mark.parametrize("name", ["round_robin", "least_request", "hash"])
async def test_who_was_turned_away_goes_elsewhere_if_there_is_elsewhere(name: str) -> None:
    endpoints = [_endpoint(place) for place in range(1, 4)]
    balance = Balance(name, FakeClock())
    balance.renew(endpoints)
    for _ in range(30):
        chosen = balance.choose(_asks(), endpoints[0].label)
        assert chosen is not None
        assert chosen is not endpoints[0]
    balance.renew(endpoints[:1])
    assert balance.choose(_asks(), endpoints[0].label) is endpoints[0]


async def test_when_nobody_is_healthy_all_are_tried() -> None:
    endpoint = _endpoint(1)
    endpoint.sick = True
    balance = Balance("round_robin", FakeClock(), panic=0.0)
    balance.renew([endpoint])
    assert balance.choose(_asks()) is endpoint


@pytest.mark.parametrize("name", ["round_robin", "least_request", "hash"])
async def test_of_nobody_nobody_is_chosen(name: str) -> None:
    balance = Balance(name, FakeClock())
    balance.renew([])
    assert balance.choose(_asks()) is None
    assert balance.prefer(_asks()) is None
