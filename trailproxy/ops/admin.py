"""Admin: what operators ask and tell a running proxy, over HTTP/1.1.

It has a listener of its own, so that a proxy in trouble can still be asked. It
knows nothing of the proxy but `Backstage`, keeps no state, and a page that
fails costs that page only.

This is the one importer of aiohttp: import it late, where nothing else needs it.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from trailproxy.ops.capture import TapOrder
from trailproxy.ops.feed import Feed, Viewer
from trailproxy.ops.front import front
from trailproxy.ops.gate import Gate
from trailproxy.ops.sight import Sight, Wish

log = logging.getLogger("trailproxy.admin")

_MAX_BODY: Final = 16 * 1024  # octets; no page here asks for a body
_KEEPALIVE_S: Final = 75.0  # longer than a scrape interval
_HANDSHAKE_S: Final = 10.0
_SHUTDOWN_S: Final = 1.0  # for answers under way when the listener stops
# to probes, which have no secrets; and the page, which holds none and asks for them
_OPEN: Final = frozenset({"/", "/healthz", "/readyz"})
_PATIENCE_S: Final = 30.0  # with who looks on, and takes nothing of what he is told
_UNSENT: Final = 64 * 1024  # octets in his socket; what is newer waits, and is made of the latest

_INDEX: Final = """\
trailproxy admin

GET  /metrics   counters for Prometheus, as text or OpenMetrics
GET  /healthz   200: the process lives
GET  /readyz    200: it takes requests; 503: it does not, and why
GET  /config    the running configuration, secrets masked
GET  /streams   exchanges in flight
POST /live      what is going on, as server-sent events; a browser shows it at /
GET  /live/KEY  the timeline of one exchange
POST /tap       begin a capture, as the JSON in the body says; 409: there is one
DELETE /tap     end it
GET  /tap/ID    what it has caught, as HAR
POST /reload    read the configuration again; 422: what is wrong with it
POST /drain     finish what is in flight, take nothing new, end
"""

_CHALLENGE: Final = 'Bearer realm="trailproxy admin"'
_WRONG_TOKEN: Final = f'{_CHALLENGE}, error="invalid_token"'

# A name can be rebound by whoever owns it; an address and localhost cannot.
_OWN_HOST: Final = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?", re.IGNORECASE)

_LOOKS: Final = frozenset({"GET", "HEAD"})  # all other methods are orders

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Backstage(Protocol):
    """What the admin listener may ask of the proxy."""

    def not_ready(self) -> str:
        """Say why no requests should be sent here; an empty string when they should."""
        ...

    def config(self) -> dict[str, Any]:
        """Return the running configuration with its secrets masked."""
        ...

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics page and its content type, for an Accept header."""
        ...

    async def streams(self) -> list[dict[str, Any]]:
        """Describe the exchanges in flight."""
        ...

    async def now(self) -> dict[str, Any]:
        """Tell how the proxy is, in numbers."""
        ...

    async def look(self, wish: Wish) -> Sight:
        """Tell what there was to be seen since the last look, and look on as wished."""
        ...

    async def timeline(self, key: str) -> dict[str, Any] | None:
        """Tell all that is known of an exchange; None when it is forgotten."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, nothing when it runs."""
        ...

    def drain(self) -> None:
        """Begin to finish: take nothing new, let what is in flight end."""
        ...


