"""The tools people have at hand: curl, nghttp and h2load through the proxy."""

import json
import re
from pathlib import Path

import pytest

from tests.support.backend import RunningBackend
from tests.support.behaviours import body_of, checksum
from tests.support.certificates import Certificates
from tests.support.running import Proxy, Run, Start, listener

pytestmark = pytest.mark.e2e


def test_curl_shows_the_trailers_behind_the_body(run: Run, proxy: Proxy):
    told = run("curl", "-sSv", "--http2-prior-knowledge", f"http://{proxy.target}/bytes/100000")

    assert told.returncode == 0, told.stderr
    head, _, behind = told.stderr.partition("{ [")  # curl's mark for body it received
    assert "< HTTP/2 200" in head
    assert "< trailer: x-sha256, x-bytes" in head
    assert f"< x-sha256: {checksum(body_of(100_000))}" in behind
    assert "< x-bytes: 100000" in behind


def test_curl_uploads_and_downloads(run: Run, proxy: Proxy, tmp_path: Path):
    (tmp_path / "sent").write_bytes(body_of(3_000_000))

    told = run(
        *("curl", "-sS", "--http2-prior-knowledge", "-o", str(tmp_path / "received")),
        *("--data-binary", f"@{tmp_path / 'sent'}", f"http://{proxy.target}/echo"),
    )

    assert told.returncode == 0, told.stderr
    assert (tmp_path / "received").read_bytes() == body_of(3_000_000)


def test_curl_hears_100_continue(run: Run, proxy: Proxy):
    told = run(
        *("curl", "-sSv", "--http2-prior-knowledge", "-H", "Expect: 100-continue"),
        *("-d", "body", f"http://{proxy.target}/report"),
    )

    assert told.returncode == 0, told.stderr
    assert "< HTTP/2 100" in told.stderr
    assert "< HTTP/2 200" in told.stderr
    assert json.loads(told.stdout)["bytes"] == 4


def test_curl_hears_early_hints(run: Run, proxy: Proxy):
    told = run("curl", "-sSv", "--http2-prior-knowledge", f"http://{proxy.target}/interim")

    assert told.returncode == 0, told.stderr
    assert re.findall("< (HTTP/2 [0-9]+|link: .*|x-hinted: .*)", told.stderr) == [
        "HTTP/2 103",
        "link: </a.css>; rel=preload",
        "HTTP/2 103",
        "link: </b.css>; rel=preload",
        "HTTP/2 200",
        "x-hinted: twice",
    ]


def test_curl_downloads_what_content_length_announces(run: Run, proxy: Proxy, tmp_path: Path):
    told = run(
        *("curl", "-sSv", "--http2-prior-knowledge", "-o", str(tmp_path / "received")),
        f"http://{proxy.target}/sized/70000",
    )

    assert told.returncode == 0, told.stderr
    assert "< content-length: 70000" in told.stderr
    assert (tmp_path / "received").read_bytes() == body_of(70_000)


def test_curl_head_gets_the_length_of_a_body_that_does_not_come(run: Run, proxy: Proxy):
    told = run("curl", "-sS", "--http2-prior-knowledge", "--head", f"http://{proxy.target}/sized/9")

    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("HTTP/2 200")
    assert "content-length: 9" in told.stdout


@pytest.mark.parametrize("status", ["204", "304"])
def test_curl_bodiless_answers_end_at_once(run: Run, proxy: Proxy, status: str):
    told = run("curl", "-sSi", "--http2-prior-knowledge", f"http://{proxy.target}/status/{status}")

    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"HTTP/2 {status}")


def test_curl_over_http_1_1_gets_a_clear_answer(run: Run, proxy: Proxy):
    told = run("curl", "-sSi", "--http1.1", f"http://{proxy.target}/bytes/10")

    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("HTTP/1.1 505 ")


def test_curl_over_tls(run: Run, backend: RunningBackend, certificates: Certificates, start: Start):
    proxy = start(backend.endpoint, listeners=[listener(tls=certificates.server_tls())])

    told = run(
        *("curl", "-sSv", "--http2", "--cacert", certificates.ca),
        f"https://localhost:{proxy.address[1]}/bytes/1000",
    )

    assert told.returncode == 0, told.stderr
    assert "ALPN: server accepted h2" in told.stderr
    assert f"< x-sha256: {checksum(body_of(1000))}" in told.stderr


def test_nghttp_shows_response_trailers_as_a_block_of_their_own(run: Run, proxy: Proxy):
    told = run("nghttp", "-v", f"http://{proxy.target}/repeated")

    assert told.returncode == 0, told.stderr
    behind = told.stdout[told.stdout.index("recv DATA frame") :]
    assert re.findall(r"recv \(stream_id=\d+\) (x-(?:step|other): \w+)", behind) == [
        "x-step: one",
        "x-other: between",
        "x-step: two",
        "x-step: three",
    ]
    assert re.search(r"recv HEADERS frame <[^>]*>\s+; END_STREAM \| END_HEADERS", behind)


def test_nghttp_shows_trailers_behind_an_empty_body(run: Run, proxy: Proxy):
    told = run("nghttp", "-v", f"http://{proxy.target}/empty")

    assert told.returncode == 0, told.stderr
    assert re.search(r"recv \(stream_id=\d+\) x-empty: yes", told.stdout)


def test_nghttp_sends_request_trailers(run: Run, proxy: Proxy, tmp_path: Path):
    (tmp_path / "sent").write_bytes(body_of(200_000))
    gained = proxy.counting()

    told = run(
        *("nghttp", "-d", str(tmp_path / "sent"), "--trailer", "x-first: 1"),
        *("--trailer", f"x-sum: {checksum(body_of(200_000))}", f"http://{proxy.target}/report"),
    )

    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert report["trailers"] == [["x-first", "1"], ["x-sum", checksum(body_of(200_000))]]
    assert report["sha256"] == checksum(body_of(200_000))
    assert gained()("trailers_total", "direction", "outcome") == {
        ("request", "relayed"): 1,
        ("response", "relayed"): 1,
    }


@pytest.mark.parametrize("path", ["/bytes/100", "/bytes/200000", "/empty", "/repeated"])
def test_h2load_finds_no_failure(run: Run, proxy: Proxy, path: str):
    gained = proxy.counting()
    requests = 60 if path == "/bytes/200000" else 300

    told = run("h2load", f"-n{requests}", "-c6", "-m10", f"http://{proxy.target}{path}")

    assert told.returncode == 0, told.stderr
    assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in told.stdout
    assert gained()("requests_completed_total") == {(): requests}
    assert gained()("trailers_total", "outcome") == {("relayed",): requests}
    assert gained()("streams_dropped_total") == {}
