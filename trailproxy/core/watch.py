"""Watch: the deadlines of one exchange.

`response_head` and `total` are moments. `idle` is a question: has any part moved
since it was last asked? And so is the pace of those who read. So nothing is set or
cancelled per part.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.clock import NEVER
from trailproxy.core.fault import Cause
from trailproxy.core.grpc import NO_TIMEOUT
from trailproxy.core.lane import Lane
from trailproxy.core.pace import Pace
from trailproxy.core.routing import Deadlines

_PATIENCE_S: Final = 300.0  # with who reads slowly, where a route has no `idle`
_PATIENCE: Final = 2.0  # times its `idle`, where it has: who takes nothing at all is idle first


@mypyc_attr(acyclic=True)
@final
class Watch:
    """What may take how long, and since when."""

    __slots__ = (
        "_client",
        "_clients_own",
        "_deadlines",
        "_head_due",
        "_idle_since",
        "_seen",
        "_total_due",
        "_upstream",
    )

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
        # how they take what is parked for them, while something is
        self._client: Pace | None = None
        self._upstream: Pace | None = None

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

    def look(self, now: float, request: Lane, response: Lane) -> Cause | None:
        """Say what has run out at `now`, once for each."""
        idle = self._deadlines.idle
        moves = request.moves + response.moves
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
        return self._look_at_readers(now, request, response) if self._deadlines.min_rate else None

    def _look_at_readers(self, now: float, request: Lane, response: Lane) -> Cause | None:
        self._client = self._paced(self._client, response, now)
        self._upstream = self._paced(self._upstream, request, now)
        if self._client is not None and self._client.fails(response, now):
            self._client = None
            return Cause.CLIENT_SLOW
        if self._upstream is not None and self._upstream.fails(request, now):
            self._upstream = None
            return Cause.UPSTREAM_SLOW
        return None

    def _paced(self, pace: Pace | None, lane: Lane, now: float) -> Pace | None:
        """Return who is looked at; nobody, while nothing is parked or there is no sink."""
        if not lane.parked_bytes or lane.sink is None:
            return None
        if pace is not None:
            return pace
        idle = self._deadlines.idle
        patience = _PATIENCE_S if idle is None else _PATIENCE * idle
        return Pace(lane, now, patience, self._deadlines.min_rate)
