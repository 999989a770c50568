"""Each test is an operator at the admin listener's socket; behind it stands a small Stage."""

import asyncio
import base64
import hashlib
import json
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import socket as Socket  # noqa: N812
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, UnixConnector

from tests.support.certificates import Authority
from tests.support.sights import row
from tests.support.waiting import until
from trailproxy.core.fault import Side
from trailproxy.core.record import Tally
from trailproxy.net.tls import server_context
from trailproxy.ops import admin as admin_room
from trailproxy.ops.admin import Admin, Backstage
from trailproxy.ops.feed import MOST_VIEWERS
from trailproxy.ops.gate import Gate, digest_of
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import renderer
from trailproxy.ops.sight import Only, Sight, Wish

OPEN = Gate()
TOKEN = "s3cret-t0ken"
GUARDED = Gate(digest=digest_of(TOKEN))


class Stage:
    """A proxy that says what a test told it to say."""

    def __init__(self) -> None:
        self.reason = ""
        self.problems: tuple[str, ...] = ()
        self.in_flight: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.reloads = 0
        self.drains = 0
        self.looks = 0
        self.wishes: list[Wish] = []
        self.sight = Sight()
        self.broken: Exception | None = None

    def not_ready(self) -> str:
        return self.reason

    def config(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"codec": "h2", "listeners": [{"name": "main", "tls": {"private_key": "***"}}]}

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        return renderer(Metrics({side: Tally() for side in Side}))(accept)

    async def streams(self) -> list[dict[str, Any]]:
        return self.in_flight

    async def reload(self) -> tuple[str, ...]:
        self.reloads += 1
        return self.problems

    def drain(self) -> None:
        self.drains += 1

    async def now(self) -> dict[str, Any]:
        return {"requests": self.looks}

    async def look(self, wish: Wish) -> Sight:
        if self.broken is not None:
            raise self.broken
        self.wishes.append(wish)
        self.looks += 1
        sight, self.sight = self.sight, Sight()
        return sight

    async def timeline(self, key: str) -> dict[str, Any] | None:
        return {"row": {"key": key}, "parts": []} if key == "KEY" else None


@pytest.fixture
def stage() -> Stage:
    return Stage()


@asynccontextmanager
async def listening(stage: Backstage, gate: Gate = OPEN) -> AsyncIterator[tuple[Admin, Socket]]:
    admin = Admin(stage)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        await admin.serve(bound, gate)
        try:
            yield admin, bound
        finally:
            await admin.stop()


@asynccontextmanager
async def asking(stage: Backstage, gate: Gate) -> AsyncIterator[ClientSession]:
    async with listening(stage, gate) as (_, bound):
        host, port = bound.getsockname()
        async with ClientSession(f"http://{host}:{port}") as session:
            yield session


@pytest.fixture
async def operator(stage: Stage) -> AsyncIterator[ClientSession]:
    async with asking(stage, OPEN) as session:
        yield session


def host_of(operator: ClientSession) -> str:
    return str(operator._base_url).removeprefix("http://").rstrip("/")


async def answer(response: ClientResponse) -> tuple[int, Any]:
    return response.status, await response.json()


# -- questions ---------------------------------------------------------------------------


async def test_the_index_names_every_page(operator: ClientSession) -> None:
    async with operator.get("/") as response:
        index = await response.text()
    assert response.status == 200
    for line in index.splitlines()[2:]:
        method, path, *_ = line.split()
        if path == "/tap/ID":
            continue  # of the one before; a test of its own has it
        async with operator.request(method, path) as response:
            assert response.status < 300, line


async def test_metrics_come_in_the_format_asked_for(operator: ClientSession) -> None:
    async with operator.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "trailproxy_build_info{" in await response.text()
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with operator.get("/metrics", headers=wanted) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await response.text()).endswith("# EOF\n")


