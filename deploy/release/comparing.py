"""Comparing: whether two builds made the same octets, and if not, where they differ."""

import hashlib
import zipfile
from pathlib import Path


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def differences(made: list[Path], published: Path) -> list[str]:
    """Say of each package that was made how it differs from its namesake in a folder."""
    found = []
    for file in made:
        other = published / file.name
        if not other.is_file():
            found.append(f"{file.name}: there is none in {published}")
        elif file.read_bytes() != other.read_bytes():
            found.append(f"{file.name}: differs in {_where(file, other)}")
    return found


def _where(one: Path, other: Path) -> str:
    """Name the members of two wheels that differ, or say that it is the archive itself."""
    if one.suffix != ".whl":
        return "its octets; unpack both, and compare the folders"
    with zipfile.ZipFile(one) as a, zipfile.ZipFile(other) as b:
        names = sorted({*a.namelist(), *b.namelist()})
        ours, theirs = set(a.namelist()), set(b.namelist())
        apart = [
            name
            for name in names
            if name not in ours or name not in theirs or a.read(name) != b.read(name)
        ]
    return ", ".join(apart) or "how it is packed: another zlib, or other times"
