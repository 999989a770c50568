"""How streams end, and what the other side then hears: real sockets, scripted peers.

Each test is a conversation; behind each, the proxy must have no stream, no
parked byte and no exchange left, and its books must balance.
"""

import socket
from collections.abc import Callable

import pytest

from tests.support.behaviours import body_of
from tests.support.raw_peer import Message
from tests.support.running import Proxy, Start, eventually
from tests.support.scripted_peer import Origin, Peer
from tests.support.stage import DONE, DROPS, RESETS, TRAILERS, Stage
from trailproxy.wire.errors import ErrorCode, code_name

pytestmark = pytest.mark.e2e

NO_ERROR = ErrorCode.NO_ERROR
CANCEL = ErrorCode.CANCEL
INTERNAL_ERROR = ErrorCode.INTERNAL_ERROR
PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
REFUSED_STREAM = ErrorCode.REFUSED_STREAM

GRPC = ("content-type", "application/grpc")

Departure = Callable[[Peer, int], None]


def close(backend: Peer, up: int) -> None:
    backend.close()


def vanish(backend: Peer, up: int) -> None:
    backend.vanish()


def goaway_and_close(backend: Peer, up: int) -> None:
    backend.goaway(up)
    backend.close()


def reset_with(code: int) -> Departure:
    def reset(backend: Peer, up: int) -> None:
        backend.reset(up, code)

    reset.__name__ = f"reset_{code_name(code)}"
    return reset


def name_of(value: object) -> str:
    return str(getattr(value, "__name__", value))


# -- the upstream goes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (NO_ERROR, INTERNAL_ERROR),  # never NO_ERROR on an incomplete message
        (PROTOCOL_ERROR, PROTOCOL_ERROR),
        (INTERNAL_ERROR, INTERNAL_ERROR),
        (CANCEL, CANCEL),
        (ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.ENHANCE_YOUR_CALM),
        (0x1234, 0x1234),
    ],
)
def test_an_upstream_reset_in_the_body_keeps_its_code(stage: Stage, said: int, heard: int):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"half of it")
    talk.client.wait_body(talk.sid, 10)

    talk.backend.reset(talk.up, said)

    message = talk.client.response(talk.sid)
    assert (message.reset, message.ended) == (heard, False)
    assert gained()(*RESETS) == {
        ("upstream", "peer", code_name(said), "body", "upstream_reset"): 1,
        ("downstream", "proxy", code_name(heard), "body", "upstream_reset"): 1,
    }
    assert gained()(*DROPS) == {("upstream", "upstream_reset", "all"): 1}


@pytest.mark.parametrize("leave", [close, vanish, goaway_and_close], ids=name_of)
def test_an_upstream_lost_in_the_body_never_looks_complete(stage: Stage, leave: Departure):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"half of it")
    talk.client.wait_body(talk.sid, 10)

    leave(talk.backend, talk.up)

    message = talk.client.response(talk.sid)
    assert (message.reset, message.ended) == (INTERNAL_ERROR, False)
    assert gained()(*RESETS) == {
        ("downstream", "proxy", "INTERNAL_ERROR", "body", "upstream_gone"): 1
    }
    assert gained()(*DROPS) == {("upstream", "upstream_gone", "all"): 1}


@pytest.mark.parametrize(
    ("leave", "cause"),
    [
        (reset_with(NO_ERROR), "upstream_reset"),
        (reset_with(CANCEL), "upstream_reset"),
        (reset_with(INTERNAL_ERROR), "upstream_reset"),
        (close, "upstream_gone"),
        (vanish, "upstream_gone"),
        (goaway_and_close, "upstream_gone"),
    ],
    ids=name_of,
)
def test_an_upstream_lost_before_its_head_is_answered_for(
    stage: Stage, leave: Departure, cause: str
):
    gained = stage.proxy.counting()
    talk = stage.talk()

    leave(talk.backend, talk.up)

    message = talk.client.response(talk.sid)
    assert (message.status, message.ended) == ("502", True)
    assert str(message.field("proxy-status")).startswith("trailproxy; error=")
    assert gained()(*DROPS) == {("upstream", cause, "all"): 1}
    assert gained()("responses_total", "code") == {("502",): 1}


