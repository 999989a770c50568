"""What the end-to-end tests share: real tools, a real backend, a real proxy process."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend import RunningBackend, running_backend
from tests.support.certificates import Certificates, make_certificates
from tests.support.running import Proxy, Run, Start, eventually, running_proxy
from tests.support.scripted_peer import Origin, Peer
from tests.support.stage import Stage

TIME_LIMIT_S = 25


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that outlives its time; a module may set a `TIME_LIMIT_S` of its own."""
    limit = getattr(request.module, "TIME_LIMIT_S", TIME_LIMIT_S)

    def late(_signal: int, _frame: object) -> None:
        pytest.fail(f"not over within {limit} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def run() -> Run:
    """Run a tool of the system; skip without it, fail when tools are required."""

    def run_tool(*command: str) -> subprocess.CompletedProcess[str]:
        if shutil.which(command[0]) is None:
            missing = f"{command[0]} is not installed"
            if os.environ.get("TRAILPROXY_REQUIRE_TOOLS") == "1":
                pytest.fail(missing)
            pytest.skip(missing)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run_tool


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority and its leaves for the whole run."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def backend() -> Iterator[RunningBackend]:
    """The test backend, one for the whole run; it fails the run if its peer ever broke HTTP/2."""
    with running_backend() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(backend: RunningBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before the test backend, one for a file of tests."""
    with running_proxy(tmp_path_factory.mktemp("proxy"), backend.endpoint) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start proxies of the test's own; all are stopped, and their books checked, at its end."""
    with ExitStack() as started:

        def start_one(upstream: Any, **changes: Any) -> Proxy:
            folder = tmp_path / f"proxy-{len(list(tmp_path.iterdir()))}"
            return started.enter_context(running_proxy(folder, upstream, **changes))

        yield start_one


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """A backend that the test plays itself."""
    listening = Origin()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def staged(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before that backend, one for a file of tests."""
    routes = [
        {
            "name": "hasty",
            "match": {"path_prefix": "/hasty"},
            "upstream": "app",
            "timeouts": {"response_head": "300ms", "idle": "600ms"},
        },
        {"name": "tunnels", "match": {"authority": "tunnel.local"}, "upstream": "app"},
        {"name": "all", "match": {"path_prefix": "/"}, "upstream": "app"},
    ]
    folder = tmp_path_factory.mktemp("staged")
    with running_proxy(folder, origin.endpoint, routes=routes) as running:
        yield running


@pytest.fixture
def stage(staged: Proxy, origin: Origin) -> Iterator[Stage]:
    """Everything for a conversation; behind it the proxy must be as it was before."""
    scene = Stage(staged, origin, Peer.connect(staged.address))
    yield scene
    scene.client.close()
    origin.hang_up()
    eventually(lambda: not staged.metrics().by("connections_active", "side"), "all to hang up")
    left = staged.metrics()
    left.check_books()
    assert left.total("requests_active") == 0
    assert left.by("streams_active", "side") == {}
    assert left.by("parked_bytes", "side") == {}
