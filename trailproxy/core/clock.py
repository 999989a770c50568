"""Clock: time, as the core sees it.

Deadlines are numbers, kept by whoever has them. A Pulse looks at all of them every
now and then, as long as there are any, so that setting one and not needing it,
which is what nearly all exchanges do, costs an assignment and leaves nothing behind.
"""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final, final

from mypy_extensions import mypyc_attr

NEVER: Final = float("inf")

_GRAIN_S: Final = 0.05  # how late a deadline may be noticed


@mypyc_attr(allow_interpreted_subclasses=True)
class Clock:
    """Seconds that never go back, and a way to be called later."""

    def time(self) -> float:
        """Return the seconds since some fixed moment."""
        raise NotImplementedError

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Any:
        """Call `callback` in `delay` seconds."""
        raise NotImplementedError


@final
class Pulse:
    """Calls `look` every grain, from `start` until it says that there is nothing to look at."""

    __slots__ = ("_beating", "_clock", "_look")

    def __init__(self, clock: Clock, look: Callable[[float], bool]) -> None:
        """Prepare; `look` is given the clock's seconds, and returns whether to go on."""
        self._clock: Final = clock
        self._look: Final = look
        self._beating = False

    def start(self) -> None:
        """There is something to look at."""
        if not self._beating:
            self._beating = True
            self._clock.call_later(_GRAIN_S, self._beat)

    def _beat(self) -> None:
        self._beating = False
        if self._look(self._clock.time()):
            self.start()


@final
class DateStamp:
    """The Date field's value (RFC 9110 section 6.6.1), worked out once a second."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall: Final = wall
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        """Return the date of now."""
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text