@pytest.mark.parametrize(
    ("leave", "grpc_status"),
    [
        (reset_with(INTERNAL_ERROR), "13"),
        (reset_with(NO_ERROR), "13"),
        (reset_with(CANCEL), "1"),
        (reset_with(ErrorCode.ENHANCE_YOUR_CALM), "8"),
        (reset_with(ErrorCode.INADEQUATE_SECURITY), "7"),
        (close, "14"),
    ],
    ids=name_of,
)
def test_grpc_is_answered_for_with_the_mapped_status(
    stage: Stage, leave: Departure, grpc_status: str
):
    gained = stage.proxy.counting()
    talk = stage.talk(GRPC, ("te", "trailers"))

    leave(talk.backend, talk.up)

    message = talk.client.response(talk.sid)
    assert (message.status, message.ended, message.body) == ("200", True, b"")
    assert message.field("content-type") == "application/grpc"
    assert message.field("grpc-status") == grpc_status
    assert message.field("grpc-message")
    assert gained()(*TRAILERS) == {("response", "synthesized"): 1}


def test_a_refused_stream_is_tried_again(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk(path="/again")

    talk.backend.reset(talk.up, REFUSED_STREAM)
    second = talk.backend.next_request()
    talk.backend.answer(second)
    talk.backend.trailers(second, DONE)

    message = talk.client.response(talk.sid)
    assert (message.status, message.trailers) == ("200", DONE)
    assert gained()(*RESETS) == {
        ("upstream", "peer", "REFUSED_STREAM", "before_head", "upstream_refused"): 1
    }
    assert gained()("streams_dropped_total") == {}
    assert stage.proxy.entry(path="/again")["attempts"] == 2


def test_a_stream_refused_again_and_again_is_unavailable(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk(GRPC)
    up = talk.up

    talk.backend.reset(up, REFUSED_STREAM)
    for _ in range(2):
        up = talk.backend.next_request()
        talk.backend.reset(up, REFUSED_STREAM)

    assert talk.client.response(talk.sid).field("grpc-status") == "14"
    assert gained()(*DROPS) == {("upstream", "upstream_refused", "all"): 1}


def test_a_request_above_the_last_id_of_a_goaway_goes_elsewhere(stage: Stage):
    talk = stage.talk(end=False)

    talk.backend.goaway(talk.up - 2 if talk.up > 1 else 0)
    fresh = stage.origin.accept()
    up = fresh.next_request()
    talk.client.trailers(talk.sid, [("x-late", "yes")])
    fresh.wait(lambda: fresh.streams[up].ended, "the request's trailers")
    fresh.answer(up)
    fresh.trailers(up, DONE)

    assert fresh.streams[up].trailers == [("x-late", "yes")]
    assert talk.client.response(talk.sid).trailers == DONE


def test_a_goaway_in_the_middle_lets_the_stream_finish(stage: Stage):
    gained = stage.proxy.counting()
    first = stage.talk()
    first.backend.answer(first.up)
    first.backend.data(first.up, b"before, ")
    first.backend.goaway(first.up)
    first.backend.settle()

    second = stage.talk()  # on a connection of its own
    second.backend.answer(second.up)
    second.backend.trailers(second.up, DONE)
    first.backend.data(first.up, b"behind")
    first.backend.trailers(first.up, DONE)

    message = first.client.response(first.sid)
    assert (bytes(message.body), message.trailers) == (b"before, behind", DONE)
    assert second.client.response(second.sid).trailers == DONE
    first.backend.wait_closed()  # nothing is left to do on it
    assert gained()("streams_dropped_total") == {}
    assert gained()("goaways_total", "side", "direction", "code") == {
        ("upstream", "received", "NO_ERROR"): 1
    }


# -- an end once received is final ---------------------------------------------------------


@pytest.mark.parametrize("size", [2, 65_535, 65_536, 200_000])
@pytest.mark.parametrize(
    "leave",
    [reset_with(NO_ERROR), reset_with(CANCEL), close, vanish, goaway_and_close],
    ids=name_of,
)
def test_a_whole_response_outlives_its_upstream(stage: Stage, leave: Departure, size: int):
    gained = stage.proxy.counting()
    stage.client_without_window()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, body_of(size))
    talk.backend.trailers(talk.up, DONE)
    talk.backend.settle()

    leave(talk.backend, talk.up)

    client, message = talk.client, talk.client.streams[talk.sid]
    eventually(lambda: stage.proxy.metrics().total("parked_bytes") == size, "the body to be parked")
    client.settle()
    assert (message.status, bytes(message.body), message.over) == ("200", b"", False)
    client.grant(talk.sid, size - 1)
    client.grant(0, 1 << 20)
    client.wait_body(talk.sid, size - 1)
    client.settle()
    assert not message.over  # the last octet, and the trailers behind it, still wait
    client.grant(talk.sid, 1)
    assert bytes(client.response(talk.sid).body) == body_of(size)
    assert (message.trailers, message.reset) == (DONE, None)
    assert gained()("requests_completed_total") == {(): 1}
    assert gained()(*TRAILERS) == {("response", "relayed"): 1}


@pytest.mark.parametrize(
    ("leave", "heard"),
    [
        (reset_with(NO_ERROR), NO_ERROR),
        (reset_with(CANCEL), CANCEL),
        (close, NO_ERROR),
        (vanish, NO_ERROR),
        (goaway_and_close, NO_ERROR),
    ],
    ids=name_of,
)
def test_a_whole_response_to_half_a_request_outlives_its_upstream(
    stage: Stage, leave: Departure, heard: ErrorCode
):
    stage.client_without_window()
    talk = stage.talk(end=False)
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, body_of(65_535))
    talk.backend.trailers(talk.up, DONE)
    talk.backend.settle()

    leave(talk.backend, talk.up)

    eventually(lambda: stage.proxy.metrics().total("streams_active") == 1, "the upstream to go")
    talk.client.settle()
    assert not talk.client.streams[talk.sid].over
    talk.client.grant(talk.sid, 65_535)
    message = talk.client.response(talk.sid)
    assert (bytes(message.body), message.trailers) == (body_of(65_535), DONE)
    assert talk.client.wait_reset(talk.sid) == heard  # the rest of the request is not wanted


