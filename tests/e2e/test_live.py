"""Looking on at a proxy while it works: what is seen, and that nobody is held up by it."""

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.backend import RunningBackend
from tests.support.certificates import Certificates
from tests.support.crew import all_ready, held_by_all
from tests.support.live import Onlooker, order, timeline
from tests.support.load import Load
from tests.support.running import Start, eventually, listener
from tests.support.scripted_peer import Origin, Peer
from tests.support.stage import DONE, Stage
from trailproxy.wire.errors import ErrorCode

pytestmark = pytest.mark.e2e

DOWN, UP = "downstream", "upstream"
CAME, WENT = "received", "sent"


@pytest.fixture
def onlooker(stage: Stage) -> Iterator[Onlooker]:
    with Onlooker(stage.proxy) as onlooker:
        onlooker.see(lambda: onlooker.now, "the numbers")
        yield onlooker


def test_a_dropped_stream_explains_itself(stage: Stage, onlooker: Onlooker):
    talk = stage.talk(("authorization", "Bearer s3cret"), path="/reset?token=s3cret")
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"half of it")
    talk.client.wait_body(talk.sid, 10)
    seen = onlooker.row(path="/reset?token=***")
    assert seen["response"]["phase"] == "body"
    talk.backend.reset(talk.up, ErrorCode.INTERNAL_ERROR)
    talk.client.wait_reset(talk.sid)

    row = onlooker.row(cause="upstream_reset")
    assert (row["key"], row["side"], row["status"]) == (seen["key"], "upstream", 200)
    assert [(each["side"], each["initiator"]) for each in row["resets"]] == [
        ("upstream", "peer"),
        ("downstream", "proxy"),
    ]
    assert timeline(stage.proxy, row["key"]) == [
        (DOWN, CAME, "head"),
        (DOWN, CAME, "end"),
        (UP, WENT, "head"),
        (UP, WENT, "end"),
        (UP, CAME, "head"),
        (DOWN, WENT, "head"),
        (UP, CAME, "data"),
        (DOWN, WENT, "data"),
        (UP, CAME, "reset"),
        (DOWN, WENT, "reset"),
    ]
    _, text = stage.proxy.admin(f"/live/{row['key']}")
    assert "s3cret" not in text
    assert ["authorization", "***"] in json.loads(text)["parts"][0]["fields"]


@pytest.fixture
def unseen(start: Start, origin: Origin) -> Iterator[Stage]:
    """A stage of the test's own, that nobody has looked at."""
    proxy = start(origin.endpoint)
    with Peer.connect(proxy.address) as client:
        yield Stage(proxy, origin, client)
    origin.hang_up()


def test_an_exchange_that_began_before_is_seen_from_now_on(unseen: Stage):
    talk = unseen.talk(end=False, path="/late")
    talk.client.data(talk.sid, b"first")
    with Onlooker(unseen.proxy) as onlooker:
        assert onlooker.row(path="/late")["late"]
        talk.client.data(talk.sid, b"second", end=True)
        talk.backend.answer(talk.up)
        talk.backend.trailers(talk.up, DONE)
        row = onlooker.row(path="/late", status=200)
    assert row["response"]["trailers"] == 2
    talk.client.response(talk.sid)


def test_what_was_dropped_before_anybody_looked_is_there(unseen: Stage):
    talk = unseen.talk(path="/earlier")
    talk.backend.reset(talk.up, ErrorCode.CANCEL)
    talk.client.response(talk.sid)
    with Onlooker(unseen.proxy) as onlooker:
        row = onlooker.row(path="/earlier")
        assert (row["bare"], row["cause"]) == (True, "upstream_reset")
        assert (UP, CAME, "reset") in timeline(unseen.proxy, row["key"])


def test_the_numbers_are_those_of_the_metrics(stage: Stage, onlooker: Onlooker):
    before = onlooker.now["requests"]
    talk = stage.talk()
    talk.backend.answer(talk.up)
    talk.backend.trailers(talk.up, DONE)
    talk.client.response(talk.sid)
    onlooker.see(lambda: onlooker.now["requests"] == before + 1, "one request more")
    now, metrics = onlooker.now, stage.proxy.metrics()
    assert now["requests"] == metrics.total("requests_total")
    assert now["completed"] == metrics.total("requests_completed_total")
    assert sum(now["latency"]["counts"]) == metrics.total("request_duration_seconds_count")
    (place,) = now["places"]
    assert (place["upstream"], place["state"]) == ("app", "connected")
    assert now["upstreams"][0]["healthy"] == 1
    assert now["reload"]["ok"]


