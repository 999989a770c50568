"""A trailproxy process under test: started, watched, and stopped with its books in order.

The process is asked only what any operator can ask it: its admin page, its
metrics, its access log, its exit status. Every stop checks that the books
balance (requests = completed + dropped + active), that SIGTERM ends in exit
status 0, and that nothing was left on stderr that names a bug.
"""

import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.codec import CODEC

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 30.0  # for what takes no time; a full machine is no failure

Settings = dict[str, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]  # the `run` fixture: a tool of the system
Start = Callable[..., "Proxy"]  # the `start` fixture: a proxy of the test's own


def free_port() -> int:
    """Find a free loopback port below the range from which clients are given theirs."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def eventually(
    true: Callable[[], object], what: str, patience_s: float = PATIENCE_S, every_s: float = 0.02
) -> None:
    """Poll a condition of another process until it holds; fail at the deadline."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(every_s)


class Metrics:
    """One scrape; names without the `trailproxy_` prefix."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("trailproxy_")
                self._samples.setdefault(name, []).append((dict(sample.labels), sample.value))

    def total(self, name: str, **labels: str) -> float:
        """Add up the samples of `name` that carry these labels."""
        return sum(
            value
            for carried, value in self._samples.get(name, [])
            if labels.items() <= carried.items()
        )

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Add up the samples of `name` by the values of these labels; zeros are left out."""
        sums: dict[tuple[str, ...], float] = {}
        for carried, value in self._samples.get(name, []):
            key = tuple(carried[label] for label in labels)
            sums[key] = sums.get(key, 0) + value
        return {key: value for key, value in sums.items() if value}

    def check_books(self) -> None:
        """Assert the invariant: requests = completed + dropped + active."""
        began = self.total("requests_total")
        completed = self.total("requests_completed_total")
        dropped = self.total("streams_dropped_total")
        active = self.total("requests_active")
        assert began == completed + dropped + active, (began, completed, dropped, active)


class Gained:
    """What the counters of a proxy gained since a moment."""

    def __init__(self, before: Metrics, after: Metrics) -> None:
        self._before = before
        self._after = after

    def __call__(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the gains of `name` by the values of these labels; zeros are left out."""
        before = self._before.by(name, *labels)
        after = self._after.by(name, *labels)
        gains = {key: value - before.get(key, 0) for key, value in after.items()}
        return {key: gain for key, gain in gains.items() if gain}


class Proxy:
    """One `trailproxy run` process.

    Attributes:
        settings: what its file says; change it and call `write` before a reload.
        file: the configuration file.
        admin_context: what its admin page is asked with, where that speaks TLS.
    """

    def __init__(self, folder: Path, settings: Settings, opened: Sequence[int] = ()) -> None:
        """Start it; sockets that are `opened` already are handed to it as by a service manager."""
        self.folder = folder
        self.settings = settings
        self.file = folder / "trailproxy.yaml"
        self.log = folder / "access.log"
        self.admin_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.admin_context.check_hostname = False
        self.admin_context.verify_mode = ssl.CERT_NONE
        self._errors = folder / "stderr.log"
        self.write()
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                _handed(opened, self.file) if opened else _command(self.file),
                cwd=ROOT,
                stdout=errors,
                stderr=errors,
                pass_fds=opened,
            )

    def write(self) -> None:
        """Write the settings into the file."""
        self.file.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener."""
        host, _, port = self.target.rpartition(":")
        return host, int(port)

    @property
    def target(self) -> str:
        """The first listener as `host:port`."""
        return str(self.settings["listeners"][0]["bind"])

    @property
    def errors(self) -> str:
        """What the process wrote to stdout and stderr."""
        return self._errors.read_text(errors="replace")

    def admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Ask the admin page, with the token it wants; return status and text."""
        settings = self.settings["admin"]
        host, _, port = str(settings["bind"]).rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        if "tls" in settings:
            connection = http.client.HTTPSConnection(
                host, int(port), timeout=PATIENCE_S, context=self.admin_context
            )
        told = os.path.expandvars(settings.get("token", ""))
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {told}"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether `/readyz` says so; a process that ended fails the test."""
        assert self.process.poll() is None, f"the proxy ended early:\n{self.errors}"
        try:
            return self.admin("/readyz")[0] == 200
        except OSError:
            return False

    def metrics(self) -> Metrics:
        """Scrape."""
        status, text = self.admin("/metrics")
        assert status == 200, text
        return Metrics(text)

    def settled(self) -> Metrics:
        """Wait until no exchange is in flight; scrape."""
        eventually(
            lambda: self.metrics().total("requests_active") == 0, "every exchange to be over"
        )
        return self.metrics()

    def counting(self) -> Callable[[], Gained]:
        """Return a function that tells what the counters gained, once all exchanges are over."""
        before = self.settled()
        return lambda: Gained(before, self.settled())

    def streams(self) -> list[Mapping[str, Any]]:
        """Return the exchanges in flight, as the admin page tells them."""
        status, text = self.admin("/streams")
        assert status == 200, text
        told = json.loads(text)
        listed = told["streams"] if isinstance(told, dict) else told
        assert isinstance(listed, list), told
        return listed

    def entries(self, **wanted: object) -> list[dict[str, Any]]:
        """Return the access-log entries with these values."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        entries = [json.loads(line) for line in lines]
        return [e for e in entries if all(e.get(key) == wanted[key] for key in wanted)]

    def entry(self, **wanted: object) -> dict[str, Any]:
        """Wait for the last access-log entry with these values."""
        eventually(lambda: self.entries(**wanted), f"an access-log entry with {wanted}")
        return self.entries(**wanted)[-1]

    def file_descriptors(self) -> int:
        """Count the open file descriptors of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self) -> int:
        """Return the resident memory of the process in octets."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def forget_peak(self) -> None:
        """Let `peak_memory` begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Return the most memory that was resident since `forget_peak`, in octets."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def cpu(self) -> float:
        """Return the CPU time that the process has used, in seconds."""
        return cpu_of(self.process.pid)

    def terminate(self) -> None:
        """Send SIGTERM, once, while it runs."""
        self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self, patience_s: float = PATIENCE_S) -> None:
        """Wait for exit status 0, with no traceback behind it."""
        status = self.process.wait(patience_s)
        assert status == 0, f"exit status {status}:\n{self.errors}"
        assert "Traceback" not in self.errors, self.errors
        assert "never retrieved" not in self.errors, self.errors

    def stop(self) -> None:
        """Check the books, then drain."""
        try:
            if self.process.poll() is None:
                self.metrics().check_books()
                self.terminate()
            self.wait_stopped()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, whatever it does; nothing of it is left for others to stumble over."""
        self.process.kill()
        self.process.wait()


# The descriptors from 3 on, and their number, for this process alone (sd_listen_fds(3)).
_HAND: Final = """
import os, sys
opened, command = sys.argv[1].split(","), [sys.executable, *sys.argv[2:]]
for place, descriptor in enumerate(opened):
    os.dup2(int(descriptor), 100 + place)