def test_a_client_that_reads_nothing_costs_one_window_and_no_neighbour(stage: Stage):
    neighbour = Peer.connect(stage.proxy.address)
    stage.client_without_window()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    window = talk.backend.sendable(talk.up)
    talk.backend.data(talk.up, body_of(window))
    talk.backend.settle()

    assert talk.backend.sendable(talk.up) == 0
    assert stage.proxy.metrics().total("parked_bytes", side="upstream") == window
    other = neighbour.request()
    up = talk.backend.next_request()
    talk.backend.answer(up)
    talk.backend.data(up, b"quick")
    talk.backend.trailers(up, DONE)
    assert neighbour.response(other).trailers == DONE
    neighbour.close()

    talk.client.grant(0, 1 << 20)
    talk.client.grant(talk.sid, 100_000)
    talk.client.wait_body(talk.sid, 100_000)
    talk.backend.wait(lambda: talk.backend.sendable(talk.up) > 0, "credit for what departed")
    assert talk.backend.sendable(talk.up) <= 100_000
    talk.client.grant(talk.sid, window)
    talk.backend.trailers(talk.up, DONE)
    assert bytes(talk.client.response(talk.sid).body) == body_of(window)


def test_an_upstream_that_answers_early_and_stops_listening(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk(end=False)
    talk.client.data(talk.sid, b"beginning of an upload")
    talk.backend.wait_body(talk.up, 22)

    talk.backend.answer(talk.up, status=413)
    talk.backend.data(talk.up, b"too much")
    talk.backend.trailers(talk.up, DONE)
    talk.backend.reset(talk.up, NO_ERROR)

    message = talk.client.response(talk.sid)
    assert (message.status, bytes(message.body), message.trailers) == ("413", b"too much", DONE)
    assert talk.client.wait_reset(talk.sid) == NO_ERROR
    assert gained()(*RESETS) == {
        ("upstream", "peer", "NO_ERROR", "after_end", "upstream_reset"): 1,
        ("downstream", "proxy", "NO_ERROR", "after_end", "upstream_done"): 1,
    }
    assert gained()("streams_dropped_total") == {}


def test_an_early_answer_does_not_stop_the_request(stage: Stage):
    talk = stage.talk(end=False)
    talk.backend.answer(talk.up)
    talk.backend.trailers(talk.up, DONE)
    assert talk.client.response(talk.sid).trailers == DONE

    talk.client.data(talk.sid, b"still talking")
    talk.client.trailers(talk.sid, [("x-last", "word")])

    talk.backend.wait(lambda: talk.backend.streams[talk.up].ended, "the end of the request")
    assert bytes(talk.backend.streams[talk.up].body) == b"still talking"
    assert talk.backend.streams[talk.up].trailers == [("x-last", "word")]


# -- the client goes -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [NO_ERROR, CANCEL, INTERNAL_ERROR, ErrorCode.FLOW_CONTROL_ERROR])
def test_a_client_that_hangs_up_on_a_response(stage: Stage, code: ErrorCode):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"half of it")
    talk.client.wait_body(talk.sid, 10)

    talk.client.reset(talk.sid, code)

    told = NO_ERROR if code is NO_ERROR else CANCEL
    assert talk.backend.wait_reset(talk.up) == told
    assert gained()(*RESETS) == {
        ("downstream", "peer", code.name, "body", "client_reset"): 1,
        ("upstream", "proxy", told.name, "body", "client_reset"): 1,
    }
    assert gained()(*DROPS) == {("downstream", "client_reset", "all"): 1}