def test_whoever_reads_nothing_holds_nobody_up(backend: RunningBackend, start: Start):
    proxy = start(backend.endpoint)
    address = ("127.0.0.1", int(proxy.settings["admin"]["bind"].rpartition(":")[2]))
    with socket.socket() as silent, Load(proxy.address) as load, Onlooker(proxy) as onlooker:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(address)
        silent.sendall(b"POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        until = time.monotonic() + 3
        onlooker.see(lambda: time.monotonic() > until, "three seconds of events")
        served = load.served
        eventually(lambda: load.served > served + 50, "requests to be served")
        memory = proxy.memory()
        until = time.monotonic() + 3
        onlooker.see(lambda: time.monotonic() > until, "three seconds more")
        assert proxy.memory() - memory < 8 * 1024 * 1024
        assert onlooker.lost == 0
    assert load.lost == []


def test_a_reload_is_looked_at_too(backend: RunningBackend, start: Start):
    proxy = start(backend.endpoint)
    with Onlooker(proxy) as onlooker, Peer.connect(proxy.address) as client:
        client.response(client.request(path="/status/200"))
        onlooker.row(route="all")
        proxy.settings["routes"][0]["name"] = "renamed"
        proxy.write()
        assert proxy.admin("/reload", "POST")[0] == 200
        client.response(client.request(path="/status/200"))
        onlooker.row(route="renamed")
        proxy.settings["codec"] = "unheard of"
        proxy.write()
        assert proxy.admin("/reload", "POST")[0] == 422
        onlooker.see(lambda: not onlooker.now["reload"]["ok"], "the refusal")
        assert any("unheard of" in each for each in onlooker.now["reload"]["problems"])
        proxy.settings["codec"] = "native"


def test_workers_are_one_sight(backend: RunningBackend, start: Start):
    backend.hold()
    proxy = start(backend.endpoint, workers=2)
    all_ready(proxy, 2)
    with Onlooker(proxy) as onlooker, held_by_all(proxy):
        for worker in (1, 2):
            row = onlooker.row(worker=worker)
            assert timeline(proxy, row["key"])[0] == (DOWN, CAME, "head")
        onlooker.see(lambda: onlooker.now["workers"] == {
            "starting": 0, "ready": 2, "draining": 0}, "both workers")  # fmt: skip
        onlooker.see(lambda: onlooker.now["active"] == len(onlooker.rows), "all in flight")
        backend.release()
        onlooker.see(
            lambda: all("duration_ms" in row for row in onlooker.rows.values()), "all to be over"
        )
    assert proxy.admin("/live/3.none")[0] == 404
    assert proxy.admin("/live/1.none")[0] == 404


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tap_catches_what_it_is_for(backend: RunningBackend, start: Start, workers: int):
    proxy = start(backend.endpoint, workers=workers)
    if workers > 1:
        all_ready(proxy, workers)
    only = {"path_prefix": "/report", "status": 200}
    wanted = {"only": only, "exchanges": 3, "body_octets": 1000}
    status, state = order(proxy, "POST", "/tap", wanted)
    assert (status, state["ended"]) == (201, "")
    assert order(proxy, "POST", "/tap")[0] == 409

    with Onlooker(proxy) as onlooker:
        onlooker.see(lambda: onlooker.tap is not None, "the tap")
        time.sleep(0.6)  # until every worker has heard of it
        while onlooker.tap and not onlooker.tap["ended"]:
            with Peer.connect(proxy.address) as client:
                client.response(client.request(path="/status/200"))
                sid = client.open(("cookie", "s3cret"), path="/report")
                client.data(sid, b"question")
                client.trailers(sid, [("x-sum", "1")])
                client.response(sid)
            caught = onlooker.tap["caught"]
            onlooker.see(
                lambda caught=caught: onlooker.tap and onlooker.tap["caught"] > caught, "one more"
            )
        assert onlooker.tap
        assert onlooker.tap["ended"] == "exchanges"
    status, archive = order(proxy, "GET", f"/tap/{state['id']}")
    log = archive["log"]
    assert (status, log["version"], len(log["entries"])) == (200, "1.2", 3)
    entry = log["entries"][0]
    assert entry["request"]["postData"]["text"] == "question"
    assert entry["request"]["_trailers"] == [{"name": "x-sum", "value": "1"}]
    assert {"name": "cookie", "value": "***"} in entry["request"]["headers"]
    assert entry["_ending"]["response"] == "trailers"
    assert "s3cret" not in json.dumps(entry["request"])
    assert order(proxy, "DELETE", "/tap")[0] == 404


def test_the_end_of_a_certificate_is_a_metric(
    backend: RunningBackend, start: Start, certificates: Certificates
):
    for workers in (1, 2):
        plain, tls = listener(), listener(name="tls", tls=certificates.server_tls())
        proxy = start(backend.endpoint, listeners=[plain, tls], workers=workers)
        ends = proxy.metrics().by("certificate_expiry_timestamp_seconds", "kind", "name")
        assert list(ends) == [("listener", "tls")]
        assert ends["listener", "tls"] > datetime.now(UTC).timestamp()
