"""Drain: two GOAWAYs, every stream in flight finished, exit status 0."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.backend import RunningBackend
from tests.support.load import Load
from tests.support.running import Proxy, Start, eventually
from tests.support.scripted_peer import Peer

pytestmark = pytest.mark.e2e

Drain = Callable[[Proxy], object]


def by_sigterm(proxy: Proxy) -> None:
    proxy.terminate()


def by_admin(proxy: Proxy) -> None:
    assert proxy.admin("/drain", "POST")[0] == 202


@pytest.fixture
def held(backend: RunningBackend) -> Iterator[RunningBackend]:
    """The backend, with its `/held` streams held; all are released at the end."""
    backend.hold()
    yield backend
    backend.release()


@pytest.mark.parametrize("drain", [by_sigterm, by_admin])
def test_streams_in_flight_finish_behind_two_goaways(
    held: RunningBackend, start: Start, drain: Drain
):
    proxy = start(held.endpoint, drain_timeout="20s")
    with Peer.connect(proxy.address) as client:
        sid = client.request(path="/held")
        client.wait_body(sid, len(b"first half, "))

        drain(proxy)

        client.wait(lambda: len(client.goaways) == 2, "two GOAWAYs")
        assert client.goaways == [(2**31 - 1, 0), (sid, 0)]
        assert proxy.admin("/readyz")[0] == 503
        assert proxy.admin("/healthz")[0] == 200
        with pytest.raises(OSError, match="refused"), socket.create_connection(proxy.address):
            pass
        assert proxy.process.poll() is None
        held.release()
        message = client.response(sid)
        assert bytes(message.body) == b"first half, second half"
        assert message.trailers == [("x-held", "released")]
        client.wait_closed()
    proxy.wait_stopped()
    assert proxy.entry(path="/held").get("dropped") is None


def test_streams_opened_between_the_two_goaways_are_served(held: RunningBackend, start: Start):
    proxy = start(held.endpoint, drain_timeout="20s")
    with Peer.connect(proxy.address) as client:
        first = client.request(path="/held")
        client.wait_body(first, 1)
        proxy.terminate()
        eventually(lambda: proxy.admin("/readyz")[0] == 503, "the drain to begin")

        second = client.request(path="/repeated")  # the first GOAWAY is not heard yet

        assert client.response(second).status == "200"
        client.wait(lambda: len(client.goaways) == 2, "two GOAWAYs")
        assert client.goaways[-1] == (second, 0)
        held.release()
        assert client.response(first).trailers == [("x-held", "released")]
    proxy.wait_stopped()


def test_a_drain_under_load_loses_no_stream(held: RunningBackend, start: Start):
    proxy = start(held.endpoint, drain_timeout="20s")
    with ExitStack() as running:
        loads = [running.enter_context(Load(proxy.address)) for _ in range(4)]
        client = running.enter_context(Peer.connect(proxy.address))
        sid = client.request(path="/held")
        client.wait_body(sid, 1)
        eventually(lambda: all(load.served > 20 for load in loads), "the load to be under way")

        proxy.terminate()

        eventually(lambda: not any(load.is_alive() for load in loads), "the load to be sent away")
        assert proxy.process.poll() is None  # one stream is still held
        metrics = proxy.metrics()
        held.release()
        assert client.response(sid).ended
    proxy.wait_stopped()
    assert [load.lost for load in loads] == [[], [], [], []]
    assert [load.unreached for load in loads] == [1, 1, 1, 1]
    metrics.check_books()
    assert metrics.by("streams_dropped_total", "cause") == {}
    assert metrics.total("requests_completed_total") == sum(load.served for load in loads)


def test_an_idle_connection_does_not_hold_the_drain_up(backend: RunningBackend, start: Start):
    proxy = start(backend.endpoint, drain_timeout="20s")
    with Peer.connect(proxy.address) as idle:
        proxy.terminate()

        idle.wait_closed()

        assert idle.goaways == [(2**31 - 1, 0), (0, 0)]
    proxy.wait_stopped(5)


def test_a_peer_that_never_answers_does_not_hold_the_drain_up(
    backend: RunningBackend, start: Start
):
    proxy = start(backend.endpoint, drain_timeout="1s")
    with Peer.connect(proxy.address), socket.create_connection(proxy.address):
        proxy.terminate()

        proxy.wait_stopped(8)


def test_the_drain_timeout_cuts_the_rest_with_a_cause(backend: RunningBackend, start: Start):
    backend.hold()
    proxy = start(backend.endpoint, drain_timeout="1s")
    with Peer.connect(proxy.address) as client:
        begun = client.request(path="/held")
        client.wait_body(begun, 1)
        waiting = client.request(path="/silent")
        grpc = client.open(("content-type", "application/grpc"), path="/silent", end=True)
        eventually(lambda: len(proxy.streams()) == 3, "three exchanges in flight")

        proxy.terminate()

        assert client.response(waiting).status == "503"
        assert client.response(grpc).field("grpc-status") == "14"
        message = client.response(begun)
        assert (message.reset, message.ended) == (0x2, False)
    proxy.wait_stopped()
    entries = [entry for entry in proxy.entries() if entry["path"] in ("/held", "/silent")]
    assert [entry["dropped"]["cause"] for entry in entries] == ["drain_timeout"] * 3
    backend.release()


def test_a_second_signal_does_not_break_the_drain(held: RunningBackend, start: Start):
    proxy = start(held.endpoint, drain_timeout="20s")
    with Peer.connect(proxy.address) as client:
        sid = client.request(path="/held")
        client.wait_body(sid, 1)
        proxy.terminate()
        client.wait(lambda: len(client.goaways) == 2, "two GOAWAYs")

        proxy.process.send_signal(signal.SIGHUP)
        assert proxy.admin("/readyz")[0] == 503
        held.release()

        assert client.response(sid).trailers == [("x-held", "released")]
    proxy.wait_stopped()
