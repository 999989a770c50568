"""Turns: the lanes that wait for room on one connection, and whose turn it is.

When there is room again, each lane sends one quantum and goes to the end of the
line, so that no large body keeps a small one waiting. Who waits for its own
stream's window stands aside: what opens the connection octet by octet would
otherwise make all of them look each time, at 13 octets for a walk over hundreds.
"""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.core.lane import Lane
from trailproxy.core.record import Tally
from trailproxy.wire.codec import Codec

#: Body octets a lane may send before the next one has its turn.
QUANTUM: Final = 16 * 1024


@final
class Turns:
    """A line of lanes, in the order they came, and those that stand aside."""

    __slots__ = ("_aside", "_codec", "_line", "_tally")

    def __init__(self, tally: Tally, codec: Codec) -> None:
        self._line: Final[dict[Lane, None]] = {}  # for the connection's window, or its socket
        self._aside: Final[dict[Lane, None]] = {}  # each for its own stream's window
        self._tally: Final = tally
        self._codec: Final = codec

    def wait(self, lane: Lane, sid: i64, writable: bool) -> None:
        """Stand in line, or aside; a lane that does already keeps its place.

        Args:
            lane: whose sink has no more room.
            sid: that sink.
            writable: whether the socket takes more.
        """
        if not lane.in_line:
            lane.in_line = True
            self._tally.stalls += 1
        if writable and self._codec.sendable(0) > 0 and self._codec.sendable(sid) == 0:
            self._line.pop(lane, None)
            self._aside[lane] = None
        else:
            self._aside.pop(lane, None)
            self._line[lane] = None

    def leave(self, lane: Lane | None) -> None:
        """Wait no more; whoever does not is no error."""
        if lane is not None and lane.in_line:
            lane.in_line = False
            self._line.pop(lane, None)
            self._aside.pop(lane, None)

    def call(self, lane: Lane | None) -> None:
        """There may be room for this one."""
        if lane is not None and lane.in_line and not lane.pump():
            self.leave(lane)

    def recall(self) -> None:
        """There may be room for those who stand aside: they have a turn with the others."""
        self._line.update(self._aside)
        self._aside.clear()

    def go_round(self) -> None:
        """There may be room for all: one quantum each, round and round, until there is none."""
        line = self._line
        while line:
            for lane in list(line):
                if self._codec.sendable(0) <= 0:
                    return
                if not lane.pump(QUANTUM):
                    self.leave(lane)
                elif lane in line:
                    del line[lane]
                    line[lane] = None

    def clear(self) -> None:
        """Nobody will be served any more."""
        for lane in [*self._line, *self._aside]:
            self.leave(lane)
