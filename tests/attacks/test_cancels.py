"""Cancels in masses: what clients give up must not cost others the upstream they share."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hyperframe.frame import Frame, RstStreamFrame

from tests.support.running import running_proxy
from tests.support.scripted_peer import Origin, Peer

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TIME_LIMIT_S = 90  # five thousand streams, whose both ends are in this process

CANCELS = 5000
CLIENTS = 10
BATCH = 50
MOST_RESETS = 1000  # as nghttp2 and those who build on it
DONE = [("x-sum", "1")]
# what is kept is idle for as long as all the cancels take
ROUTES = [
    {
        "name": "all",
        "match": {"path_prefix": "/"},
        "upstream": "app",
        "timeouts": {"idle": "10m"},
    }
]


class StrictPeer(Peer):
    """A server that ends its connection, and all that is on it, for too many resets."""

    resets = 0

    def _take(self, frame: Frame) -> None:
        super()._take(frame)
        self.resets += isinstance(frame, RstStreamFrame)


class StrictOrigin(Origin):
    """Serves every connection in a thread of its own; what is asked for at /keep ends later."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[StrictPeer] = []
        self.most_open = 0  # connections at once
        self.release = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = 0
        self._lock = threading.Lock()
        self._spawn(self._accept)

    def _spawn(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with self._lock:
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        peer = StrictPeer(sock, client=False)
        self.peers.append(peer)
        kept: list[int] = []
        try:
            while not peer.closed and peer.resets < MOST_RESETS:
                peer._listen(time.monotonic() + 0.02)
                self._answer(peer, kept)
        except OSError:
            pass
        finally:
            sock.close()
            with self._lock:
                self._open -= 1

    def _answer(self, peer: StrictPeer, kept: list[int]) -> None:
        for sid in peer._untaken():
            peer._taken.add(sid)
            path = dict(peer.streams[sid].head or ()).get(":path")
            if path == "/keep":
                peer.answer(sid)
                kept.append(sid)
            elif path == "/quick":
                peer.answer(sid)
                peer.trailers(sid, DONE)
        if self.release.is_set():
            while kept:
                peer.trailers(kept.pop(), DONE)


@pytest.fixture
def strict() -> Iterator[StrictOrigin]:
    listening = StrictOrigin()
    yield listening
    listening.close()
    for peer in listening.peers:
        peer.closed = True
    for thread in listening._threads[1:]:
        thread.join(5)


def test_cancels_in_masses_cost_nobody_a_stream(strict: StrictOrigin, tmp_path: Path):
    with running_proxy(tmp_path, strict.endpoint, routes=ROUTES) as proxy, ExitStack() as opened:
        patient = opened.enter_context(Peer.connect(proxy.address))
        vandals = [opened.enter_context(Peer.connect(proxy.address)) for _ in range(CLIENTS)]
        kept = [patient.request(path="/keep") for _ in range(20)]
        for _ in range(CANCELS // CLIENTS // BATCH):
            for vandal in vandals:
                given_up = [vandal.request(path="/never") for _ in range(BATCH)]
                vandal.settle()
                for sid in given_up:
                    vandal.reset(sid)
                vandal.settle()
            quick = patient.response(patient.request(path="/quick"))
            assert (quick.status, quick.trailers) == ("200", DONE)
            kept.append(patient.request(path="/keep"))

        strict.release.set()
        for sid in kept:
            message = patient.response(sid)
            assert (message.status, message.reset, message.trailers) == ("200", None, DONE)

        metrics = proxy.settled()
        assert metrics.by("streams_dropped_total", "cause") == {("client_reset",): CANCELS}
        # those whose streams still waited for a connection never got there
        assert CANCELS * 0.9 < sum(peer.resets for peer in strict.peers) <= CANCELS
        assert max(peer.resets for peer in strict.peers) < MOST_RESETS / 2
        relieved = metrics.total("endpoint_events_total", event="relieved")
        assert CANCELS / MOST_RESETS < relieved < len(strict.peers)
        assert strict.most_open <= 2 * 8, "twice max_connections"
