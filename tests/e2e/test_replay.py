"""`trailproxy replay` as people run it: what a tap has caught, sent again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend import RunningBackend
from tests.support.certificates import Certificates
from tests.support.live import order
from tests.support.running import ROOT, Proxy, Start, eventually, free_port, listener
from tests.support.scripted_peer import Origin, Peer

pytestmark = [pytest.mark.e2e, pytest.mark.operators]


def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trailproxy", "replay", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def capture(proxy: Proxy, file: Path) -> list[dict[str, Any]]:
    """Capture one request of each of three kinds; return the entries."""
    status, state = order(proxy, "POST", "/tap", {"exchanges": 1000, "body_octets": 65_536})
    assert status == 201

    def caught() -> dict[str, dict[str, Any]]:
        entries = order(proxy, "GET", f"/tap/{state['id']}")[1]["log"]["entries"]
        return {entry["request"]["url"].rpartition("localhost")[2]: entry for entry in entries}

    with Peer.connect(proxy.address) as client:
        eventually(
            lambda: client.response(client.request(path="/status/204")) and caught(),
            "the tap to have heard of it",
        )
        sid = client.open(("authorization", "s3cret"), ("x-note", "kept"), path="/echo")
        client.data(sid, b"question")
        client.trailers(sid, [("x-sum", "1")])
        client.response(sid)
        client.response(client.request(path="/reset/2/10"))
        eventually(lambda: len(caught()) == 3, "all to be caught")
    entries = [caught()[path] for path in ("/status/204", "/echo", "/reset/2/10")]
    file.write_text(json.dumps({"log": {"entries": entries}}))
    return entries


def test_what_was_captured_comes_back_the_same(
    backend: RunningBackend, start: Start, tmp_path: Path
):
    file = tmp_path / "capture.har"
    proxy = start(backend.endpoint)
    entries = capture(proxy, file)
    told = replay(str(file), "--against", f"http://{proxy.target}")
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert lines[-1] == "3 requests, 0 differ"
    assert any(line == "2  POST /echo" for line in lines)
    assert any(line == "   left out  authorization: masked" for line in lines)
    assert "s3cret" not in told.stdout

    entries[1]["response"]["status"] = 500
    entries[1]["response"]["_trailers"].append({"name": "x-gone", "value": "1"})
    file.write_text(json.dumps({"log": {"entries": entries}}))
    told = replay(str(file), "--against", f"http://{proxy.target}")
    assert told.returncode == 1
    assert "(differs in status, trailers)" in told.stdout
    assert told.stdout.splitlines()[-1] == "3 requests, 1 differs"


def test_the_request_is_the_one_that_was_captured(
    backend: RunningBackend, start: Start, origin: Origin, tmp_path: Path
):
    file = tmp_path / "capture.har"
    entries = capture(start(backend.endpoint), file)
    file.write_text(json.dumps({"log": {"entries": entries[1:2]}}))
    url = f"http://{origin.endpoint}"
    command = [sys.executable, "-m", "trailproxy", "replay", str(file), "--against", url]
    command += ["--authority", "other.example"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as playing:
        asked = origin.accept()
        sid = asked.next_request()
        asked.wait(lambda: asked.streams[sid].ended, "the end of the request")
        request = asked.streams[sid]
        head = dict(request.head)
        assert (head[":method"], head[":path"]) == ("POST", "/echo")
        assert (head[":authority"], head["x-note"]) == ("other.example", "kept")
        assert "authorization" not in head
        assert "via" not in head
        assert bytes(request.body) == b"question"
        assert request.trailers == [("x-sum", "1")]
        asked.answer(sid)
        asked.reset(sid, 2)
        told, _ = playing.communicate(timeout=10)
        assert playing.returncode == 1
    assert "now       200, RST_STREAM INTERNAL_ERROR  (differs in ending, trailers)" in told
    asked.close()


def test_over_tls_with_an_authority_of_ones_own(
    backend: RunningBackend, start: Start, certificates: Certificates, tmp_path: Path
):
    file = tmp_path / "capture.har"
    tls = listener(name="tls", tls=certificates.server_tls())
    proxy = start(backend.endpoint, listeners=[listener(), tls])
    capture(proxy, file)
    url = f"https://localhost:{tls['bind'].rpartition(':')[2]}"
    assert replay(str(file), "--against", url, "--ca", certificates.ca).returncode == 0
    assert replay(str(file), "--against", url, "--insecure").returncode == 0
    told = replay(str(file), "--against", url)
    assert (told.returncode, "not trusted" in told.stderr) == (2, True)


def test_nobody_there_and_no_file_are_told(tmp_path: Path):
    file = tmp_path / "one.har"
    file.write_text(json.dumps({"log": {"entries": [
        {"request": {"method": "GET", "url": "http://x/"}, "response": {"status": 200}}
    ]}}))  # fmt: skip
    told = replay(str(file), "--against", f"http://127.0.0.1:{free_port()}")
    assert (told.returncode, "connection refused" in told.stderr) == (2, True)
    told = replay(str(tmp_path / "none.har"), "--against", "http://127.0.0.1:1")
    assert (told.returncode, "cannot be read" in told.stderr) == (2, True)
    told = replay(str(file), "--against", "ftp://x")
    assert (told.returncode, "is no URL" in told.stderr) == (2, True)
