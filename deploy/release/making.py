"""Making: the steps from a tree of files to an sdist and wheels.

What goes into the octets is given: the files, their time, the packages that build, and no
variable that would change what a compiler does. What the machine is called, where the
folder lies and who builds is not among it.
"""

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Final

#: These change what is built, and are nobody's business but ours.
_UNASKED: Final = (
    "CFLAGS", "CPPFLAGS", "LDFLAGS", "PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT",
    "TRAILPROXY_PURE", "HATCH_BUILD_HOOKS_ENABLE",
)  # fmt: skip


class MakingError(Exception):
    """A package could not be made; the text says which, and why."""


def run(command: list[str], *, cwd: Path, environ: dict[str, str] | None = None) -> str:
    """Run a step; return what it printed.

    Raises:
        MakingError: it failed.
    """
    told = subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        umask=0o022,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
        check=False,
    )
    if told.returncode != 0:
        raise MakingError(f"{' '.join(command)} failed in {cwd}:\n{told.stdout.strip()}")
    return told.stdout


def sdist(python: str, tree: Path, out: Path, epoch: int) -> Path:
    """Make the source distribution of a tree."""
    return _make(python, "sdist", tree, out, _environ(epoch))


def pure_wheel(python: str, tree: Path, out: Path, epoch: int) -> Path:
    """Make the wheel that runs everywhere."""
    return _make(python, "wheel", tree, out, {**_environ(epoch), "TRAILPROXY_PURE": "1"})


def compiled_wheel(python: str, tree: Path, out: Path, epoch: int) -> Path:
    """Make a wheel for this Python and this kind of machine.

    Raises:
        MakingError: nothing was compiled.
    """
    made = _make(python, "wheel", tree, out, _environ(epoch))
    if made.name.endswith("-none-any.whl"):
        made.unlink()
        raise MakingError(
            f"{python} compiled nothing: is there a C compiler, and does `make build` work?"
        )
    return made


def honest(tools: Path, wheel: Path, out: Path, epoch: int) -> Path:
    """Name in the tag of a wheel the oldest C library that it runs with, and move it.

    auditwheel reads that from the symbols which the compiled modules ask for.
    """
    environ = _environ(epoch)
    environ["PATH"] = f"{tools}{os.pathsep}{environ.get('PATH', os.defpath)}"
    before = set(out.glob("*.whl"))
    repair = ["repair", "--plat", "auto", "--wheel-dir", str(out), str(wheel)]
    run([str(tools / "auditwheel"), *repair], cwd=wheel.parent, environ=environ)
    (made,) = set(out.glob("*.whl")) - before
    wheel.unlink()
    return made


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an sdist; return the folder in it."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


def _make(python: str, kind: str, tree: Path, out: Path, environ: dict[str, str]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    before = set(out.iterdir())
    command = [python, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    run(command, cwd=tree, environ=environ)
    (made,) = set(out.iterdir()) - before
    return made


def _environ(epoch: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _UNASKED}
    return {**kept, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
