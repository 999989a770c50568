"""Unix sockets at both ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.support.backend import running_backend
from tests.support.behaviours import body_of, checksum
from tests.support.running import Proxy, Run, running_proxy
from tests.support.scripted_peer import Peer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unix")


@pytest.fixture(scope="module")
def proxy(folder: Path) -> Iterator[Proxy]:
    listeners = [{"name": "main", "bind": f"unix:{folder}/front.sock"}]
    with (
        running_backend(f"unix:{folder}/back.sock") as backend,
        running_proxy(folder, backend.endpoint, listeners=listeners) as running,
    ):
        yield running


def test_curl_goes_through_two_unix_sockets(run: Run, proxy: Proxy, folder: Path):
    told = run(
        *("curl", "-sSv", "--http2-prior-knowledge", "--unix-socket", f"{folder}/front.sock"),
        "http://localhost/bytes/70000",
    )

    assert told.returncode == 0, told.stderr
    assert f"< x-sha256: {checksum(body_of(70_000))}" in told.stderr
    assert proxy.entry(path="/bytes/70000")["peer"] == "unix"


def test_trailers_go_both_ways(proxy: Proxy, folder: Path):
    with Peer.connect(f"{folder}/front.sock") as client:
        sid = client.open(path="/echo")
        client.data(sid, b"there and back")
        client.wait_body(sid, 14)
        client.trailers(sid, [("x-sent", "yes")])

        assert client.response(sid).trailers == [("x-sent", "yes"), ("x-bytes", "14")]


def test_grpc_goes_through_two_unix_sockets(tmp_path: Path):
    handler = grpc.method_handlers_generic_handler(
        "test.Unix", {"Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request)}
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=2), handlers=(handler,))
    server.add_insecure_port(f"unix:{tmp_path}/back.sock")
    server.start()
    listeners = [{"name": "main", "bind": f"unix:{tmp_path}/front.sock"}]
    with (
        running_proxy(tmp_path, f"unix:{tmp_path}/back.sock", listeners=listeners),
        grpc.insecure_channel(f"unix:{tmp_path}/front.sock") as channel,
    ):
        assert channel.unary_unary("/test.Unix/Echo")(b"hello", timeout=10) == b"hello"
    server.stop(grace=None).wait(10)


def test_the_socket_file_is_gone_after_the_drain(tmp_path: Path):
    listeners = [{"name": "main", "bind": f"unix:{tmp_path}/front.sock"}]
    with running_proxy(tmp_path, f"unix:{tmp_path}/nobody.sock", listeners=listeners):
        assert (tmp_path / "front.sock").is_socket()

    assert not (tmp_path / "front.sock").exists()
