"""A process under measurement: pinned, metered, and stopped by its pid.

CPU and memory come from the kernel and cover the process and all its descendants, so
that a proxy pays for every worker and thread it starts.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 5.0


def free_port() -> int:
    """Return a loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Start children on these cores: affinity is inherited, so no thread can slip away."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_descriptor_limit() -> int:
    """Let what is started from now on open as many descriptors as we may; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def split_cores(available: set[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return (the proxy's one core, the cores of load and origin)."""
    proxy = frozenset({max(available)})
    return proxy, frozenset(available) - proxy or proxy


def reaped_ticks(stat: str) -> int:
    """Return the CPU that the children had used which this process has buried.

    The name in the second field of /proc/PID/stat may hold blanks and parentheses; what
    follows the last parenthesis begins with field 3. This stands in the fields 16 and 17.
    """
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[13:15])


def cpu_clock(pid: int) -> float:
    """Return the CPU seconds of one process, all its threads together.

    This is its clock of clock_getcpuclockid(3), in nanoseconds; what /proc/PID/stat says
    is the same in ticks of 10 ms, too coarse for the quick rounds.
    """
    return time.clock_gettime(~pid << 3 | 2)


def parent_pid(stat: str) -> int:
    """Return the fourth field of a /proc/PID/stat line."""
    return int(stat.rpartition(")")[2].split()[1])


def memory_line(status: str, name: str) -> int:
    """Return one line of /proc/PID/status in octets; a process that has ended holds none."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def family(root: int, stats: Mapping[int, str]) -> list[int]:
    """Return `root` and every descendant of it, parents first."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(parent_pid(stat), []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _stats() -> dict[int, str]:
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            # A process may end between the listing and the reading.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stats[int(entry.name)] = (entry / "stat").read_text()
    return stats


class Process:
    """One started program. Use it in a `with`: leaving stops it."""

    def __init__(self, argv: Sequence[str], *, cores: frozenset[int], log: Path) -> None:
        self.argv = list(argv)
        self.log = log
        with pinned(cores), log.open("wb") as sink:
            self.child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=ROOT
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.child.poll() is None

    def pids(self, stats: Mapping[int, str] | None = None) -> list[int]:
        """Its own pid and those of its descendants; none once it has ended."""
        stats = _stats() if stats is None else stats
        return family(self.child.pid, stats) if self.child.pid in stats else []

    def cpu_seconds(self) -> float:
        """CPU used so far by the process and its descendants."""
        stats = _stats()
        used = 0.0
        for pid in self.pids(stats):
            used += reaped_ticks(stats[pid]) / TICKS_PER_SECOND
            with contextlib.suppress(OSError):  # it has just ended: its parent answers for it
                used += cpu_clock(pid)
        return used

    def resident_bytes(self) -> int:
        """Memory held now by the process and its descendants."""
        return self._memory("VmRSS")

    def peak_bytes(self) -> int:
        """The most memory each of them has held so far, added up."""
        return self._memory("VmHWM")

    def _memory(self, line: str) -> int:
        held = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                held += memory_line((PROC / str(pid) / "status").read_text(), line)
        return held

    def last_words(self) -> str:
        """The last line it wrote, for saying why it did not start."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def stop(self) -> None:
        """End the process and whatever it started; kill what does not go by itself."""
        pids = self.pids()
        self.child.terminate()
        try:
            self.child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        orphans = set(pids[1:]) & _stats().keys()
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
