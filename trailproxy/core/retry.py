"""Retry: what a route allows to be tried again, and how often.

What an upstream may have touched is tried again only where the route says that its
requests are idempotent. A budget keeps retries a part of the load: when everything fails,
trying everything again would make it worse.
"""

from dataclasses import dataclass, field
from random import uniform
from typing import Final, final

from trailproxy.core.fault import Cause
from trailproxy.wire.field import GRPC_STATUS
from trailproxy.wire.fields import Fields


@final
class Budget:
    """How many of a route's exchanges may be retries at one time."""

    def __init__(self, part: float, least: int) -> None:
        """Allow `part` of the exchanges in flight, and `least` always."""
        self._part: Final = part
        self._least: Final = least
        self.active = 0  # exchanges
        self.retrying = 0  # of them

    def allows(self) -> bool:
        """Tell whether one more may be tried again."""
        return self.retrying < max(float(self._least), self._part * self.active)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """What a route tries again."""

    statuses: frozenset[int] = frozenset()  # of responses
    grpc_statuses: frozenset[bytes] = frozenset()  # wherever they stand
    causes: frozenset[Cause] = frozenset()  # of attempts without a response
    attempts: int = 2  # in all
    backoff_s: float = 0.025  # before the second attempt; doubled for each one after it
    max_backoff_s: float = 0.25
    peek: int = 8 * 1024  # octets of body that are held for the trailers behind them
    replay: int = 64 * 1024  # octets of a request that are kept to be sent again
    budget: Budget = field(default_factory=lambda: Budget(0.2, 3))

    def reason(self, section: Fields) -> str:
        """Say which word of the route asks for another attempt; empty: none does."""
        status = int(section.status)
        if status in self.statuses:
            return str(status)
        told = section.find(GRPC_STATUS)
        if told is not None and told in self.grpc_statuses:
            return f"grpc-status {told.decode('latin-1')}"
        return ""

    def wait(self, attempt: int) -> float:
        """Return how many seconds to wait before an attempt; the second is number 2."""
        most = min(self.backoff_s * 2.0 ** (attempt - 2), self.max_backoff_s)
        return uniform(0.5, 1.0) * most
