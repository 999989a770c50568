"""What is shipped beside the package, and the tools that judge it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def relative(path: Path) -> str:
    """Name a file in the ids of tests."""
    return str(path.relative_to(ROOT))


def tool(name: str, *others: str, built_with: str = "") -> str:
    """Return where a tool is: on the PATH, or where `go install` puts it.

    Without it the test is skipped. Where tools are required it fails, unless there is nothing
    to build it with.

    Args:
        name: of the tool.
        others: tools that do the same.
        built_with: the compiler of one that no package brings.
    """
    for each in (name, *others):
        for place in (shutil.which(each), Path.home() / "go" / "bin" / each):
            if place and Path(place).is_file():
                return str(place)
    missing = f"{name} is not installed"
    if os.environ.get("TRAILPROXY_REQUIRE_TOOLS") == "1":
        if not built_with or shutil.which(built_with):
            pytest.fail(missing)
        missing += f", and there is no {built_with} to build it with"
    pytest.skip(missing)


def checked(*command: str, patience_s: float = 60) -> str:
    """Run a tool that must succeed; return what it printed."""
    told = subprocess.run(
        command, capture_output=True, text=True, timeout=patience_s, check=False, cwd=ROOT
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout
