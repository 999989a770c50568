"""The event loop's clock, without the loop's own call in between."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class LoopClock:
    """A core Clock: the same seconds as `loop.time()`, at 40 ns instead of 250."""

    __slots__ = ("call_later", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.time: Final[Callable[[], float]] = time.monotonic
        self.call_later: Final[Callable[..., Any]] = loop.call_later
