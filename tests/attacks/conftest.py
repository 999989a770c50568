"""What the attacks share: a proxy before a backend that serves, and one that is hostile."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.conftest import bounded
from tests.support.neighbour import Neighbour
from tests.support.running import ROOT, eventually, free_port, running_proxy
from tests.support.scripted_peer import Origin
from tests.support.siege import Siege, cost_of_honesty

__all__ = ["bounded"]


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The test backend, in a process of its own: what it does is nobody's delay."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.backend", "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        eventually(lambda: _listens(port), "the backend to listen")
        yield f"127.0.0.1:{port}"
        process.kill()


@pytest.fixture(scope="session")
def listening() -> Iterator[Origin]:
    """The socket of the hostile upstream."""
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture
def hostile(listening: Origin) -> Iterator[Origin]:
    """An upstream that the test plays; it leaves no connection to the next one."""
    yield listening
    listening.hang_up()


@pytest.fixture(scope="session")
def siege(
    served: str, listening: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Siege]:
    """A proxy before both upstreams, and a neighbour, for the whole run."""
    hasty = {"match": {"path_prefix": "/hostile/hasty"}, "timeouts": {"idle": "600ms"}}
    keys = {
        "upstreams": [
            {"name": "app", "endpoints": [served]},
            {"name": "hostile", "endpoints": [listening.endpoint]},
        ],
        "routes": [
            {"name": "hasty", "upstream": "hostile", **hasty},
            {"name": "hostile", "match": {"path_prefix": "/hostile"}, "upstream": "hostile"},
            {"name": "all", "match": {"path_prefix": "/"}, "upstream": "app"},
        ],
    }
    with running_proxy(tmp_path_factory.mktemp("siege"), served, **keys) as proxy:
        honest = cost_of_honesty(proxy)
        with Neighbour(proxy, "/") as neighbour:
            yield Siege(proxy, neighbour, honest)
