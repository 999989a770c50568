"""Routing: the first route that matches, and shares that come out even."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.table import Kitchen
from trailproxy.core.matching import FindPatterns, HasField, HasMethod, IsGrpc, Wanted
from trailproxy.core.message import Hop, Request, understand
from trailproxy.core.routing import Route, Router, Share
from trailproxy.wire.fields import Fields

SHARE = Share([(Kitchen(), 1)])
HOP = Hop("192.0.2.1", "http")


def _asks(authority: bytes, path: bytes, *extra: tuple[str, str], method: str = "GET") -> Request:
    pairs = [(b":method", method), (b":scheme", b"http"), (b":authority", authority)]
    return understand(Fields.of([*pairs, (b":path", path), *extra]), HOP)


def _together(patterns: list[str]) -> FindPatterns:
    """Look in one pattern after the other; in an order that nobody may rely on."""
    compiled = [re.compile(pattern.encode()) for pattern in patterns]
    return lambda path: [n for n, p in reversed(list(enumerate(compiled))) if p.fullmatch(path)]


def _router(*wanted: Wanted) -> Router:
    routes = tuple(
        Route(name=str(place), share=SHARE, wanted=each) for place, each in enumerate(wanted)
    )
    return Router(routes, _together)


def _place(router: Router, asked: Request) -> int | None:
    route = router.match(asked)
    return None if route is None else router.routes.index(route)


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
    router = _router(Wanted(authority=wanted))
    assert (router.match(_asks(authority, b"/")) is not None) is matches


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
    router = _router(Wanted(prefix=prefix))
    assert (router.match(_asks(b"a", path)) is not None) is matches


def test_the_first_route_wins_and_authorities_have_no_case() -> None:
    router = _router(Wanted(authority=b"a.example", prefix=b"/x"), Wanted(authority=b"a.example"))
    assert _place(router, _asks(b"A.Example", b"/x")) == 0
    assert _place(router, _asks(b"a.EXAMPLE", b"/y")) == 1
    assert _place(router, _asks(b"b.example", b"/x")) is None


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        (b"/a", True),
        (b"/a?x", True),
        (b"/a/", False),
        (b"/a/b", False),
        (b"/", False),
        (b"", False),
    ],
)
def test_an_exact_path_is_that_path_alone(path: bytes, matches: bool) -> None:
    assert (_place(_router(Wanted(path=b"/a")), _asks(b"h", path)) == 0) is matches


def test_a_pattern_fits_all_of_the_path_and_none_of_the_query() -> None:
    router = _router(Wanted(pattern="/v[0-9]+/x"), Wanted(pattern="/v1/.*"), Wanted(prefix=b"/v1"))
    assert _place(router, _asks(b"h", b"/v1/x?y")) == 0
    assert _place(router, _asks(b"h", b"/v1/xy")) == 1
    assert _place(router, _asks(b"h", b"/v1")) == 2
    assert _place(router, _asks(b"h", b"/v2/xy")) is None


def test_without_somebody_to_look_them_up_there_are_no_patterns() -> None:
    with pytest.raises(NotImplementedError, match=r"/v\.\*"):
        Router((Route(name="r", share=SHARE, wanted=Wanted(pattern="/v.*")),))


def test_conditions_are_asked_in_the_order_of_the_routes() -> None:
    canary = HasField(b"x-canary", b"1".__eq__)
    router = _router(
        Wanted(conditions=(HasMethod("POST"), canary)),
        Wanted(prefix=b"/a", conditions=(canary,)),
        Wanted(prefix=b"/a"),
        Wanted(prefix=b"/a", conditions=(HasMethod("POST"),)),  # the one before takes all of its
        Wanted(conditions=(HasField(b"x-debug"),)),
    )
    assert _place(router, _asks(b"h", b"/a", ("x-canary", "1"), method="POST")) == 0
    assert _place(router, _asks(b"h", b"/a", ("x-canary", "0"), ("x-canary", "1"))) == 1
    assert _place(router, _asks(b"h", b"/a", ("x-canary", "2"), method="POST")) == 2
    assert _place(router, _asks(b"h", b"/b", ("x-debug", ""))) == 4
    assert _place(router, _asks(b"h", b"/b", ("x-canary", "1"))) is None


def test_grpc_calls_are_known_by_their_content_type() -> None:
    router = _router(Wanted(conditions=(IsGrpc(b"Hello"),)), Wanted(conditions=(IsGrpc(),)))
    grpc = ("content-type", "application/grpc+proto")
    assert _place(router, _asks(b"h", b"/greet.Greeter/Hello", grpc, method="POST")) == 0
    assert _place(router, _asks(b"h", b"/greet.Greeter/SayHello", grpc, method="POST")) == 1
    assert _place(router, _asks(b"h", b"/greet.Greeter/Hello", method="POST")) is None


def _fits(wanted: Wanted, asked: Request) -> bool:
    """Say what a route takes, one at a time: slow, and easy to believe."""
    names = [asked.authority.lower(), asked.authority.lower().rpartition(b":")[0]]
    if wanted.authority[:2] == b"*.":
        known = any(name.endswith(wanted.authority[1:]) for name in names)
    else:
        known = not wanted.authority or wanted.authority in names
    path = asked.path.partition(b"?")[0]
    rest = asked.path[len(wanted.prefix) :]
    whole = not wanted.prefix or wanted.prefix[-1:] == b"/" or rest[:1] in (b"", b"/", b"?")
    return (
        known
        and (not wanted.path or path == wanted.path)
        and (not wanted.pattern or re.fullmatch(wanted.pattern.encode(), path) is not None)
        and asked.path.startswith(wanted.prefix)
        and whole
        and all(condition.fits(asked) for condition in wanted.conditions)
    )


_HOSTS = st.sampled_from([b"", b"a.b", b"*.b", b"b:80", b"a.b:80", b"*.b:80", b"c.a.b"])
_PATHS = st.lists(st.sampled_from([b"a", b"b", b"/", b"//"]), max_size=5).map(
    lambda parts: b"/" + b"".join(parts)
)
_PLACES = st.one_of(
    st.just(Wanted()),
    st.builds(lambda path: Wanted(path=path), _PATHS),
    st.builds(lambda path: Wanted(prefix=path), _PATHS),
    st.builds(lambda path: Wanted(pattern=path.decode() + "[ab]?"), _PATHS),
)
_CONDITIONS = st.lists(
    st.sampled_from([HasMethod("GET"), HasMethod("POST"), HasField(b"x"), IsGrpc()]), max_size=2
).map(tuple)
_ROUTES = st.builds(
    lambda authority, place, conditions: replace(place, authority=authority, conditions=conditions),
    _HOSTS,
    _PLACES,
    _CONDITIONS,
)


@given(
    st.lists(_ROUTES, max_size=8),
    st.sampled_from([b"a.b", b"A.B:80", b"b:80", b"c.a.b:80", b"b", b".b", b""]),
    st.tuples(_PATHS, st.sampled_from([b"", b"?", b"?/a/b"])).map(b"".join),
    st.sampled_from(["GET", "POST"]),
    st.lists(st.sampled_from([("x", "1"), ("content-type", "application/grpc")]), max_size=2),
)
def test_what_is_looked_up_is_what_fits_first(
    wanted: list[Wanted],
    authority: bytes,
    path: bytes,
    method: str,
    extra: list[tuple[str, str]],
) -> None:
    asked = _asks(authority, path, *extra, method=method)
    first = next((place for place, each in enumerate(wanted) if _fits(each, asked)), None)
    assert _place(_router(*wanted), asked) == first


def test_a_path_of_many_segments_is_not_searched_to_its_end() -> None:
    router = _router(*(Wanted(prefix=b"/route/%d" % place) for place in range(1000)))
    assert _place(router, _asks(b"", b"/route/999" + b"/x" * 30_000)) == 999
    assert _place(router, _asks(b"", b"/other" * 30_000)) is None


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
