"""A clock that stands still until it is told to go on."""

import heapq
import itertools
from collections.abc import Callable

from trailproxy.core.clock import Clock


class FakeClock(Clock):
    """A Clock for the core; `advance` is the only way time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._order), callback))

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything that falls due in it happen, in order."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, callback = heapq.heappop(self._due)
            callback()
        self.now = end
