"""Turns: the lanes that wait for room on one connection, and whose turn it is.

When there is room again, each lane sends one quantum and goes to the end of the
line, so that no large body keeps a small one waiting.
"""

from typing import Final, final

from trailproxy.core.lane import Lane
from trailproxy.core.record import Tally

#: Body octets a lane may send before the next one has its turn.
QUANTUM: Final = 16 * 1024


@final
class Turns:
    """A line of lanes, in the order they came."""

    __slots__ = ("_line", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._line: Final[dict[Lane, None]] = {}
        self._tally: Final = tally

    def wait(self, lane: Lane) -> None:
        """Stand in line; a lane that does already keeps its place."""
        if not lane.in_line:
            lane.in_line = True
            self._tally.stalls += 1
            self._line[lane] = None

    def leave(self, lane: Lane | None) -> None:
        """Leave the line; whoever does not stand in it is no error."""
        if lane is not None and lane.in_line:
            lane.in_line = False
            del self._line[lane]

    def call(self, lane: Lane | None) -> None:
        """There may be room for this one."""
        if lane is not None and lane.in_line and not lane.pump():
            self.leave(lane)

    def go_round(self) -> None:
        """There may be room for all: one quantum each, round and round, until there is none."""
        line = self._line
        progress = True
        while progress:
            progress = False
            for lane in list(line):
                before = lane.departed
                more = lane.pump(QUANTUM)
                self.leave(lane)
                if more:
                    lane.in_line = True
                    line[lane] = None
                progress = progress or lane.departed != before

    def clear(self) -> None:
        """Nobody will be served any more."""
        for lane in list(self._line):
            self.leave(lane)
