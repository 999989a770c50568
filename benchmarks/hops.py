"""Which proxy keeps which promise: `make hops`. The table in docs/probe.md is made of it.

Each proxy found on this machine stands between `trailproxy probe` and its origin, once
for plain HTTP/2 and once for gRPC. All is on loopback, and ends by itself.
"""

import argparse
import contextlib
import datetime
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.configurations import Site
from benchmarks.peers import OURS, PEERS, found
from benchmarks.process import ROOT, Process, free_port
from benchmarks.publish import PublishError, number

BEGIN: Final = "<!-- hops:begin -->"
END: Final = "<!-- hops:end -->"
PAGE: Final = Path("docs/probe.md")
SAVED: Final = Path("docs/probe.json")
HOPS: Final = (OURS, *(peer.name for peer in PEERS if peer.third_party))
TALKS: Final = ("plain", "gRPC")

_PATH: Final = "/probe.Probe/Any"
_START_S: Final = 20.0
_TALK_S: Final = 300.0
_CORES: Final = frozenset(os.sched_getaffinity(0))


# -- what is found ---------------------------------------------------------------------------


def measure(names: Sequence[str]) -> dict[str, Any]:
    """Probe the named hops that are on this machine; return what was found."""
    programs = found(names)
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as running:
        directory = Path(home)
        origin = free_port()
        serve = ["-m", "trailproxy", "probe", "--serve", "--bind", f"127.0.0.1:{origin}"]
        running.enter_context(_started([sys.executable, *serve], origin, directory / "origin.log"))
        ports = {}
        for peer, program in programs.items():
            folder = directory / peer.name
            folder.mkdir()
            site = Site(port=free_port(), origin_port=origin, directory=folder)
            command = peer.command(program, site)
            running.enter_context(_started(command, site.port, folder / "log"))
            ports[peer.name] = site.port
        talks = {talk: _probe(origin, list(ports.values()), talk) for talk in TALKS}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hops": [
            {
                "name": peer.name,
                "version": number(peer.version(program)),
                **{talk: talks[talk][place]["findings"] for talk in TALKS},
            }
            for place, (peer, program) in enumerate(programs.items(), 1)
        ],
    }


@contextlib.contextmanager
def _started(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with Process(command, cores=_CORES, log=log) as process:
        deadline = time.monotonic() + _START_S
        while not _listens(port):
            if not process.alive or time.monotonic() > deadline:
                raise PublishError(f"{command[0]} does not listen: {process.last_words()}")
            time.sleep(0.05)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _probe(origin: int, ports: list[int], talk: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "trailproxy", "probe", f"http://127.0.0.1:{origin}{_PATH}"]
    for port in ports:
        command += ["--via", f"http://127.0.0.1:{port}"]
    command += ["--json", *(["--grpc"] if talk == "gRPC" else [])]
    said = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=_TALK_S, check=False
    )
    if said.returncode not in (0, 1):
        raise PublishError(said.stderr.strip())
    ways: list[dict[str, Any]] = json.loads(said.stdout)["ways"]
    return ways


# -- the words -------------------------------------------------------------------------------


def block(saved: dict[str, Any]) -> str:
    """Return what stands on the page: one row a promise, and what broke."""
    hops = saved["hops"]
    titles = [f"{hop['name']} {hop['version']}" for hop in hops]
    lines = [
        f"| case | {' | '.join(titles)} | section |",
        f"|---|{'---|' * len(hops)}---|",
    ]
    cases = hops[0][TALKS[0]]
    for place, case in enumerate(cases):
        cells = [_cell([hop[talk][place] for talk in TALKS]) for hop in hops]
        lines.append(f"| `{case['case']}` | {' | '.join(cells)} | {case['section']} |")
    lines += ["", f"Found on {saved['date']} by `make hops`. What was not kept:", ""]
    for hop in hops:
        lines += _losses(hop)
    return "\n".join(lines)


def _cell(findings: list[dict[str, str]]) -> str:
    """Say what became of a promise; where plain HTTP/2 and gRPC differ, of both."""
    words = [finding["verdict"] for finding in findings]
    tried = [word for word in words if word != "skipped"]
    if len(set(tried)) < 2:
        return _loud(tried[0]) if tried else "–"
    return ", ".join(f"{talk}: {_loud(word)}" for talk, word in zip(TALKS, words, strict=True))


def _loud(word: str) -> str:
    return f"**{word}**" if word == "broken" else word


def _losses(hop: dict[str, Any]) -> list[str]:
    whys: dict[str, list[str]] = {}
    for talk in TALKS:
        for finding in hop[talk]:
            if finding["verdict"] not in ("kept", "skipped"):
                told = whys.setdefault(f"`{finding['case']}`: {finding['why']}", [])
                told.append(talk)
    if not whys:
        return [f"- **{hop['name']}**: nothing."]
    said = [
        why if len(talks) == len(TALKS) else f"{why} ({talks[0]})" for why, talks in whys.items()
    ]
    return [f"- **{hop['name']}**: {'; '.join(said)}."]


def page(text: str, saved: dict[str, Any]) -> str:
    """Return the page with the table in its place.

    Raises:
        PublishError: it has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise PublishError(f"{PAGE} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block(saved)}\n{END}{behind}"


def main(argv: Sequence[str] | None = None) -> int:
    """Probe, save, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hops", description=__doc__)
    parser.add_argument("--hops", nargs="+", choices=HOPS, default=HOPS, metavar="NAME")
    parser.add_argument("--dry", action="store_true", help="print what was found, write nothing")
    chosen = parser.parse_args(argv)
    try:
        saved = measure(chosen.hops)
        print(block(saved))
        if not chosen.dry:
            (ROOT / PAGE).write_text(page((ROOT / PAGE).read_text(), saved))
            (ROOT / SAVED).write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n")
    except PublishError as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
