"""Corpus: what the guided engine begins with, and what it leaves for the next run.

Inputs that reached new places are kept from run to run, in a folder that git does not see.
A run takes up as many as it has time for: what was a finding, what is made up anew, and
the newest of the rest.
"""

from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.fuzz.finding import KEPT, kept
from benchmarks.fuzz.target import Target

_A_SECOND: Final = 15  # inputs to begin with, for each second of a run
_MADE_UP: Final = 100  # of them, at most
_TRIES: Final = 10  # to make one up that is not too long
_MOST: Final = 5000  # inputs that are kept of a target


def begin(target: Target, seconds: float, seed: int, work: Path, folder: Path = KEPT) -> list[Path]:
    """Return the inputs that a run begins with; what is made up is written to `work`."""
    most = max(int(seconds * _A_SECOND), 2)
    made = [_write(work, number, octets) for number, octets in enumerate(_made(target, seed, most))]
    return (kept(target.name, folder) + made + _newest(target, folder))[:most]


def _made(target: Target, seed: int, most: int) -> list[bytes]:
    wanted = min(most // 2, _MADE_UP)
    made = (target.make(Random(f"{seed}/{number}")) for number in range(wanted * _TRIES))
    fitting = (octets for octets in made if 0 < len(octets) <= target.longest)
    return list(islice(fitting, wanted))


def _write(work: Path, number: int, octets: bytes) -> Path:
    file = work / f"made-{number}"
    file.write_bytes(octets)
    return file


def take_up(target: Target, new: Path, folder: Path = KEPT) -> int:
    """Keep what a run has left in `new`, and only so much of it all; return how many were new."""
    place = _place(target, folder)
    place.mkdir(parents=True, exist_ok=True)
    files = list(new.iterdir())
    for file in files:
        (place / file.name).write_bytes(file.read_bytes())
    for old in _newest(target, folder)[_MOST:]:
        old.unlink()
    return len(files)


def _place(target: Target, folder: Path) -> Path:
    return folder / "corpus" / target.name


def _newest(target: Target, folder: Path) -> list[Path]:
    files = _place(target, folder).glob("*")
    return sorted(files, key=lambda file: (file.stat().st_mtime, file.name), reverse=True)
