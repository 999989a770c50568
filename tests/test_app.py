"""The app: what is unchanged stays, what is wrong changes nothing, and nothing is left behind."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.waiting import until
from trailproxy.app import App
from trailproxy.build import BindError
from trailproxy.core.address import Address
from trailproxy.demo_backend import start_backend
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import connect
from trailproxy.ops import tracing
from trailproxy.ops.settings import SettingsError, parse
from trailproxy.ops.spans import Span
from trailproxy.wire.events import TrailersReceived

TEXT = """
listeners: [{{name: main, bind: "127.0.0.1:0"}}]
upstreams: [{{name: app, endpoints: ["127.0.0.1:{backend}"]}}]
routes: [{{name: all, match: {{path_prefix: /}}, upstream: app}}]
admin: {{bind: "127.0.0.1:0"}}
access_log: {{path: "off"}}
"""


class Stand:
    """An app over the demo's backend, whose configuration a test rewrites."""

    def __init__(self, backend: asyncio.Server) -> None:
        self.text = TEXT.format(backend=backend.sockets[0].getsockname()[1])
        self.app = App(lambda: parse(self.text, "test.yaml", {}))
        self.serving: asyncio.Future[None]
        self.visitors: list[AsyncConnection] = []

    async def start(self) -> "Stand":
        await self.app.start()
        self.serving = asyncio.ensure_future(self.app.run())
        return self

    async def ask(
        self, place: int = 0, connection: AsyncConnection | None = None, **extra: str
    ) -> bool:
        """Send one request; True if its trailers arrived."""
        visitor = connection or await self.visit(place)
        get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/x")]
        get += extra.items()
        async with asyncio.timeout(5):
            sid = await visitor.open(get, end=True)
            while not isinstance(await visitor.receive(sid), TrailersReceived):
                pass
        return True

    async def visit(self, place: int = 0) -> AsyncConnection:
        self.visitors.append(await connect(Address("127.0.0.1", self.app.ports[place])))
        return self.visitors[-1]

    async def page(self) -> str:
        """Return the metrics page."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.admin_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
        writer.close()
        return answer.decode()

    async def stop(self) -> None:
        self.app.drain()
        async with asyncio.timeout(10):
            await self.serving
        for visitor in self.visitors:
            visitor.transport.abort()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    backend = await start_backend(Address("127.0.0.1", 0))
    made = await Stand(backend).start()
    yield made
    await made.stop()
    backend.close()


async def test_an_unchanged_configuration_keeps_every_connection(stand: Stand) -> None:
    visitor = await stand.visit()
    await stand.ask(connection=visitor)
    before = await stand.page()
    assert await stand.app.reload() == ()
    await stand.ask(connection=visitor)
    await stand.ask()
    after = await stand.page()
    dials = 'trailproxy_upstream_connects_total{outcome="ok",upstream="app"} 1.0'
    assert dials in before
    assert dials in after
    assert 'trailproxy_config_reloads_total{outcome="ok"} 1.0' in after


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text + "limitz: {}\n", "unknown key"),
        (lambda text: text.replace("upstream: app", "upstream: nobody"), "nobody"),
        (lambda text: text.replace("listeners: [", "listeners: ["), ""),
    ],
    ids=["unknown key", "unknown upstream", "good"],
)
async def test_a_bad_configuration_changes_nothing_and_says_why(
    stand: Stand, change: Callable[[str], str], told: str
) -> None:
    stand.text = change(stand.text)
    problems = await stand.app.reload()
    assert told in "\n".join(problems)
    assert bool(problems) is bool(told)
    await stand.ask()


async def test_a_port_in_use_undoes_everything(stand: Stand) -> None:
    ports, fds = stand.app.ports, len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        extra = f'{{name: more, bind: "127.0.0.1:{taken.getsockname()[1]}"}}'
        free = '{name: free, bind: "127.0.0.1:0"}'
        stand.text = stand.text.replace("}]\nupstreams", f"}}, {free}, {extra}]\nupstreams", 1)
        (problem,) = await stand.app.reload()
    assert "listener more: cannot bind 127.0.0.1:" in problem
    assert stand.app.ports == ports
    assert len(os.listdir("/proc/self/fd")) == fds
    await stand.ask()


async def test_listeners_come_and_go(stand: Stand) -> None:
    visitor = await stand.visit()
    one = stand.text
    stand.text = one.replace("}]\nupstreams", '}, {name: two, bind: "127.0.0.1:0"}]\nupstreams', 1)
    assert await stand.app.reload() == ()
    assert len(set(stand.app.ports)) == 2, "two listeners on port 0 are two"
    await stand.ask(place=1)
    stand.text = one
    assert await stand.app.reload() == ()
    assert len(stand.app.ports) == 1
    await stand.ask(connection=visitor)


async def test_an_upstream_that_changed_is_dialled_anew(stand: Stand) -> None:
    await stand.ask()
    stand.text = stand.text.replace("endpoints:", "connect_timeout: 2s, endpoints:")
    assert await stand.app.reload() == ()
    await stand.ask()
    page = await stand.page()
    assert 'trailproxy_upstream_connects_total{outcome="ok",upstream="app"} 2.0' in page


async def test_an_app_that_cannot_start_leaves_nothing_open() -> None:
    fds = len(os.listdir("/proc/self/fd"))
    text = TEXT.format(backend=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f'"127.0.0.1:{taken.getsockname()[1]}"'
        app = App(
            lambda: parse(
                text.replace('admin: {bind: "127.0.0.1:0"}', f"admin: {{bind: {bind}}}"), "t", {}
            )
        )
        with pytest.raises(BindError, match="admin: cannot bind"):
            await app.start()
    assert len(os.listdir("/proc/self/fd")) == fds
    with pytest.raises(SettingsError):
        await App(lambda: parse("", "t", {})).start()


async def test_a_drained_app_says_goodbye_and_ends(stand: Stand) -> None:
    visitor = await stand.visit()
    await stand.ask(connection=visitor)
    assert stand.app.not_ready() == ""
    stand.app.drain()
    assert stand.app.not_ready() == "draining"
    await until(lambda: visitor.closed)
    await asyncio.wait_for(stand.serving, 5)
    assert await stand.app.reload() == ("draining: the configuration is not read any more",)


async def test_a_reload_changes_what_the_log_shows(stand: Stand, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    quiet = stand.text.replace('path: "off"', f'path: "{log}"')
    telling = quiet.replace(f'"{log}"', f'"{log}", trailers: {{response: [x-request-bytes]}}')
    for stand.text in (quiet, telling, quiet):
        assert await stand.app.reload() == ()
        await stand.ask()
        await until(lambda: "trailproxy_requests_active 0" in stand.app._render("")[0].decode())
    assert await stand.app.reload() == ()  # which flushes
    shown = [json.loads(line)["response"].get("fields") for line in log.read_text().splitlines()]
    assert shown == [None, {"x-request-bytes": "0"}, None]


async def test_traces_begin_and_end_with_a_reload(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    spans: list[Span] = []

    def take(batch: list[Span]) -> bool:
        spans.extend(batch)
        return True

    monkeypatch.setattr(tracing, "missing", lambda: "")
    monkeypatch.setattr(tracing, "connect", lambda *_: take)
    without = stand.text
    stand.text += "tracing: {otlp: 'http://127.0.0.1:4318'}\n"
    await stand.ask(traceparent=sampled)
    assert await stand.app.reload() == ()
    await stand.ask(traceparent=sampled)
    await stand.ask()
    stand.text = without
    assert await stand.app.reload() == ()
    await stand.ask(traceparent=sampled)
    await until(lambda: bool(spans))
    assert [span.name for span in spans] == ["GET all"]
    await until(
        lambda: 'trace_spans_total{outcome="exported"} 1.0' in stand.app._render("")[0].decode()
    )


async def test_what_a_trace_still_owes_is_sent_at_the_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[Span] = []
    monkeypatch.setattr(tracing, "missing", lambda: "")
    monkeypatch.setattr(tracing, "connect", lambda *_: lambda batch: not spans.extend(batch))
    stand.text += "tracing: {otlp: 'http://127.0.0.1:4318'}\n"
    assert await stand.app.reload() == ()
    await stand.ask(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    await stand.stop()
    assert len(spans) == 1
