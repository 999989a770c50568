"""Soak: mixed traffic that breaks off in every way, for a while; then nothing may be left over.

Customers download, upload, read slowly, hang up and vanish, while the backends
behind the proxy are killed and started again. What looks whole must be whole at
every moment; when all is quiet the proxy must hold no stream, no connection, no
parked byte and no file descriptor more than before, its memory must be flat, and
its books must balance: `python -m benchmarks.soak --seconds 100`.
"""

import argparse
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.behaviours import body_of, checksum
from tests.support.raw_peer import Message
from tests.support.running import ROOT, Proxy, eventually, free_port, running_proxy
from tests.support.scripted_peer import Address, Peer

CUSTOMERS: Final = 8
VISITS: Final = 12  # requests a customer makes on one connection
WARM: Final = 0.3  # of the time; what memory holds then, it may hold at the end
MEMORY_SLACK: Final = 6 * 1024 * 1024
MEMORY_GROWTH: Final = 0.08
CODES: Final = (0x0, 0x1, 0x2, 0x8, 0xB)
BODIES: Final = {
    size: (body_of(size), checksum(body_of(size))) for size in (0, 100, 65_535, 700_000)
}


class Customer(threading.Thread):
    """One client after the other, each with its own manners.

    Attributes:
        ends: how the requests ended, by what was asked.
        violations: what must not happen, whatever breaks.
    """

    def __init__(self, address: Address, seed: int, until: float) -> None:
        super().__init__(name=f"customer-{seed}")
        self.ends: Counter[tuple[str, str]] = Counter()
        self.violations: list[str] = []
        self._address = address
        self._random = random.Random(seed)
        self._until = until

    def run(self) -> None:
        """Come, ask, go; come again."""
        while time.monotonic() < self._until:
            try:
                self._visit()
            except (AssertionError, OSError) as broken:
                self.violations.append(f"{type(broken).__name__}: {broken}")

    def _visit(self) -> None:
        client = Peer.connect(self._address)
        for _ in range(self._random.randrange(1, VISITS)):
            act = self._random.choice(ACTS)
            self.ends[act.__name__, act(self, client)] += 1
        if self._random.random() < 0.2:
            client.request(path="/bytes/700000")
            client.vanish()
        else:
            client.close()

    # -- the acts; each returns how it ended -------------------------------------------------

    def download(self, client: Peer) -> str:
        """Read a body and its checksum."""
        size = self._random.choice(list(BODIES))
        return self._judge(client.response(client.request(path=f"/bytes/{size}")), size)

    def read_slowly(self, client: Peer) -> str:
        """Let the connection's window run dry again and again."""
        client.pays = False
        sid, size = client.request(path="/bytes/700000"), 700_000
        message = client.streams[sid]
        while not message.over:
            came = _listen_for_more(client, message)
            if came:
                client.grant(0, came)
            if came and not message.over:
                client.grant(sid, came)
        client.pays = True
        return self._judge(message, size)

    def upload(self, client: Peer) -> str:
        """Send a body and trailers, and have both sent back."""
        size = self._random.choice(list(BODIES))
        sid = client.open(path="/echo")
        message = client.streams[sid]
        rest = BODIES[size][0]
        while rest and not message.over:
            client.wait(lambda: client.sendable(sid) > 0 or message.over, "room to send")
            if not message.over:
                room = client.sendable(sid)
                client.data(sid, rest[:room])
                rest = rest[room:]
        if not message.over:
            client.trailers(sid, [("x-sum", BODIES[size][1])])
        client.response(sid)
        if message.ended and message.status == "200":
            self._expect(message.body == BODIES[size][0], "an echo that is not what was sent")
            told = dict(message.trailers or ())
            self._expect(
                told == {"x-sum": BODIES[size][1], "x-bytes": str(size)}, f"trailers {told}"
            )
        return _end_of(message)

    def large_trailers(self, client: Peer) -> str:
        """Read sixty kilobytes of trailers."""
        message = client.response(client.request(path="/large-trailers/60000"))
        if message.ended and message.status == "200":
            self._expect(len(message.trailers or ()) == 60, "trailers are missing")
        return _end_of(message)

    def hang_up(self, client: Peer) -> str:
        """Reset a download somewhere in its middle."""
        sid = client.request(path="/bytes/700000")
        size = self._random.randrange(0, 200_000)
        message = client.streams[sid]
        client.wait(lambda: message.over or len(message.body) >= size, "some body")
        client.reset(sid, self._random.choice(CODES))
        return "hung up"

    def break_off(self, client: Peer) -> str:
        """Reset an upload somewhere in its middle."""
        sid = client.open(path=self._random.choice(["/report", "/echo", "/silent"]))
        client.data(sid, bytes(self._random.randrange(0, 30_000)))
        client.reset(sid, self._random.choice(CODES))
        return "broken off"

    def meet_a_reset(self, client: Peer) -> str:
        """Ask for a response that its backend resets."""
        code, size = self._random.choice(CODES), self._random.randrange(0, 100_000)
        message = client.response(client.request(path=f"/reset/{code}/{size}"))
        looks_whole = message.ended and message.status == "200"
        self._expect(not looks_whole, "a response that was reset looks complete")
        return _end_of(message)

    def lose_patience(self, client: Peer) -> str:
        """Ask for what never comes; the route's deadline answers."""
        message = client.response(client.request(path="/silent/hasty"))
        self._expect(message.status in ("502", "503", "504"), f"status {message.status}")
        return _end_of(message)

    def many_at_once(self, client: Peer) -> str:
        """Ask for twenty bodies, and hang up on every fourth."""
        sids = [client.request(path="/bytes/65535") for _ in range(20)]
        for sid in sids[::4]:
            client.reset(sid)
        kept = [sid for sid in sids if sid not in sids[::4]]
        return min(self._judge(client.response(sid), 65_535) for sid in kept)

    def _judge(self, message: Message, size: int) -> str:
        if message.ended and message.status == "200":
            trailers = dict(message.trailers or ())
            whole = message.body == BODIES[size][0] and trailers.get("x-sha256") == BODIES[size][1]
            self._expect(whole, f"{len(message.body)} of {size} octets look complete: {trailers}")
        return _end_of(message)

    def _expect(self, true: bool, otherwise: str) -> None:
        if not true:
            self.violations.append(otherwise)


