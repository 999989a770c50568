"""What the settings become, once they are compiled."""

import pytest

from trailproxy.core.message import Hop, understand
from trailproxy.core.routing import Deadlines
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.ops.settings import parse
from trailproxy.ops.snapshot import Snapshot, compile_snapshot, wire_params
from trailproxy.wire.fields import Fields

TEXT = """
listeners: [{name: main, bind: "127.0.0.1:8080"}]
upstreams:
  - {name: app, endpoints: ["127.0.0.1:50051"]}
  - {name: canary, endpoints: ["127.0.0.1:50052"]}
routes:
  - name: greeter
    match: {authority: API.example.com, path_prefix: /greet.Greeter/}
    upstream: [{name: app, weight: 3}, {name: canary, weight: 1}]
    timeouts: {response_head: 2s, idle: 0s, total: 5s}
  - {name: rest, match: {path_prefix: /}, upstream: app}
limits:
  max_concurrent_streams: 7
  stream_window: 64KiB
  max_header_list: 8KiB
  max_header_fields: 99
  min_rate: 1KiB
"""


class Named(Upstream):
    """An upstream that is nothing but its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def lease(self, tenant: Tenant) -> None:
        raise AssertionError("nobody leases from a name")

    def cancel(self, tenant: Tenant) -> None:
        raise AssertionError("nobody leases from a name")


@pytest.fixture
def snapshot() -> Snapshot:
    return compile_snapshot(
        parse(TEXT, "test.yaml", {}), {name: Named(name) for name in ("app", "canary")}
    )


def test_limits_become_the_codecs_parameters(snapshot: Snapshot) -> None:
    wire = wire_params(snapshot.settings.limits)
    assert (wire.max_concurrent_streams, wire.stream_window) == (7, 65_536)
    assert (wire.connection_window, wire.max_header_list) == (4 * 1024 * 1024, 8192)
    assert wire.max_header_fields == 99


def test_zero_seconds_mean_no_limit(snapshot: Snapshot) -> None:
    greeter, rest = snapshot.router.routes
    assert greeter.deadlines == Deadlines(response_head=2.0, idle=None, total=5.0, min_rate=1024)
    assert rest.deadlines == Deadlines(response_head=15.0, idle=60.0, total=None, min_rate=1024)


def test_weights_share_the_requests_out(snapshot: Snapshot) -> None:
    share = snapshot.router.routes[0].share
    assert [share.pick().name for _ in range(8)].count("canary") == 2


def test_a_weight_of_0_gets_nothing() -> None:
    settings = parse(TEXT.replace("weight: 1", "weight: 0"), "t.yaml", {})
    upstreams = {name: Named(name) for name in ("app", "canary")}
    share = compile_snapshot(settings, upstreams).router.routes[0].share
    assert {share.pick().name for _ in range(8)} == {"app"}


@pytest.mark.parametrize(
    ("authority", "path", "name"),
    [
        (b"api.example.com", b"/greet.Greeter/Hello", "greeter"),
        (b"API.example.com:8443", b"/greet.Greeter/Hello", "greeter"),
        (b"other.example.com", b"/greet.Greeter/Hello", "rest"),
        (b"api.example.com", b"/other", "rest"),
        (b"api.example.com", b"*", "rest"),
        (b"api.example.com:443", b"", "rest"),
    ],
    ids=["exact", "case_and_port", "other_host", "other_path", "options_star", "connect"],
)
def test_the_first_match_wins_and_a_slash_means_every_request(
    snapshot: Snapshot, authority: bytes, path: bytes, name: str
) -> None:
    assert _route(snapshot, authority, path, {}) == name


def _route(snapshot: Snapshot, authority: bytes, path: bytes, extra: dict[str, str]) -> str | None:
    head = {":method": b"GET", ":scheme": b"http", ":authority": authority, ":path": path}
    fields = Fields.of([*(head | extra).items()])
    route = snapshot.router.match(understand(fields, Hop("192.0.2.1", "http")))
    return None if route is None else route.name


WORDS = """
listeners: [{name: main, bind: "127.0.0.1:8080"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:50051"]}]
routes:
  - {name: exact, match: {path: /exact}, upstream: app}
  - {name: regex, match: {path_regex: "/v[0-9]+/.*"}, upstream: app}
  - {name: post, match: {path_prefix: /m, method: POST}, upstream: app}
  - name: canary
    match: {path_prefix: /m, headers: [{name: X-Canary, value: "yes"}]}
    upstream: app
  - name: version
    match: {path_prefix: /m, headers: [{name: x-version, regex: "2[.][0-9]+"}, {name: x-on}]}
    upstream: app
  - {name: encoded, match: {path: /encoded%7Ex}, upstream: app}
  - {name: hello, match: {grpc: {service: greet.Greeter, method: Hello}}, upstream: app}
  - {name: greeter, match: {grpc: {service: greet.Greeter}}, upstream: app}
  - {name: watch, match: {grpc: {method: Watch}}, upstream: app}
  - {name: grpc, match: {grpc: {}}, upstream: app}
"""


@pytest.mark.parametrize(
    ("path", "extra", "name"),
    [
        (b"/exact?x", {}, "exact"),
        (b"/v12/x", {}, "regex"),
        (b"/v12/\xff", {}, "regex"),
        (b"/%65xact", {}, "exact"),
        (b"/v%312/x", {}, "regex"),
        (b"/encoded~x", {}, "encoded"),
        (b"/encoded%7ex", {}, "encoded"),
        (b"/vx/x", {}, None),
        (b"/m", {":method": "POST"}, "post"),
        (b"/m", {":method": "post"}, None),
        (b"/m", {"x-canary": "yes"}, "canary"),
        (b"/m", {"x-canary": "Yes"}, None),
        (b"/m", {"x-version": "2.10", "x-on": ""}, "version"),
        (b"/m", {"x-version": "2.10"}, None),
        (b"/m", {"x-version": "12.10", "x-on": ""}, None),
        (b"/greet.Greeter/Hello", {"content-type": "application/grpc"}, "hello"),
        (b"/greet.Greeter/Other", {"content-type": "application/grpc"}, "greeter"),
        (b"/greet.Greeter/Hello", {"content-type": "text/plain"}, None),
        (b"/other.Service/Watch", {"content-type": "application/grpc"}, "watch"),
        (b"/other.Service/Other", {"content-type": "application/grpc"}, "grpc"),
    ],
)
def test_every_word_of_a_match_means_what_it_says(
    path: bytes, extra: dict[str, str], name: str | None
) -> None:
    words = compile_snapshot(parse(WORDS, "test.yaml", {}), {"app": Named("app")})
    assert _route(words, b"a", path, extra) == name


@pytest.mark.parametrize(("said", "takes"), [("", False), ("dot_segments: pass\n", True)])
def test_routes_judge_paths_with_dot_segments_where_they_are_told_to(
    said: str, takes: bool
) -> None:
    snapshot = compile_snapshot(parse(WORDS + said, "test.yaml", {}), {"app": Named("app")})
    assert snapshot.router.takes_dot_segments is takes
