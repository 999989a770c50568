"""Messages that break the rules, or use every one of them: only their own stream may feel it."""

import contextlib

import pytest

from tests.support.scripted_peer import Peer
from tests.support.stage import DONE, DROPS, RESETS, TRAILERS, Stage
from trailproxy.wire.errors import ErrorCode

pytestmark = pytest.mark.e2e

CANCEL = ErrorCode.CANCEL
INTERNAL_ERROR = ErrorCode.INTERNAL_ERROR
PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
REFUSED_STREAM = ErrorCode.REFUSED_STREAM

SINS = {
    "upper_case_name": [("X-Bad", "v")],
    "pseudo_header": [(":status", "200")],
    "space_in_name": [("x bad", "v")],
    "empty_name": [("", "v")],
    "line_break_in_value": [("x-bad", "a\r\nx-smuggled: b")],
    "outer_space_in_value": [("x-bad", " v")],
    "seventy_kilobytes": [(f"x-{n}", "v" * 1000) for n in range(70)],
}

TOO_LARGE = "fields_too_large"


@pytest.mark.parametrize("sin", SINS)
def test_malformed_response_trailers_cost_their_stream_alone(stage: Stage, sin: str):
    gained = stage.proxy.counting()
    neighbour = stage.talk()
    talk = stage.talk(backend=neighbour.backend)
    for each in (neighbour, talk):
        each.backend.answer(each.up)
        each.backend.data(each.up, b"body")

    talk.backend.trailers(talk.up, [("x-good", "1"), *SINS[sin]])

    message = talk.client.response(talk.sid)
    assert (message.reset, message.trailers, message.ended) == (INTERNAL_ERROR, None, False)
    assert talk.backend.wait_reset(talk.up) in (PROTOCOL_ERROR, ErrorCode.ENHANCE_YOUR_CALM)
    neighbour.backend.trailers(neighbour.up, DONE)
    assert neighbour.client.response(neighbour.sid).trailers == DONE
    assert gained()(*TRAILERS) == {("response", "rejected"): 1, ("response", "relayed"): 1}
    cause = TOO_LARGE if sin == "seventy_kilobytes" else "upstream_protocol"
    assert gained()(*DROPS) == {("upstream", cause, "all"): 1}


@pytest.mark.parametrize("sin", SINS)
def test_malformed_request_trailers_cost_their_stream_alone(stage: Stage, sin: str):
    gained = stage.proxy.counting()
    neighbour = stage.talk(end=False)
    talk = stage.talk(end=False, backend=neighbour.backend)

    talk.client.trailers(talk.sid, [("x-good", "1"), *SINS[sin]])

    assert talk.client.wait_reset(talk.sid) in (PROTOCOL_ERROR, ErrorCode.ENHANCE_YOUR_CALM)
    assert talk.backend.wait_reset(talk.up) == CANCEL
    assert not talk.backend.streams[talk.up].ended
    neighbour.client.trailers(neighbour.sid, DONE)
    neighbour.backend.wait(lambda: neighbour.backend.streams[neighbour.up].ended, "the neighbour")
    assert neighbour.backend.streams[neighbour.up].trailers == DONE
    neighbour.backend.answer(neighbour.up)
    neighbour.backend.trailers(neighbour.up, DONE)
    neighbour.client.response(neighbour.sid)
    assert gained()(*TRAILERS) == {
        ("request", "rejected"): 1,
        ("request", "relayed"): 1,
        ("response", "relayed"): 1,
    }
    cause = TOO_LARGE if sin == "seventy_kilobytes" else "client_protocol"
    assert gained()(*DROPS) == {("downstream", cause, "all"): 1}


def test_trailers_without_an_end_are_malformed(stage: Stage):
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"body")

    talk.backend.head(talk.up, DONE)

    message = talk.client.response(talk.sid)
    assert (message.reset, message.trailers) == (INTERNAL_ERROR, None)
    assert talk.backend.wait_reset(talk.up) == PROTOCOL_ERROR


def test_fields_that_must_not_travel_in_trailers_stay_behind(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"body")

    talk.backend.trailers(talk.up, [("content-length", "4"), ("x-kept", "1"), ("te", "trailers")])

    assert talk.client.response(talk.sid).trailers == [("x-kept", "1")]
    assert gained()("trailer_fields_removed_total", "direction") == {("response",): 2}


def test_trailers_of_which_nothing_may_travel_still_end_the_message(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"body")

    talk.backend.trailers(talk.up, [("content-length", "4")])

    message = talk.client.response(talk.sid)
    assert (message.ended, message.trailers, bytes(message.body)) == (True, None, b"body")
    assert gained()(*TRAILERS) == {("response", "empty"): 1}


