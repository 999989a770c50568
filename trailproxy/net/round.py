"""Round: who has something to write once the read that is being heard is over.

To wait for the loop to come round, so that there is one write a connection and
round, costs a request that is alone on its way 1.2 times the CPU. Large reads
follow each other without a round between them: a few of them share their writes,
which saves a fifth of the CPU. All of them would not: what is written has to be
in the cache still.
"""

import asyncio
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from trailproxy.net.connection import AsyncConnection

#: Octets of a read behind which the next one waits already.
LARGE_READ: Final = 128 * 1024
_MOST_HEARD: Final = 1_000_000  # octets of such reads that share their writes


@final
class Round:
    """Those who have something to write."""

    def __init__(self) -> None:
        self.hearing = False
        self.due: list[AsyncConnection] = []
        self._heard = 0  # octets of large reads since the last flush

    def end(self, octets: int, loop: asyncio.AbstractEventLoop) -> None:
        """Be told that a read is over: what came of it is written, now or with the next ones."""
        self.hearing = False
        if not self.due:
            return
        self._heard += octets
        if octets < LARGE_READ or self._heard >= _MOST_HEARD:
            self.flush()
        elif self._heard == octets:
            loop.call_soon(self.flush)  # there may be no next one

    def flush(self) -> None:
        """Write it."""
        self._heard = 0
        due, self.due = self.due, []
        for connection in due:
            connection.flush()


#: The one of this process.
ROUND: Final = Round()
