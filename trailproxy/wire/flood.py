"""Flood: how much a peer may ask of us for nothing.

Each kind of cheap frame has an allowance: a burst, so much more a second, and
what honest traffic earns back. A peer that overdraws is told ENHANCE_YOUR_CALM
(RFC 9113 section 10.5). There is no clock here; the owner calls `replenish`
once a second.
"""

from enum import IntEnum
from typing import Final, final


class Cheap(IntEnum):
    """Kinds of frames that cost the sender little and us more."""

    RESET = 0  # RST_STREAM: rapid reset, CVE-2023-44487
    PROVOKED = 1  # a rule broken so that we reset: made-you-reset, CVE-2025-8671
    PING = 2
    SETTINGS = 3
    EMPTY_DATA = 4
    WINDOW_UPDATE = 5
    IDLE = 6  # PRIORITY and frames of unknown type, which do nothing


_BURST: Final = (1000, 500, 200, 100, 1000, 10_000, 2000)
_A_SECOND: Final = (100, 50, 20, 10, 100, 2000, 200)


@final
class Allowance:
    """What one peer has left."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = list(_BURST)

    def spend(self, kind: Cheap) -> bool:
        """Take one; False when the peer has overdrawn."""
        self._left[kind] -= 1
        return self._left[kind] >= 0

    def earn(self, kind: Cheap, count: int = 1) -> None:
        """Give back what honest traffic is worth, up to the burst."""
        left = self._left[kind] + count
        self._left[kind] = left if left < _BURST[kind] else _BURST[kind]

    def replenish(self) -> None:
        """Give back a second's worth of everything."""
        for kind in Cheap:
            self.earn(kind, _A_SECOND[kind])
