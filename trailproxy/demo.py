"""The demo: a backend, the proxy before it, and one request that keeps its trailers.

It needs nothing but this package, and is the shortest proof that it works.
"""

import asyncio
from collections.abc import Callable
from typing import Final, final

from trailproxy.app import App
from trailproxy.core.address import Address
from trailproxy.demo_backend import start_backend
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.local import connect
from trailproxy.ops.settings import Settings, parse
from trailproxy.wire.events import DataReceived, HeadReceived
from trailproxy.wire.fields import Fields

_HOST: Final = "127.0.0.1"
_SETTINGS: Final = """
listeners:
  - {{name: demo, bind: "127.0.0.1:{port}"}}
upstreams:
  - {{name: backend, endpoints: ["127.0.0.1:{backend}"]}}
routes:
  - {{name: all, match: {{path_prefix: /}}, upstream: backend}}
admin: {{bind: "127.0.0.1:{admin}"}}
access_log: {{path: "{access_log}"}}
"""


@final
class Demo:
    """One run of `trailproxy demo`."""

    def __init__(self, port: int, admin_port: int, say: Callable[[str], None]) -> None:
        """Prepare; `say` prints a line."""
        self._port: Final = port
        self._admin_port: Final = admin_port
        self._say: Final = say

    async def run(self, *, once: bool) -> int:
        """Show one request; then stay up until Ctrl-C, unless `once`. Returns the exit status.

        Raises:
            BuildError: a port is in use.
        """
        backend = await start_backend(Address(_HOST, 0))
        settings = self._settings(backend.sockets[0].getsockname()[1], once)
        app = App(lambda: settings)
        await app.start()
        serving = asyncio.ensure_future(app.run())
        port = app.ports[0]
        self._say(
            f"backend on {_HOST}:{backend.sockets[0].getsockname()[1]}, proxy on "
            f"{_HOST}:{port}, admin page on http://{_HOST}:{app.admin_port}/"
        )
        arrived = await self._one_request(port)
        if once:
            app.drain()
        else:
            self._suggest(port, app.admin_port)
        await serving
        backend.close()
        return 0 if arrived else 1

    def _settings(self, backend_port: int, once: bool) -> Settings:
        text = _SETTINGS.format(
            port=self._port,
            backend=backend_port,
            admin=self._admin_port,
            access_log="off" if once else "stdout",
        )
        return parse(text, "demo", {})

    async def _one_request(self, port: int) -> bool:
        """Send a request through the proxy and print every part that comes back."""
        connection = await connect(Address(_HOST, port))
        request = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", f"{_HOST}:{port}"),
            (":path", "/hello"),
            ("te", "trailers"),
        ]
        self._say("\n> GET /hello")
        sid = await connection.open(request, end=True)
        trailers = await self._print_response(connection, sid)
        connection.close()
        arrived = trailers is not None and trailers.get(b"x-body-sha256") is not None
        self._say("\nhead, body and trailers arrived" if arrived else "\nthe trailers are missing")
        return arrived

    async def _print_response(self, connection: AsyncConnection, sid: int) -> Fields | None:
        end = False
        while not end:
            part = await connection.receive(sid)
            if isinstance(part, HeadReceived):
                self._print_fields("head", part.fields)
                end = part.end
            elif isinstance(part, DataReceived):
                self._say(f"< body      {part.data.decode().rstrip()}")
                end = part.end
            else:
                self._print_fields("trailers", part.fields)
                return part.fields
        return None

    def _print_fields(self, what: str, fields: Fields) -> None:
        for field in fields:
            self._say(f"< {what:<9} {field.name.decode()}: {field.value.decode()}")

    def _suggest(self, port: int, admin_port: int) -> None:
        base = f"http://{_HOST}:{port}"
        self._say(
            "\nTry next, in another terminal:\n"
            f"  curl --http2-prior-knowledge -v {base}/hello\n"
            f"  nghttp -v {base}/hello\n"
            f"  nghttp -v -d README.md --trailer 'x-note: kept' {base}/upload\n"
            f"  curl -s http://{_HOST}:{admin_port}/metrics | grep trailproxy_trailers_total\n"
            "Ctrl-C ends it.\n"
        )
