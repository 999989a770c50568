"""A neighbour: somebody with a connection of his own, who asks again and again.

He is a process by himself, so that whoever attacks does not slow him down but through the
proxy. How long an answer takes is told in CPU time of the proxy, too: what else the machine
does makes that no longer, and what the proxy does before it answers is all in it.
`python -m tests.support.neighbour HOST PORT PID PATH`, then `go` and `stop` on stdin.
"""

import json
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.support.running import Proxy, cpu_of
from tests.support.scripted_peer import Peer

ROOT: Final = Path(__file__).parents[2]
_FEWEST: Final = 5  # answers, however short the time was
_PACE_S: Final = 0.002  # between an answer and the next question


@dataclass
class Report:
    """What became of his requests."""

    served: int = 0
    worst: float = 0.0  # seconds of the proxy's CPU time until an answer was whole
    lost: list[str] = field(default_factory=list)


class Neighbour:
    """The process, as a test holds it."""

    def __init__(self, proxy: Proxy, path: str) -> None:
        host, port = proxy.address
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.neighbour"),
                *(host, str(port), str(proxy.process.pid), path),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # its pipes are closed behind it
            self._process.kill()

    def begins(self) -> None:
        """Let him ask; return when he has had an answer."""
        self._says("go")
        self._hears()

    def stops(self) -> Report:
        """Let him finish what he asked, and tell."""
        self._says("stop")
        return Report(**json.loads(self._hears()))

    def _says(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _hears(self) -> str:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 20)[0], "the neighbour is silent"
        return self._process.stdout.readline()


class _Asker:
    """What the process does: ask, and take note."""

    def __init__(self, address: tuple[str, int], pid: int, path: str) -> None:
        self.report = Report()
        self._address = address
        self._pid = pid
        self._path = path
        self._peer = Peer.connect(address)

    def ask(self) -> None:
        """Ask once."""
        began, report = cpu_of(self._pid), self.report
        try:
            message = self._peer.response(self._peer.request(path=self._path))
        except (AssertionError, OSError) as error:
            report.lost.append(repr(error))
            self._peer.close()
            self._peer = Peer.connect(self._address)
            return
        report.worst = max(report.worst, cpu_of(self._pid) - began)
        if message.status == "200" and message.ended and message.trailers:
            report.served += 1
        else:
            report.lost.append(f"{message.status} {message.reset}")


def main() -> None:
    """Ask between `go` and `stop`, for as long as there is somebody to say so."""
    host, port, pid, path = sys.argv[1:]
    asker = _Asker((host, int(port)), int(pid), path)
    while sys.stdin.readline():
        asker.report = report = Report()
        asker.ask()
        _tell("begun")
        while not select.select([sys.stdin], [], [], _PACE_S)[0] or report.served < _FEWEST:
            asker.ask()
            if report.lost:
                break
        sys.stdin.readline()
        _tell(json.dumps(vars(report)))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
