"""The workers of a proxy under test: which there are, and whose a client is.

Nothing is asked that an operator could not ask: `/proc` tells the processes,
`/streams` which worker has which exchange.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.running import Proxy, eventually
from tests.support.scripted_peer import Peer

FIRST_HALF: Final = b"first half, "
_MOST: Final = 64  # clients until every worker has one; two workers: with 16 it is 1 in 30,000


class Held(NamedTuple):
    """A client with one stream that the backend holds."""

    client: Peer
    sid: int

    def finished(self) -> bool:
        """Whether the rest came, with its trailers."""
        message = self.client.response(self.sid)
        return bytes(message.body) == FIRST_HALF + b"second half" and message.trailers == [
            ("x-held", "released")
        ]


def processes(proxy: Proxy) -> dict[int, int]:
    """Return the process id of each worker by its number."""
    own = proxy.process.pid
    found: dict[int, int] = {}
    for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # it has just ended
        if "worker" in words:
            found[int(words[words.index("worker") + 1])] = int(child)
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def all_ready(proxy: Proxy, workers: int) -> None:
    """Wait until as many workers as this are ready, and there are no others."""
    eventually(
        lambda: (
            proxy.metrics().by("workers", "state") == {("ready",): workers}
            and len(processes(proxy)) == workers
        ),
        f"{workers} workers to be ready",
        patience_s=30.0,  # the supervisor waits up to five seconds between attempts
    )


@contextmanager
def held_by_all(proxy: Proxy, workers: int = 2) -> Iterator[dict[int, list[Held]]]:
    """Open clients until every worker holds a stream; give them by the worker's number."""
    by_worker: defaultdict[int, list[Held]] = defaultdict(list)
    with ExitStack() as open_clients:
        for number in count():
            client = open_clients.enter_context(Peer.connect(proxy.address))
            sid = client.request(path=f"/held?{number}")
            client.wait_body(sid, len(FIRST_HALF))
            (worker,) = [
                stream["worker"]
                for stream in proxy.streams()
                if stream["path"] == f"/held?{number}"
            ]
            by_worker[worker].append(Held(client, sid))
            if len(by_worker) == workers:
                break
            assert number < _MOST, f"all clients are with {list(by_worker)}"
        yield by_worker
