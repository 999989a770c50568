"""The contest: proxies take turns at a workload.

All proxies of a workload are up at once, each pinned to the same core, while load and
origin have the other cores. They take turns round by round, so that whatever disturbs the
machine disturbs them alike; the steps of a growth curve do so too. How many requests a
round has follows from each proxy's own speed: it lasts about as long for the slow as for
the fast.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import origin, workloads
from benchmarks.configurations import Site
from benchmarks.peers import Peer
from benchmarks.process import Process, free_port, split_cores
from benchmarks.result import Result, Round, beyond
from benchmarks.summary import Load, LoadError
from benchmarks.workloads import Workload
from tests.support.certificates import Certificates, make_certificates

START_TIMEOUT_S = 15.0
WARM_UP_S = 0.3


class ProxyError(Exception):
    """A proxy did not come up, or did not stay."""


@dataclass(slots=True)
class Entrant:
    """A proxy that is up, and what it has shown so far."""

    process: Process
    workload: Workload
    port: int
    result: Result
    requests: int = 0  # in one round


@dataclass(frozen=True, slots=True)
class Stage:
    """The surroundings that are the same for every measurement."""

    directory: Path
    origins: Mapping[str, int]  # their ports, by scheme
    certificates: Certificates
    proxy_core: frozenset[int]
    load_cores: frozenset[int]


@dataclass(frozen=True, slots=True)
class Contest:
    """Who takes part, for how long, and where."""

    stage: Stage
    programs: Mapping[Peer, str]
    rounds: int
    seconds: float  # about how long a round lasts
    codec: str = ""  # trailproxy's; empty: its default

    def load(self, workload: Workload, port: int, requests: int) -> Load:
        """Run one load."""
        return workloads.run(
            workload,
            port,
            requests,
            directory=self.stage.directory,
            cores=self.stage.load_cores,
            planned_s=self.seconds,
        )

    def warm_up(self, workload: Workload, port: int) -> float:
        """Run ever longer loads until one says how many requests a second to expect."""
        requests = workload.in_flight
        while True:
            load = self.load(workload, port, workload.fitting(requests))
            if load.seconds >= WARM_UP_S or requests >= workload.most_requests:
                return load.rate
            requests *= 4

    def site(self, workload: Workload, home: Path) -> Site:
        """Say what a proxy is to stand between."""
        return Site(
            port=free_port(),
            origin_port=self.stage.origins[workload.scheme],
            directory=home,
            tls=self.stage.certificates if workload.tls else None,
            max_streams=max(origin.MAX_STREAMS, workload.streams),
            routes=workload.routes,
            codec=self.codec,
        )

    def enter(self, peer: Peer, workload: Workload, stack: contextlib.ExitStack) -> Entrant:
        """Start a proxy and wait until it relays.

        Raises:
            ProxyError: it ended, or never answered.
        """
        home = self.stage.directory / workload.name / peer.name
        home.mkdir(parents=True)
        site = self.site(workload, home)
        command = peer.command(self.programs[peer], site)
        process = stack.enter_context(
            Process(command, cores=self.stage.proxy_core, log=home / "log")
        )
        kept = wait_for(process, site.port, workload.scheme)
        result = Result(peer.name, trailers=kept, idle_bytes=process.resident_bytes())
        return Entrant(process, workload, site.port, result)

    def measure(self, entrant: Entrant) -> None:
        """Add one round.

        Raises:
            ProxyError: the proxy died under it.
        """
        once = self.one_round(entrant, entrant.requests)
        if entrant.workload.settled:
            once = beyond(self.one_round(entrant, 2 * entrant.requests), once)
        entrant.result.rounds.append(once)

    def one_round(self, entrant: Entrant, requests: int) -> Round:
        """Run one load, and look what the proxy pays for it.

        Raises:
            ProxyError: the proxy died under it.
        """
        before = entrant.process.cpu_seconds()
        load = self.load(entrant.workload, entrant.port, requests)
        if not entrant.process.alive:
            raise ProxyError(f"died: {entrant.process.last_words()}")
        return Round(load, entrant.process.cpu_seconds() - before)

    def compare(self, workload: Workload) -> list[Result]:
        """Let the peers take turns at one workload."""
        (results,) = self.take_turns([workload])
        return results

    def take_turns(self, chosen: Sequence[Workload]) -> list[list[Result]]:
        """Let every peer of every workload take turns; return the results of each workload."""
        results, entrants = [], []
        with contextlib.ExitStack() as stack:
            for workload in chosen:
                row = []
                for peer in filter(workload.invites, self.programs):
                    result = Result(peer.name)
                    with trouble_of(result):
                        entrant = self.enter(peer, workload, stack)
                        result = entrant.result
                        entrants.append(entrant)
                    row.append(result)
                results.append(row)
            for entrant in entrants:
                with trouble_of(entrant.result):
                    rate = self.warm_up(entrant.workload, entrant.port)
                    entrant.requests = entrant.workload.fitting(round(rate * self.seconds))
            for turn in range(self.rounds):
                for entrant in rotated(entrants, turn):
                    if not entrant.result.trouble:
                        with trouble_of(entrant.result):
                            self.measure(entrant)
            for entrant in entrants:
                entrant.result.peak_bytes = entrant.process.peak_bytes()
        return results


@contextlib.contextmanager
def trouble_of(result: Result) -> Iterator[None]:
    """Book a proxy's failure in its own row: the others are still worth measuring."""
    try:
        yield
    except (ProxyError, LoadError) as error:
        result.trouble = str(error)


def rotated(entrants: list[Entrant], turn: int) -> list[Entrant]:
    """Let another proxy begin each round."""
    start = turn % max(len(entrants), 1)
    return entrants[start:] + entrants[:start]


@contextlib.contextmanager
def stage(directory: Path, *, max_streams: int = origin.MAX_STREAMS) -> Iterator[Stage]:
    """Start the origins, in the clear and over TLS, on the cores the proxies do not have."""
    proxy_core, load_cores = split_cores(os.sched_getaffinity(0))
    certificates = make_certificates(directory)
    ports = {}
    with contextlib.ExitStack() as stack:
        for scheme, shown in (("http", None), ("https", certificates)):
            server, port = origin.start(
                directory, load_cores, certificates=shown, max_streams=max_streams
            )
            stack.enter_context(server)
            wait_for(server, port, scheme)
            ports[scheme] = port
        yield Stage(directory, ports, certificates, proxy_core, load_cores)


def wait_for(process: Process, port: int, scheme: str) -> bool:
    """Wait until a proxy relays; return whether it kept the trailers.

    Raises:
        ProxyError: it ended, or never answered.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if not process.alive:
            raise ProxyError(f"did not start: {process.last_words()}")
        kept = origin.trailers_through(port, scheme)
        if kept is not None:
            return kept
        time.sleep(0.05)
    raise ProxyError(f"no answer within {START_TIMEOUT_S:.0f} s: {process.last_words()}")
