"""Watch: the deadlines of one exchange.

`response_head` and `total` are moments. `idle` is a question asked now and then:
has any part moved since the last look? So nothing is set or cancelled per part.
"""

from collections.abc import Callable
from typing import Final, final

from trailproxy.core.clock import Timer, Wheel
from trailproxy.core.fault import Cause
from trailproxy.core.routing import Deadlines

NO_DEADLINES: Final = Deadlines(response_head=None, idle=None, total=None)
_LOOKS: Final = 4  # an idle time is divided into; it is noticed at most a quarter late


@final
class Watch:
    """What may take how long, and whom to tell when it took longer."""

    __slots__ = (
        "_deadlines",
        "_expire",
        "_head",
        "_idle",
        "_moves",
        "_quiet",
        "_seen",
        "_total",
        "_wheel",
    )

    def __init__(
        self,
        deadlines: Deadlines,
        wheel: Wheel,
        moves: Callable[[], int],
        expire: Callable[[Cause], None],
    ) -> None:
        """Start with the total; `moves` counts parts, `expire` is told what ran out."""
        self._deadlines: Final = deadlines
        self._wheel: Final = wheel
        self._moves = moves
        self._expire = expire
        self._seen = 0  # moves at the last look
        self._quiet = 0  # looks without a move
        self._head: Timer | None = None
        self._idle: Timer | None = None
        self._total: Timer | None = None
        if deadlines.total is not None:
            self._total = wheel.after(deadlines.total, self._total_over)

    def await_head(self) -> None:
        """The request is sent: the response head is due."""
        limit = self._deadlines.response_head
        if limit is not None:
            self.head_came()
            self._head = self._wheel.after(limit, self._head_over)

    def head_came(self) -> None:
        """The response head is here, or will come from elsewhere."""
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def await_moves(self) -> None:
        """Both sides are there: something should move."""
        if self._deadlines.idle is not None:
            self._look_later(self._deadlines.idle)

    def stop(self) -> None:
        """The exchange is over: no timer fires, and no reference to it is kept."""
        self._moves, self._expire = _no_moves, _nobody
        for timer in (self._head, self._idle, self._total):
            if timer is not None:
                timer.cancel()

    def _look_later(self, idle: float) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._wheel.after(idle / _LOOKS, self._look)

    def _look(self) -> None:
        moves = self._moves()
        self._quiet = self._quiet + 1 if moves == self._seen else 0
        self._seen = moves
        if self._quiet >= _LOOKS:
            self._expire(Cause.IDLE_TIMEOUT)
        else:
            self.await_moves()

    def _head_over(self) -> None:
        self._expire(Cause.RESPONSE_HEAD_TIMEOUT)

    def _total_over(self) -> None:
        self._expire(Cause.TOTAL_TIMEOUT)


def _no_moves() -> int:
    """Stand in where an exchange was."""
    return 0


def _nobody(cause: Cause) -> None:
    """Stand in where an exchange was."""
