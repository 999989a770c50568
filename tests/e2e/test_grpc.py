"""gRPC through the proxy: grpcio at both ends, generic handlers, plain bytes as messages."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.support.running import Proxy, Start, eventually, free_port, running_proxy

pytestmark = pytest.mark.e2e

DETAILS = b"\x08\x05\x12\x03any\x00\xff"
PATIENCE_S = 10.0


class Service(grpc.GenericRpcHandler):
    """The methods under `/test.Trail/`, and what they saw."""

    def __init__(self) -> None:
        self.waiting = threading.Event()  # Wait was called
        self.hung_up = threading.Event()  # and its client went away
        self.meeting = threading.Barrier(200)
        self._methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "PingPong": grpc.stream_stream_rpc_method_handler(self.ping_pong),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "CountThenFail": grpc.unary_stream_rpc_method_handler(self.count_then_fail),
            "Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
            "HangUp": grpc.unary_stream_rpc_method_handler(self.hang_up),
            "LargeTrailers": grpc.unary_unary_rpc_method_handler(self.large_trailers),
            "Meet": grpc.unary_unary_rpc_method_handler(self.meet),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        return self._methods.get(handler_call_details.method.removeprefix("/test.Trail/"))

    def unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-initial", "head"), ("x-initial-bin", b"\x00\x01\xff")))
        context.set_trailing_metadata(
            (("x-trailing", asked.get("x-asked", "")), ("x-trailing-bin", b"\xff\xfe\x00"))
        )
        return request

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()
        context.set_trailing_metadata((("x-counted", request.decode()),))

    def join(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return b",".join(requests)

    def ping_pong(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        for request in requests:
            yield b"pong " + request
        context.set_trailing_metadata((("x-ended", "by the client"),))

    def wait(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        gone = threading.Event()
        if not context.add_callback(gone.set):
            gone.set()  # the call was over before we were asked
        self.waiting.set()
        assert gone.wait(PATIENCE_S)
        self.hung_up.set()
        return b"nobody hears this"

    def count_then_fail(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from self.count(request, context)
        context.set_trailing_metadata(
            (("grpc-status-details-bin", DETAILS), ("x-retry-after", "3"))
        )
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota: 100% used, très bientôt")

    def refuse(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-reason-bin", DETAILS),))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

    def hang_up(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"one"
        context.cancel()
        yield b"two"

    def large_trailers(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(
            tuple((f"x-part-{number:02}", "v" * 950) for number in range(int(request)))
        )
        return b"small"

    def meet(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.meeting.wait(PATIENCE_S)
        return request


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def endpoint(service: Service) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(max_workers=210), handlers=(service,))
    checks = health.HealthServicer()
    checks.set("test.Trail", health_pb2.HealthCheckResponse.SERVING)
    checks.set("test.Other", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait(PATIENCE_S)


@pytest.fixture(scope="module")
def proxy(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("grpc"), endpoint) as running:
        yield running


def dial(target: str) -> grpc.Channel:
    return grpc.insecure_channel(
        target,
        options=(
            ("grpc.max_metadata_size", 128 * 1024),
            ("grpc.absolute_max_metadata_size", 128 * 1024),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ),
    )


@pytest.fixture(scope="module")
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    with dial(proxy.target) as opened:
        yield opened


@pytest.fixture
def unary(channel: grpc.Channel) -> Callable[[str], grpc.UnaryUnaryMultiCallable]:
    return lambda method: channel.unary_unary(f"/test.Trail/{method}")


def test_a_unary_call_keeps_metadata_on_both_ends(unary):
    reply, call = unary("Unary").with_call(
        b"\x00payload\xff", metadata=(("x-asked", "this"),), timeout=PATIENCE_S
    )

    assert reply == b"\x00payload\xff"
    assert call.code() is grpc.StatusCode.OK
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert initial["x-initial"] == "head"
    assert initial["x-initial-bin"] == b"\x00\x01\xff"
    assert trailing["x-trailing"] == "this"
    assert trailing["x-trailing-bin"] == b"\xff\xfe\x00"


def test_a_large_unary_message_arrives_whole(unary):
    message = bytes(range(256)) * 12_000  # 3 MB, past every window

    assert unary("Unary")(message, timeout=PATIENCE_S) == message


def test_a_server_stream_ends_with_its_trailers(channel):
    call = channel.unary_stream("/test.Trail/Count")(b"500", timeout=PATIENCE_S)

    assert list(call) == [str(number).encode() for number in range(500)]
    assert dict(call.trailing_metadata())["x-counted"] == "500"


def test_a_client_stream_is_joined(channel):
    call = channel.stream_unary("/test.Trail/Join")

    assert call(iter([b"a", b"b", b"c"]), timeout=PATIENCE_S) == b"a,b,c"


def test_a_bidirectional_stream_answers_before_the_next_question(channel):
    questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = channel.stream_stream("/test.Trail/PingPong")(
        iter(questions.get, None), timeout=PATIENCE_S
    )

    for number in range(30):  # the next ping is not said before the pong was heard
        questions.put(b"%d" % number)
        assert next(call) == b"pong %d" % number
    questions.put(None)

    assert list(call) == []
    assert dict(call.trailing_metadata())["x-ended"] == "by the client"


def test_a_deadline_passes_and_the_server_is_told(service, unary):
    service.hung_up.clear()

    with pytest.raises(grpc.RpcError) as late:
        unary("Wait")(b"", timeout=0.4)

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.hung_up.wait(PATIENCE_S)


def test_a_cancelled_call_reaches_the_server(service, proxy, unary):
    service.waiting.clear()
    service.hung_up.clear()
    gained = proxy.counting()

    call = unary("Wait").future(b"", timeout=PATIENCE_S)
    assert service.waiting.wait(PATIENCE_S)
    call.cancel()

    assert call.cancelled()
    assert service.hung_up.wait(PATIENCE_S)
    assert gained()("stream_resets_total", "side", "initiator", "code", "cause") == {
        ("downstream", "peer", "CANCEL", "client_reset"): 1,
        ("upstream", "proxy", "CANCEL", "client_reset"): 1,
    }
    assert gained()("streams_dropped_total", "side", "cause") == {("downstream", "client_reset"): 1}


def test_a_stream_cancelled_by_the_server_is_cancelled_at_the_client(channel):
    call = channel.unary_stream("/test.Trail/HangUp")(b"", timeout=PATIENCE_S)

    with pytest.raises(grpc.RpcError) as ended:
        list(call)

    assert ended.value.code() is grpc.StatusCode.CANCELLED


def test_an_error_behind_a_body_keeps_message_and_details(channel):
    call = channel.unary_stream("/test.Trail/CountThenFail")(b"3", timeout=PATIENCE_S)

    heard = []
    with pytest.raises(grpc.RpcError) as failed:
        heard.extend(iter(call))

    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failed.value.details() == "quota: 100% used, très bientôt"
    trailing = dict(call.trailing_metadata())
    assert trailing["grpc-status-details-bin"] == DETAILS
    assert trailing["x-retry-after"] == "3"


def test_an_error_before_any_body_keeps_message_and_metadata(proxy, unary):
    gained = proxy.counting()

    with pytest.raises(grpc.RpcError) as refused:
        unary("Refuse")(b"", timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details() == "not you"
    assert dict(refused.value.trailing_metadata())["x-reason-bin"] == DETAILS
    assert gained()("responses_total", "code", "grpc_status") == {("200", "PERMISSION_DENIED"): 1}


def test_an_unknown_method_is_the_servers_to_refuse(unary):
    with pytest.raises(grpc.RpcError) as refused:
        unary("NoSuchMethod")(b"", timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_sixty_kilobytes_of_trailers_arrive(proxy, unary):
    gained = proxy.counting()

    reply, call = unary("LargeTrailers").with_call(b"60", timeout=PATIENCE_S)

    assert reply == b"small"
    trailing = dict(call.trailing_metadata())
    assert [trailing[f"x-part-{number:02}"] for number in range(60)] == ["v" * 950] * 60
    assert gained()("trailers_total", "direction", "outcome") == {("response", "relayed"): 1}


def test_calls_and_messages_are_counted_by_method(proxy, channel, unary):
    unary("Unary")(b"known from now on", timeout=PATIENCE_S)
    gained = proxy.counting()

    unary("Unary")(b"x" * 100_000, timeout=PATIENCE_S)
    assert len(list(channel.unary_stream("/test.Trail/Count")(b"7", timeout=PATIENCE_S))) == 7
    channel.stream_unary("/test.Trail/Join")(iter([b"a", b"b", b"c"]), timeout=PATIENCE_S)
    for made_up in ("Nothing", "NothingEither"):
        with pytest.raises(grpc.RpcError):
            unary(made_up)(b"", timeout=PATIENCE_S)

    counted = gained()
    assert counted("grpc_handled_total", "grpc_service", "grpc_method", "grpc_code") == {
        ("test.Trail", "Unary", "OK"): 1,
        ("test.Trail", "Count", "OK"): 1,
        ("test.Trail", "Join", "OK"): 1,
        ("other", "other", "UNIMPLEMENTED"): 2,
    }
    assert counted("grpc_messages_total", "grpc_method", "direction") == {
        ("Unary", "request"): 1,
        ("Unary", "response"): 1,
        ("Count", "request"): 1,
        ("Count", "response"): 7,
        ("Join", "request"): 3,
        ("Join", "response"): 1,
        ("other", "request"): 2,
    }
    assert counted("grpc_started_total") == counted("grpc_handling_seconds_count") == {(): 5}


def test_the_log_says_how_a_call_failed_and_shows_the_trailers_it_may(endpoint, tmp_path: Path):
    shown = {"response": ["x-retry-after", "grpc-status-details-bin"]}
    log = {"path": str(tmp_path / "access.log"), "trailers": shown}

    with running_proxy(tmp_path, endpoint, access_log=log) as proxy:
        with dial(proxy.target) as channel, pytest.raises(grpc.RpcError):
            list(channel.unary_stream("/test.Trail/CountThenFail")(b"3", timeout=PATIENCE_S))
        line = proxy.entry(grpc_status="RESOURCE_EXHAUSTED")

    assert line["grpc_message"] == "quota: 100% used, très bientôt"
    assert line["response"]["fields"].keys() == set(shown["response"])
    assert line["response"]["fields"]["x-retry-after"] == "3"
    assert "fields" not in line["request"]


def test_health_checks_pass_through(channel):
    check = health_pb2_grpc.HealthStub(channel).Check

    def status(service: str) -> int:
        return check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S).status

    assert status("") == health_pb2.HealthCheckResponse.SERVING
    assert status("test.Trail") == health_pb2.HealthCheckResponse.SERVING
    assert status("test.Other") == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        status("test.Nothing")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_two_hundred_calls_are_in_flight_at_once(unary):
    meet = unary("Meet")

    calls = [meet.future(b"%d" % number, timeout=PATIENCE_S) for number in range(200)]

    # the server lets nobody go before all two hundred are there
    assert [call.result() for call in calls] == [b"%d" % number for number in range(200)]


def test_a_backend_that_is_down_is_unavailable(start: Start):
    proxy = start(f"127.0.0.1:{free_port()}")

    with dial(proxy.target) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/test.Trail/Unary")(b"", timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert proxy.settled().by("streams_dropped_total", "side", "cause") == {
        ("upstream", "connect_failed"): 1
    }
    assert proxy.entry(status=200)["grpc_status"] == "UNAVAILABLE"


def test_a_backend_that_comes_back_is_found_again(service: Service, start: Start, tmp_path: Path):
    port = free_port()
    proxy = start(f"127.0.0.1:{port}")
    with dial(proxy.target) as channel:
        unary = channel.unary_unary("/test.Trail/Unary")
        with pytest.raises(grpc.RpcError):
            unary(b"", timeout=PATIENCE_S)
        server = grpc.server(ThreadPoolExecutor(max_workers=2), handlers=(service,))
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()

        def served() -> bool:
            try:
                return unary(b"back", timeout=PATIENCE_S) == b"back"
            except grpc.RpcError:
                return False

        eventually(served, "the backend to be found again")
        server.stop(grace=None).wait(PATIENCE_S)
