"""Finding: an input that broke a law, kept so that anybody can play it again."""

import hashlib
from pathlib import Path
from typing import Final

from benchmarks.process import ROOT

KEPT: Final = ROOT / "benchmarks" / "results"


def keep(name: str, octets: bytes, folder: Path = KEPT, build: str = "") -> str:
    """Write an input of a target down; return the command line that plays it again.

    Args:
        name: of the target.
        octets: the input.
        folder: where it is written.
        build: what stands before the command line, where the build matters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"fuzz-{name}-{hashlib.sha256(octets).hexdigest()[:12]}"
    file.write_bytes(octets)
    return f"{build}python -m benchmarks.fuzz {name} --play {file}"


def kept(name: str, folder: Path = KEPT) -> list[Path]:
    """Return what was kept of a target."""
    return sorted(folder.glob(f"fuzz-{name}-*"))
