"""Retries through a running proxy, with real gRPC at both ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.support.running import Start

pytestmark = pytest.mark.e2e


class Flaky(grpc.GenericRpcHandler):
    """A gRPC server whose calls fail as often as a test says, in trailers."""

    def __init__(self) -> None:
        self.failures = 0
        self.asked: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        return grpc.unary_stream_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.asked.append(request)
        yield b"half"
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        yield b"whole"

    def stop(self) -> None:
        self._server.stop(None)


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    made = Flaky()
    yield made
    made.stop()


def _routes(**retry: object) -> list[dict[str, object]]:
    whole = {"on": ["unavailable"], "idempotent": True, "attempts": 3} | retry
    return [{"name": "all", "match": {}, "upstream": "app", "retry": whole}]


def _call(target: str) -> list[bytes] | str:
    with grpc.insecure_channel(target) as channel:
        try:
            return list(channel.unary_stream("/test.Flaky/Ask")(b"question", timeout=5))
        except grpc.RpcError as error:
            return str(error.code().name)


def test_a_call_that_fails_in_its_trailers_is_tried_again(start: Start, flaky: Flaky) -> None:
    proxy = start(flaky.endpoint, routes=_routes())
    flaky.failures = 2
    assert _call(proxy.target) == [b"half", b"whole"]
    assert flaky.asked == [b"question"] * 3
    assert proxy.settled().by("retries_total", "reason", "outcome") == {
        ("grpc-status 14", "tried"): 2,
        ("grpc-status 14", "succeeded"): 1,
    }
    assert proxy.entry()["attempts"] == 3


def test_the_last_failure_is_shown_with_all_that_came(start: Start, flaky: Flaky) -> None:
    proxy = start(flaky.endpoint, routes=_routes(attempts=2))
    flaky.failures = 9
    assert _call(proxy.target) == "UNAVAILABLE"
    assert len(flaky.asked) == 2
    assert proxy.settled().total("retries_total", outcome="exhausted") == 1
