"""Watch: the deadlines of one exchange.

`response_head` and `total` are moments. `idle` is a question: has any part moved
since it was last asked? So nothing is set or cancelled per part.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.clock import NEVER
from trailproxy.core.fault import Cause
from trailproxy.core.grpc import NO_TIMEOUT
from trailproxy.core.routing import Deadlines


@mypyc_attr(acyclic=True)
@final
class Watch:
    """What may take how long, and since when."""

    __slots__ = ("_clients_own", "_deadlines", "_head_due", "_idle_since", "_seen", "_total_due")

    def __init__(self, deadlines: Deadlines, now: float, timeout: float = NO_TIMEOUT) -> None:
        """Start with the total, or the client's own `timeout`, at `now` in clock seconds."""
        total = deadlines.total
        self._deadlines: Final = deadlines
        self._total_due = NEVER if total is None else now + total
        self._clients_own = False  # the total is what the client allows, not the route
        if timeout >= 0.0 and now + timeout < self._total_due:
            self._total_due = now + timeout
            self._clients_own = True
        self._head_due = NEVER
        self._idle_since = NEVER  # the last move that was seen
        self._seen: i64 = 0  # moves by then

    def await_head(self, now: float) -> None:
        """The request is sent: the response head is due."""
        limit = self._deadlines.response_head
        if limit is not None:
            self._head_due = now + limit

    def head_came(self) -> None:
        """The response head is here, or will come from elsewhere."""
        self._head_due = NEVER

    def await_moves(self, now: float) -> None:
        """Both sides are there: something should move."""
        if self._deadlines.idle is not None:
            self._idle_since = now

    def look(self, now: float, moves: i64) -> Cause | None:
        """Say what has run out, once for each; `moves` counts the parts that came and went."""
        idle = self._deadlines.idle
        if moves != self._seen:
            self._seen = moves
            if idle is not None and self._idle_since != NEVER:
                self._idle_since = now
        if now >= self._total_due:
            self._total_due = NEVER
            return Cause.DEADLINE_EXCEEDED if self._clients_own else Cause.TOTAL_TIMEOUT
        if now >= self._head_due:
            self._head_due = NEVER
            return Cause.RESPONSE_HEAD_TIMEOUT
        if idle is not None and now - self._idle_since >= idle:
            self._idle_since = now
            return Cause.IDLE_TIMEOUT
        return None
