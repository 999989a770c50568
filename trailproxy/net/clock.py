"""LoopClock: the loop's seconds, for the core.

Whatever a single read brings happened at one moment, the one at which it was read.
So the clock is held while a read is heard: a request asks for the time six times,
at 70 ns each.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, final

from trailproxy.core.clock import Clock


@final
class LoopClock(Clock):
    """A core Clock: the same seconds as the loop's `time()`."""

    __slots__ = ("_held", "_moment")

    def __init__(self) -> None:
        self._held = False
        self._moment = 0.0

    def time(self) -> float:
        """Return the seconds since some fixed moment; while the clock is held, since its hold."""
        return self._moment if self._held else time.monotonic()

    def hold(self) -> None:
        """Let it be one moment until `go_on`."""
        self._moment = time.monotonic()
        self._held = True

    def go_on(self) -> None:
        """Let time pass again."""
        self._held = False

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Any:
        """Call `callback` in `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


#: The one of this process.
CLOCK: Final = LoopClock()
