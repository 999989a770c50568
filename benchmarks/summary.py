"""What a load generator says in the end, and what its log of requests tells.

h2load's closing words and its log are the language; whoever makes a load speaks it.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s|m|h),")
_REQUESTS = re.compile(r"requests: (\d+) total,.* (\d+) succeeded, (\d+) failed")
_STATUSES = re.compile(r"status codes: (\d+) 2xx")
_BODY = re.compile(r"\((\d+)\) data")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class LoadError(Exception):
    """A load did not run to its end, or said something we cannot read."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of a load brought back."""

    requests: int
    succeeded: int  # 2xx, ended cleanly, with the whole body
    seconds: float
    body_bytes: int  # received
    p50_ms: float
    p99_ms: float
    sent_bytes: int = 0  # in the bodies of the requests that succeeded

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.succeeded / self.seconds


def read_summary(summary: str, log: Iterable[str]) -> Load:
    """Read h2load's closing words and its log of requests.

    Raises:
        LoadError: the summary is not one, or nothing succeeded.
    """
    finished = _FINISHED.search(summary)
    counted = _REQUESTS.search(summary)
    statuses = _STATUSES.search(summary)
    body = _BODY.search(summary)
    if not (finished and counted and statuses and body):
        raise LoadError("unreadable summary")
    succeeded = min(int(counted[2]), int(statuses[1]))
    durations = read_log(log)
    if not succeeded or not durations:
        raise LoadError("no request succeeded")
    return Load(
        requests=int(counted[1]),
        succeeded=succeeded,
        seconds=float(finished[1]) * _UNITS[finished[2]],
        body_bytes=int(body[1]),
        p50_ms=percentile(durations, 50) / 1000,
        p99_ms=percentile(durations, 99) / 1000,
    )


def read_log(lines: Iterable[str]) -> list[int]:
    """Return the durations, in microseconds and in order, of the requests that got a 2xx."""
    rows = (line.split("\t") for line in lines)
    return sorted(int(row[2]) for row in rows if row[1].startswith("2"))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in ascending order."""
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]
