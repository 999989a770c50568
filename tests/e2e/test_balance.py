"""Endpoints that are unwell, found out by real gRPC health checks and by what became of calls."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.support.running import Proxy, Start, eventually

pytestmark = pytest.mark.e2e


class Backend(grpc.GenericRpcHandler):
    """A gRPC server that answers every call with its own port, or with a status."""

    def __init__(self) -> None:
        self.health = health.HealthServicer()
        self.fails = False
        self._server = grpc.server(ThreadPoolExecutor(8))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self._server.add_generic_rpc_handlers((self,))
        self.port = str(self._server.add_insecure_port("127.0.0.1:0"))
        self._server.start()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        if not handler_call_details.method.startswith("/test.Port/"):
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.fails:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not today")
        return self.port.encode()

    def stop(self) -> None:
        self._server.stop(None)


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    made = [Backend() for _ in range(3)]
    yield made
    for backend in made:
        backend.stop()


Call = Callable[[], str]


@pytest.fixture
def calls(request: pytest.FixtureRequest) -> Callable[[Proxy], Call]:
    """Return a way to call through a proxy: the port that answered, or the status."""

    def through(proxy: Proxy) -> Call:
        channel = grpc.insecure_channel(proxy.target)
        request.addfinalizer(channel.close)
        ask = channel.unary_unary("/test.Port/Ask")

        def call() -> str:
            try:
                return str(ask(b"", timeout=5).decode())
            except grpc.RpcError as error:
                return str(error.code().name)

        return call

    return through


def _upstream(backends: list[Backend], **more: object) -> dict[str, object]:
    return {
        "name": "app",
        "endpoints": [f"127.0.0.1:{backend.port}" for backend in backends],
        "load_balancing": "round_robin",
        **more,
    }


def test_who_says_that_it_does_not_serve_gets_no_calls(
    start: Start, backends: list[Backend], calls: Callable[[Proxy], Call]
) -> None:
    proxy = start(_upstream(backends, health_check={"grpc": "", "interval": "100ms"}))
    call = calls(proxy)
    eventually(lambda: len({call() for _ in range(6)}) == 3, "all to be dialled")
    backends[0].health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    eventually(
        lambda: proxy.metrics().by("endpoints", "state") == {("healthy",): 2, ("sick",): 1},
        "one to be found sick",
    )
    asked = Counter(call() for _ in range(20))
    assert set(asked) == {backends[1].port, backends[2].port}
    assert max(asked.values()) <= 12
    backends[0].health.set("", health_pb2.HealthCheckResponse.SERVING)
    eventually(lambda: backends[0].port in {call() for _ in range(3)}, "it to be well again")
    assert proxy.metrics().total("endpoint_events_total", event="check_failed") >= 3


def test_a_status_in_trailers_ejects_an_endpoint(
    start: Start, backends: list[Backend], calls: Callable[[Proxy], Call]
) -> None:
    proxy = start(
        _upstream(backends, outlier_detection={"consecutive_failures": 3, "ejection_time": "500ms"})
    )
    call = calls(proxy)
    eventually(lambda: len({call() for _ in range(6)}) == 3, "all to be dialled")
    backends[0].fails = True
    told = Counter(call() for _ in range(60))
    assert told["UNAVAILABLE"] == 3
    assert proxy.metrics().by("endpoint_events_total", "event") == {("ejected",): 1}
    backends[0].fails = False
    eventually(lambda: backends[0].port in {call() for _ in range(3)}, "it to return")
    assert proxy.metrics().by("endpoint_events_total", "event") == {
        ("ejected",): 1,
        ("returned",): 1,
    }


def test_a_reload_takes_endpoints_and_loses_no_call(
    start: Start, backends: list[Backend], calls: Callable[[Proxy], Call]
) -> None:
    proxy = start(_upstream(backends))
    call = calls(proxy)
    call()
    proxy.settings["upstreams"] = [_upstream(backends[1:])]
    proxy.write()
    proxy.admin("/reload", "POST")
    assert {call() for _ in range(12)} == {backend.port for backend in backends[1:]}
    assert proxy.metrics().total("streams_dropped_total") == 0
