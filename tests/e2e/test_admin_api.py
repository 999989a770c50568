"""The admin API is what docs/openapi.json says: every request, status, content type and shape."""

import http.client
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.support.backend import RunningBackend
from tests.support.certificates import Certificates
from tests.support.crew import all_ready
from tests.support.described import Asker, Described, Seen
from tests.support.running import PATIENCE_S, Proxy, Start, eventually, free_port
from tests.support.scripted_peer import Origin, Peer
from tests.support.stage import DONE, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.operators]
TIME_LIMIT_S = 60

FOR_ALL = (401, 403, 413, 500)  # what has a test of its own
VIEWERS = 8


@pytest.fixture
def described() -> Described:
    return Described()


def described_with(described: Described, *statuses: int) -> set[Seen]:
    return {each for each in described.answers() if each[2] in statuses}


def ask_everything(ask: Asker, described: Described, status: int, **how: str) -> None:
    """Ask for all that may answer with a status."""
    wanted = described_with(described, status)
    for method, path, _ in sorted(wanted):
        told, _ = ask(method, path.replace("{", "").replace("}", ""), **how)
        assert told == status, (method, path)
    assert described.seen == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_it_answers_as_described(
    origin: Origin, start: Start, described: Described, workers: int
) -> None:
    proxy = start(origin.endpoint, workers=workers)
    if workers > 1:
        all_ready(proxy, workers)
    ask = Asker(proxy, described)
    look_around(ask)
    crowd(ask)
    with Peer.connect(proxy.address) as client:
        stage = Stage(proxy, origin, client)
        capture(stage, ask, described)
        reload(proxy, ask)
        drain(ask)
    origin.hang_up()
    proxy.wait_stopped()
    wanted = set(described.answers()) - described_with(described, *FOR_ALL)
    assert described.seen == wanted


def look_around(ask: Asker) -> None:
    """Ask for the pages that people read."""
    assert "GET  /metrics" in ask("GET", "/")[1]
    assert ask("GET", "/", Accept="text/html")[1].startswith("<!doctype html>")
    ask("GET", "/metrics")
    ask("GET", "/metrics", Accept="application/openmetrics-text")
    assert ask("GET", "/healthz") == ask("GET", "/readyz") == (200, "ok\n")
    ask("GET", "/config")


def crowd(ask: Asker) -> None:
    """Look on, and once more than may."""
    statuses = [ask("POST", "/live")[0] for _ in range(VIEWERS + 1)]
    ask.leave()
    assert statuses == [200] * VIEWERS + [503]
    eventually(lambda: ask("POST", "/live")[0] == 200, "room for another one")
    ask.leave()


def capture(stage: Stage, ask: Asker, described: Described) -> None:
    """Look on at what happens, and have it captured."""
    events = told(stage.proxy, described)
    next(events)
    status, state = ask("POST", "/tap", '{"body_octets": 100}')
    assert status == 201
    assert ask("POST", "/tap")[0] == 409
    assert ask("POST", "/tap", '{"second": 1}')[0] == 422
    taps = (event for name, event in events if name == "tap" and event)
    for _ in range(2):  # the order itself, and the first look that was told of it
        next(taps)

    happen(stage)
    (flying,) = ask_until(ask, "/streams", bool)
    assert flying["path"] == "/flying"
    rows: dict[str, Any] = {}
    while not {"/well?a=b", "/badly", "/flying"} <= rows.keys():
        name, event = next(events)
        rows |= {row["path"]: row for row in event["rows"]} if name == "rows" else {}
    while next(events)[0] != "now":
        pass
    events.close()
    for row in rows.values():
        assert ask("GET", f"/live/{row['key']}")[0] == 200
    assert ask("GET", "/live/nobody")[0] == 404

    ask_until(ask, f"/tap/{state['id']}", lambda har: len(har["log"]["entries"]) == 2)
    assert ask("DELETE", "/tap")[0] == 200
    assert ask("DELETE", "/tap")[0] == 404
    assert ask("GET", "/tap/another")[0] == 404


def happen(stage: Stage) -> None:
    """Play three exchanges: one ends well, one is dropped, and one stays in flight."""
    well = stage.talk(("content-type", "application/grpc"), path="/well?a=b", end=False)
    well.client.data(well.sid, b"question")
    well.client.trailers(well.sid, [("x-note", "kept")])
    well.backend.answer(well.up, ("content-type", "application/grpc"))
    well.backend.data(well.up, b"\xff\xfe")
    well.backend.trailers(well.up, DONE)
    well.client.response(well.sid)
    badly = stage.talk(path="/badly", backend=well.backend)
    badly.backend.answer(badly.up)
    badly.backend.reset(badly.up)
    badly.client.wait_reset(badly.sid)
    stage.talk(path="/flying", backend=well.backend)


def ask_until(ask: Asker, path: str, enough: Callable[[Any], object]) -> Any:
    """Ask until the answer is enough; return it."""
    answers: list[Any] = []

    def there() -> bool:
        answers.append(ask("GET", path)[1])
        return bool(enough(answers[-1]))

    eventually(there, f"what {path} should tell")
    return answers[-1]


def told(proxy: Proxy, described: Described) -> Generator[tuple[str, Any], None, None]:
    """Yield events as they are told, each held against its shape."""
    shapes = {"rows": "RowsEvent", "now": "NowEvent", "tap": "Capture"}
    host, _, port = str(proxy.settings["admin"]["bind"]).rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    connection.request("POST", "/live")
    response = connection.getresponse()
    try:
        while True:
            name = response.readline().decode().strip().removeprefix("event: ")
            event = json.loads(response.readline().removeprefix(b"data: "))
            response.readline()
            if event is not None:
                described.fits(event, shapes[name])
            yield name, event
    finally:
        connection.close()


def reload(proxy: Proxy, ask: Asker) -> None:
    """Read a configuration that is good, and one that is not."""
    assert ask("POST", "/reload") == (200, {"ok": True})
    proxy.settings["routes"][0]["upstream"] = "nobody"
    proxy.write()
    status, ((problem),) = ask("POST", "/reload")
    assert (status, list(problem)) == (422, ["problem"])


def drain(ask: Asker) -> None:
    """Drain, while something is in flight."""
    assert ask("POST", "/drain")[0] == 202
    assert ask("GET", "/readyz") == (503, "draining\n")


def test_without_the_token_nothing_is_told(
    backend: RunningBackend, start: Start, described: Described
) -> None:
    wanted = {"bind": f"127.0.0.1:{free_port()}", "token": "a-secret"}
    proxy = start(backend.endpoint, admin=wanted)
    ask_everything(Asker(proxy, described), described, 401)


def test_without_a_certificate_nothing_is_told(
    backend: RunningBackend, start: Start, described: Described, certificates: Certificates
) -> None:
    tls = certificates.server_tls(client_ca=True)
    proxy = start(backend.endpoint, admin={"bind": f"127.0.0.1:{free_port()}", "tls": tls})
    proxy.admin_context.load_cert_chain(certificates.client, certificates.client_key)
    ask_everything(Asker(proxy, described), described, 403)


def test_a_large_body_is_refused_everywhere(proxy: Proxy, described: Described) -> None:
    ask_everything(Asker(proxy, described), described, 413, body="x" * 20_000)


@pytest.mark.parametrize("order", ["POST /live", "POST /tap", "DELETE /tap", "POST /reload",
                                   "POST /drain"])  # fmt: skip
def test_an_order_of_a_web_page_is_refused(proxy: Proxy, described: Described, order: str) -> None:
    method, path = order.split()
    assert Asker(proxy, described)(method, path, Origin="http://example.com")[0] == 403
