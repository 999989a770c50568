"""Workshop: a venv that holds what one lock says, and nothing else."""

import shutil
from pathlib import Path
from typing import Final

from deploy.release.making import run
from deploy.release.pythons import Python

ROOT: Final = Path(__file__).parents[2]
_PLACE: Final = ROOT / "build" / "release"


def workshop(python: Python, purpose: str) -> Path:
    """Return the folder of its programs; it is made on first need, and when the lock changes.

    Raises:
        MakingError: a package of requirements-PURPOSE.lock cannot be had.
    """
    place = _PLACE / f"{purpose}-{python.version}"
    lock = ROOT / f"requirements-{purpose}.lock"
    held, programs = place / lock.name, place / "bin"
    if not held.is_file() or held.read_bytes() != lock.read_bytes():
        run([python.program, "-m", "venv", "--clear", str(place)], cwd=ROOT)
        install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        only = ["--only-binary", ":all:", "--requirement", str(lock)]
        run([str(programs / "python"), "-m", "pip", *install, *only], cwd=ROOT)
        shutil.copy(lock, held)
    return programs
