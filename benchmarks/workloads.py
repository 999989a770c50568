"""The loads: what is asked of every proxy, by whom, and what we promise about it.

h2load speaks for all of them but one: it cannot vary a header from request to request,
so the requests nobody has sent before come from `benchmarks.replay`. Both write one line
a request.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.configurations import POLICIES
from benchmarks.origin import BODY_SIZES, HELLO, LARGE, SMALL
from benchmarks.peers import LOGGING, OURS, Peer
from benchmarks.process import ROOT, pinned
from benchmarks.replay import TAPE_LENGTH, write_tapes
from benchmarks.result import CPU, CPU_PER_GB, IDLE, P50, P99, PEAK
from benchmarks.summary import Load, LoadError, read_summary
from benchmarks.targets import BEST, Target

MOST_REQUESTS = 1_000_000

#: A run that takes longer than this beyond its planned time is stuck.
GRACE_S = 20.0

TE = "te: trailers"
GRPC = (TE, "content-type: application/grpc", "grpc-accept-encoding: identity, deflate, gzip")


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load."""

    name: str
    title: str
    path: str
    clients: int  # connections
    streams: int  # requests in flight on each
    sends: int = 0  # octets of body behind each request
    headers: tuple[str, ...] = (TE,)
    unique: bool = False  # every request has a path and headers of its own
    tls: bool = False  # on both sides of the proxy
    routes: int = 1
    settled: bool = False  # what it costs to connect is not counted
    proxies: tuple[str, ...] = ()  # who takes part; none named: all but the variants
    targets: tuple[Target, ...] = ()

    @property
    def scheme(self) -> str:
        """What its URL begins with."""
        return "https" if self.tls else "http"

    @property
    def in_flight(self) -> int:
        """Requests in flight over all connections."""
        return self.clients * self.streams

    @property
    def most_requests(self) -> int:
        """More than these are not asked for in one round."""
        return self.clients * TAPE_LENGTH if self.unique else MOST_REQUESTS

    def invites(self, peer: Peer) -> bool:
        """Whether a proxy takes part."""
        if self.tls and not peer.speaks_tls:
            return False
        return peer.name in self.proxies if self.proxies else not peer.variant

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
        if self.sends:
            shape.append(f"--data={upload_file(directory, self.sends)}")
        if self.tls:  # the same work for everybody, whatever a library would like best
            shape.append("--tls13-ciphers=TLS_AES_128_GCM_SHA256")
        shape.append(f"--max-concurrent-streams={self.streams}")
        headers = [f"--header={header}" for header in self.headers]
        return ["h2load", *shape, *headers, f"{self.scheme}://127.0.0.1:{port}{self.path}"]


SMALL_GET = Workload(
    "small-get",
    "small GET with trailers",
    SMALL,
    clients=8,
    streams=32,
    targets=(Target(CPU, 0.75, "nghttpx"),),
)

WORKLOADS: tuple[Workload, ...] = (
    SMALL_GET,
    dataclasses.replace(
        SMALL_GET,
        name="unique-get",
        title="small GET, path and headers unique per request",
        unique=True,
    ),
    dataclasses.replace(
        SMALL_GET,
        name="grpc-post",
        title="gRPC-shaped POST of 100 B",
        path=HELLO,
        sends=100,
        headers=GRPC,
    ),
    Workload(
        "one-at-a-time",
        "one request at a time",
        SMALL,
        clients=1,
        streams=1,
        targets=(Target(CPU, 1.0, "nghttpx"), Target(P50, 1.05, BEST)),
    ),
    Workload(
        "download",
        "10 MB downloads",
        LARGE,
        clients=4,
        streams=4,
        targets=(Target(CPU_PER_GB, 1.0, BEST),),
    ),
    Workload(
        "upload",
        "1 MB uploads",
        SMALL,
        clients=4,
        streams=4,
        sends=1_000_000,
        targets=(Target(CPU_PER_GB, 1.0, BEST),),
    ),
    Workload(
        "many-connections",
        "500 connections",
        SMALL,
        clients=500,
        streams=4,
        targets=(
            Target(CPU, 0.75, "nghttpx"),
            Target(P99, 1.0, BEST),
            Target(IDLE, 40),
            Target(PEAK, 1.0, "envoy"),
        ),
    ),
    dataclasses.replace(
        SMALL_GET,
        name="tls-get",
        title="small GET over TLS on both sides",
        tls=True,
        targets=(Target(CPU, 1.0, "nghttpx"),),
    ),
    dataclasses.replace(
        SMALL_GET,
        name="access-log",
        title="small GET without and with an access log to a file",
        proxies=(OURS, LOGGING),
        targets=(Target(CPU, 1.25, OURS, of=LOGGING),),
    ),
    dataclasses.replace(
        SMALL_GET,
        name="policies",
        title="small GET without and with each policy of a route",
        proxies=(OURS, *(f"{OURS}+{policy}" for policy in POLICIES)),
        # the others do work on every body, and are shown without a promise
        targets=tuple(
            Target(CPU, 1.25, OURS, of=f"{OURS}+{policy}") for policy in ("rules", "concluding")
        ),
    ),
)


def upload_file(directory: Path, octets: int) -> Path:
    """Return where a request body of this size is kept."""
    return directory / f"upload.{octets}"


def prepare(directory: Path, chosen: Iterable[Workload]) -> None:
    """Write what the chosen loads send."""
    for workload in chosen:
        if workload.sends:
            upload_file(directory, workload.sends).write_bytes(b"u" * workload.sends)
        if workload.unique:
            write_tapes(directory, workload.clients)


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
    return dataclasses.replace(load, sent_bytes=load.succeeded * workload.sends)
