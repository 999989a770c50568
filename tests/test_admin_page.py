"""The admin page moves with the configuration, and nobody who asks it something is left alone."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.waiting import until
from trailproxy.admin_page import AdminPage
from trailproxy.build import BindError, BuildError, Plan, make_plan
from trailproxy.handover import Heritage
from trailproxy.ops.settings import parse

TEXT = """
listeners: [{{name: main, bind: "127.0.0.1:0"}}]
upstreams: [{{name: app, endpoints: ["127.0.0.1:1"]}}]
routes: [{{name: all, match: {{}}, upstream: app}}]
admin: {{bind: "{0}"{1}}}
"""
HERE = "127.0.0.1:0"
TOKEN = "s3cret-t0ken"


class Stage:
    """A proxy that takes its time to reload."""

    def __init__(self) -> None:
        self.asked, self.done = asyncio.Event(), asyncio.Event()

    def not_ready(self) -> str:
        return ""

    def config(self) -> dict[str, str]:
        return {"codec": "h2"}

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    async def streams(self) -> list[dict[str, str]]:
        return []

    async def reload(self) -> tuple[str, ...]:
        self.asked.set()
        await self.done.wait()
        return ()

    def drain(self) -> None:
        """Go on."""


def plan(bind: str = HERE, more: str = "") -> Plan:
    return make_plan(parse(TEXT.format(bind, more), "t.yaml", {}))


async def take_up(page: AdminPage, wanted: Plan) -> None:
    page.prepare(wanted.admin)
    await page.commit(wanted.admin)


@pytest.fixture
async def page() -> AsyncIterator[AdminPage]:
    made = AdminPage(Stage(), Heritage())
    await take_up(made, plan())
    yield made
    await made.stop()


async def ask(port: int, path: str, *fields: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask on a connection of its own; return status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def refuses(port: int) -> bool:
    """Tell whether nobody listens there."""
    with socket.socket() as dialling:
        return dialling.connect_ex(("127.0.0.1", port)) != 0


async def test_another_token_takes_effect_where_the_page_is(page: AdminPage) -> None:
    port = page.port
    assert (await ask(port, "/config"))[0] == 200
    await take_up(page, plan(more=f", token: {TOKEN}"))
    assert page.port == port
    assert (await ask(port, "/config"))[0] == 401
    assert (await ask(port, "/config", f"Authorization: Bearer {TOKEN}"))[0] == 200
    await take_up(page, plan())
    assert (await ask(port, "/config"))[0] == 200


async def test_who_asked_for_a_reload_is_answered_behind_the_old_door(page: AdminPage) -> None:
    """The new configuration moves the page, and asks for a token besides."""
    stage: Stage = page._backstage  # type: ignore[assignment]
    port = page.port
    asking = asyncio.ensure_future(ask(port, "/reload", method="POST"))
    await stage.asked.wait()
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    await take_up(page, plan(f"127.0.0.1:{other}", f", token: {TOKEN}"))
    stage.done.set()
    status, body = await asking
    assert (status, json.loads(body)) == (200, {"ok": True})
    assert page.port == other
    assert (await ask(other, "/config"))[0] == 401
    await until(lambda: refuses(port))


async def test_a_plan_that_is_not_committed_changes_nothing(page: AdminPage) -> None:
    port = page.port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = plan(f"127.0.0.1:{taken.getsockname()[1]}", f", token: {TOKEN}")
        with pytest.raises(
            BindError,
            match=r"^admin: cannot bind 127\.0\.0\.1:.* Address already in use; `ss -ltnp`",
        ):
            page.prepare(wanted.admin)
    assert page.port == port
    assert (await ask(port, "/config"))[0] == 200


async def test_a_stale_unix_socket_is_taken_over_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:  # its file outlives it
        dead.bind(str(path))
    page = AdminPage(Stage(), Heritage())
    await take_up(page, plan(f"unix:{path}"))
    assert page.port == 0
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await reader.readuntil(b"ok\n")
    writer.close()
    await take_up(page, plan())
    await until(lambda: not path.exists())
    await page.stop()
    assert AdminPage(Stage(), Heritage()).port == 0


async def test_a_page_that_was_never_there_stops_too() -> None:
    await AdminPage(Stage(), Heritage()).stop()


# -- what operators should know ------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "more", "cautioned"),
    [
        ("0.0.0.0:9901", "", True),
        ("[::]:9901", "", True),
        ("192.0.2.1:9901", "", True),
        ("proxy.local:9901", "", True),
        ("0.0.0.0:9901", f", token: {TOKEN}", False),
        ("127.0.0.1:9901", "", False),
        ("127.9.9.9:9901", "", False),
        ("[::1]:9901", "", False),
        ("localhost:9901", "", False),
        ("unix:/run/admin.sock", "", False),
    ],
)
def test_a_page_that_anybody_may_order_about_is_told_of(
    bind: str, more: str, cautioned: bool
) -> None:
    caution = plan(bind, more).admin.caution
    assert (bind in caution) is cautioned
    assert bool(caution) is cautioned


async def test_the_caution_stands_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    page = AdminPage(Stage(), Heritage())
    wanted = plan("0.0.0.0:0")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await take_up(page, wanted)
    await page.stop()
    (record,) = caplog.records
    assert record.getMessage().startswith("admin: 0.0.0.0:0 asks for neither")


# -- tokens in files -----------------------------------------------------------------------


async def test_a_token_in_a_file_is_taken_up_when_it_changes(
    page: AdminPage, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    for token in (TOKEN, "another"):
        file.write_text(token + "\n")
        await take_up(page, plan(more=f", token_file: {file}"))
        assert (await ask(page.port, "/config", f"Authorization: Bearer {token}"))[0] == 200
    assert (await ask(page.port, "/config", f"Authorization: Bearer {TOKEN}"))[0] == 401


@pytest.mark.parametrize(
    "held", ["", "\n", f"{TOKEN}\n{TOKEN}\n", f" {TOKEN}", f"{TOKEN}ü", f"{TOKEN}" * 1000]
)
def test_a_token_file_that_holds_no_token_is_named_and_not_shown(tmp_path: Path, held: str) -> None:
    file = tmp_path / "token"
    file.write_text(held)
    with pytest.raises(
        BuildError, match=f"^{re.escape(f'admin.token_file: {file} must hold')}"
    ) as told:
        plan(more=f", token_file: {file}")
    assert TOKEN not in str(told.value)


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        BuildError, match=r"^admin\.token_file: .*token: No such file or directory$"
    ):
        plan(more=f", token_file: {tmp_path}/token")


def test_a_bad_certificate_of_the_page_is_named(tmp_path: Path) -> None:
    tls = f"{{certificate: {tmp_path}/a.crt, private_key: {tmp_path}/a.key}}"
    with pytest.raises(BuildError, match=r"^admin\.tls: .*a\.crt: No such file or directory$"):
        plan(more=f", tls: {tls}")


async def test_the_log_says_where_it_is(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    made = AdminPage(Stage(), Heritage())
    await take_up(made, plan())
    assert caplog.messages == [f"admin page on http://127.0.0.1:{made.port}/"]
    await take_up(made, plan(more=", token: other"))  # the place is the same
    path = f"unix:{tmp_path}/admin.sock"
    await take_up(made, plan(path))
    assert caplog.messages[1:] == [f"admin page on {path}"]
    await made.stop()
