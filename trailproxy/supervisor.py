"""Supervisor: several workers that look like one proxy.

It serves no request. It holds the addresses, reads the configuration, has the
admin page, and sums up what its workers tell. A new configuration is tried here
first and told to all, or to none. A worker that is slow, stopped or dead costs
its own share of the traffic, and never hides the rest.
"""

import asyncio
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, final

from trailproxy.admin_page import AdminPage
from trailproxy.build import BindError, BuildError, Plan, Seat, check_fixed, make_plan, processes
from trailproxy.core.fault import Side
from trailproxy.core.record import Tally
from trailproxy.handover import Heritage, Loan
from trailproxy.net.claim import Claim
from trailproxy.net.listener import ListenError
from trailproxy.net.tasks import spawn
from trailproxy.ops.access_log import AccessLog
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.now import tell_now
from trailproxy.ops.page import renderer
from trailproxy.ops.reading import add, read
from trailproxy.ops.settings import Settings, masked, pack
from trailproxy.ops.sight import Sight, Wish, together
from trailproxy.post import Charge, Post, State
from trailproxy.reloads import Reloads
from trailproxy.watch import Watch

_log: Final = logging.getLogger("trailproxy")
_POLL_S: Final = 1.0  # between readings; what a worker told since is lost if it is killed
_APPLY_S: Final = 5.0  # for all workers to take a new configuration


