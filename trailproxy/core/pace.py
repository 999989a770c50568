"""Pace: how fast a sink takes what waits for it.

Who takes nothing is idle, and who takes an octet a minute would never be. So time in
which octets are parked is spent from a patience, and octets that depart buy it back, each
at its share of the least rate. A sink that only pauses, or is sent a burst, has all the
patience there is; one that stays below the rate runs out of it.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from trailproxy.core.lane import Lane


@mypyc_attr(acyclic=True)
@final
class Pace:
    """What one sink has left, from when octets began to wait for it to when none do."""

    __slots__ = ("_departed", "_left", "_looked", "_patience", "_rate")

    def __init__(self, lane: Lane, now: float, patience: float, rate: int) -> None:
        """Begin to look, at `now` in clock seconds.

        Args:
            lane: what the sink drains; octets are parked in it.
            now: the moment.
            patience: seconds in which nothing needs to depart.
            rate: octets a second that must depart in the long run.
        """
        self._patience: Final = patience
        self._rate: Final = rate
        self._left = patience
        self._looked = now
        self._departed = lane.departed

    def fails(self, lane: Lane, now: float) -> bool:
        """Look again; True when the sink was too slow for too long."""
        # a lane that waits for another sink has forgotten what had departed
        taken = max(lane.departed - self._departed, 0)
        left = self._left + taken / self._rate - (now - self._looked)
        self._left = min(left, self._patience)
        self._looked = now
        self._departed = lane.departed
        return left <= 0
