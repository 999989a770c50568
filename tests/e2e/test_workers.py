"""Workers: several processes that look like one, whatever becomes of any of them."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.support.backend import RunningBackend
from tests.support.certificates import Certificates
from tests.support.crew import alive, all_ready, held_by_all, processes
from tests.support.load import Load
from tests.support.running import (
    Metrics,
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


@pytest.fixture
def held(backend: RunningBackend) -> Iterator[RunningBackend]:
    """The backend, with its `/held` streams held; all are released at the end."""
    backend.hold()
    yield backend
    backend.release()


@pytest.fixture
def proxy(held: RunningBackend, start: Start) -> Proxy:
    """A proxy of two workers, both ready."""
    running = start(held.endpoint, workers=2, drain_timeout="20s")
    all_ready(running, 2)
    return running


def counters(metrics: Metrics) -> dict[tuple[object, ...], float]:
    """Return every sample that must never go down."""
    return {
        (name, *sorted(labels.items())): value
        for name, samples in metrics._samples.items()
        if name.endswith(("_total", "_bucket", "_count", "_sum")) and "process" not in name
        for labels, value in samples
        if not name.startswith("python")
    }


def reload(proxy: Proxy) -> None:
    """Write the settings and have them taken."""
    proxy.write()
    status, told = proxy.admin("/reload", "POST")
    assert status == 200, told


# -- one proxy -----------------------------------------------------------------------------


def test_the_counts_of_all_are_one_sum(proxy: Proxy, held: RunningBackend):
    with held_by_all(proxy) as by_worker, ExitStack() as running:
        clients = [held for each in by_worker.values() for held in each]
        loads = [running.enter_context(Load(proxy.address)) for _ in range(4)]
        eventually(lambda: all(load.served > 20 for load in loads), "the load to be under way")
        running.close()
        held.release()
        assert all(client.finished() for client in clients)

    metrics = proxy.settled()
    served = sum(load.served for load in loads) + len(clients)
    assert [load.lost for load in loads] == [[]] * 4
    assert metrics.total("requests_total") == served
    assert metrics.total("requests_completed_total") == served
    assert metrics.total("request_duration_seconds_count") == served
    assert metrics.total("responses_total", code="200") == served
    eventually(lambda: len(proxy.entries()) == served, "a whole line for every request")


def test_streams_tell_their_worker_and_the_rest_is_the_supervisors(proxy: Proxy):
    with held_by_all(proxy) as by_worker:
        told = [stream["worker"] for stream in proxy.streams()]
        assert {number: told.count(number) for number in told} == {
            number: len(clients) for number, clients in by_worker.items()
        }
        metrics = proxy.metrics()
        assert metrics.total("requests_active") == len(told)
        assert metrics.total("connections_active", side="downstream") == len(told)
    assert json.loads(proxy.admin("/config")[1])["workers"] == 2
    assert proxy.admin("/healthz") == (200, "ok\n")
    assert proxy.admin("/readyz") == (200, "ok\n")


def test_auto_is_one_for_each_cpu(backend: RunningBackend, start: Start):
    cpus = len(os.sched_getaffinity(0))
    running = start(backend.endpoint, workers="auto")
    if cpus == 1:
        assert processes(running) == {}
    else:
        all_ready(running, cpus)


def test_all_accept_from_a_unix_socket(backend: RunningBackend, start: Start, tmp_path: Path):
    path = tmp_path / "front.sock"
    running = start(backend.endpoint, workers=2, listeners=[listener(bind=f"unix:{path}")])
    all_ready(running, 2)
    with Peer.connect(str(path)) as client:
        assert client.response(client.request()).status == "200"
        running.terminate()
        client.wait_closed()
    running.wait_stopped()
    assert not path.exists()


# -- a worker that is killed, stopped, or cannot start -------------------------------------


def test_a_killed_worker_is_replaced_and_no_counter_goes_down(proxy: Proxy, held: RunningBackend):
    first = processes(proxy)
    with held_by_all(proxy) as by_worker:
        before = proxy.metrics()
        lost = len(by_worker[1])

        os.kill(first[1], signal.SIGKILL)

        for client, sid in by_worker[1]:
            client.wait(lambda client=client: client.closed, "its connection to be lost")
            assert not client.streams[sid].ended
        eventually(lambda: proxy.metrics().total("worker_restarts_total") == 1, "a new one")
        after = proxy.metrics()
        held.release()
        assert all(client.finished() for client in by_worker[2])

    gained = counters(after)
    assert [key for key, value in counters(before).items() if gained[key] < value] == []
    after.check_books()
    assert after.total("streams_dropped_total", cause="worker_died", side="upstream") == lost
    assert after.total("requests_active") == len(by_worker[2])
    all_ready(proxy, 2)
    second = processes(proxy)
    assert (second[2], second[1] != first[1]) == (first[2], True)
    held.hold()
    with held_by_all(proxy):
        pass  # both serve
    assert "worker 1 (pid" in proxy.errors
    assert "SIGKILL" in proxy.errors


def test_a_worker_that_was_told_to_end_does_so_cleanly_and_is_replaced(
    proxy: Proxy, held: RunningBackend
):
    first = processes(proxy)
    with held_by_all(proxy) as by_worker:
        os.kill(first[1], signal.SIGTERM)
        for client, sid in by_worker[1]:
            client.wait(lambda client=client: len(client.goaways) == 2, "two GOAWAYs")
            assert not client.streams[sid].over
        held.release()
        assert all(client.finished() for each in by_worker.values() for client in each)
        requests = sum(map(len, by_worker.values()))
    eventually(lambda: processes(proxy).get(1, first[1]) != first[1], "another worker 1")
    assert proxy.settled().total("requests_completed_total") == requests


def test_a_stopped_worker_hides_nothing_of_the_others(proxy: Proxy):
    with held_by_all(proxy) as by_worker:
        before = proxy.metrics()
        stopped = processes(proxy)[1]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(2):
                began = time.monotonic()
                metrics, streams = proxy.metrics(), proxy.streams()
                assert time.monotonic() - began < 3  # each waits for a second
                assert {stream["worker"] for stream in streams} == {2}
                assert len(streams) == len(by_worker[2])
                assert metrics.total("requests_total") == before.total("requests_total")
                metrics.check_books()
            assert proxy.admin("/readyz")[0] == 200
            client, _ = by_worker[2][0]
            assert client.response(client.request(path="/repeated")).status == "200"
            assert proxy.metrics().total("requests_total") == before.total("requests_total") + 1
        finally:
            os.kill(stopped, signal.SIGCONT)
        eventually(lambda: len(proxy.streams()) == sum(map(len, by_worker.values())), "all to tell")


def test_workers_that_cannot_start_are_tried_again_and_say_why(
    backend: RunningBackend, start: Start, certificates: Certificates, tmp_path: Path
):
    certificate = tmp_path / "tls.crt"
    certificate.write_text(Path(certificates.server).read_text())
    tls = {"certificate": str(certificate), "private_key": certificates.server_key}
    running = start(backend.endpoint, workers=2, listeners=[listener(tls=tls)])
    all_ready(running, 2)

    certificate.write_text("no certificate any more")
    os.kill(processes(running)[1], signal.SIGKILL)

    eventually(lambda: running.metrics().total("worker_restarts_total") >= 2, "two attempts")
    assert running.admin("/readyz")[0] == 200  # of the other
    assert running.metrics().by("workers", "state") == {("ready",): 1, ("starting",): 1}

    os.kill(processes(running)[2], signal.SIGKILL)

    eventually(lambda: running.admin("/readyz")[0] == 503, "nobody to be ready")
    eventually(lambda: "tls.crt" in running.admin("/readyz")[1], "the reason")
    certificate.write_text(Path(certificates.server).read_text())
    all_ready(running, 2)


# -- reload --------------------------------------------------------------------------------


def test_a_reload_reaches_every_worker(proxy: Proxy, held: RunningBackend):
    extra = listener(name="second")
    with held_by_all(proxy) as by_worker:
        proxy.settings["listeners"].append(extra)
        proxy.settings["routes"][0]["match"] = {"path_prefix": "/repeated"}
        reload(proxy)
        for (client, _), *_ in by_worker.values():
            assert client.response(client.request(path="/repeated")).status == "200"
            assert client.response(client.request(path="/elsewhere")).status == "404"
        held.release()
        assert all(client.finished() for each in by_worker.values() for client in each)
        host, _, port = extra["bind"].rpartition(":")
        address = (host, int(port))
        with Peer.connect(address) as client:
            assert client.response(client.request(path="/repeated")).status == "200"
            proxy.settings["listeners"].pop()
            reload(proxy)
            client.wait_closed()
        with pytest.raises(OSError, match="refused"), socket.create_connection(address):
            pass
        for (client, _), *_ in by_worker.values():
            assert client.goaways == []
    assert proxy.metrics().total("config_reloads_total", outcome="ok") == 2


def test_a_bad_reload_changes_nothing_anywhere(proxy: Proxy):
    good = proxy.file.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken, held_by_all(proxy) as by_worker:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for bad, problem in (
            (good.replace("path_prefix", "path_prefixx"), "routes[0].match.path_prefixx"),
            (good.replace(proxy.target, where), f"cannot bind {where}"),
            (good.replace(str(proxy.log), "/no/such/folder/log"), "access_log.path: /no/such"),
        ):
            proxy.file.write_text(bad)
            status, told = proxy.admin("/reload", "POST")
            assert status == 422
            assert problem in told
        for (client, _), *_ in by_worker.values():
            assert client.response(client.request()).status == "200"
            assert client.goaways == []
    metrics = proxy.metrics()
    assert metrics.total("config_reloads_total", outcome="failed") == 3
    assert metrics.total("config_last_reload_successful") == 0


def test_a_worker_that_is_started_again_has_what_is_running_not_what_is_in_the_file(proxy: Proxy):
    proxy.file.write_text("nonsense")
    os.kill(processes(proxy)[1], signal.SIGKILL)
    eventually(lambda: proxy.metrics().total("worker_restarts_total") == 1, "a new one")
    all_ready(proxy, 2)
    with held_by_all(proxy):
        pass


def test_a_reload_tells_of_a_worker_that_does_not_answer_which_takes_it_when_it_can(proxy: Proxy):
    with held_by_all(proxy) as by_worker:
        stopped = processes(proxy)[1]
        os.kill(stopped, signal.SIGSTOP)
        try:
            proxy.settings["routes"][0]["match"] = {"path_prefix": "/elsewhere"}
            proxy.write()
            status, told = proxy.admin("/reload", "POST")
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert (status, "worker 1 has not answered" in told) == (422, True)
        assert "worker 2" not in told
        for (client, _), *_ in by_worker.values():
            eventually(
                lambda client=client: (
                    client.response(client.request(path="/repeated")).status == "404"
                ),
                "the new routes",
            )
    assert proxy.metrics().total("config_last_reload_successful") == 0


def test_a_reload_can_have_more_workers_and_fewer(proxy: Proxy, held: RunningBackend):
    proxy.settings["workers"] = 3
    reload(proxy)
    all_ready(proxy, 3)
    with held_by_all(proxy, 3) as by_worker:
        proxy.settings["workers"] = 1
        reload(proxy)
        for number in (2, 3):
            for client, _ in by_worker[number]:
                client.wait(lambda client=client: len(client.goaways) == 2, "two GOAWAYs")
        assert proxy.metrics().by("workers", "state") == {("ready",): 1, ("draining",): 2}
        held.release()
        assert all(client.finished() for each in by_worker.values() for client in each)
        requests = sum(map(len, by_worker.values()))
    all_ready(proxy, 1)
    assert proxy.settled().total("requests_completed_total") == requests


def test_one_process_that_serves_alone_does_not_become_many(backend: RunningBackend, start: Start):
    running = start(backend.endpoint)
    running.settings["workers"] = 2
    running.write()
    status, told = running.admin("/reload", "POST")
    assert (status, "takes a restart" in told) == (422, True)
    assert processes(running) == {}


# -- the end -------------------------------------------------------------------------------


def test_a_drain_finishes_the_streams_of_all(proxy: Proxy, held: RunningBackend):
    with held_by_all(proxy) as by_worker:
        clients = [client for each in by_worker.values() for client in each]
        proxy.terminate()
        for client, sid in clients:
            client.wait(lambda client=client: len(client.goaways) == 2, "two GOAWAYs")
            assert client.goaways == [(2**31 - 1, 0), (sid, 0)]
        assert proxy.admin("/readyz") == (503, "draining\n")
        assert proxy.metrics().total("requests_active") == len(clients)
        with pytest.raises(OSError, match="refused"), socket.create_connection(proxy.address):
            pass
        held.release()
        assert all(client.finished() for client in clients)
    proxy.wait_stopped()


def test_a_second_signal_ends_all_now(proxy: Proxy):
    with held_by_all(proxy) as by_worker:
        proxy.terminate()
        eventually(lambda: proxy.admin("/readyz")[0] == 503, "the drain to begin")
        proxy.terminate()
        proxy.wait_stopped()
    causes = [entry["dropped"]["cause"] for entry in proxy.entries()]
    assert causes == ["drain_timeout"] * sum(map(len, by_worker.values()))


def test_a_stopped_worker_does_not_hold_the_end_up(held: RunningBackend, start: Start):
    running = start(held.endpoint, workers=2, drain_timeout="0s")
    all_ready(running, 2)
    os.kill(processes(running)[1], signal.SIGSTOP)
    running.terminate()
    running.wait_stopped()


def test_workers_end_when_their_supervisor_is_killed(held: RunningBackend, tmp_path: Path):
    whole = settings(held.endpoint, workers=2, drain_timeout="20s", access_log={"path": "off"})
    running = Proxy(tmp_path, whole)
    try:
        eventually(running.ready, "the proxy to be ready")
        all_ready(running, 2)
        pids = processes(running).values()
        with held_by_all(running) as by_worker:
            running.process.kill()
            running.process.wait()
            for each in by_worker.values():
                for client, _ in each:
                    client.wait(lambda client=client: len(client.goaways) == 2, "two GOAWAYs")
            held.release()
            assert all(client.finished() for each in by_worker.values() for client in each)
        eventually(lambda: not any(alive(pid) for pid in pids), "the workers to end")
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("theirs", [1, 2])
def test_a_port_in_use_is_named(backend: RunningBackend, start: Start, tmp_path: Path, theirs: int):
    other = start(backend.endpoint, workers=theirs)
    whole = settings("127.0.0.1:1", listeners=other.settings["listeners"], workers=2)

    status, told = refused(tmp_path, yaml.safe_dump(whole))

    assert status == 1
    assert other.target in told
    assert "Traceback" not in told


def test_an_admin_port_in_use_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        admin = f"127.0.0.1:{taken.getsockname()[1]}"
        whole = settings("127.0.0.1:1", admin={"bind": admin}, workers=2)
        status, told = refused(tmp_path, yaml.safe_dump(whole))
    assert (status, f"admin: cannot bind {admin}" in told) == (1, True)
