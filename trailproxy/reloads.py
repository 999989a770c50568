"""Reloads: when the configuration is taken up anew, and what is said of it.

The same for a proxy of one process and for the supervisor of many: one reload at a time,
none while draining, and one that is refused changes nothing and says why.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, final

from trailproxy.build import BuildError
from trailproxy.net.tasks import spawn
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.settings import Settings, SettingsError
from trailproxy.watch import Change, Watch

_log: Final = logging.getLogger("trailproxy")

Read = Callable[[], Settings]


@final
class Reloads:
    """The reloads of one proxy.

    Attributes:
        lock: held while settings are taken up.
        problems: what was wrong with those that were tried last.
    """

    def __init__(
        self,
        read: Read,
        take_up: Callable[[Settings], Awaitable[tuple[str, ...]]],
        metrics: Metrics,
        watch: Watch | None,
    ) -> None:
        """Prepare.

        Args:
            read: returns the settings of now.
            take_up: runs with settings, or raises and changes nothing; returns who has not
                taken them up, and why.
            metrics: told of every attempt.
            watch: looks whether files have changed; None: nobody does.
        """
        self.lock: Final = asyncio.Lock()
        self.problems: tuple[str, ...] = ()
        self._read: Final = read
        self._take_up: Final = take_up
        self._metrics: Final = metrics
        self._watch: Final = watch
        self._over = False

    def stop(self) -> None:
        """Take nothing up any more."""
        self._over = True

    async def reload(self, read: Read | None = None) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, nothing when it runs."""
        async with self.lock:
            if self._over:
                return ("draining: the configuration is not read any more",)
            try:
                # in a thread: a large file takes its time, and exchanges are in flight
                settings = await asyncio.to_thread(read or self._read)
                problems = await self._take_up(settings)
            except (SettingsError, BuildError) as error:
                problems = tuple(str(error).splitlines())
            self._metrics.reloaded(not problems, time.time())
            self.problems = problems
            return problems

    def begin(self, read: Read | None = None) -> None:
        """Reload, and tell people how it went."""
        spawn(self._reload_and_log(read), "reload")

    def look(self, settings: Settings) -> None:
        """See whether files have changed under the running settings; once a second is enough."""
        if self._watch is None or self.lock.locked():
            return
        change = self._watch.look(settings)
        if change is Change.NOTHING:
            return
        _log.info("the %s changed", change.value)
        # new certificates are no reason to take up what else the file may say by now
        self.begin(None if change is Change.CONFIGURATION else lambda: settings)

    async def _reload_and_log(self, read: Read | None) -> None:
        problems = await self.reload(read)
        for problem in problems:
            _log.error("reload refused: %s", problem)
        if not problems:
            _log.info("reloaded")
