"""What routes do beyond relaying, as real clients see it: grpcio, before a scripted backend."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import grpc
import pytest

from tests.support.running import Proxy, running_proxy
from tests.support.scripted_peer import Origin, Peer
from trailproxy.wire.errors import ErrorCode

pytestmark = pytest.mark.e2e

PATIENCE_S = 10.0
GRPC = [(":status", "200"), ("content-type", "application/grpc")]
HELLO = b"\0\0\0\0\5hello"

HOOKS = """
from trailproxy.hooks import Answer, Call, Hook, Pairs


class Counts(Hook):
    def __init__(self, call: Call) -> None:
        if call.path.endswith("/Forbidden"):
            raise Answer(403, "not this one")
        self.octets = 0

    def response_data(self, octets: bytes) -> None:
        self.octets += len(octets)

    def response_trailers(self, trailers: Pairs) -> Pairs:
        return [*trailers, ("x-octets", str(self.octets))]
"""


class Outcome(NamedTuple):
    """What a call came to."""

    heard: list[bytes]
    status: grpc.StatusCode
    details: str
    trailers: dict[str, str]


@pytest.fixture(scope="module")
def proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a route for each policy."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "my_hooks.py").write_text(HOOKS, "utf-8")

    def route(name: str, prefix: str = "", **options: object) -> dict[str, object]:
        match = {"path_prefix": prefix or f"/{name}.Trail/"}
        return {"name": name, "match": match, "upstream": "app", **options}

    routes = [
        route("resets", on_upstream_failure="reset"),
        route("hooked", hooks="my_hooks:Counts"),
        route("verified", digest="verify"),
        route("timed", server_timing=True, digest="add"),
        route("all", "/"),
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder), prepend=":")
        with running_proxy(folder / "proxy", origin.endpoint, routes=routes) as running:
            yield running


@pytest.fixture
def call(proxy: Proxy, origin: Origin) -> Iterator[Callable[[str], Future[Outcome]]]:
    """Begin a call while the test plays the backend."""
    host, port = proxy.address
    with ThreadPoolExecutor(1) as pool, grpc.insecure_channel(f"{host}:{port}") as channel:

        def run(method: str, timeout: float) -> Outcome:
            stream = channel.unary_stream(method)(b"", timeout=timeout)
            heard: list[bytes] = []
            with suppress(grpc.RpcError):  # what it is called stands in the call, too
                heard.extend(stream)
            trailers = {key: str(value) for key, value in stream.trailing_metadata()}
            return Outcome(heard, stream.code(), stream.details(), trailers)

        yield lambda method, timeout=PATIENCE_S: pool.submit(run, method, timeout)
        origin.hang_up()


def take_up(origin: Origin) -> tuple[Peer, int]:
    """Take the call as the backend, and begin to answer it."""
    backend = origin.accept()
    up = backend.next_request()
    backend.head(up, GRPC)
    backend.data(up, HELLO)
    return backend, up


def test_a_reset_becomes_a_status_with_its_reason(proxy, origin, call):
    gained = proxy.counting()
    calling = call("/all.Trail/List")
    backend, up = take_up(origin)
    backend.reset(up, ErrorCode.ENHANCE_YOUR_CALM)

    ended = calling.result(PATIENCE_S)
    assert ended.heard == [b"hello"]
    assert ended.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ended.details == "trailproxy: upstream reset the stream"
    counts = gained()
    assert counts("trailers_total", "outcome") == {("synthesized",): 1}
    assert counts("streams_dropped_total", "cause") == {("upstream_reset",): 1}


def test_a_crash_becomes_unavailable(origin, call):
    calling = call("/all.Trail/List")
    backend, _ = take_up(origin)
    backend.vanish()

    ended = calling.result(PATIENCE_S)
    assert ended.status is grpc.StatusCode.UNAVAILABLE
    assert ended.details.startswith("trailproxy: ")


def test_a_route_may_have_the_bare_reset(origin, call):
    calling = call("/resets.Trail/List")
    backend, up = take_up(origin)
    backend.reset(up, ErrorCode.ENHANCE_YOUR_CALM)

    ended = calling.result(PATIENCE_S)
    assert ended.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not ended.details.startswith("trailproxy: ")


def test_a_deadline_is_told_to_the_backend_which_is_then_cancelled(origin, call):
    calling = call("/all.Trail/List", 0.5)
    backend, up = take_up(origin)
    told = backend.streams[up].field("grpc-timeout")
    assert told is not None
    assert 0 < int(told[:-1]) * {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1}[told[-1]] <= 0.5

    assert calling.result(PATIENCE_S).status is grpc.StatusCode.DEADLINE_EXCEEDED
    backend.wait(lambda: backend.streams[up].reset is not None, "the reset")
    assert backend.streams[up].reset == ErrorCode.CANCEL


def test_a_hook_adds_what_it_counted(origin, call):
    calling = call("/hooked.Trail/List")
    backend, up = take_up(origin)
    backend.trailers(up, [("grpc-status", "0")])

    ended = calling.result(PATIENCE_S)
    assert ended.status is grpc.StatusCode.OK
    assert ended.trailers["x-octets"] == str(len(HELLO))


def test_a_hook_answers_in_the_backends_place(call):
    ended = call("/hooked.Trail/Forbidden").result(PATIENCE_S)
    assert ended.status is grpc.StatusCode.PERMISSION_DENIED
    assert ended.details == "not this one"


@pytest.mark.parametrize("right", [True, False])
def test_a_body_is_held_to_its_digest(proxy, origin, call, right):
    gained = proxy.counting()
    calling = call("/verified.Trail/List")
    backend, up = take_up(origin)
    octets = hashlib.sha256(HELLO if right else b"something else").digest()
    digest = f"sha-256=:{b64encode(octets).decode()}:"
    backend.trailers(up, [("grpc-status", "0"), ("content-digest", digest)])

    ended = calling.result(PATIENCE_S)
    assert (ended.status is grpc.StatusCode.OK) is right
    outcome = "verified" if right else "mismatch"
    # the request names no digest
    expected = {("response", outcome): 1, ("request", "unverified"): 1}
    assert gained()("digests_total", "direction", "outcome") == expected


def test_what_is_added_stands_behind_what_came(origin, call):
    calling = call("/timed.Trail/List")
    backend, up = take_up(origin)
    backend.trailers(up, [("grpc-status", "0")])

    ended = calling.result(PATIENCE_S)
    octets = hashlib.sha256(HELLO).digest()
    assert ended.trailers["content-digest"] == f"sha-256=:{b64encode(octets).decode()}:"
    assert ended.trailers["server-timing"].startswith("proxy;dur=")
