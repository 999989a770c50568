"""Whereabouts: what stands fast, what has to be found out, and what is known until then."""

import pytest

from tests.support.table import Notebook
from trailproxy.core.address import parse_endpoint
from trailproxy.net.names import Spot
from trailproxy.net.origin_params import OriginParams
from trailproxy.net.whereabouts import Whereabouts

FAST = Spot(parse_endpoint("127.0.0.1:1"), 2)
SOCKET = Spot(parse_endpoint("unix:/run/a.sock"))
NAME = Spot(parse_endpoint("a.test:1"))
SERVICE = Spot(parse_endpoint("srv:b.test"))


def _whereabouts(*spots: Spot) -> Whereabouts:
    return Whereabouts(OriginParams(name="app", spots=spots), Notebook())


def test_addresses_are_known_from_the_start() -> None:
    whereabouts = _whereabouts(FAST, SOCKET)
    assert whereabouts.now == [FAST, SOCKET]
    assert whereabouts.settled


def test_what_is_found_takes_its_place_and_stays_until_something_else_is_found() -> None:
    whereabouts = _whereabouts(NAME, FAST, SERVICE)
    found: list[list[Spot]] = []
    whereabouts._found = found.append
    one, two = Spot(parse_endpoint("192.0.2.1:1")), Spot(parse_endpoint("192.0.2.2:1"))
    assert whereabouts.now == [FAST]
    whereabouts._told({NAME: [one]})
    assert not whereabouts.settled
    whereabouts._told({SERVICE: None})
    assert whereabouts.settled, "nobody knows, and that is an answer"
    whereabouts._told({NAME: None, SERVICE: [two]})
    whereabouts._told({NAME: []})
    assert found == [[one, FAST], [one, FAST], [one, FAST, two], [FAST, two]]


def test_pods_are_not_followed_without_an_api_server() -> None:
    with pytest.raises(ValueError, match="upstream app has nobody to ask"):
        _whereabouts(Spot(parse_endpoint("k8s:shop/app:grpc")))