ACTS: Final[tuple[Callable[[Customer, Peer], str], ...]] = (
    Customer.download,
    Customer.download,
    Customer.upload,
    Customer.upload,
    Customer.read_slowly,
    Customer.large_trailers,
    Customer.hang_up,
    Customer.break_off,
    Customer.meet_a_reset,
    Customer.lose_patience,
    Customer.many_at_once,
)


def _listen_for_more(client: Peer, message: Message) -> int:
    before = len(message.body)
    client.wait(lambda: message.over or len(message.body) > before, "more body")
    return len(message.body) - before


def _end_of(message: Message) -> str:
    if message.reset is not None and not message.ended:
        return f"reset {message.reset:#x}"
    return f"status {message.status}"


class Backend:
    """A backend process that is killed now and then."""

    def __init__(self) -> None:
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.restarts = -1
        self.start()

    def start(self) -> None:
        """Start it, on the same port each time."""
        self.restarts += 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.backend", "--bind", self.endpoint], cwd=ROOT
        )

    def wait_up(self) -> None:
        """Wait until it listens."""
        host, _, port = self.endpoint.rpartition(":")
        eventually(lambda: not _refused(host, int(port)), "the backend to listen")

    def kill(self) -> None:
        """Crash it: its connections are reset by the kernel."""
        self._process.kill()
        self._process.wait()


class Check(NamedTuple):
    """One line of the verdict."""

    what: str
    allowed: str
    found: str
    good: bool


def soak(seconds: float) -> list[Check]:
    """Run the traffic, then look for what it left behind."""
    backends = [Backend(), Backend()]
    upstream = {"endpoints": [backend.endpoint for backend in backends]}
    routes = [
        {
            "name": "hasty",
            "match": {"path_prefix": "/silent/hasty"},
            "upstream": "app",
            "timeouts": {"response_head": "150ms"},
        },
        {"name": "all", "match": {"path_prefix": "/"}, "upstream": "app"},
    ]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_proxy(
                Path(folder), upstream, routes=routes, access_log={"path": "off"}
            ) as proxy,
        ):
            return _soak(proxy, backends, seconds)
    finally:
        for backend in backends:
            backend.kill()


