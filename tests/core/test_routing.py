"""Routing: the first route that matches, and shares that come out even."""

import pytest

from tests.support.table import Kitchen
from trailproxy.core.routing import Route, Router, Share

SHARE = Share([(Kitchen(), 1)])


@pytest.mark.parametrize(
    ("wanted", "authority", "matches"),
    [
        (b"", b"anything:80", True),
        (b"a.example", b"a.example", True),
        (b"a.example", b"a.example:8443", True),
        (b"a.example", b"b.example", False),
        (b"a.example:80", b"a.example:80", True),
        (b"a.example:80", b"a.example:81", False),
        (b"a.example:80", b"a.example", False),
        (b"*.example", b"a.example", True),
        (b"*.example", b"a.b.example:443", True),
        (b"*.example", b"example", False),
        (b"*.example", b"badexample", False),
    ],
)
def test_authorities(wanted: bytes, authority: bytes, matches: bool) -> None:
    route = Route(name="r", share=SHARE, authority=wanted)
    assert route.matches(authority, b"/") is matches


@pytest.mark.parametrize(
    ("prefix", "path", "matches"),
    [
        (b"", b"", True),
        (b"/", b"/anything", True),
        (b"/greet", b"/greet", True),
        (b"/greet", b"/greet/x", True),
        (b"/greet", b"/greet?x", True),
        (b"/greet", b"/greetings", False),
        (b"/greet/", b"/greet/x", True),
        (b"/greet/", b"/greet", False),
        (b"/", b"*", False),
    ],
)
def test_prefixes_are_whole_segments(prefix: bytes, path: bytes, matches: bool) -> None:
    assert Route(name="r", share=SHARE, path_prefix=prefix).matches(b"a", path) is matches


def test_the_first_route_wins_and_authorities_have_no_case() -> None:
    routes = (
        Route(name="one", share=SHARE, authority=b"a.example", path_prefix=b"/x"),
        Route(name="two", share=SHARE, authority=b"a.example"),
    )
    router = Router(routes)
    assert router.match(b"A.Example", b"/x") is routes[0]
    assert router.match(b"a.EXAMPLE", b"/y") is routes[1]
    assert router.match(b"b.example", b"/x") is None


def test_shares_are_dealt_out_evenly_by_weight() -> None:
    names = []
    kitchens = [Kitchen() for _ in "abc"]
    for kitchen, name in zip(kitchens, "abc", strict=True):
        kitchen.name = name
    share = Share(list(zip(kitchens, (5, 1, 1), strict=True)))
    names = [share.pick().name for _ in range(14)]
    assert "".join(names) == "aabacaa" * 2


def test_a_share_of_one_is_always_its_turn() -> None:
    assert SHARE.pick() is SHARE.pick()
