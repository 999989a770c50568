"""Routing: the first route that matches, and shares that come out even."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (b"*.example:80", b"a.example:80", True),
        (b"*.example:80", b"a.example", False),
        (b"[::1]", b"[::1]:80", True),
        (b"[::1]:80", b"[::1]:81", False),
    ],
)
def test_authorities(wanted: bytes, authority: bytes, matches: bool) -> None:
    router = Router((Route(name="r", share=SHARE, authority=wanted),))
    assert (router.match(authority, b"/") is not None) is matches


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
        (b"/a/b", b"/a/b/c/d", True),
        (b"/a/b/", b"/a/b/c/d", True),
        (b"/a//b", b"/a//b", True),
        (b"/a/b", b"/a?x=/b", False),
        (b"/a", b"/a?x=/b", True),
    ],
)
def test_prefixes_are_whole_segments(prefix: bytes, path: bytes, matches: bool) -> None:
    router = Router((Route(name="r", share=SHARE, path_prefix=prefix),))
    assert (router.match(b"a", path) is not None) is matches


def test_the_first_route_wins_and_authorities_have_no_case() -> None:
    routes = (
        Route(name="one", share=SHARE, authority=b"a.example", path_prefix=b"/x"),
        Route(name="two", share=SHARE, authority=b"a.example"),
    )
    router = Router(routes)
    assert router.match(b"A.Example", b"/x") is routes[0]
    assert router.match(b"a.EXAMPLE", b"/y") is routes[1]
    assert router.match(b"b.example", b"/x") is None


def _fits(route: Route, authority: bytes, path: bytes) -> bool:
    """Say what a route takes, one at a time: slow, and easy to believe."""
    wanted, prefix = route.authority, route.path_prefix
    names = [authority.lower(), authority.lower().rpartition(b":")[0]]
    if wanted[:2] == b"*.":
        known = any(name.endswith(wanted[1:]) for name in names)
    else:
        known = not wanted or wanted in names
    rest = path[len(prefix) :]
    whole = not prefix or prefix[-1:] == b"/" or rest[:1] in (b"", b"/", b"?")
    return known and path.startswith(prefix) and whole


_HOSTS = st.sampled_from([b"", b"a.b", b"*.b", b"b:80", b"a.b:80", b"*.b:80", b"c.a.b"])
_PATHS = st.lists(st.sampled_from([b"a", b"b", b"/", b"//"]), max_size=5).map(b"".join)


@given(
    st.lists(st.tuples(_HOSTS, _PATHS), max_size=8),
    st.sampled_from([b"a.b", b"A.B:80", b"b:80", b"c.a.b:80", b"b", b".b", b""]),
    st.tuples(_PATHS, st.sampled_from([b"", b"?", b"?/a/b"])),
)
def test_what_is_looked_up_is_what_fits_first(
    wanted: list[tuple[bytes, bytes]], authority: bytes, asked: tuple[bytes, bytes]
) -> None:
    routes = tuple(
        Route(
            name=str(place), share=SHARE, authority=host, path_prefix=b"/" + path if path else b""
        )
        for place, (host, path) in enumerate(wanted)
    )
    path = b"/" + b"".join(asked)
    first = next((route for route in routes if _fits(route, authority, path)), None)
    assert Router(routes).match(authority, path) is first


def test_a_path_of_many_segments_is_not_searched_to_its_end() -> None:
    routes = tuple(
        Route(name=str(place), share=SHARE, path_prefix=b"/route/%d" % place)
        for place in range(1000)
    )
    router = Router(routes)
    assert router.match(b"", b"/route/999" + b"/x" * 30_000) is routes[999]
    assert router.match(b"", b"/other" * 30_000) is None


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
