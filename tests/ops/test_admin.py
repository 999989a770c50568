"""Each test is an operator at the admin listener's socket; behind it stands a small Stage."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, UnixConnector

from trailproxy.admin import start_admin
from trailproxy.build import BindError
from trailproxy.core.address import Address, parse_address
from trailproxy.core.fault import Side
from trailproxy.core.record import Tally
from trailproxy.handover import Heritage
from trailproxy.ops import admin as admin_room
from trailproxy.ops.admin import Admin, Backstage
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import renderer

LOOPBACK = parse_address("127.0.0.1:0")


class Stage:
    """A proxy that says what a test told it to say."""

    def __init__(self) -> None:
        self.reason = ""
        self.problems: tuple[str, ...] = ()
        self.in_flight: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.reloads = 0
        self.drains = 0

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


@pytest.fixture
def stage() -> Stage:
    return Stage()


@asynccontextmanager
async def listening(stage: Backstage, address: Address) -> AsyncIterator[Admin]:
    admin = await start_admin(stage, address, Heritage())
    try:
        yield admin
    finally:
        await admin.stop()


@pytest.fixture
async def operator(stage: Stage) -> AsyncIterator[ClientSession]:
    async with listening(stage, LOOPBACK) as admin:
        host, port = admin.addresses[0]
        async with ClientSession(f"http://{host}:{port}") as session:
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


@pytest.mark.parametrize("path", ["/reload", "/drain"])
async def test_orders_are_not_given_by_looking(
    operator: ClientSession, stage: Stage, path: str
) -> None:
    for method in ("GET", "HEAD"):
        async with operator.request(method, path) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "POST"
    assert (stage.reloads, stage.drains) == (0, 0)


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
    for path in ("/reload", "/drain"):
        async with operator.post(path, headers={"Origin": origin}) as response:
            assert await answer(response) == (403, {"error": "Orders from web pages are refused"})
    assert (stage.reloads, stage.drains) == (0, 0)


async def test_a_name_rebound_to_our_address_gives_no_orders(
    operator: ClientSession, stage: Stage
) -> None:
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    async with operator.post("/drain", headers=rebound) as response:
        assert response.status == 403
    assert stage.drains == 0


async def test_a_page_of_this_very_host_may_give_orders(
    operator: ClientSession, stage: Stage
) -> None:
    port = host_of(operator).rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        own = {"Host": host, "Origin": f"http://{host}"}
        async with operator.post("/reload", headers=own) as response:
            assert response.status == 200
    assert stage.reloads == 3


# -- the listener ------------------------------------------------------------------------


async def test_it_listens_on_a_unix_socket_and_takes_over_a_stale_one(
    stage: Stage, tmp_path: Path
) -> None:
    address = Address(path=str(tmp_path / "admin.sock"))
    with socket.socket(socket.AF_UNIX) as dead:  # its file outlives it
        dead.bind(address.path)
    async with (
        listening(stage, address),
        ClientSession(connector=UnixConnector(address.path)) as session,
        session.get("http://localhost/healthz") as response,
    ):
        assert response.status == 200


async def test_a_port_in_use_is_named(stage: Stage) -> None:
    async with listening(stage, LOOPBACK) as admin:
        host, port = admin.addresses[0]
        with pytest.raises(BindError, match=f"admin: cannot bind {host}:{port}: .* in use"):
            await start_admin(stage, Address(host=host, port=port), Heritage())


async def test_after_stop_nobody_listens(stage: Stage) -> None:
    async with listening(stage, LOOPBACK) as admin:
        host, port = admin.addresses[0]
    assert admin.addresses == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


async def test_an_idle_scraper_does_not_hold_up_the_stop(stage: Stage) -> None:
    admin = await start_admin(stage, LOOPBACK, Heritage())
    host, port = admin.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
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
    admin = await start_admin(stage, LOOPBACK, Heritage())
    host, port = admin.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
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