@pytest.mark.parametrize("ending", ["trailers", "data"])
@pytest.mark.parametrize("body", [b"four", b"more than ten octets"], ids=["short", "long"])
def test_a_response_that_belies_its_content_length_is_cut(stage: Stage, body: bytes, ending: str):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.answer(talk.up, ("content-length", "10"))
    talk.backend.data(talk.up, body, end=ending == "data")
    if ending == "trailers":
        talk.backend.trailers(talk.up, DONE)

    message = talk.client.response(talk.sid)
    assert (message.reset, message.ended) == (INTERNAL_ERROR, False)
    assert talk.backend.wait_reset(talk.up) == PROTOCOL_ERROR
    assert gained()(*DROPS) == {("upstream", "upstream_protocol", "all"): 1}


def test_a_request_that_belies_its_content_length_is_cut(stage: Stage):
    talk = stage.talk(("content-length", "10"), end=False)
    talk.client.data(talk.sid, b"four")
    talk.client.trailers(talk.sid, DONE)

    assert talk.client.wait_reset(talk.sid) == PROTOCOL_ERROR
    assert talk.backend.wait_reset(talk.up) == CANCEL
    assert not talk.backend.streams[talk.up].ended


# -- credit --------------------------------------------------------------------------------


def test_padding_gives_its_credit_back_both_ways(stage: Stage):
    talk = stage.talk(end=False)
    talk.backend.answer(talk.up)

    for number in range(2500):  # 527,500 octets of credit for 25,000 of body, each way
        talk.client.data(talk.sid, b"%010d" % number, pad=200)
        talk.backend.data(talk.up, b"%010d" % number, pad=200)
    talk.client.trailers(talk.sid, [("x-up", "1")])
    talk.backend.trailers(talk.up, DONE)

    whole = b"".join(b"%010d" % number for number in range(2500))
    assert bytes(talk.client.response(talk.sid).body) == whole
    assert bytes(talk.backend.response(talk.up).body) == whole
    assert talk.client.streams[talk.sid].trailers == DONE
    assert talk.backend.streams[talk.up].trailers == [("x-up", "1")]


def test_body_that_nobody_wants_gives_its_credit_back(stage: Stage):
    """Otherwise each cancelled download would shrink the pooled connection's window for good."""
    talk = stage.talk()
    for _ in range(60):  # 60 windows of 100,000: more than the connection's 4 MiB
        talk.client.reset(talk.sid, CANCEL)
        talk.backend.answer(talk.up)
        talk.backend.data(talk.up, bytes(100_000), end=True)
        talk.backend.settle()
        talk = stage.talk(backend=talk.backend)


# -- the rest of RFC 9113 ------------------------------------------------------------------


def test_streams_above_the_limit_are_refused_alone(stage: Stage):
    gained = stage.proxy.counting()
    first = stage.talk()
    sids = [stage.client.request() for _ in range(259)]

    refused = sids[249:]  # the first and these make more than 250
    assert [stage.client.wait_reset(sid) for sid in refused] == [REFUSED_STREAM] * 10
    first.backend.answer(first.up)
    first.backend.trailers(first.up, DONE)
    assert first.client.response(first.sid).trailers == DONE
    for sid in sids[:249]:
        stage.client.reset(sid)
    assert (
        gained()(*RESETS)["downstream", "proxy", "REFUSED_STREAM", "before_head", "stream_limit"]
        == 10
    )


def test_interim_heads_come_before_the_head(stage: Stage):
    talk = stage.talk()
    for path in ("/a", "/b"):
        talk.backend.answer(talk.up, ("link", f"<{path}>; rel=preload"), status=103)
    talk.client.wait(lambda: len(talk.client.streams[talk.sid].interim) == 2, "the hints")
    assert talk.client.streams[talk.sid].head is None

    talk.backend.answer(talk.up)
    talk.backend.trailers(talk.up, DONE)

    message = talk.client.response(talk.sid)
    assert [dict(head)["link"] for head in message.interim] == [
        "</a>; rel=preload",
        "</b>; rel=preload",
    ]
    assert (message.status, message.trailers) == ("200", DONE)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_a_length_without_a_body_is_no_lie_where_none_may_come(
    stage: Stage, method: str, status: int
):
    talk = stage.talk(method=method)

    talk.backend.head(talk.up, [(":status", str(status)), ("content-length", "1234")], end=True)

    message = talk.client.response(talk.sid)
    assert (message.status, message.ended, message.reset) == (str(status), True, None)
    assert message.field("content-length") == "1234"


def test_a_tunnel_carries_bytes_both_ways(stage: Stage):
    sid = 1
    stage.client.head(sid, [(":method", "CONNECT"), (":authority", "tunnel.local:443")])
    backend = stage.origin.accept()
    up = backend.next_request()
    assert [name for name, _ in backend.streams[up].head or () if name.startswith(":")] == [
        ":method",
        ":authority",
    ]
    backend.answer(up)
    stage.client.data(sid, b"hello")
    backend.wait_body(up, 5)
    backend.data(up, b"olleh", end=True)
    stage.client.data(sid, b"", end=True)

    assert bytes(stage.client.response(sid).body) == b"olleh"
    backend.wait(lambda: backend.streams[up].ended, "the tunnel's other end")


