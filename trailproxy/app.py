"""App: the only place where all rooms meet.

It builds what the settings say, swaps it on reload (all of it or nothing), and
takes it down so that no stream in flight notices.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, final

from trailproxy.admin_page import AdminPage
from trailproxy.build import (
    BindError,
    BuildError,
    Key,
    Plan,
    Seat,
    check_fixed,
    make_plan,
    processes,
)
from trailproxy.core.clock import DateStamp
from trailproxy.core.fault import Cause, Side
from trailproxy.core.proxy import Front, Proxy
from trailproxy.core.record import Tally
from trailproxy.core.routing import Router
from trailproxy.handover import Heritage, Loan
from trailproxy.net.clock import CLOCK
from trailproxy.net.listener import Listener, ListenError, ListenParams
from trailproxy.net.loop import spare_the_collector
from trailproxy.net.origin import Origin
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.now import tell_now
from trailproxy.ops.page import renderer
from trailproxy.ops.reading import Reading, read
from trailproxy.ops.settings import Settings, masked
from trailproxy.ops.sight import Sight, Wish
from trailproxy.ops.snapshot import Snapshot, compile_snapshot
from trailproxy.outlook import Outlook
from trailproxy.reloads import Reloads
from trailproxy.telling import Telling
from trailproxy.watch import Watch

_log: Final = logging.getLogger("trailproxy")
_TICK_S: Final = 1.0
_FLUSH_S: Final = 0.2  # how long an access-log line may wait
_POLL_S: Final = 0.02  # how often a drain looks whether it is done
_FAREWELL_S: Final = 0.5  # for the last resets to leave when a drain runs out of time


@final
class App:
    """One proxy: its listeners, its origins, its admin page."""

    def __init__(
        self,
        read: Callable[[], Settings],
        heritage: Heritage | None = None,
        watch: Watch | None = None,
        *,
        supervised: bool = False,
    ) -> None:
        """Prepare.

        Args:
            read: returns the settings of now, at the start and at each reload.
            heritage: sockets that are open already, for listeners to come.
            watch: looks whether files have changed; None: nobody does.
            supervised: it is one of many, whose admin page is their supervisor's.
        """
        loop = asyncio.get_running_loop()
        # set once
        self._read: Final = read
        self._heritage: Final = heritage or Heritage()
        self._supervised: Final = supervised
        self._loop: Final = loop
        self._tallies: Final = {Side.DOWNSTREAM: Tally(), Side.UPSTREAM: Tally()}
        self._metrics: Final = Metrics(self._tallies)
        self._render: Final = renderer(self._metrics)
        self._telling: Final = Telling(self._metrics)
        self._proxy: Final = Proxy(
            Router(()), self._metrics.meters, self._tallies, CLOCK, DateStamp(time.time)
        )
        self._outlook: Final = Outlook(
            self._proxy,
            self._metrics.drops,
            time.time,
            lambda: [origin for _, origin in self._origins.values()],
        )
        self._reloads: Final = Reloads(read, self._take_up, self._metrics, watch)
        self._asked: Final = asyncio.Event()  # to stop
        self._hurried: Final = asyncio.Event()  # asked twice
        self._admin: Final = None if supervised else AdminPage(self, self._heritage)
        # swapped on reload
        self._snapshot: Snapshot | None = None
        self._listeners: Final[dict[Seat, tuple[Key, Listener]]] = {}
        self._origins: Final[dict[str, tuple[Key, Origin]]] = {}
        # no longer configured, and not yet empty
        self._leaving: list[Listener | Origin] = []

    # -- start and run -------------------------------------------------------------------

    async def start(self) -> None:
        """Read the settings and serve them.

        Raises:
            SettingsError: the file is wrong.
            BuildError: something it names cannot be used.
        """
        await self._apply(make_plan(self._read()))
        self._metrics.loaded_at = time.time()
        self._tick()
        self._flush_log()

    async def run(self) -> None:
        """Serve until asked to stop, then drain. Signals: TERM and INT stop, HUP reloads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        self._loop.add_signal_handler(signal.SIGHUP, self._reloads.begin)
        await self.finish()

    async def finish(self) -> None:
        """Wait until asked to stop, then drain."""
        spare_the_collector()
        await self._asked.wait()
        await self._shut_down()

    def _tick(self) -> None:
        for _, listener in self._listeners.values():
            listener.tick()
        for _, origin in self._origins.values():
            origin.tick()
        for part in self._leaving:
            part.tick()
        self._outlook.tick()
        if self._snapshot is not None:
            self._reloads.look(self._snapshot.settings)
        self._leaving = [part for part in self._leaving if not part.empty]
        self._loop.call_later(_TICK_S, self._tick)

    def _flush_log(self) -> None:
        self._telling.flush()
        self._loop.call_later(_FLUSH_S, self._flush_log)

    # -- apply: build first, then commit ---------------------------------------------------

    async def apply(self, settings: Settings) -> None:
        """Run with these settings, or change nothing.

        Raises:
            BuildError: something they name cannot be used.
        """
        async with self._reloads.lock:
            await self._apply(make_plan(settings))

    async def _take_up(self, settings: Settings) -> tuple[str, ...]:
        if processes(settings) > 1:
            raise BuildError(["workers: more than 1 takes a restart of the proxy"])
        check_fixed(None if self._snapshot is None else self._snapshot.settings, settings)
        await self._apply(make_plan(settings))
        return ()

    async def _apply(self, plan: Plan) -> None:
        """Make the plan what runs, or change nothing.

        Raises:
            BuildError: an address or the access log cannot be had.
        """
        with ExitStack() as undo:
            log = self._telling.prepare(plan.settings.access_log.path, undo)
            fresh = self._bind_new(plan, undo)
            if self._admin is not None:
                self._admin.prepare(plan.admin)
            undo.pop_all()
        # from here on nothing fails
        self._telling.commit(plan, log)
        self._commit_origins(plan)
        upstreams = {name: origin for name, (_, origin) in self._origins.items()}
        self._snapshot = compile_snapshot(plan.settings, upstreams)
        self._proxy.route_by(self._snapshot.router)
        await self._commit_listeners(plan, fresh)
        if self._admin is not None:
            await self._admin.commit(plan.admin)

    def _bind_new(self, plan: Plan, undo: ExitStack) -> dict[Seat, Listener]:
        fresh: dict[Seat, Listener] = {}
        for seat, wanted in plan.listeners.items():
            if seat in self._listeners:
                continue
            listener = Listener(seat[0], self._metrics.meters, self._tallies[Side.DOWNSTREAM])
            loan = self._heritage.take(seat)
            try:
                if loan is not None:
                    listener.adopt(loan.socket, shared=loan.shared)
                else:
                    assert not self._supervised  # the addresses are the supervisor's
                    listener.bind()
            except ListenError as error:
                raise BindError([f"listener {wanted.name}: cannot bind {error}"]) from error
            undo.callback(listener.close)
            fresh[seat] = listener
        return fresh

    def _commit_origins(self, plan: Plan) -> None:
        for name, (key, origin) in list(self._origins.items()):
            wanted = plan.origins.get(name)
            if wanted is None or wanted.key != key:
                del self._origins[name]
                origin.retire()
                self._leaving.append(origin)
        for name, wanted in plan.origins.items():
            if name not in self._origins:
                tally = self._tallies[Side.UPSTREAM]
                origin = Origin(wanted.params, self._metrics.meters, tally, CLOCK)
                self._origins[name] = (wanted.key, origin)
                origin.start()

    async def _commit_listeners(self, plan: Plan, fresh: dict[Seat, Listener]) -> None:
        for seat, (_, listener) in list(self._listeners.items()):
            if seat not in plan.listeners:
                del self._listeners[seat]
                listener.drain()
                self._leaving.append(listener)
        for seat, wanted in plan.listeners.items():
            key, listener = self._listeners.get(seat) or ((), fresh[seat])
            if key == wanted.key:
                continue
            self._listeners[seat] = (wanted.key, listener)
            await listener.serve(
                ListenParams(
                    make_host=partial(
                        Front, self._proxy, wanted.name, forwarding=wanted.forwarding
                    ),
                    name=wanted.name,
                    tls=wanted.tls,
                    guests=wanted.guests,
                    codec=plan.terms.codec,
                    wire=plan.terms.wire,
                    patience=plan.terms.patience,
                    crowd=plan.crowd,
                )
            )
            _log.info("listener %s accepts on %s", wanted.name, listener.bound_to)

    # -- Backstage: what the admin page asks ---------------------------------------------

    def not_ready(self) -> str:
        """Say why no requests should be sent here; an empty string when they should."""
        if self._asked.is_set():
            return "draining"
        return "" if self._snapshot is not None else "starting"

    def config(self) -> dict[str, Any]:
        """Return the running configuration with its secrets masked."""
        return {} if self._snapshot is None else masked(self._snapshot.settings)

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics page and its content type, for an Accept header."""
        return self._render(accept)

    def reading(self) -> Reading:
        """Read all meters, for the supervisor."""
        return read(self._metrics)

    async def streams(self) -> list[dict[str, Any]]:
        """Describe the exchanges in flight."""
        return self._proxy.describe()

    async def now(self) -> dict[str, Any]:
        """Tell how the proxy is, in numbers."""
        return tell_now(self._metrics, time.time(), self.not_ready(), self._reloads.problems)

    async def look(self, wish: Wish) -> Sight:
        """Tell what there was to be seen since the last look, and look on as wished."""
        return self._outlook.look(wish)

    async def timeline(self, key: str) -> dict[str, Any] | None:
        """Tell all that is known of an exchange; None when it is forgotten."""
        return self._outlook.timeline(key)

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, nothing when it runs."""
        return await self._reloads.reload()

    # -- Holder: what the process after us asks --------------------------------------------

    def lend(self) -> list[Loan]:
        """Return copies of all listening sockets; they are the caller's."""
        loans = [
            Loan(seat, listener.lend(), listener.shared)
            for seat, (_, listener) in self._listeners.items()
        ]
        return loans if self._admin is None else [*loans, *self._admin.lend()]

    async def settled(self) -> None:
        """Return when all that is configured is served: a start leaves nothing open."""

    def hand_over(self) -> None:
        """Drain: another process accepts from our sockets by now."""
        for _, listener in self._listeners.values():
            listener.leave_to_others()
        if self._admin is not None:
            self._admin.hand_over()
        self.drain()

    # -- the end -------------------------------------------------------------------------

    def drain(self) -> None:
        """Begin to finish: take nothing new, let what is in flight end."""
        self._reloads.stop()
        self._asked.set()

    def hurry(self) -> None:
        """Finish now: what is in flight gets the answer or the reset it is due."""
        self._hurried.set()
        self.drain()

    def _signalled(self) -> None:
        """The first signal drains; whoever sends a second one will not wait."""
        if self._asked.is_set():
            self.hurry()
        else:
            self.drain()

    async def _shut_down(self) -> None:
        listeners = [listener for _, listener in self._listeners.values()]
        listeners += [part for part in self._leaving if isinstance(part, Listener)]
        snapshot = self._snapshot
        limit = 0.0 if snapshot is None else float(snapshot.settings.drain_timeout)
        active = self._proxy.active
        what = "exchange" if active == 1 else "exchanges"
        _log.info("draining %d %s, for at most %g s", active, what, limit)
        for listener in listeners:
            listener.drain()
        if not await self._emptied(listeners, limit):
            _log.warning("drain ended with %d exchanges in flight", self._proxy.active)
            self._proxy.expire_all(Cause.DRAIN_TIMEOUT)
            await self._emptied(listeners, _FAREWELL_S)
        for listener in listeners:
            listener.close()
        for _, origin in self._origins.values():
            origin.close()
        for part in self._leaving:
            part.close()
        if self._admin is not None:
            await self._admin.stop()
        await self._telling.close()
        _log.info("stopped")

    async def _emptied(self, listeners: list[Listener], limit: float) -> bool:
        """Wait until no client is left, but not longer than `limit` seconds."""
        deadline = self._loop.time() + limit
        while not all(listener.empty for listener in listeners):
            if self._loop.time() >= deadline or self._hurried.is_set():
                return False
            await asyncio.sleep(_POLL_S)
        return True

    # -- for the demo --------------------------------------------------------------------

    @property
    def ports(self) -> list[int]:
        """The TCP ports of the listeners, in the order of the settings."""
        return [listener.port for _, listener in self._listeners.values()]

    @property
    def admin_port(self) -> int:
        """The TCP port of the admin page."""
        return self._admin.port if self._admin is not None else 0
