"""`trailproxy probe` as people run it: against its origin, by way of hops, and against gRPC."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from tests.support.certificates import Certificates
from tests.support.running import ROOT, Run, Start, eventually, free_port, listener

pytestmark = [pytest.mark.e2e, pytest.mark.operators]


def _probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trailproxy", "probe", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def _verdicts(told: subprocess.CompletedProcess[str], place: int = -1) -> dict[str, str]:
    found: list[dict[str, Any]] = json.loads(told.stdout)["ways"][place]["findings"]
    return {finding["case"]: finding["verdict"] for finding in found}


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The host and port of `trailproxy probe --serve`."""
    bind = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "trailproxy", "probe", "--serve", "--bind", bind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == f"probe origin on {bind}\n"
        yield bind
        serving.terminate()
        assert serving.wait(5) == 0


@pytest.mark.parametrize("talk", ["plain", "--grpc"])
def test_by_way_of_us_every_promise_is_kept(origin: str, start: Start, talk: str) -> None:
    proxy = start(origin)
    told = _probe(
        *(f"http://{origin}/svc/Method", "--via", f"http://{proxy.target}", "--json"),
        *([] if talk == "plain" else [talk]),
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert set(_verdicts(told).values()) == {"kept", "skipped"}
    assert json.loads(told.stdout)["guilty"] == []


def test_over_tls_too(origin: str, start: Start, certificates: Certificates) -> None:
    proxy = start(origin, listeners=[listener(tls=certificates.server_tls())])
    arguments = (f"https://localhost:{proxy.address[1]}/x",)
    told = _probe(*arguments, "--ca", certificates.ca)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "no promise is broken" in told.stdout
    assert _probe(*arguments, "--insecure", "--json").returncode == 0
    distrusted = _probe(*arguments)
    assert distrusted.returncode == 2
    assert "certificate is not trusted" in distrusted.stdout


def test_one_server_among_many_is_reached_by_its_address(
    origin: str, start: Start, certificates: Certificates
) -> None:
    proxy = start(
        origin,
        listeners=[listener(tls=certificates.server_tls())],
        routes=[{"name": "one", "match": {"authority": "localhost"}, "upstream": "app"}],
    )
    arguments = (f"https://127.0.0.1:{proxy.address[1]}/x", "--ca", certificates.ca, "--json")
    assert set(_verdicts(_probe(*arguments, "--authority", "localhost"), 0).values()) == {
        "kept",
        "skipped",
    }
    assert not json.loads(_probe(*arguments).stdout)["ways"][0]["origin"]


@pytest.mark.parametrize("refuses", [True, False])
def test_tls_without_http2_is_a_finding(
    certificates: Certificates, run: Run, refuses: bool
) -> None:
    port = free_port()
    alpn = ("-alpn", "http/1.1") if refuses else ()  # with a protocol of its own it sends an alert
    command = [
        *("openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", *alpn),
        *("-cert", certificates.server, "-key", certificates.server_key),
    ]
    run("openssl", "version")  # skipped without it
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        arguments = (f"https://localhost:{port}/", "--ca", certificates.ca, "--json")
        try:
            eventually(lambda: _probe(*arguments).returncode != 2, "openssl to listen")
            told = _probe(*arguments)
        finally:
            server.terminate()
    assert told.returncode == 1, told.stdout
    first = json.loads(told.stdout)["ways"][0]["findings"][0]
    assert (first["case"], first["verdict"]) == ("negotiated", "broken")
    assert first["why"] == ("by ALPN it refused h2" if refuses else "by ALPN it chose nothing")


def test_the_hop_that_loses_trailers_is_found(origin: str, start: Start) -> None:
    keeps = start(origin)
    eats = start(
        keeps.target,
        routes=[
            {
                "name": "all",
                "match": {},
                "upstream": "app",
                "trailers": {"response": {"allow": ["grpc-*"]}},
            }
        ],
    )
    told = _probe(
        f"http://{origin}/", "--via", f"http://{keeps.target}", "--via", f"http://{eats.target}"
    )
    assert told.returncode == 1
    *_, last = told.stdout.splitlines()
    assert last.startswith(f"http://{eats.target} breaks ")
    assert "trailers-present" in last


def test_nghttpx_breaks_nothing_and_changes_codes(origin: str, run: Run, tmp_path: Path) -> None:
    run("nghttpx", "--version")  # skipped without it
    port = free_port()
    command = [
        *("nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{port};no-tls"),
        *(f"--backend={origin.replace(':', ',')};;proto=h2", "--workers=1", "--single-process"),
    ]
    log = tmp_path / "nghttpx.log"
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as hop:
        arguments = (f"http://{origin}/", "--via", f"http://127.0.0.1:{port}", "--json")
        eventually(lambda: _probe(*arguments).returncode != 2, "nghttpx to listen")
        told = _probe(*arguments)
        hop.terminate()
        hop.wait(5)
    assert told.returncode == 0, told.stdout
    assert _verdicts(told)["trailers-present"] == "kept"
    assert _verdicts(told)["reset-cancel"] == "changed"


@pytest.fixture
def grpc_server() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_grpc_server_answers_with_a_status(grpc_server: str) -> None:
    told = _probe(f"http://{grpc_server}/grpc.health.v1.Health/Check", "--grpc", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    verdicts = _verdicts(told)
    assert verdicts["negotiated"] == verdicts["trailers-present"] == "kept"
    assert verdicts["reset-from-client"] == "kept"
    assert verdicts["bidirectional"] == "skipped"


def test_curl_hears_what_the_origin_plays(origin: str, run: Run) -> None:
    told = run(
        *("curl", "-sSv", "--http2-prior-knowledge", "-o", "/dev/null"),
        *("-H", "trailproxy-probe: trailers-present", f"http://{origin}/any/path"),
    )
    assert told.returncode == 0, told.stderr
    assert "< trailproxy-probe: trailers-present" in told.stderr
    assert "< x-probe-sum: 0f343b0931126a20" in told.stderr


def test_nobody_there_is_told_in_one_line() -> None:
    told = _probe(f"http://127.0.0.1:{free_port()}/")
    assert told.returncode == 2
    assert "connection refused" in told.stdout
    assert told.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give a URL to probe, such as https://host:port/path, or --serve"),
        (["ftp://a/"], "'ftp://a/' is no URL such as https://host:port/path"),
        (["https://a/", "--ca", "/nowhere"], "/nowhere: No such file or directory"),
        (["--serve", "--certificate", "x"], "--certificate and --private-key go together"),
        (["http://a/b c"], "unusable :path '/b c' cannot be sent"),
        (["http://a/", "--authority", "b/c"], "'b/c' is not a host name"),
        (["--serve", "--bind", "1"], "the port is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], why: str) -> None:
    told = _probe(*arguments)
    assert told.returncode == 2
    assert told.stderr.startswith("trailproxy probe: ")
    assert why in told.stderr
    assert "Traceback" not in told.stderr