@final
class Supervisor:
    """The workers, and what they share."""

    def __init__(
        self,
        read_settings: Callable[[], Settings],
        heritage: Heritage | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Prepare.

        Args:
            read_settings: returns those of now, at the start and at each reload.
            heritage: sockets that are open already, for listeners to come.
            watch: looks whether files have changed; None: nobody does.
        """
        # set once
        self._read_settings: Final = read_settings
        self._heritage: Final = heritage or Heritage()
        self._loop: Final = asyncio.get_running_loop()
        self._metrics: Final = _new_metrics()  # our own, and what is left of ended processes
        self._metrics.restarts[()] = 0  # a series from the start, so that the first one shows
        self._reloads: Final = Reloads(
            read_settings, self._take_up_everywhere, self._metrics, watch
        )
        self._asked: Final = asyncio.Event()  # to stop
        self._admin: Final = AdminPage(self, self._heritage)
        # changed by reloads
        self._claims: Final[dict[Seat, Claim]] = {}
        self._posts: Final[list[Post]] = []
        self._settings: Settings | None = None

    # -- start and run -------------------------------------------------------------------

    async def start(self) -> None:
        """Read the settings, take the addresses and start the workers.

        Raises:
            SettingsError: the file is wrong.
            BuildError: something it names cannot be used.
        """
        await self._take_up(make_plan(self._read_settings()))
        self._metrics.loaded_at = time.time()

    async def run(self) -> None:
        """Serve until asked to stop, then drain. Signals: TERM and INT stop, HUP reloads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        self._loop.add_signal_handler(signal.SIGHUP, self._reloads.begin)
        polling = spawn(self._poll(), "poll")
        await self._asked.wait()
        await self._shut_down()
        polling.cancel()

    async def _poll(self) -> None:
        while True:
            for post in self._posts:
                spawn(post.refresh(), f"reading of worker {post.number}")
            if self._settings is not None:
                self._reloads.look(self._settings)
            await asyncio.sleep(_POLL_S)

    async def _refresh(self) -> None:
        await asyncio.gather(*[post.refresh() for post in self._posts])

    # -- a configuration: try it here, then tell everybody ---------------------------------

    async def _take_up(self, plan: Plan) -> None:
        """Make the plan what is to be served, or change nothing.

        Raises:
            BuildError: an address or the access log cannot be had.
        """
        with ExitStack() as undo:
            _try_log(plan.settings.access_log.path)
            fresh = self._claim_new(plan, undo)
            self._admin.prepare(plan.admin)
            undo.pop_all()
        # from here on nothing fails
        self._settings = plan.settings
        self._metrics.allow_methods(plan.settings.metrics.grpc_methods)
        self._metrics.certificates = plan.expiries
        for seat in self._claims.keys() - plan.listeners.keys():
            self._claims.pop(seat).close()  # before the workers do: theirs is the last accept
        for seat, claim in fresh.items():
            self._claims[seat] = claim
            _log.info("listener %s is at %s", plan.listeners[seat].name, claim.address)
        self._fit(processes(plan.settings))
        await self._admin.commit(plan.admin)

    def _claim_new(self, plan: Plan, undo: ExitStack) -> dict[Seat, Claim]:
        fresh: dict[Seat, Claim] = {}
        for seat, wanted in plan.listeners.items():
            if seat in self._claims:
                continue
            loan = self._heritage.take(seat)
            try:
                claim = Claim(seat[0], None if loan is None else loan.socket)
            except ListenError as error:
                raise BindError([f"listener {wanted.name}: cannot bind {error}"]) from error
            undo.callback(claim.close)
            fresh[seat] = claim
        return fresh

    def _fit(self, wanted: int) -> None:
        """Have as many workers as are wanted; those with the highest numbers go first."""
        staying = [post for post in self._posts if post.state is not State.DRAINING]
        for post in staying[wanted:]:
            spawn(self._let_go(post), f"end of worker {post.number}")
        taken = {post.number for post in self._posts}
        free = (number for number in range(1, wanted + len(taken) + 1) if number not in taken)
        for _, number in zip(range(wanted - len(staying)), free, strict=False):
            self._posts.append(Post(number, self._charge, self._metrics))

    async def _let_go(self, post: Post) -> None:
        await post.give_up()
        self._posts.remove(post)

    def _charge(self) -> Charge:
        assert self._settings is not None  # there are no workers before
        drain_s = float(self._settings.drain_timeout)
        return Charge(pack(self._settings), self._claims, drain_s)

    # -- Backstage: what the admin page asks ---------------------------------------------

    def not_ready(self) -> str:
        """Say why no requests should be sent here: one worker that is ready is enough."""
        if self._asked.is_set():
            return "draining"
        if any(post.state is State.READY for post in self._posts):
            return ""
        troubles = [f"worker {post.number} {post.trouble}" for post in self._posts if post.trouble]
        return "; ".join(troubles) or "starting"

    def config(self) -> dict[str, Any]:
        """Return the running configuration with its secrets masked."""
        return {} if self._settings is None else masked(self._settings)

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics page of all, and its content type, for an Accept header."""
        await self._refresh()
        return renderer(self._total())(accept)

    def _total(self) -> Metrics:
        """Add up what all have told last."""
        own, total = self._metrics, _new_metrics()
        total.methods = own.methods  # who has series of his own keeps them
        for reading in (read(own), *[post.reading for post in self._posts]):
            if reading is not None:
                add(total, reading)
        states = Counter(post.state for post in self._posts)
        total.workers = {state: states[state] for state in State}
        total.last_reload_ok, total.loaded_at = own.last_reload_ok, own.loaded_at
        total.certificates = own.certificates
        if self._settings is not None:
            total.codec = self._settings.codec
        return total

    async def streams(self) -> list[dict[str, Any]]:
        """Describe the exchanges in flight, of every worker that tells them in time."""
        told = await asyncio.gather(*[post.streams() for post in self._posts])
        return [exchange for exchanges in told for exchange in exchanges]

    async def now(self) -> dict[str, Any]:
        """Tell how all are together, in numbers that are at most a second old."""
        return tell_now(self._total(), time.time(), self.not_ready(), self._reloads.problems)

    async def look(self, wish: Wish) -> Sight:
        """Tell what there was to be seen since the last look, and look on as wished."""
        return together(await asyncio.gather(*[post.look(wish) for post in self._posts]))

    async def timeline(self, key: str) -> dict[str, Any] | None:
        """Tell all that is known of an exchange; None when it is forgotten."""
        number, _, theirs = key.partition(".")
        for post in self._posts:
            if str(post.number) == number:
                return await post.timeline(theirs)
        return None

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, nothing when it runs."""
        return await self._reloads.reload()

    async def _take_up_everywhere(self, settings: Settings) -> tuple[str, ...]:
        check_fixed(self._settings, settings)
        await self._take_up(make_plan(settings))
        return await self._tell()

    async def _tell(self) -> tuple[str, ...]:
        """Have all workers take the new configuration; return what kept which from it."""
        telling = {
            asyncio.ensure_future(post.apply()): post
            for post in self._posts
            if post.state is not State.DRAINING
        }
        done, late = await asyncio.wait(telling, timeout=_APPLY_S)
        refused = [
            f"worker {telling[task].number} keeps what it had: {problem}"
            for task in done
            for problem in task.result()
        ]
        slow = [
            f"worker {telling[task].number} has not answered within {_APPLY_S:g} s" for task in late
        ]
        return tuple(sorted(refused + slow))

    # -- Holder: what the process after us asks --------------------------------------------

    def lend(self) -> list[Loan]:
        """Return copies of all listening sockets; they are the caller's."""
        loans = [Loan(seat, claim.lend(), shared=False) for seat, claim in self._claims.items()]
        return [*loans, *self._admin.lend()]

    async def settled(self) -> None:
        """Return when every worker serves."""
        await asyncio.gather(*[post.settled.wait() for post in self._posts])

    def hand_over(self) -> None:
        """Drain: another process accepts from our sockets by now."""
        for claim in self._claims.values():
            claim.leave_to_others()
        self._admin.hand_over()
        self.drain()

    # -- the end -------------------------------------------------------------------------

    def drain(self) -> None:
        """Begin to finish: take nothing new, let what is in flight end."""
        self._reloads.stop()
        self._asked.set()

    def _signalled(self) -> None:
        """The first signal drains; whoever sends a second one will not wait."""
        if self._asked.is_set():
            for post in self._posts:
                post.hurry()
        self.drain()

    async def _shut_down(self) -> None:
        async with self._reloads.lock:  # one that is under way comes to its end
            _log.info("draining %d workers", len(self._posts))
            for claim in self._claims.values():
                claim.close()
            await asyncio.gather(*[post.give_up() for post in self._posts])
        await self._admin.stop()
        _log.info("stopped")


def _new_metrics() -> Metrics:
    return Metrics({side: Tally() for side in Side})


def _try_log(target: str) -> None:
    """Find out, before any worker does, whether the access log can be opened."""
    try:
        AccessLog.open(target, time.time).close()
    except OSError as error:
        raise BuildError([f"access_log.path: {target}: {error.strerror}"]) from error
