"""The loads: what is asked of every proxy, by whom, and how the answer is read.

h2load speaks for all of them but one: it cannot vary a header from request to request,
so the gRPC-shaped calls come from `benchmarks.replay`. Both write one line a request.
"""

import math
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.origin import BODY_SIZES, HELLO, LARGE, SMALL
from benchmarks.process import ROOT, pinned
from benchmarks.replay import TAPE_LENGTH, write_tapes

UPLOAD_SIZE = 1_000_000
MOST_REQUESTS = 1_000_000

#: A run that takes longer than this beyond its planned time is stuck.
GRACE_S = 20.0

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

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.succeeded / self.seconds


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load."""

    name: str
    title: str
    path: str
    clients: int  # connections
    streams: int  # requests in flight on each
    uploads: bool = False
    unique: bool = False  # every request has headers of its own

    @property
    def in_flight(self) -> int:
        """Requests in flight over all connections."""
        return self.clients * self.streams

    @property
    def most_requests(self) -> int:
        """More than these are not asked for in one round."""
        return self.clients * TAPE_LENGTH if self.unique else MOST_REQUESTS

    def fitting(self, requests: int) -> int:
        """Return the nearest number of requests that this load can run as one round."""
        bounded = min(max(requests, self.in_flight), self.most_requests)
        return bounded - bounded % self.clients

    def command(self, port: int, requests: int, directory: Path) -> list[str]:
        """Return the load generator's argument list."""
        log = str(directory / "load.log")
        shape = [f"--clients={self.clients}", f"--requests={requests}", f"--log-file={log}"]
        if self.unique:
            replay = [sys.executable, "-m", "benchmarks.replay", *shape]
            return [*replay, f"--streams={self.streams}", f"--port={port}", str(directory)]
        if self.uploads:
            shape.append(f"--data={directory / 'upload'}")
        shape.append(f"--max-concurrent-streams={self.streams}")
        return ["h2load", *shape, "--header=te: trailers", f"http://127.0.0.1:{port}{self.path}"]


WORKLOADS: tuple[Workload, ...] = (
    Workload("small-get", "small GET with trailers", SMALL, clients=8, streams=32),
    Workload(
        "grpc-post",
        "gRPC-shaped POST, headers unique per request",
        HELLO,
        clients=8,
        streams=32,
        unique=True,
    ),
    Workload("one-at-a-time", "one request at a time", SMALL, clients=1, streams=1),
    Workload("download", "10 MB downloads", LARGE, clients=4, streams=4),
    Workload("upload", "1 MB uploads", SMALL, clients=4, streams=4, uploads=True),
    Workload("many-connections", "many connections", SMALL, clients=500, streams=4),
)


def prepare(directory: Path, chosen: Iterable[Workload]) -> None:
    """Write what the chosen loads send."""
    (directory / "upload").write_bytes(b"u" * UPLOAD_SIZE)
    for clients in {workload.clients for workload in chosen if workload.unique}:
        write_tapes(directory, clients)


def run(
    workload: Workload,
    port: int,
    requests: int,
    *,
    directory: Path,
    cores: frozenset[int],
    planned_s: float,
) -> Load:
    """Run one load to its end.

    Raises:
        LoadError: it hung, broke off, or received bodies that were cut short.
    """
    log = directory / "load.log"
    log.unlink(missing_ok=True)
    command = workload.command(port, requests, directory)
    try:
        with pinned(cores):
            said = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=planned_s + GRACE_S,
                check=False,
            )
    except subprocess.TimeoutExpired as stuck:
        raise LoadError(f"not done after {planned_s + GRACE_S:.0f} s") from stuck
    if said.returncode:
        raise LoadError(said.stderr.strip() or f"exit status {said.returncode}")
    load = read_summary(said.stdout, log.read_text().splitlines())
    due = load.succeeded * BODY_SIZES[workload.path]
    if load.succeeded == load.requests and load.body_bytes != due:
        raise LoadError(f"bodies cut short: {load.body_bytes} of {due} octets")
    return load


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
