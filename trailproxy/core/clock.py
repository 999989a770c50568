"""Clock: time, as the core sees it. An event loop is one.

Deadlines go through the Wheel: an exchange sets and cancels a few, and hardly
any ever fires, so setting one is a dict lookup and cancelling one costs nothing.
"""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final, Protocol, final


class Clock(Protocol):
    """Seconds that never go back, and a way to be called later."""

    def time(self) -> float:
        """Return the seconds since some fixed moment."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Any:
        """Call `callback` in `delay` seconds."""
        ...


@final
class Timer:
    """One deadline on the wheel."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never fire; more than once does no harm."""
        self.callback = None


@final
class Wheel:
    """Deadlines in slots of `grain` seconds; each slot is one call of the clock."""

    def __init__(self, clock: Clock, grain: float = 0.05) -> None:
        self.clock: Final = clock
        self._grain: Final = grain
        self._slots: Final[dict[int, list[Timer]]] = {}

    def time(self) -> float:
        """Return the clock's seconds."""
        return self.clock.time()

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `seconds` from now or up to one grain later."""
        now = self.clock.time()
        slot = int((now + seconds) / self._grain) + 1
        timer = Timer(callback)
        timers = self._slots.get(slot)
        if timers is None:
            self._slots[slot] = [timer]
            self.clock.call_later(slot * self._grain - now, lambda: self._fire(slot))
        else:
            timers.append(timer)
        return timer

    def _fire(self, slot: int) -> None:
        for timer in self._slots.pop(slot):
            callback = timer.callback
            if callback is not None:
                timer.callback = None
                callback()


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
