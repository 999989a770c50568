"""Tries: the attempts of one exchange whose route has a retry policy.

An attempt that fails before anybody has seen its response gives way to another: what the
request has said is said again, and what the response has said is forgotten.
"""

from typing import TYPE_CHECKING, Final, final

from trailproxy.core.clock import NEVER
from trailproxy.core.fault import Fault
from trailproxy.core.lane import Phase
from trailproxy.core.rehearsal import Jury, Rehearsal
from trailproxy.core.retry import RetryPolicy
from trailproxy.core.stream import Stream
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange

# what becomes of a wish for another attempt
TRIED: Final = "tried"
SUCCEEDED: Final = "succeeded"  # the last one had no reason for another
EXHAUSTED: Final = "exhausted"  # there were as many as the route allows
OVER_BUDGET: Final = "over_budget"
NOT_KEPT: Final = "not_kept"  # more of the request has departed than the route keeps

#: From a head to the trailers of a single answer; a stream of small ones takes longer.
_HOLD_S: Final = 0.25


@final
class Tries(Jury):
    """The attempts of one exchange."""

    __slots__ = (
        "_exchange",
        "_given_up",
        "_held_until",
        "_policy",
        "_reason",
        "_rehearsal",
        "_retrying",
    )

    def __init__(self, exchange: "Exchange", policy: RetryPolicy) -> None:
        self._exchange: Final = exchange
        self._policy: Final = policy
        self._rehearsal: Rehearsal | None = None
        self._held_until = NEVER  # clock seconds, once its head is there
        self._retrying = False  # counts against the budget
        self._reason = ""  # of the latest one
        self._given_up = False  # there was a reason for another one, and there was none
        policy.budget.active += 1
        exchange.request.keep(policy.replay)

    def attend(self, stream: Stream) -> None:
        """Hear this attempt's response before anybody else does."""
        exchange = self._exchange
        self._rehearsal = Rehearsal(self, stream, exchange.response, self._policy.peek)
        self._held_until = NEVER
        stream.feeds = self._rehearsal

    def look(self, now: float) -> None:
        """Show what has been held for long enough, at `now` in clock seconds."""
        if now >= self._held_until and self._rehearsal is not None:
            self._rehearsal.accept()

    # -- Jury ----------------------------------------------------------------------------

    def rejects(self, section: Fields, end: bool) -> bool:
        """Hear a final head or trailers; True if another attempt has begun in its place."""
        reason = self._policy.reason(section)
        if reason and self._try_again(reason):
            if self._exchange.reads_load:
                self._exchange.hear_load(section)  # it may say why
            return True
        self._exchange.watch.head_came()
        self._held_until = self._exchange.front.proxy.now() + _HOLD_S
        return False

    def accepted(self) -> None:
        """Hear that this attempt counts."""
        self._rehearsal = None
        self._exchange.request.let_go()

    def is_waited_for(self) -> bool:
        """Tell whether the request goes on: its client may wait for an answer to say the rest."""
        return self._exchange.request.phase < Phase.ENDED

    # -- faults --------------------------------------------------------------------------

    def fault(self, fault: Fault) -> bool:
        """Hear that an attempt broke; True if another has begun."""
        rehearsal = self._rehearsal
        if rehearsal is None:
            return False
        if fault.cause in self._policy.causes and self._try_again(fault.cause):
            return True
        rehearsal.accept()  # what has come of it is all that will
        return False

    def over(self) -> None:
        """The exchange is over."""
        budget = self._policy.budget
        budget.active -= 1
        budget.retrying -= self._retrying
        self._forget()
        if self._reason and not self._given_up:
            self._count(self._reason, SUCCEEDED)

    def _forget(self) -> None:
        if self._rehearsal is not None:
            self._rehearsal.forget()
            self._rehearsal = None

    # -- another attempt -----------------------------------------------------------------

    def _try_again(self, reason: str) -> bool:
        exchange, policy = self._exchange, self._policy
        outcome = self._obstacle()
        if outcome:
            self._given_up = True
            self._count(reason, outcome)
            return False
        if not self._retrying:
            self._retrying = True
            policy.budget.retrying += 1
        self._reason = reason
        self._count(reason, TRIED)
        self._forget()
        exchange.leave_upstream()
        exchange.front.proxy.later(policy.wait(exchange.record.attempts + 1), exchange)
        return True

    def _obstacle(self) -> str:
        exchange, policy = self._exchange, self._policy
        if exchange.record.attempts >= policy.attempts:
            return EXHAUSTED
        if not exchange.request.replayable:
            return NOT_KEPT
        if not self._retrying and not policy.budget.allows():
            return OVER_BUDGET
        return ""

    def _count(self, reason: str, outcome: str) -> None:
        exchange = self._exchange
        exchange.front.proxy.observer.retried(exchange.record.route, reason, outcome)