class Admin:
    """The admin listener; owned by the app, or by the supervisor of many."""

    def __init__(self, backstage: Backstage) -> None:
        """Build it, without listening yet."""
        self._backstage = backstage
        self._gate = Gate()
        self._feed = Feed(backstage)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.AbstractServer | None = None

    async def serve(self, listening: socket.socket, gate: Gate) -> None:
        """Answer on a socket that listens, from now on behind this gate.

        Connections that are there keep their TLS; the token is asked for at every question.
        """
        if self._runner is None:
            self._runner = web.AppRunner(
                self._app(),
                access_log=None,
                keepalive_timeout=_KEEPALIVE_S,
                shutdown_timeout=_SHUTDOWN_S,
            )
            await self._runner.setup()
        answer = self._runner.server
        assert answer is not None  # since `setup`
        loop = asyncio.get_running_loop()
        unix = listening.family == socket.AF_UNIX
        create = loop.create_unix_server if unix else loop.create_server
        timeout = None if gate.tls is None else _HANDSHAKE_S
        earlier, self._gate = self._server, gate
        self._server = await create(
            answer, sock=listening.dup(), ssl=gate.tls, ssl_handshake_timeout=timeout
        )
        if earlier is not None:
            earlier.close()

    async def stop(self) -> None:
        """Stop listening; answers under way get a moment to leave."""
        if self._server is not None:
            self._server.close()
            self._server = None
        runner, self._runner = self._runner, None
        await self._feed.close()
        if runner is not None:
            await runner.cleanup()

    def _app(self) -> web.Application:
        middlewares = [_contain, self._admit, _guard]
        app = web.Application(middlewares=middlewares, client_max_size=_MAX_BODY)
        app.on_response_prepare.append(_harden)
        app.router.add_get("/", self._index)
        app.router.add_get("/metrics", self._page)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/config", self._config)
        app.router.add_get("/streams", self._streams)
        app.router.add_post("/live", self._live)
        app.router.add_get("/live/{key}", self._timeline)
        app.router.add_post("/tap", self._tap)
        app.router.add_delete("/tap", self._stop_tap)
        app.router.add_get("/tap/{id}", self._caught)
        app.router.add_post("/reload", self._reload)
        app.router.add_post("/drain", self._drain)
        return app

    @web.middleware
    async def _admit(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse whoever lacks what the gate asks for, before anything else is looked at."""
        page = request.match_info.route.resource
        if page is None or page.canonical not in _OPEN:
            if self._gate.asks and not request.get_extra_info("peercert"):
                raise web.HTTPForbidden(reason="A client certificate is needed here")
            told = request.headers.get("Authorization")
            if self._gate.digest and (told is None or not self._gate.knows(told)):
                raise web.HTTPUnauthorized(
                    reason="A bearer token is needed here",
                    # RFC 6750 section 3
                    headers={"WWW-Authenticate": _CHALLENGE if told is None else _WRONG_TOKEN},
                )
        return await handler(request)

    async def _index(self, request: web.Request) -> web.Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return web.Response(text=_INDEX, headers={"Vary": "Accept"})
        html, headers = front()
        headers = {**headers, "Vary": "Accept", "Content-Type": "text/html; charset=utf-8"}
        return web.Response(body=html, headers=headers)

    async def _page(self, request: web.Request) -> web.Response:
        accept = ", ".join(request.headers.getall("Accept", []))
        body, content_type = await self._backstage.metrics(accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reason = self._backstage.not_ready()
        if reason:
            return web.Response(status=503, text=f"{reason}\n")
        return web.Response(text="ok\n")

    async def _config(self, _request: web.Request) -> web.Response:
        return _json(self._backstage.config())

    async def _streams(self, _request: web.Request) -> web.Response:
        return _json(await self._backstage.streams())

    async def _live(self, request: web.Request) -> web.StreamResponse:
        viewer = self._feed.admit()
        if viewer is None:
            raise web.HTTPServiceUnavailable(reason="Too many look on already")
        try:
            return await _tell(request, viewer)
        finally:
            self._feed.dismiss(viewer)

    async def _timeline(self, request: web.Request) -> web.Response:
        timeline = await self._backstage.timeline(request.match_info["key"])
        if timeline is None:
            raise web.HTTPNotFound(reason="No such exchange is remembered")
        return _json(timeline)

    async def _tap(self, request: web.Request) -> web.Response:
        try:
            order = msgspec.json.decode(await request.read() or b"{}", type=TapOrder)
        except msgspec.MsgspecError as error:
            return _json({"error": str(error)}, status=422)
        state = self._feed.tap(order)
        if state is None:
            raise web.HTTPConflict(reason="There is a tap already")
        return _json(state, status=201)

    async def _stop_tap(self, _request: web.Request) -> web.Response:
        state = self._feed.stop_tap()
        if state is None:
            raise web.HTTPNotFound(reason="There is no tap")
        return _json(state)

    async def _caught(self, request: web.Request) -> web.Response:
        caught = self._feed.caught(request.match_info["id"])
        if caught is None:
            raise web.HTTPNotFound(reason="There is no such capture, or no more")
        return web.Response(body=caught, content_type="application/json")

    async def _reload(self, _request: web.Request) -> web.Response:
        problems = await self._backstage.reload()
        if not problems:
            return _json({"ok": True})
        lines = msgspec.json.Encoder().encode_lines([{"problem": each} for each in problems])
        return web.Response(status=422, body=lines, content_type="application/x-ndjson")

    async def _drain(self, _request: web.Request) -> web.Response:
        self._backstage.drain()
        return _json({"draining": True}, status=202)


async def _tell(request: web.Request, viewer: Viewer) -> web.StreamResponse:
    """Tell somebody what there is to be seen, until he leaves or takes nothing any more."""
    response = web.StreamResponse(headers={"Cache-Control": "no-store"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    transport = request.transport
    if transport is None:  # he has left by now
        return response
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT)
    try:
        while events := await viewer.take():
            async with asyncio.timeout(_PATIENCE_S):
                await response.write(events)
    except (ConnectionError, TimeoutError):
        transport.abort()
    return response


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers take an answer for what it says it is, and give it to no other site."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"


@web.middleware
async def _contain(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give every refusal and every mistake of ours a short JSON answer."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        answer = _json({"error": refusal.reason}, status=refusal.status)
        for name in ("Allow", "WWW-Authenticate"):
            if name in refusal.headers:
                answer.headers[name] = refusal.headers[name]
        return answer
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _json({"error": reason}, status=500)


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse large bodies, and orders that a web page gave in an operator's browser.

    Any page an operator visits can make the browser POST to loopback, where this
    listener usually is, and browsers cannot send a POST without Origin. One of
    another host is such a page. One of the same host may still be a stranger whose
    name was rebound to our address, so the host must be one that cannot be. To look on
    is an order too: the proxy works for it. What it leads to is found by names that
    nobody guesses.
    """
    origin = request.headers.get("Origin")
    if request.method not in _LOOKS and origin is not None:
        _, _, site = origin.partition("://")
        if site != request.host or _OWN_HOST.fullmatch(site) is None:
            raise web.HTTPForbidden(reason="Orders from web pages are refused")
    await request.read()  # at most _MAX_BODY, else 413
    return await handler(request)


def _json(value: Any, status: int = 200) -> web.Response:
    """Answer with JSON that people can read too."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")
