"""Packages: an sdist, a pure wheel, and a compiled wheel for each Python, from one commit.

Nothing but the commit goes in, and its time is the time of every file. The wheels are made
from the sdist, by the packages of requirements-build.lock: whoever does the same gets the
same octets, and `--against` says whether he did.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from deploy.release.comparing import differences, digest
from deploy.release.making import (
    MakingError,
    compiled_wheel,
    honest,
    pure_wheel,
    run,
    sdist,
    unpack,
)  # fmt: skip
from deploy.release.pythons import VERSIONS, Python, find, this
from deploy.release.workshop import ROOT, workshop


def main(argv: Sequence[str] | None = None) -> int:
    """Make them; return the exit status."""
    asked = _parser().parse_args(argv)
    pythons = find(asked.python, dict(os.environ))
    for version in sorted(set(VERSIONS) - {python.version for python in pythons}):
        if f"python{version}" in asked.python:
            _say(f"there is no Python {version} here: no wheel is compiled for it")
    if _git("status", "--porcelain", "--untracked-files=no") and asked.commit == "HEAD":
        _say("what is not committed is left out")
    try:
        with tempfile.TemporaryDirectory(prefix="trailproxy-") as folder:
            made = list(_make(asked.commit, pythons, Path(folder), asked.out))
    except MakingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for file in made:
        _say(f"{digest(file)}  {file}")
    if asked.against is None:
        return 0
    apart = differences(made, asked.against)
    sys.stderr.writelines(f"{line}\n" for line in apart)
    if not apart:
        _say(f"the same octets as in {asked.against}: {len(made)} packages")
    return 1 if apart else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy.release.packages", description=__doc__)
    parser.add_argument("--commit", default="HEAD", help="what is built (default: HEAD)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where packages go")
    parser.add_argument("--against", type=Path, help="a folder of packages to compare with")
    parser.add_argument("python", nargs="*", help="compile for these; none: the pure wheel only")
    return parser


def _make(commit: str, pythons: list[Python], folder: Path, out: Path) -> Iterator[Path]:
    """Make all packages of a commit."""
    epoch = int(_git("show", "--no-patch", "--format=%ct", commit))
    tree = folder / "commit"
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(tree, filter="data")
    for old in out.glob("trailproxy-*"):
        old.unlink()
    python = workshop(this(), "build") / "python"
    source = sdist(str(python), tree, out.resolve(), epoch)
    yield source
    unpacked = unpack(source, folder / "sdist")
    yield pure_wheel(str(python), unpacked, out.resolve(), epoch)
    for each in pythons:
        _say(f"compiling for Python {each.version}")
        builder = workshop(each, "build") / "python"
        wheel = compiled_wheel(str(builder), unpacked, folder / each.version, epoch)
        yield honest(workshop(this(), "release"), wheel, out.resolve(), epoch)


def _git(*words: str) -> str:
    return run(["git", *words], cwd=ROOT).strip()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
