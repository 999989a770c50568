"""Pythons: which of those that wheels are built for are on this machine."""

import json
import os
import shutil
import subprocess
import sys
from typing import Final, NamedTuple

#: Compiled wheels are made for these; all others get the pure one.
VERSIONS: Final = ("3.11", "3.12", "3.13")

_ASK: Final = (
    "import json, platform, sys; print(json.dumps([sys.executable, "
    "platform.python_implementation(), '.'.join(map(str, sys.version_info[:2]))]))"
)


class Python(NamedTuple):
    """An interpreter that runs."""

    program: str
    version: str


def this() -> Python:
    """Return the one that runs this."""
    return Python(sys.executable, "{}.{}".format(*sys.version_info))


def find(names: list[str], environ: dict[str, str]) -> list[Python]:
    """Return those of the programs that are there, and run; of each version the first.

    Args:
        names: of programs, or paths to them.
        environ: PATH says where they are. What pyenv puts there runs only if it is let:
            all its versions are, unless PYENV_VERSION says which.
    """
    environ = _with_pyenv(environ)
    found: dict[str, Python] = {}
    for name in names:
        python = _ask(name, environ)
        if python is not None and python.version in VERSIONS:
            found.setdefault(python.version, python)
    return list(found.values())


def _ask(name: str, environ: dict[str, str]) -> Python | None:
    program = shutil.which(name, path=environ.get("PATH", os.defpath))
    if program is None:
        return None
    told = subprocess.run(
        [program, "-I", "-c", _ASK],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    if told.returncode != 0:
        return None
    executable, implementation, version = json.loads(told.stdout)
    return Python(executable, version) if implementation == "CPython" else None


def _with_pyenv(environ: dict[str, str]) -> dict[str, str]:
    """Let every version of pyenv answer to its name, where there is a pyenv."""
    pyenv = shutil.which("pyenv", path=environ.get("PATH", os.defpath))
    if pyenv is None or "PYENV_VERSION" in environ:
        return environ
    told = subprocess.run(
        [pyenv, "versions", "--bare"],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    return {**environ, "PYENV_VERSION": ":".join(told.stdout.split())}