async def test_a_living_process_is_healthy_even_when_not_ready(
    operator: ClientSession, stage: Stage
) -> None:
    stage.reason = "draining"
    async with operator.get("/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")


async def test_readiness_follows_the_proxy_and_says_why(
    operator: ClientSession, stage: Stage
) -> None:
    async with operator.get("/readyz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")
    stage.reason = "draining"
    async with operator.get("/readyz") as response:
        assert (response.status, await response.text()) == (503, "draining\n")


async def test_the_configuration_is_json(operator: ClientSession, stage: Stage) -> None:
    async with operator.get("/config") as response:
        assert await answer(response) == (200, stage.config())


async def test_exchanges_in_flight_are_json(operator: ClientSession, stage: Stage) -> None:
    stage.in_flight = [{"route": "greeter", "path": "/\xff", "request": {"phase": "body"}}]
    async with operator.get("/streams") as response:
        assert await answer(response) == (200, stage.in_flight)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/config", "/streams"])
async def test_head_is_get_without_the_body(operator: ClientSession, path: str) -> None:
    async with operator.head(path) as response:
        assert response.status == 200
        assert await response.read() == b""


async def test_browsers_take_an_answer_for_what_it_is_and_keep_it_here(
    operator: ClientSession,
) -> None:
    for path in ("/", "/config", "/nowhere", "/metrics"):
        async with operator.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Access-Control-Allow-Origin" not in response.headers


# -- the page ----------------------------------------------------------------------------

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_the_page_and_curl_the_index(operator: ClientSession) -> None:
    async with operator.get("/", headers=BROWSER) as response:
        assert response.content_type == "text/html"
        page = await response.text()
    async with operator.get("/") as told:
        assert told.content_type == "text/plain"
        assert (await told.text()).startswith("trailproxy admin\n")
    assert page.startswith("<!doctype html>")
    assert response.headers["Vary"] == told.headers["Vary"] == "Accept"


