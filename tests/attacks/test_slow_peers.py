"""Slow peers: who says or takes a little now and then, so that nothing counts as idle.

Each is dealt with in time, by name, and at nobody else's cost.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import frames
from tests.support.running import Proxy, running_proxy
from tests.support.scripted_peer import Origin, Peer
from tests.support.stage import DROPS, Stage
from trailproxy.wire.errors import ErrorCode

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MOST_S = 10.0


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    listening = Origin()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    routes = [
        {
            "name": "hasty",
            "match": {"path_prefix": "/hasty"},
            "upstream": "app",
            "timeouts": {"idle": "1s"},
        },
        {
            "name": "all",
            "match": {"path_prefix": "/"},
            "upstream": "app",
            "timeouts": {"idle": "5s"},
        },
    ]
    limits = {"head_timeout": "1s"}
    folder = tmp_path_factory.mktemp("proxy")
    with running_proxy(folder, origin.endpoint, routes=routes, limits=limits) as running:
        yield running


@pytest.fixture
def stage(proxy: Proxy, origin: Origin) -> Iterator[Stage]:
    scene = Stage(proxy, origin, Peer.connect(proxy.address))
    yield scene
    scene.client.close()
    origin.hang_up()


def drip(peer: Peer, say: Callable[[], None], until: Callable[[], bool]) -> None:
    """Say a little ten times a second, until something has happened."""
    deadline = time.monotonic() + MOST_S
    while not until():
        assert time.monotonic() < deadline, "whoever drips is never stopped"
        try:
            say()
        except OSError:
            peer.closed = True
        pause = time.monotonic() + 0.1
        while not peer.closed and peer._listen(pause):
            pass


# -- heads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (frames.raw(1, 0, 1, b"\x82"), frames.raw(9, 0, 1, b"")),
        (frames.raw(1, 0, 1, b"\x82" * 9)[:-9], b""),
    ],
    ids=["in many frames", "in one"],
)
def test_a_head_that_drips_ends_its_connection_and_no_other(
    stage: Stage, first: bytes, more: bytes
):
    talk = stage.talk(end=False)
    with Peer.connect(stage.proxy.address) as slow:
        slow.raw(first)
        drip(slow, lambda: slow.raw(more), lambda: bool(slow.goaways) or slow.closed)
        assert [code for _, code in slow.goaways] == [ErrorCode.ENHANCE_YOUR_CALM]
    talk.client.data(talk.sid, b"still here", end=True)
    talk.backend.wait_body(talk.up, 10)
    talk.backend.answer(talk.up)
    talk.backend.trailers(talk.up, [("x-sum", "1")])
    assert talk.client.response(talk.sid).trailers == [("x-sum", "1")]


def test_an_upstream_whose_head_drips_is_answered_for(stage: Stage):
    gained = stage.proxy.counting()
    talk = stage.talk()
    talk.backend.raw(frames.raw(1, 0, talk.up, b"\x88"))
    drip(
        talk.backend,
        lambda: talk.backend.raw(frames.raw(9, 0, talk.up, b"")),
        lambda: bool(talk.backend.goaways) or talk.backend.closed,
    )
    message = talk.client.response(talk.sid)
    assert message.status == "504"
    assert gained()(*DROPS) == {("upstream", "head_timeout", "all"): 1}


def test_a_frame_of_body_may_take_longer_than_a_head(stage: Stage):
    talk = stage.talk(end=False)
    body = frames.data(talk.sid, b"x" * 40, end=True)
    for octet in body[:-1]:
        talk.client.raw(bytes([octet]))
        talk.client._listen(time.monotonic() + 0.02)
    assert talk.client.goaways == []
    talk.client.raw(body[-1:])
    talk.backend.wait_body(talk.up, 40)
    talk.backend.answer(talk.up)
    talk.backend.trailers(talk.up, [("x-sum", "1")])
    assert talk.client.response(talk.sid).trailers == [("x-sum", "1")]


# -- readers ---------------------------------------------------------------------------------


def test_a_reader_that_takes_an_octet_now_and_then_is_ended(stage: Stage):
    gained = stage.proxy.counting()
    quick = stage.talk(end=False)
    with Peer.connect(stage.proxy.address, window=1, pays=False) as slow:
        sid = slow.request(path="/hasty")
        up = quick.backend.next_request()
        quick.backend.answer(up)
        quick.backend.data(up, b"x" * 10_000)
        drip(slow, lambda: slow.grant(sid, 1), lambda: slow.streams[sid].over)
        message = slow.streams[sid]
        assert (message.status, message.reset) == ("200", ErrorCode.INTERNAL_ERROR)
    quick.backend.wait_reset(up)
    quick.backend.answer(quick.up)
    quick.backend.trailers(quick.up, [("x-sum", "1")])
    quick.client.data(quick.sid, b"", end=True)
    assert quick.client.response(quick.sid).trailers == [("x-sum", "1")]
    assert gained()(*DROPS) == {("downstream", "client_slow", "hasty"): 1}


def test_a_reader_that_only_talks_is_ended(stage: Stage):
    gained = stage.proxy.counting()
    with Peer.connect(stage.proxy.address, window=0, pays=False) as slow:
        sid = slow.open(path="/hasty")
        backend = stage.origin.accept()
        up = backend.next_request()
        backend.answer(up)
        backend.data(up, b"x")
        drip(slow, lambda: slow.data(sid, b"x"), lambda: slow.streams[sid].over)
    assert gained()(*DROPS) == {("downstream", "client_slow", "hasty"): 1}


def test_an_upstream_that_takes_an_octet_now_and_then_is_answered_for(stage: Stage):
    gained = stage.proxy.counting()
    sid = stage.client.open(path="/hasty")
    backend = stage.origin.accept(window=1, pays=False)
    up = backend.next_request()
    stage.client.data(sid, b"x" * 10_000)
    drip(backend, lambda: backend.grant(up, 1), lambda: backend.streams[up].reset is not None)
    assert stage.client.response(sid).status == "504"
    assert gained()(*DROPS) == {("upstream", "upstream_slow", "hasty"): 1}
