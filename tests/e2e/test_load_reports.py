"""Load reports of real gRPC servers: the busy one gets less, and no client sees a report."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.support.orca import octets_of
from tests.support.running import Proxy, Start, eventually
from tests.support.scripted_peer import Peer

pytestmark = pytest.mark.e2e

REPORT = "endpoint-load-metrics-bin"
DETAILS, DETAILS_BASE64 = b"\x08\x05\xff", "CAX/"


class Backend(grpc.GenericRpcHandler):
    """A gRPC server that tells in each call's trailers how busy it is."""

    def __init__(self, utilization: float) -> None:
        report = octets_of(
            cpu_utilization=utilization, rps_fractional=90.0, named_metrics={"queue": 1.0}
        )
        self._trailers = ((REPORT, report), ("x-kept", "all else"), ("x-kept-bin", DETAILS))
        self._methods = {
            "/test.Load/Ask": grpc.unary_unary_rpc_method_handler(self._answer),
            "/test.Load/Refuse": grpc.unary_unary_rpc_method_handler(self._refuse),
        }
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.port = str(self._server.add_insecure_port("127.0.0.1:0"))
        self._server.start()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        return self._methods.get(handler_call_details.method)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(self._trailers)
        return self.port.encode()

    def _refuse(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(self._trailers)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy")

    def stop(self) -> None:
        self._server.stop(None)


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    """One that is idle, and one that is busy."""
    made = [Backend(0.1), Backend(0.9)]
    yield made
    for backend in made:
        backend.stop()


def _upstream(backends: list[Backend], **more: object) -> dict[str, object]:
    return {"name": "app", "endpoints": [f"127.0.0.1:{each.port}" for each in backends], **more}


@pytest.mark.parametrize("way", ["round_robin", "least_request"])
def test_the_busy_one_gets_less(start: Start, backends: list[Backend], way: str) -> None:
    proxy = start(
        _upstream(backends, load_balancing=way, load_reports={"blackout_period": "300ms"})
    )
    _, busy = backends
    with grpc.insecure_channel(proxy.target) as channel:
        ask = channel.unary_unary("/test.Load/Ask")

        def asked() -> Counter[str]:
            return Counter(ask(b"", timeout=5).decode() for _ in range(120))

        eventually(lambda: len(asked()) == 2, "both to be dialled")
        # a fifth of what the other one gets: 20 of 120, and 60 before; chance leaves it between
        eventually(lambda: 0 < asked()[busy.port] <= 36, "shares to follow the reports")
    counted = proxy.settled().by("load_reports_total", "upstream", "outcome")
    assert set(counted) == {("app", "read")}


def _call(proxy: Proxy, method: str) -> list[tuple[str, str]]:
    """Call a method; return what stands in the trailers, or in a head that has none behind it.

    grpcio keeps load reports to itself, so the client is one that shows all.
    """
    client = Peer.connect(proxy.address)
    try:
        grpc_fields = (("te", "trailers"), ("content-type", "application/grpc"))
        sid = client.open(*grpc_fields, path=f"/test.Load/{method}")
        client.data(sid, b"\0\0\0\0\0", end=True)
        response = client.response(sid)
    finally:
        client.close()
    section = response.trailers or response.head or []
    return [(name, value) for name, value in section if name != "date"]


def test_clients_get_all_trailers_but_the_report(start: Start, backends: list[Backend]) -> None:
    plain, reading = start(_upstream(backends)), start(_upstream(backends, load_reports={}))
    for method, status in (("Ask", "0"), ("Refuse", "8")):
        whole = _call(plain, method)
        names = [name for name, _ in whole]
        assert names.count(REPORT) == 1
        assert ("grpc-status", status) in whole
        assert {("x-kept", "all else"), ("x-kept-bin", DETAILS_BASE64)} <= set(whole)
        assert _call(reading, method) == [each for each in whole if each[0] != REPORT]
    counted = plain.settled()
    assert counted.by("load_reports_total", "outcome") == {}
    assert counted.by("trailers_total", "outcome") == {("relayed",): 1}  # the other was a head
    counted = reading.settled()
    assert counted.by("load_reports_total", "outcome") == {("read",): 2}
    assert counted.by("trailers_total", "outcome") == {("rewritten",): 1}
    assert counted.total("streams_dropped_total") == 0
