"""The stage for conversations through a proxy: a client, the proxy, a backend, all by hand."""

from dataclasses import dataclass

from tests.support.running import Proxy
from tests.support.scripted_peer import Origin, Peer

# what the tests ask the counters, as arguments of `Gained`
RESETS = ("stream_resets_total", "side", "initiator", "code", "phase", "cause")
DROPS = ("streams_dropped_total", "side", "cause", "route")
TRAILERS = ("trailers_total", "direction", "outcome")

DONE = [("grpc-status", "0"), ("x-sum", "abc")]  # trailers that end a message well


@dataclass
class Talk:
    """One request on its way: the client's stream, and the backend's."""

    client: Peer
    sid: int
    backend: Peer
    up: int


@dataclass
class Stage:
    """A client, the proxy, and a backend that the test plays."""

    proxy: Proxy
    origin: Origin
    client: Peer

    def talk(
        self,
        *extra: tuple[str, str],
        end: bool = True,
        path: str = "/",
        method: str = "POST",
        window: int = 65_535,
        backend: Peer | None = None,
    ) -> Talk:
        """Send a request head, and take it up as the backend."""
        sid = self.client.open(*extra, path=path, method=method, end=end)
        backend = backend or self.origin.accept(window=window)
        return Talk(self.client, sid, backend, backend.next_request())

    def client_without_window(self) -> None:
        """Play a client that reads no body before it is told to."""
        self.client.close()
        self.client = Peer.connect(self.proxy.address, window=0, pays=False)