def test_a_second_head_behind_the_end_of_a_request_is_a_stream_error(stage: Stage):
    """RFC 9113 section 5.1: half-closed (remote) takes no HEADERS any more."""
    neighbour = stage.talk()
    talk = stage.talk(backend=neighbour.backend)

    talk.client.trailers(talk.sid, DONE)

    assert talk.client.wait_reset(talk.sid) == ErrorCode.STREAM_CLOSED
    neighbour.backend.answer(neighbour.up)
    neighbour.backend.trailers(neighbour.up, DONE)
    assert neighbour.client.response(neighbour.sid).trailers == DONE


def test_a_stream_id_that_is_not_the_clients_ends_its_connection(stage: Stage):
    """RFC 9113 section 5.1.1: a connection error of type PROTOCOL_ERROR."""
    stage.client.head(2, [(":method", "GET"), (":scheme", "http"), (":path", "/")], end=True)

    stage.client.wait_closed()

    assert stage.client.goaways == [(0, PROTOCOL_ERROR)]


def test_rapid_resets_end_their_connection_and_no_other(stage: Stage):
    gained = stage.proxy.counting()
    with Peer.connect(stage.proxy.address) as hasty:
        with contextlib.suppress(OSError):  # it may hang up while we still speak
            for _ in range(3000):
                hasty.reset(hasty.request())
        hasty.wait_closed()
        assert [code for _, code in hasty.goaways] == [ErrorCode.ENHANCE_YOUR_CALM]

    sid = stage.client.request(path="/calm")
    backend = stage.origin.accept()
    up = backend.next_request()
    while backend.streams[up].field(":path") != "/calm":
        up = backend.next_request()
    backend.answer(up)
    backend.trailers(up, DONE)
    assert stage.client.response(sid).trailers == DONE
    assert gained()("goaways_total", "side", "direction", "code") == {
        ("downstream", "sent", "ENHANCE_YOUR_CALM"): 1
    }


def test_each_hop_leaves_its_mark_and_takes_nothing(stage: Stage):
    talk = stage.talk(
        *(("te", "trailers"), ("trailer", "x-late"), ("cookie", "a=1"), ("cookie", "b=2")),
        *(("x-forwarded-for", "192.0.2.7"), ("via", "1.1 earlier")),
    )
    talk.backend.answer(talk.up, ("via", "1.1 origin"), ("set-cookie", "a"), ("set-cookie", "b"))
    talk.backend.trailers(talk.up, DONE)

    arrived = talk.backend.streams[talk.up].head or []
    for kept in (("te", "trailers"), ("trailer", "x-late"), (":authority", "localhost")):
        assert kept in arrived
    assert [value for name, value in arrived if name == "cookie"] == ["a=1", "b=2"]
    assert [value for name, value in arrived if name == "via"] == ["1.1 earlier", "2.0 trailproxy"]
    assert ("x-forwarded-for", "192.0.2.7, 127.0.0.1") in arrived
    assert ("x-forwarded-proto", "http") in arrived
    assert ("x-forwarded-host", "localhost") in arrived
    heard = talk.client.response(talk.sid).head or []
    assert [value for name, value in heard if name == "set-cookie"] == ["a", "b"]
    assert [value for name, value in heard if name == "via"] == ["1.1 origin", "2.0 trailproxy"]


@pytest.mark.parametrize("blocked", ["client", "upstream"])
def test_a_peer_that_reads_nothing_dries_its_source_up(stage: Stage, blocked: str):
    """One stream window waits in the proxy, and no more, whichever way it goes."""
    if blocked == "client":
        stage.client_without_window()
    talk = stage.talk(end=False, window=0 if blocked == "upstream" else 65_535)
    talk.backend.answer(talk.up)
    source, sid = (talk.backend, talk.up) if blocked == "client" else (talk.client, talk.sid)
    sink, heard = (talk.client, talk.sid) if blocked == "client" else (talk.backend, talk.up)
    window = source.sendable(sid)

    source.data(sid, bytes(window))
    source.settle()

    assert source.sendable(sid) == 0
    assert stage.proxy.metrics().total("parked_bytes") == window == 256 * 1024
    sink.grant(0, window)
    sink.grant(heard, window)
    sink.wait_body(heard, window)
    talk.client.data(talk.sid, b"", end=True)
    talk.backend.trailers(talk.up, DONE)
    assert talk.client.response(talk.sid).trailers == DONE


def test_silent_readers_do_not_stall_the_requests_that_come_after_them(stage: Stage):
    """Half of the connection window is held by slow readers: new streams go elsewhere."""
    stage.client_without_window()
    first = stage.talk()
    backend = first.backend
    for silent in [first, *(stage.talk(backend=backend) for _ in range(8))]:
        backend.answer(silent.up)
        backend.data(silent.up, bytes(256 * 1024))
    backend.settle()

    later = stage.talk()

    assert later.backend is not backend
    later.backend.answer(later.up)
    later.backend.trailers(later.up, DONE)
    assert later.client.response(later.sid).trailers == DONE
    stage.client.close()
    backend.wait_reset(first.up)