@pytest.mark.parametrize(
    ("said", "heard"),
    [(NO_ERROR, CANCEL), (CANCEL, CANCEL), (INTERNAL_ERROR, INTERNAL_ERROR)],
)
def test_a_client_that_breaks_off_its_request(stage: Stage, said: ErrorCode, heard: ErrorCode):
    gained = stage.proxy.counting()
    talk = stage.talk(end=False)
    talk.client.data(talk.sid, b"half of it")
    talk.backend.wait_body(talk.up, 10)

    talk.client.reset(talk.sid, said)

    assert talk.backend.wait_reset(talk.up) == heard
    assert not talk.backend.streams[talk.up].ended
    assert gained()(*RESETS) == {
        ("downstream", "peer", said.name, "before_head", "client_reset"): 1,
        ("upstream", "proxy", heard.name, "before_head", "client_reset"): 1,
    }
    assert gained()(*DROPS) == {("downstream", "client_reset", "all"): 1}


@pytest.mark.parametrize("end", [True, False], ids=["whole_request", "half_a_request"])
@pytest.mark.parametrize("leave", [Peer.close, Peer.vanish], ids=name_of)
def test_a_client_that_is_gone(stage: Stage, leave: Callable[[Peer], None], end: bool):
    gained = stage.proxy.counting()
    talk = stage.talk(end=end)
    talk.backend.answer(talk.up)
    talk.client.wait(lambda: talk.client.streams[talk.sid].status == "200", "the head")

    leave(talk.client)

    assert talk.backend.wait_reset(talk.up) == CANCEL
    assert gained()(*RESETS) == {("upstream", "proxy", "CANCEL", "head", "client_gone"): 1}
    assert gained()(*DROPS) == {("downstream", "client_gone", "all"): 1}


def test_a_client_that_only_stops_listening_is_heard_to_the_end(stage: Stage):
    talk = stage.talk(end=False, window=0)
    talk.client.data(talk.sid, body_of(50_000))
    talk.client.trailers(talk.sid, [("x-last", "word")])
    talk.client.reset(talk.sid, NO_ERROR)
    talk.client.settle()

    talk.backend.grant(talk.up, 50_000)

    message = talk.backend.streams[talk.up]
    assert talk.backend.wait_reset(talk.up) == NO_ERROR
    assert bytes(message.body) == body_of(50_000)
    assert (message.trailers, message.ended) == ([("x-last", "word")], True)


