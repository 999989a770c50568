"""Measure trailproxy beside its peers: `make bench`, or `python -m benchmarks.run --help`.

Prints a table for each workload and saves every raw round as JSON. What is not on this
machine is named and left out; nothing that was started outlives the run.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report, workloads
from benchmarks.contest import Contest, stage
from benchmarks.peers import OURS, PEERS, Peer, asks, default_codec, found
from benchmarks.process import raise_descriptor_limit
from benchmarks.result import as_json
from benchmarks.targets import judge
from benchmarks.workloads import WORKLOADS, Workload
from trailproxy.wire import CODECS

RESULTS = Path(__file__).parent / "results" / "latest.json"
TOOLS = {"h2load": "nghttp2-client", "nghttp": "nghttp2-client", "nghttpd": "nghttp2-server"}


def chosen_names(wanted: str, known: Sequence[str]) -> list[str]:
    """Resolve a comma-separated choice; nothing means all.

    Raises:
        ValueError: a name is not known.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown name {name!r}; known: {', '.join(known)}")
    return names or list(known)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    loads = [workload.name for workload in WORKLOADS]
    proxies = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--workloads", default="", help=f"of: {', '.join(loads)}")
    parser.add_argument("--proxies", default="", help=f"of: {', '.join(proxies)}")
    parser.add_argument("--only", default="", help="workloads and proxies in one list")
    parser.add_argument("--rounds", type=int, default=5, help="the median of these is shown")
    parser.add_argument("--seconds", type=float, default=1.5, help="about how long a round lasts")
    parser.add_argument("--codec", default="", choices=CODECS, help="trailproxy's; else its own")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    try:
        only = chosen_names(chosen.only, loads + proxies) if chosen.only else []
        in_loads, in_proxies = ",".join(set(only) & set(loads)), ",".join(set(only) & set(proxies))
        chosen.workloads = chosen_names(chosen.workloads or in_loads, loads)
        chosen.proxies = chosen_names(chosen.proxies or in_proxies, proxies)
    except ValueError as wrong:
        parser.error(str(wrong))
    return chosen


def complain(missing: Sequence[str]) -> int:
    """Say which tools to install."""
    packages = " ".join(sorted({TOOLS[tool] for tool in missing}))
    print(f"benchmarks need {', '.join(missing)} (Debian: apt-get install {packages})")
    return 2


def surroundings(peers: Mapping[Peer, str]) -> dict[str, Any]:
    """Return what the figures depend on: the machine, and the version of everything."""
    versions = {tool: asks("--version")(tool) for tool in ("h2load", "nghttpd")}
    versions |= {peer.name: peer.version(program) for peer, program in peers.items()}
    return {"machine": report.machine(), "versions": versions}


def show_surroundings(facts: dict[str, Any], absent: Sequence[Peer]) -> None:
    """Print what the figures depend on."""
    for name, value in facts["machine"].items():
        print(f"{name.replace('_', ' '):>20}  {value}")
    for name, version in facts["versions"].items():
        print(f"{name:>20}  {version}")
    for peer in absent:
        where = f" ({peer.origin})" if peer.origin else ""
        print(f"{peer.name:>20}  not found, left out{where}")


def hold(contest: Contest, workload: Workload) -> dict[str, Any]:
    """Measure one workload, print its table, and return it for the file."""
    ceiling = contest.warm_up(workload, contest.stage.origins[workload.scheme])
    print(f"\n{report.headline(workload, ceiling)}", flush=True)
    results = contest.compare(workload)
    colour = sys.stdout.isatty()
    print(report.table(results, colour=colour, ours=OURS), flush=True)
    if verdicts := [judge(target, results) for target in workload.targets]:
        print(report.promises(verdicts, colour=colour), flush=True)
    return {
        "name": workload.name,
        "title": workload.title,
        "rate_without_proxy": ceiling,
        "proxies": [as_json(result) for result in results],
    }


def save(file: Path, measured: dict[str, Any]) -> None:
    """Keep what was measured, and say where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(measured, indent=2) + "\n")
    print(f"\nraw rounds: {file}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, save; 1 if trailproxy was to be measured and could not be."""
    chosen = arguments(argv)
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return complain(missing)
    # An outer time limit ends us with SIGTERM: leave through the `with`s all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise_descriptor_limit()
    peers = found(chosen.proxies)
    facts = surroundings(peers)
    wanted = [peer for peer in PEERS if peer.name in chosen.proxies]
    show_surroundings(facts, [peer for peer in wanted if peer not in peers])

    loads = [workload for workload in WORKLOADS if workload.name in chosen.workloads]
    with tempfile.TemporaryDirectory(prefix="trailproxy-bench-") as name:
        workloads.prepare(Path(name), loads)
        with stage(Path(name)) as there:
            contest = Contest(there, peers, chosen.rounds, chosen.seconds, chosen.codec)
            held = [hold(contest, workload) for workload in loads]

    codec = chosen.codec or default_codec()
    settings = {"rounds": chosen.rounds, "seconds": chosen.seconds, "codec": codec}
    save(chosen.json, {**facts, **settings, "workloads": held})
    ours = [row for each in held for row in each["proxies"] if row["proxy"] == OURS]
    return int(any(row["trouble"] for row in ours))


if __name__ == "__main__":
    sys.exit(main())
