"""Wheels: those of a release, made in containers by cibuildwheel, twice.

The containers have the old C library that the tags of manylinux are named after, and one of
each Python; [tool.cibuildwheel] in pyproject.toml says which, and how each wheel is tried.
The wheels come from the sdist in dist/, and go beside it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.release.comparing import differences, digest
from deploy.release.making import MakingError, run
from deploy.release.pythons import this
from deploy.release.workshop import ROOT, workshop


def main() -> int:
    """Make them; return the exit status."""
    dist, rounds = ROOT / "dist", ROOT / "build" / "wheels"
    sdists = sorted(dist.glob("trailproxy-*.tar.gz"))
    if len(sdists) != 1:
        sys.stderr.write(f"{dist} has {len(sdists)} sdists, and one is needed: make packages\n")
        return 1
    shutil.rmtree(rounds, ignore_errors=True)
    try:
        once, again = (_make(sdists[0], rounds / each) for each in ("once", "again"))
    except MakingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    apart = differences(once, rounds / "again")
    sys.stderr.writelines(f"{line}\n" for line in apart)
    if apart or len(once) != len(again):
        return 1
    for wheel in once:
        shutil.copy(wheel, dist)
        sys.stdout.write(f"{digest(wheel)}  {dist / wheel.name}\n")
    return 0


def _make(sdist: Path, out: Path) -> list[Path]:
    epoch = run(["git", "show", "--no-patch", "--format=%ct"], cwd=ROOT).strip()
    environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONHASHSEED": "0"}
    program = workshop(this(), "release") / "cibuildwheel"
    command = [str(program), "--platform", "linux", "--output-dir", str(out), str(sdist)]
    if subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode != 0:
        raise MakingError("cibuildwheel has failed; it says why. Does an engine run?")
    return sorted(out.glob("*.whl"))


if __name__ == "__main__":
    sys.exit(main())