def test_trailers_that_can_reach_nobody_are_counted_with_a_cause(stage: Stage):
    gained = stage.proxy.counting()
    stage.client_without_window()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"parked")
    talk.backend.trailers(talk.up, DONE)
    talk.backend.settle()

    talk.client.reset(talk.sid, CANCEL)

    assert gained()(*TRAILERS) == {("response", "dropped"): 1}
    assert gained()("trailers_dropped_total", "direction", "cause") == {
        ("response", "client_reset"): 1
    }
    assert gained()(*DROPS) == {("downstream", "client_reset", "all"): 1}


# -- deadlines -----------------------------------------------------------------------------


def test_no_head_in_time_is_a_gateway_timeout(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk(path="/hasty")

    message = talk.client.response(talk.sid)

    assert (message.status, message.ended) == ("504", True)
    assert talk.backend.wait_reset(talk.up) == CANCEL
    assert gained()(*DROPS) == {("upstream", "response_head_timeout", "hasty"): 1}
    assert gained()(*RESETS) == {
        ("upstream", "proxy", "CANCEL", "before_head", "response_head_timeout"): 1
    }


def test_no_head_in_time_is_deadline_exceeded_for_grpc(stage: Stage):
    talk = stage.talk(GRPC, path="/hasty")

    assert talk.client.response(talk.sid).field("grpc-status") == "4"


def test_a_body_that_stops_coming_is_cut(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk(path="/hasty")
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"and then nothing")

    message = talk.client.response(talk.sid)

    assert (message.reset, message.ended) == (INTERNAL_ERROR, False)
    assert talk.backend.wait_reset(talk.up) == CANCEL
    assert gained()(*DROPS) == {("upstream", "idle_timeout", "hasty"): 1}


# -- no upstream to be had -----------------------------------------------------------------


def ask(proxy: Proxy) -> Message:
    """Send one request from a client of its own; return the answer."""
    with Peer.connect(proxy.address) as client:
        return client.response(client.request())


def test_an_upstream_that_says_nothing_is_given_up(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        proxy = start({"endpoints": [f"{host}:{port}"], "connect_timeout": "300ms"})

        message = ask(proxy)

    assert message.status == "503"
    assert "error=destination_unavailable" in str(message.field("proxy-status"))
    assert proxy.settled().by("upstream_connects_total", "outcome") == {("timeout",): 1}


def test_an_upstream_that_speaks_something_else_is_given_up(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        host, port = other.getsockname()
        proxy = start(f"{host}:{port}")
        with Peer.connect(proxy.address) as client:
            sid = client.request()
            sock, _ = other.accept()
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            message = client.response(sid)
            sock.close()

    assert message.status == "503"
    assert b"does not speak HTTP/2" in message.body
    assert proxy.settled().by("upstream_connects_total", "outcome") == {("protocol",): 1}


def test_a_request_waits_for_a_stream_but_not_for_ever(origin: Origin, start: Start):
    upstream = {
        "endpoints": [origin.endpoint],
        "max_connections": 1,
        "queue_limit": 2,
        "queue_timeout": "400ms",
    }
    proxy = start(upstream)
    with Peer.connect(proxy.address) as client:
        first = client.request()
        backend = origin.accept()
        up = backend.next_request()
        backend.allow(1)
        backend.settle()
        waiting = [client.request(), client.request()]
        one_too_many = client.request()

        assert client.response(one_too_many).status == "503"
        assert [client.response(sid).status for sid in waiting] == ["503", "503"]
        last = client.request()
        client.settle()
        backend.answer(up)
        backend.trailers(up, DONE)
        assert client.response(first).trailers == DONE
        up = backend.next_request()  # the first one's end has let the last one in
        backend.answer(up)
        backend.trailers(up, DONE)
        assert client.response(last).trailers == DONE
    assert proxy.settled().by("streams_dropped_total", "side", "cause") == {
        ("upstream", "queue_full"): 1,
        ("upstream", "queue_timeout"): 2,
    }
    origin.hang_up()