for place, _ in enumerate(opened):
    os.dup2(100 + place, 3 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(opened))}
os.execv(sys.executable, command)
"""


def _handed(opened: Sequence[int], file: Path) -> list[str]:
    run, *arguments = _command(file)
    return [run, "-c", _HAND, ",".join(map(str, opened)), *arguments]


def cpu_of(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _command(file: Path) -> list[str]:
    return [sys.executable, "-m", "trailproxy", "run", "-c", str(file)]


def refused(folder: Path, text: str) -> tuple[int, str]:
    """Try to run with a configuration that must not run; return exit status and stderr."""
    file = folder / "refused.yaml"
    file.write_text(text)
    told = subprocess.run(
        _command(file), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return told.returncode, told.stderr


def listener(**keys: Any) -> Settings:
    """Return a listener on a free port; `keys` are added to it."""
    return {"name": "main", "bind": f"127.0.0.1:{free_port()}", **keys}


def settings(upstream: str | Mapping[str, Any], **changes: Any) -> Settings:
    """Return a whole configuration with one upstream; `changes` replace its top-level keys.

    Args:
        upstream: the one endpoint, or the upstream's keys beside its name.
        changes: top-level keys to set.
    """
    keys = {"endpoints": [upstream]} if isinstance(upstream, str) else dict(upstream)
    return {
        "listeners": [listener()],
        "upstreams": [{"name": "app", **keys}],
        "routes": [{"name": "all", "match": {"path_prefix": "/"}, "upstream": "app"}],
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "codec": CODEC,
        "drain_timeout": "5s",
        **changes,
    }


@contextmanager
def running_proxy(
    folder: Path, upstream: str | Mapping[str, Any], **changes: Any
) -> Iterator[Proxy]:
    """Run a proxy for as long as the block lasts; stop it with its books checked."""
    whole = settings(upstream, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    whole.setdefault("access_log", {"path": str(folder / "access.log")})
    proxy = Proxy(folder, whole)
    try:
        eventually(proxy.ready, "the proxy to be ready", every_s=0.05)
        yield proxy
    except BaseException:
        proxy.process.kill()
        proxy.process.wait()
        raise
    proxy.stop()
