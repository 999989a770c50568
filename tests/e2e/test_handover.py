"""Handover: one process takes the place of another, and no client notices."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.backend import RunningBackend
from tests.support.crew import all_ready
from tests.support.load import Load
from tests.support.running import (
    Proxy,
    Start,
    eventually,
    free_port,
    listener,
    refused,
    settings,
)
from tests.support.scripted_peer import Peer

pytestmark = pytest.mark.e2e

TIME_LIMIT_S = 60  # two proxies after each other, and their workers


@pytest.fixture
def held(backend: RunningBackend) -> Iterator[RunningBackend]:
    """The backend, with its `/held` streams held; all are released at the end."""
    backend.hold()
    yield backend
    backend.release()


def shared(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what processes have in common that come after each other."""
    return {
        "listeners": [listener(), {"name": "local", "bind": f"unix:{folder}/front.sock"}],
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "handover": f"{folder}/handover.sock",
        "drain_timeout": "20s",
        **changes,
    }


@pytest.mark.parametrize(
    ("before", "after"), [(1, 1), (1, 2), (2, 1)], ids=["alone", "one-to-many", "many-to-one"]
)
def test_a_handover_under_load_loses_nothing(
    held: RunningBackend, start: Start, tmp_path: Path, before: int, after: int
):
    common = shared(tmp_path)
    first = start(held.endpoint, workers=before, **common)
    if before > 1:
        all_ready(first, before)
    with ExitStack() as running:
        loads = [running.enter_context(Load(first.address)) for _ in range(3)]
        local = running.enter_context(Load(f"{tmp_path}/front.sock"))
        client = running.enter_context(Peer.connect(first.address))
        sid = client.request(path="/held")
        client.wait_body(sid, 1)
        eventually(lambda: all(load.served > 20 for load in loads), "the load to be under way")

        second = start(held.endpoint, workers=after, **common)

        client.wait(lambda: len(client.goaways) == 2, "the first process to let go", 30)
        handed = [load.served for load in (*loads, local)]
        eventually(
            lambda: all(load.served > n for load, n in zip((*loads, local), handed, strict=True)),
            "the load to go on with the second",
        )
        assert first.process.poll() is None  # one stream is still held
        held.release()
        assert client.response(sid).trailers == [("x-held", "released")]
        first.wait_stopped()
        assert [(load.lost, load.unreached) for load in (*loads, local)] == [([], 0)] * 4
    with Peer.connect(f"{tmp_path}/front.sock") as visitor:
        assert visitor.response(visitor.request()).ended
    assert second.settled().by("streams_dropped_total", "cause") == {}


def test_the_admin_page_goes_along(backend: RunningBackend, start: Start, tmp_path: Path):
    common = shared(tmp_path)
    first = start(backend.endpoint, **common)
    with Peer.connect(first.address) as client:
        client.response(client.request())
        assert first.settled().total("requests_total") == 1
    start(backend.endpoint, **common)
    first.wait_stopped()
    assert first.metrics().total("requests_total") == 0  # another's by now, at the same address


def test_who_takes_the_sockets_and_never_serves_changes_nothing(
    backend: RunningBackend, start: Start, tmp_path: Path
):
    common = shared(tmp_path)
    first = start(backend.endpoint, **common)
    broken = settings(backend.endpoint, **{**common, "access_log": {"path": "/no/such/folder/x"}})
    folder = tmp_path / "broken"
    folder.mkdir()

    tried = Proxy(folder, broken)

    assert tried.process.wait(20) == 2
    assert "access_log.path" in tried.errors
    eventually(lambda: "we go on" in first.errors, "the first to hear of it")
    for where in (first.address, f"{tmp_path}/front.sock"):
        with Peer.connect(where) as client:
            assert client.response(client.request()).ended
    # and the next one is welcome
    start(backend.endpoint, **common)
    first.wait_stopped()


def test_a_reload_does_not_move_the_place_of_handovers(
    backend: RunningBackend, start: Start, tmp_path: Path
):
    proxy = start(backend.endpoint, **shared(tmp_path))
    proxy.settings["handover"] = f"{tmp_path}/elsewhere.sock"
    proxy.write()
    status, told = proxy.admin("/reload", "POST")
    assert (status, "handover: another path takes a restart" in told) == (422, True)


def test_a_place_where_nobody_could_be_is_refused(backend: RunningBackend, tmp_path: Path):
    common = shared(tmp_path, handover=f"{tmp_path}/missing/handover.sock")
    status, told = refused(tmp_path, yaml.safe_dump(settings(backend.endpoint, **common)))
    assert status == 1
    assert f"handover: {tmp_path}/missing/handover.sock: there is no such folder" in told


def test_nobody_else_may_come(backend: RunningBackend, start: Start, tmp_path: Path):
    start(backend.endpoint, **shared(tmp_path))
    path = tmp_path / "handover.sock"
    eventually(path.exists, "somebody to be there")
    eventually(lambda: path.stat().st_mode & 0o777 == 0o600, "its mode")


# -- sockets of a service manager ----------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_of_a_service_manager_keep_their_clients_through_a_restart(
    backend: RunningBackend, tmp_path: Path, workers: int
):
    port, admin = free_port(), free_port()
    configured = settings(
        backend.endpoint,
        listeners=[
            {"name": "main", "bind": f"127.0.0.1:{port}"},
            {"name": "local", "bind": f"unix:{tmp_path}/front.sock"},
        ],
        admin={"bind": f"127.0.0.1:{admin}"},
        workers=workers,
        access_log={"path": "off"},
    )

    def activated(name: str, opened: list[int]) -> Proxy:
        folder = tmp_path / name
        folder.mkdir()
        proxy = Proxy(folder, configured, opened)
        owned.callback(proxy.kill)
        return proxy

    with ExitStack() as owned:
        main = owned.enter_context(socket.create_server(("127.0.0.1", port)))
        local = owned.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(f"{tmp_path}/front.sock")
        local.listen()
        stray = owned.enter_context(socket.create_server(("127.0.0.1", free_port())))
        opened = [main.fileno(), local.fileno(), stray.fileno()]

        first = activated("first", opened)
        eventually(first.ready, "the first to be ready")
        eventually(lambda: "the socket we were given at" in first.errors, "a word on the stray one")
        for where in (("127.0.0.1", port), f"{tmp_path}/front.sock"):
            with Peer.connect(where) as client:
                assert client.response(client.request()).ended
        first.stop()

        with socket.create_connection(("127.0.0.1", port)) as early:  # nobody is there
            second = activated("second", opened)
            with Peer(early.dup(), client=True) as client:
                assert client.response(client.request()).ended
        eventually(second.ready, "the second to be ready")
        second.stop()
    assert os.path.exists(f"{tmp_path}/front.sock")  # its maker's to remove
