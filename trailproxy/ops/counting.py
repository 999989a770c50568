"""Counting: plain numbers, kept in runs until somebody reads them.

What comes mostly comes again: the next duration falls into the same bucket, the next
response has the same status. So one number grows, and a table is touched only when
something else comes.
"""

from bisect import bisect_left
from typing import Final, final

from mypy_extensions import i64

from trailproxy.ops.trace import trace_id

#: Upper bounds in seconds: a hop on one machine, a network, a long poll.
BUCKETS: Final[list[float]] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]  # fmt: skip

_NO_BOUND: Final = float("inf")
_GRPC_CODES: Final = frozenset([str(code) for code in range(17)])


@final
class Durations:
    """How often something took how long; and, for each bucket, whose trace shows it."""

    __slots__ = (
        "_counts",
        "_from",
        "_marked",
        "_place",
        "_run",
        "_to",
        "exemplars",
        "seconds",
    )

    def __init__(self) -> None:
        self._counts: Final[list[int]] = [0] * (len(BUCKETS) + 1)  # the last has no bound
        self.seconds = 0.0  # all together
        # the bucket that was last counted in: mostly it is the next one's, too
        self._place: i64 = 0
        self._from = 0.0
        self._to = 0.0
        self._run: i64 = 0  # how many it is still to be given
        self._marked: i64 = 0  # a bit for each bucket that has an exemplar
        #: A trace and how long that one took, at most one a bucket.
        self.exemplars: dict[int, tuple[str, float]] | None = None

    def observe(self, seconds: float) -> None:
        """Count one."""
        if not self._from < seconds <= self._to:
            self._change_place(seconds)
        self._run += 1
        self.seconds += seconds

    def mark(self, seconds: float, traceparent: bytes) -> None:
        """Keep whose trace shows what was just counted, unless its bucket has one already."""
        bit: i64 = 1 << self._place
        if self._marked & bit:
            return
        trace = trace_id(traceparent)
        if trace:
            self._marked |= bit
            if self.exemplars is None:
                self.exemplars = {}
            self.exemplars[self._place] = (trace, seconds)

    def _change_place(self, seconds: float) -> None:
        self._counts[self._place] += self._run
        self._run = 0
        place = bisect_left(BUCKETS, seconds)
        self._place = place
        self._from = BUCKETS[place - 1] if place else -_NO_BOUND
        self._to = BUCKETS[place] if place < len(BUCKETS) else _NO_BOUND

    @property
    def buckets(self) -> list[int]:
        """How many there were in each bucket; the last has no upper bound."""
        self._counts[self._place] += self._run
        self._run = 0
        return self._counts


@final
class Pairs:
    """Counts by two words; the pair that came last mostly comes again, and is only added to."""

    __slots__ = ("_counts", "_first", "_run", "_second")

    def __init__(self) -> None:
        self._counts: Final[dict[tuple[str, str], int]] = {}
        self._first = ""
        self._second = ""
        self._run: i64 = 0

    def count(self, first: str, second: str) -> None:
        """Count one."""
        if first is not self._first or second is not self._second:
            self._end_run()
            self._first, self._second = first, second
        self._run += 1

    def _end_run(self) -> None:
        if self._run:
            key = (self._first, self._second)
            self._counts[key] = self._counts.get(key, 0) + self._run
            self._run = 0

    def all(self) -> dict[tuple[str, str], int]:
        """Return every count."""
        self._end_run()
        return self._counts


@final
class Responses:
    """Counts by status and grpc-status, kept like those of `Pairs`."""

    __slots__ = ("_counts", "_grpc", "_run", "_status")

    def __init__(self) -> None:
        self._counts: Final[dict[tuple[int, str], int]] = {}
        self._status: i64 = 0
        self._grpc = ""
        self._run: i64 = 0

    def count(self, status: i64, grpc: str) -> None:
        """Count one."""
        if status != self._status or grpc != self._grpc:
            self._end_run()
            self._status, self._grpc = status, grpc
        self._run += 1

    def _end_run(self) -> None:
        if self._run:
            grpc = self._grpc
            key = (self._status, grpc if not grpc or grpc in _GRPC_CODES else "invalid")
            self._counts[key] = self._counts.get(key, 0) + self._run
            self._run = 0

    def all(self) -> dict[tuple[int, str], int]:
        """Return every count."""
        self._end_run()
        return self._counts