async def test_nothing_runs_but_what_is_in_the_page(operator: ClientSession) -> None:
    async with operator.get("/", headers=BROWSER) as response:
        page = await response.text()
    rules = dict(
        rule.partition(" ")[::2] for rule in response.headers["Content-Security-Policy"].split("; ")
    )
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        (inner,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["frame-ancestors"] == rules["form-action"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"""\son\w+\s*=|\sstyle\s*=|https?://""", re.sub(SCRIPT, "", page))


SCRIPT = re.compile(r"<script.*</script>", re.DOTALL)


# -- to look on --------------------------------------------------------------------------


async def events(response: ClientResponse, wanted: int) -> list[tuple[str, Any]]:
    """Read so many server-sent events."""
    found: list[tuple[str, Any]] = []
    while len(found) < wanted:
        name = (await response.content.readuntil(b"\n")).decode().strip()
        data = await response.content.readuntil(b"\n\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix(b"data: "))))
    return found


async def test_who_looks_on_is_told_rows_numbers_and_the_tap(
    operator: ClientSession, stage: Stage
) -> None:
    stage.sight = Sight(rows=(row("k"),), flying=("k",))
    async with operator.post("/live") as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        told = await events(response, 4)
    assert [name for name, _ in told] == ["rows", "tap", "rows", "now"]
    assert told[0][1]["rows"] == []
    assert told[1][1] is None
    assert [each["key"] for each in told[2][1]["rows"]] == ["k"]
    assert told[3][1]["requests"] == 1
    assert stage.wishes[0] == Wish(streams=True)
    await until(lambda: stage.wishes[-1] == Wish())  # nobody looks on any more


async def test_only_so_many_look_on(operator: ClientSession) -> None:
    async with AsyncExitStack() as looking:
        for _ in range(MOST_VIEWERS):
            response = await looking.enter_async_context(operator.post("/live"))
            assert response.status == 200
        async with operator.post("/live") as refused:
            assert await answer(refused) == (503, {"error": "Too many look on already"})


async def test_who_takes_nothing_is_left(
    operator: ClientSession, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_room, "_PATIENCE_S", 0.05)
    monkeypatch.setattr("trailproxy.ops.feed._LOOK_S", 0.001)
    reader, writer = await asyncio.open_connection(*host_of(operator).split(":"))
    writer.write(b"POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    large = "x" * 100_000

    async def tell(wish: Wish) -> Sight:
        stage.wishes.append(wish)
        key = str(len(stage.wishes))
        return Sight(rows=(row(key, why=large),), flying=(key,))

    monkeypatch.setattr(stage, "look", tell)
    await until(lambda: bool(stage.wishes) and stage.wishes[-1] == Wish(), 10)
    assert len(stage.wishes) > 1
    writer.close()
    del reader


async def test_a_stop_ends_the_looking(stage: Stage) -> None:
    async with listening(stage) as (admin, bound):
        host, port = bound.getsockname()
        async with ClientSession(f"http://{host}:{port}") as session, session.post("/live") as told:
            await events(told, 2)
            async with asyncio.timeout(5):
                await admin.stop()
                await told.read()
    assert stage.wishes[-1] == Wish()


async def test_a_timeline_is_found_by_its_key(operator: ClientSession) -> None:
    async with operator.get("/live/KEY") as response:
        assert await answer(response) == (200, {"row": {"key": "KEY"}, "parts": []})
    async with operator.get("/live/nobody") as response:
        assert await answer(response) == (404, {"error": "No such exchange is remembered"})


async def test_when_looking_fails_it_is_told_and_the_rest_goes_on(
    operator: ClientSession, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.broken = RuntimeError("no sight")
    async with operator.post("/live") as response:
        await response.read()  # to its end
    assert "looking on has failed" in caplog.text
    stage.broken = None
    async with operator.post("/live") as response:
        assert (await events(response, 4))[3][0] == "now"


# -- a tap -------------------------------------------------------------------------------


async def test_a_tap_is_begun_watched_fetched_and_ended(
    operator: ClientSession, stage: Stage
) -> None:
    order = {"only": {"route": "all", "dropped": True}, "seconds": 30, "body_octets": 1024}
    async with operator.post("/tap", json=order) as response:
        status, state = await answer(response)
    assert (status, state["ended"], state["caught"]) == (201, "", 0)
    async with operator.post("/tap") as response:
        assert await answer(response) == (409, {"error": "There is a tap already"})
    await until(lambda: bool(stage.wishes))
    wish = stage.wishes[-1].tap
    assert wish is not None
    assert (wish.only, wish.body_octets, wish.exchanges) == (
        Only(route="all", dropped=True),
        1024,
        100,
    )
    stage.sight = Sight(entries=({"time": 1.0},))
    looks = stage.looks
    await until(lambda: stage.looks > looks)
    async with operator.get(f"/tap/{state['id']}") as response:
        log = (await response.json())["log"]
    assert (log["version"], log["entries"]) == ("1.2", [{"time": 1.0}])
    async with operator.delete("/tap") as response:
        status, state = await answer(response)
    assert (status, state["ended"], state["caught"]) == (200, "order", 1)
    async with operator.delete("/tap") as response:
        assert await answer(response) == (404, {"error": "There is no tap"})
    async with operator.get(f"/tap/{state['id']}") as response:
        assert len((await response.json())["log"]["entries"]) == 1
    await until(lambda: stage.wishes[-1] == Wish())


async def test_a_tap_that_nobody_can_mean_is_refused(operator: ClientSession) -> None:
    for body, why in (
        ('{"seconds": 10000}', "`float` <= 600.0 - at `$.seconds`"),
        ('{"exchange": 1}', "unknown field `exchange`"),
        ('{"only": {"routes": "x"}}', "unknown field `routes` - at `$.only`"),
        ("{", "truncated"),
    ):
        async with operator.post("/tap", data=body) as response:
            status, told = await answer(response)
        assert status == 422
        assert why in told["error"]
    async with operator.get("/tap/nothing") as response:
        assert response.status == 404


# -- orders ------------------------------------------------------------------------------


async def test_a_reload_that_works_says_so(operator: ClientSession, stage: Stage) -> None:
    async with operator.post("/reload") as response:
        assert await answer(response) == (200, {"ok": True})
    assert stage.reloads == 1


async def test_a_reload_that_fails_names_each_problem_on_a_line(
    operator: ClientSession, stage: Stage
) -> None:
    stage.problems = ('routes[0].upstream: no upstream is called "ap"', "codec: unknown\nname")
    async with operator.post("/reload") as response:
        lines = (await response.text()).splitlines()
    assert response.status == 422
    assert response.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in lines] == [{"problem": each} for each in stage.problems]


async def test_drain_is_accepted(operator: ClientSession, stage: Stage) -> None:
    async with operator.post("/drain") as response:
        assert await answer(response) == (202, {"draining": True})
    assert stage.drains == 1


@pytest.mark.parametrize("path", ["/reload", "/drain", "/live"])
async def test_orders_are_not_given_by_looking(
    operator: ClientSession, stage: Stage, path: str
) -> None:
    for method in ("GET", "HEAD"):
        async with operator.request(method, path) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "POST"
    assert (stage.reloads, stage.drains, stage.looks) == (0, 0, 0)


# -- bad questions get a clear answer, and cost nothing else -----------------------------


async def test_an_unknown_path_is_404_in_json(operator: ClientSession) -> None:
    async with operator.get("/stats") as response:
        assert await answer(response) == (404, {"error": "Not Found"})


async def test_a_wrong_method_is_405_in_json(operator: ClientSession) -> None:
    async with operator.put("/config") as response:
        assert await answer(response) == (405, {"error": "Method Not Allowed"})
        assert response.headers["Allow"] == "GET,HEAD"


async def test_a_failing_page_gives_one_line_and_is_logged(
    operator: ClientSession, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.failure = RuntimeError("no\nsnapshot")
    with caplog.at_level(logging.ERROR, "trailproxy.admin"):
        async with operator.get("/config") as response:
            assert await answer(response) == (500, {"error": "RuntimeError: no snapshot"})
    (record,) = caplog.records
    assert record.getMessage() == "GET /config failed"
    assert record.exc_info is not None
    async with operator.get("/healthz") as response:
        assert response.status == 200


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 4096):
        yield b"x" * 4096


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_large_body_is_refused(
    operator: ClientSession, stage: Stage, chunked: bool
) -> None:
    body = pieces(64 * 1024) if chunked else b"x" * 64 * 1024
    async with operator.post("/reload", data=body) as response:
        assert response.status == 413
    assert stage.reloads == 0


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://evil.example", id="another site"),
        pytest.param("null", id="a sandboxed page"),
        pytest.param("http://127.0.0.1:1", id="another port"),
        pytest.param("", id="nothing"),
    ],
)
async def test_a_web_page_elsewhere_gives_no_orders(
    operator: ClientSession, stage: Stage, origin: str
) -> None:
    orders = [("POST", path) for path in ("/reload", "/drain", "/live", "/tap")]
    for method, path in [*orders, ("DELETE", "/tap")]:
        async with operator.request(method, path, headers={"Origin": origin}) as response:
            assert await answer(response) == (403, {"error": "Orders from web pages are refused"})
    assert (stage.reloads, stage.drains, stage.looks) == (0, 0, 0)


async def test_a_name_rebound_to_our_address_gives_no_orders(
    operator: ClientSession, stage: Stage
) -> None:
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    for path in ("/drain", "/live", "/tap"):
        async with operator.post(path, headers=rebound) as response:
            assert response.status == 403
    assert (stage.drains, stage.looks) == (0, 0)


async def test_a_page_of_this_very_host_may_give_orders(
    operator: ClientSession, stage: Stage
) -> None:
    port = host_of(operator).rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        own = {"Host": host, "Origin": f"http://{host}"}
        async with operator.post("/reload", headers=own) as response:
            assert response.status == 200
    assert stage.reloads == 3


# -- the gate ----------------------------------------------------------------------------

PAGES = [
    ("GET", "/metrics"),
    ("GET", "/config"),
    ("GET", "/streams"),
    ("POST", "/reload"),
    ("POST", "/drain"),
]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path"), PAGES)
async def test_who_tells_the_token_is_answered(stage: Stage, method: str, path: str) -> None:
    async with asking(stage, GUARDED) as operator:
        for told in (bearer(TOKEN), {"Authorization": f"bearer  {TOKEN}"}):
            async with operator.request(method, path, headers=told) as response:
                assert response.status in (200, 202)


@pytest.mark.parametrize(
    ("method", "path"),
    [*PAGES, ("GET", "/nowhere"), ("PUT", "/config"), ("HEAD", "/metrics"), ("GET", "/healthz/")],
)
async def test_who_does_not_hears_how_and_nothing_else(
    stage: Stage, method: str, path: str
) -> None:
    async with asking(stage, GUARDED) as stranger, stranger.request(method, path) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="trailproxy admin"'
        if method != "HEAD":
            assert await response.json() == {"error": "A bearer token is needed here"}
    assert (stage.reloads, stage.drains) == (0, 0)


@pytest.mark.parametrize(
    "told",
    [
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xff",
        f"Bearer {digest_of(TOKEN).hex()}",
    ],
)
async def test_a_wrong_token_is_none(stage: Stage, told: str) -> None:
    async with (
        asking(stage, GUARDED) as stranger,
        stranger.post("/drain", headers={"Authorization": told}) as response,
    ):
        assert response.status == 401
        challenge = response.headers["WWW-Authenticate"]
        assert challenge == 'Bearer realm="trailproxy admin", error="invalid_token"'
        assert TOKEN not in await response.text()
    assert stage.drains == 0


async def test_probes_need_no_token(stage: Stage) -> None:
    async with asking(stage, GUARDED) as probe:
        for path in ("/healthz", "/readyz"):
            async with probe.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok\n")


async def test_a_token_counts_from_one_question_to_the_next(stage: Stage) -> None:
    async with listening(stage, GUARDED) as (admin, bound):
        host, port = bound.getsockname()
        async with ClientSession(f"http://{host}:{port}") as operator:
            for gate, old, new in ((GUARDED, 200, 401), (Gate(digest=digest_of("new")), 401, 200)):
                await admin.serve(bound, gate)
                async with operator.get("/config", headers=bearer(TOKEN)) as response:
                    assert response.status == old
                async with operator.get("/config", headers=bearer("new")) as response:
                    assert response.status == new


def test_a_gate_does_not_tell_its_token() -> None:
    assert TOKEN not in repr(GUARDED)
    assert (GUARDED.open, OPEN.open, Gate(asks=True).open) == (False, True, False)


# -- the gate, with certificates ---------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def behind_tls(authority: Authority, *, asks: bool, digest: bytes = b"") -> Gate:
    ca = authority.ca if asks else None
    pair = authority.issue("localhost")
    context = server_context(*pair, ca, optional=True, alpn="http/1.1")
    return Gate(digest=digest, tls=context, asks=asks)


async def ask(
    bound: Socket, context: ssl.SSLContext, path: str, headers: dict[str, str] | None = None
) -> int:
    """Ask over TLS; return the status."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        ClientSession(f"https://localhost:{bound.getsockname()[1]}") as session,
        session.get(path, ssl=context, headers=headers) as response,
    ):
        return response.status


async def test_it_speaks_tls(stage: Stage, authority: Authority) -> None:
    async with listening(stage, behind_tls(authority, asks=False)) as (_, bound):
        assert await ask(bound, authority.client_context(), "/config") == 200
        with pytest.raises(ClientError):
            await ask(bound, ssl.create_default_context(), "/config")


async def test_tls_counts_from_one_connection_to_the_next(
    stage: Stage, authority: Authority
) -> None:
    async with listening(stage) as (admin, bound):
        host, port = bound.getsockname()
        async with (
            ClientSession(f"http://{host}:{port}") as early,
            ClientSession(f"http://{host}:{port}") as late,
        ):
            async with early.get("/config") as response:
                assert response.status == 200
            await admin.serve(bound, behind_tls(authority, asks=True))
            async with early.get("/config") as response:
                assert response.status == 403  # on its connection of before, without a certificate
            with pytest.raises(ClientError):
                await late.get("/config")
        friend = authority.client_context(authority.issue("friend.local"))
        assert await ask(bound, friend, "/config") == 200


async def test_who_shows_no_certificate_hears_only_how_the_proxy_is(
    stage: Stage, authority: Authority, tmp_path: Path
) -> None:
    friend = authority.client_context(authority.issue("friend.local"))
    nobody = authority.client_context()
    async with listening(stage, behind_tls(authority, asks=True)) as (_, bound):
        for path, status in (("/config", 403), ("/nowhere", 403), ("/healthz", 200)):
            assert await ask(bound, nobody, path) == status
        assert await ask(bound, nobody, "/readyz") == 200
        assert await ask(bound, friend, "/config") == 200


async def test_a_strangers_certificate_ends_the_handshake(
    stage: Stage, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    forged = Authority(tmp_path_factory.mktemp("other")).issue("friend.local")
    async with listening(stage, behind_tls(authority, asks=True)) as (_, bound):
        with pytest.raises(ClientError):
            await ask(bound, authority.client_context(forged), "/healthz")


async def test_a_token_and_a_certificate_are_both_needed(
    stage: Stage, authority: Authority
) -> None:
    friend = authority.client_context(authority.issue("friend.local"))
    gate = behind_tls(authority, asks=True, digest=GUARDED.digest)
    async with listening(stage, gate) as (_, bound):
        assert await ask(bound, friend, "/config") == 401
        assert await ask(bound, authority.client_context(), "/config", bearer(TOKEN)) == 403
        assert await ask(bound, friend, "/config", bearer(TOKEN)) == 200


# -- the listener ------------------------------------------------------------------------


async def test_it_answers_on_a_unix_socket(stage: Stage, tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    admin = Admin(stage)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        bound.listen()
        await admin.serve(bound, OPEN)
        async with (
            ClientSession(connector=UnixConnector(path)) as session,
            session.get("http://localhost/healthz") as response,
        ):
            assert response.status == 200
        await admin.stop()


async def test_after_stop_nobody_listens(stage: Stage) -> None:
    async with listening(stage) as (_, bound):
        host, port = bound.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


async def test_an_idle_scraper_does_not_hold_up_the_stop(stage: Stage) -> None:
    async with listening(stage) as (admin, bound):
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await reader.readuntil(b"ok\n")
        async with asyncio.timeout(5):
            await admin.stop()
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_an_order_that_hangs_does_not_hold_up_the_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang() -> tuple[str, ...]:
        asked.set()
        await never.wait()
        return ()

    monkeypatch.setattr(stage, "reload", hang)
    monkeypatch.setattr(admin_room, "_SHUTDOWN_S", 0.01)
    async with listening(stage) as (admin, bound):
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asked.wait()
        async with asyncio.timeout(5):
            await admin.stop()
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_ordinary_questions_are_not_logged(
    operator: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with operator.get("/healthz") as response:
            assert response.status == 200
        async with operator.get("/nowhere") as response:
            assert response.status == 404
    assert caplog.records == []
