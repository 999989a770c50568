"""What one core carries and what memory it takes: the tables of docs/sizing.md.

They are worked out from the same copies in docs/bench as the README's, by `make publish`.
"""

from typing import Any, Final

from benchmarks import plot
from benchmarks.peers import LOGGING, OURS
from benchmarks.result import CPU, CPU_PER_GB, Figure, Result, from_json
from trailproxy.ops.settings import Limits

BEGIN: Final = "<!-- sizing:begin -->"
END: Final = "<!-- sizing:end -->"

PLANNED: Final = 0.6  # of a core: what is left takes bursts, and a neighbour that has failed
MEMORY: Final = 256 * 1024**2  # octets; the limit that the manifests in deploy/ give a proxy

_BODIES: Final = ("download", "upload")  # what costs by the octet, not by the request
_LOGGED: Final = "access-log"  # measured both ways; what it costs with a log is what counts here


def block(results: dict[str, Any], grown: dict[str, Any] | None) -> str:
    """Return what stands between the markers."""
    parts = [_requests(results), _bodies(results)]
    if grown is not None:
        parts.append(_memory(results, grown))
    return "\n\n".join(parts)


def _ours(workload: dict[str, Any], name: str = OURS) -> Result | None:
    found = [each for each in map(from_json, workload["proxies"]) if each.proxy == name]
    return found[0] if found and found[0].sound else None


def _requests(results: dict[str, Any]) -> str:
    lines = [
        f"| load | CPU per request, µs | requests/s of a core | at {PLANNED:.0%} of it |",
        "|---|--:|--:|--:|",
    ]
    for workload in results["workloads"]:
        logged = workload["name"] == _LOGGED
        ours = _ours(workload, LOGGING if logged else OURS)
        if ours is not None and workload["name"] not in _BODIES:
            title = "small GET with an access log to a file" if logged else workload["title"]
            most = 1e6 / CPU.median(ours)
            cells = (_figure(CPU, ours), _round(most), _round(most * PLANNED))
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bodies(results: dict[str, Any]) -> str:
    lines = [
        f"| load | CPU per GB, s | Gbit/s of a core | at {PLANNED:.0%} of it |",
        "|---|--:|--:|--:|",
    ]
    for workload in results["workloads"]:
        ours = _ours(workload)
        if ours is not None and workload["name"] in _BODIES:
            most = 8 / CPU_PER_GB.median(ours)
            cells = (_figure(CPU_PER_GB, ours), plot.short(most), plot.short(most * PLANNED))
            lines.append(f"| {workload['title']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(figure: Figure, result: Result) -> str:
    return plot.short(figure.median(result))


def _memory(results: dict[str, Any], grown: dict[str, Any]) -> str:
    idle = idle_bytes(results)
    window = 2 * int(Limits().stream_window)
    connections, each = _connection(grown)
    return "\n".join(
        (
            "| memory | |",
            "|---|--:|",
            f"| the process, before anybody comes | {plot.short(idle / 1e6)} MB |",
            f"| a client connection with a request in flight, of {connections:,} | "
            f"{plot.short(each / 1e3)} kB |",
            f"| a stream whose windows are full, both ways | {window // 1024} KiB |",
            f"| such streams in a limit of {MEMORY // 1024**2} MiB | {_round(streams(results))} |",
        )
    )


def idle_bytes(results: dict[str, Any]) -> int:
    """Return what the process takes before anybody comes, in octets."""
    measured = (_ours(workload) for workload in results["workloads"])
    return max(each.idle_bytes for each in measured if each is not None)


def streams(results: dict[str, Any]) -> float:
    """Return how many streams with full windows fit into MEMORY, beside the process."""
    return (MEMORY - idle_bytes(results)) / (2 * int(Limits().stream_window))


def _connection(grown: dict[str, Any]) -> tuple[int, float]:
    """Return the most connections that were measured, and what each of them took, in octets."""
    (axis,) = [axis for axis in grown["axes"] if axis["name"] == "connections"]
    at, ours = [(step["at"], _ours(step)) for step in axis["steps"]][-1]
    if ours is None:
        raise ValueError(f"with {at} connections not everything went well")
    return at, (ours.peak_bytes - ours.idle_bytes) / at


def _round(value: float) -> str:
    """Write a number with the two digits that a measurement is worth."""
    return f"{float(f'{value:.2g}'):,.0f}"
