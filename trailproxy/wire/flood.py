"""Flood: how much a peer may ask of us for nothing.

Each kind of cheap frame has an allowance: a burst, so much more a second, and
what honest traffic earns back. A peer that overdraws is told ENHANCE_YOUR_CALM
(RFC 9113 section 10.5). There is no clock here; the owner calls `replenish`
once a second.
"""

from typing import Final, final

from mypy_extensions import i64


class Cheap:
    """Kinds of frames that cost the sender little and us more."""

    RESET: Final = 0  # RST_STREAM: rapid reset, CVE-2023-44487
    PROVOKED: Final = 1  # a rule broken so that we reset: made-you-reset, CVE-2025-8671
    PING: Final = 2
    SETTINGS: Final = 3
    EMPTY_DATA: Final = 4
    WINDOW_UPDATE: Final = 5
    IDLE: Final = 6  # PRIORITY and frames of unknown type, which do nothing
    GOAWAY: Final = 7  # two are a goodbye (section 6.8)

    NAMES: Final = (
        "reset",
        "provoked",
        "ping",
        "settings",
        "empty_data",
        "window_update",
        "idle",
        "goaway",
    )


# lists: compiled code builds a constant tuple of numbers anew at each use, 400 ns
_BURST: Final[list[int]] = [1000, 500, 200, 100, 1000, 10_000, 2000, 20]
_A_SECOND: Final[list[int]] = [100, 50, 20, 10, 100, 2000, 200, 1]


@final
class Allowance:
    """What one peer has left."""

    __slots__ = ("_left", "honest_frames", "honest_streams")

    def __init__(self) -> None:
        self._left: Final[list[int]] = list(_BURST)
        # what it has earned and not yet needed, in plain numbers: see `_redeem`
        self.honest_streams: i64 = 0  # that both sides have ended
        self.honest_frames: i64 = 0  # that our DATA may well be answered with

    def spend(self, kind: i64) -> bool:
        """Take one; False when the peer has overdrawn."""
        left = self._left[kind]
        if left <= 0:
            self._redeem()
            left = self._left[kind]
        self._left[kind] = left - 1
        return left > 0

    def _redeem(self) -> None:
        """Take into account what honest traffic has earned; only who is short needs it."""
        self._earn(Cheap.RESET, self.honest_streams)
        self._earn(Cheap.PROVOKED, self.honest_streams)
        self._earn(Cheap.EMPTY_DATA, self.honest_streams)
        self._earn(Cheap.IDLE, self.honest_streams)
        self._earn(Cheap.PING, self.honest_frames)
        self._earn(Cheap.WINDOW_UPDATE, self.honest_frames)
        self.honest_streams = 0
        self.honest_frames = 0

    def _earn(self, kind: i64, count: i64) -> None:
        self._left[kind] = min(self._left[kind] + count, _BURST[kind])

    def replenish(self) -> None:
        """Give back a second's worth of everything."""
        for kind, count in enumerate(_A_SECOND):
            self._earn(kind, count)