def _soak(proxy: Proxy, backends: list[Backend], seconds: float) -> list[Check]:
    proxy.metrics()
    descriptors = proxy.file_descriptors()
    began = time.monotonic()
    customers = [Customer(proxy.address, seed, began + seconds) for seed in range(CUSTOMERS)]
    for customer in customers:
        customer.start()
    chance = random.Random(7)
    warm = 0
    while time.monotonic() < began + seconds:
        time.sleep(chance.uniform(0.5, 1.5))
        victim = chance.choice(backends)
        victim.kill()
        victim.start()
        if not warm and time.monotonic() > began + seconds * WARM:
            warm = proxy.memory()
    for customer in customers:
        customer.join(timeout=15)
    stuck = sum(customer.is_alive() for customer in customers)
    for backend in backends:
        backend.wait_up()
    windows = _windows_are_whole(proxy)
    memory = proxy.memory()
    for backend in backends:
        backend.kill()
    quiet = _quiet(proxy)
    _print_traffic(customers, backends, seconds)

    violations = [each for customer in customers for each in customer.violations]
    for violation in violations[:10]:
        print(f"violation: {violation[:300]}")
    metrics = proxy.metrics()
    books = [
        int(metrics.total(name))
        for name in (
            "requests_total",
            "requests_completed_total",
            "streams_dropped_total",
            "requests_active",
        )
    ]
    limit = round(warm * (1 + MEMORY_GROWTH)) + MEMORY_SLACK
    unexplained = metrics.total("streams_dropped_total", cause="internal")
    now = proxy.file_descriptors()
    return [
        Check("violations seen by customers", "0", str(len(violations)), not violations),
        Check("customers that are stuck", "0", str(stuck), stuck == 0),
        Check("4.5 MB each way through each pool", "whole", windows, windows == "whole"),
        Check("everything over within 10 s", "yes", "yes" if quiet else "no", quiet),
        Check("exchanges on /streams", "0", str(len(proxy.streams())), not proxy.streams()),
        *(
            Check(name, "0", str(left), not left)
            for name in ("streams_active", "connections_active", "parked_bytes")
            for left in [metrics.by(name, "side")]
        ),
        Check("file descriptors", f"{descriptors}", f"{now}", now <= descriptors),
        Check("resident memory, MiB", f"{limit >> 20}", f"{memory >> 20}", memory <= limit),
        Check("drops that are our own fault", "0", f"{unexplained:g}", not unexplained),
        Check(
            "requests = completed + dropped + active",
            str(books[0]),
            f"{books[1]} + {books[2]} + {books[3]}",
            books[0] == sum(books[1:]),
        ),
    ]


def _windows_are_whole(proxy: Proxy) -> str:
    """Send more through each pooled connection than its window holds: no credit was lost.

    Two at once, for least request takes them to two endpoints.
    """
    body = body_of(4_500_000)
    with Peer.connect(proxy.address) as client:
        down = [client.request(path="/bytes/4500000") for _ in range(2)]
        up = [client.open(path="/report") for _ in range(2)]
        for sid in up:
            client.data(sid, body, end=True)
        for sid in down + up:
            client.response(sid)
        whole = all(client.streams[sid].body == body for sid in down) and all(
            checksum(body).encode() in client.streams[sid].body for sid in up
        )
        found = [(client.streams[sid].status, len(client.streams[sid].body)) for sid in down + up]
    return "whole" if whole else str(found)


def _refused(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


def _quiet(proxy: Proxy) -> bool:
    def all_over() -> bool:
        metrics = proxy.metrics()
        return not metrics.by("connections_active", "side") and not proxy.streams()

    try:
        eventually(all_over, "quiet", every_s=0.1)
    except AssertionError:
        return False
    return True


def _print_traffic(customers: list[Customer], backends: list[Backend], seconds: float) -> None:
    ends: Counter[tuple[str, str]] = Counter()
    for customer in customers:
        ends.update(customer.ends)
    restarts = sum(backend.restarts for backend in backends)
    print(f"{ends.total()} acts in {seconds:g} s, {restarts} backend restarts")
    for (act, end), count in sorted(ends.items()):
        print(f"  {act:<16} {end:<12} {count:>7}")


def main() -> int:
    """Soak, print the verdict, return 1 if anything was left over."""
    parser = argparse.ArgumentParser(description="Mixed traffic, then a search for leftovers.")
    parser.add_argument("--seconds", type=float, default=100.0)
    seconds = parser.parse_args().seconds
    signal.alarm(round(min(seconds, 100) + 20))  # whatever hangs, this ends
    checks = soak(min(seconds, 100))
    width = max(len(check.what) for check in checks)
    print(f"\n{'':<{width}}  {'allowed':<12}  found")
    for check in checks:
        verdict = "ok" if check.good else "VIOLATED"
        print(f"{check.what:<{width}}  {check.allowed:<12}  {check.found}  {verdict}")
    return 0 if all(check.good for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
