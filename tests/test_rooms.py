"""The rooms: imports run one way, each outside package has one door, no file is too long."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trailproxy

PACKAGE = Path(trailproxy.__file__).parent
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
MOST_LINES = 400

MAY_IMPORT = {
    "top": {"top", "probe", "replay", "net", "ops", "core", "wire"},
    "probe": {"probe", "net", "core", "wire"},
    "replay": {"replay", "probe", "net", "core", "wire"},
    "net": {"net", "core", "wire"},
    "ops": {"ops", "core", "wire"},
    "core": {"core", "wire"},
    "wire": {"wire"},
}
IO = {"aiohttp", "asyncio", "msgspec", "prometheus_client", "socket", "ssl", "yaml"}
BANNED = {"core": IO, "wire": IO | {"logging", "time"}}
DOORS = {
    "h2": "wire/hyper/",
    "hpack": "wire/hyper/",
    "hyperframe": "wire/hyper/",
    "aiohttp": "ops/admin.py",
    "opentelemetry": "ops/tracing.py",
    "re2": "ops/patterns.py",
    "rich": "probe/report.py",
    "shtab": "completion.py",
}


def room_of(module: list[str]) -> str:
    """Name the room of a module of the package; what stands beside the rooms is the top."""
    return module[0] if module and module[0] in MAY_IMPORT else "top"


def imports_of(file: Path) -> list[list[str]]:
    """List every import in a file, wherever it stands; `from package import room` is one."""
    found: list[str] = []
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "trailproxy":
            found += [f"trailproxy.{alias.name}" for alias in node.names if alias.name[0] != "_"]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return [name.split(".") for name in found]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file: Path) -> None:
    room = room_of(list(file.parts))
    for name, *inner in imports_of(file):
        if name == "trailproxy":
            assert room_of(inner) in MAY_IMPORT[room], f"{room} must not know {'.'.join(inner)}"
        assert name not in BANNED.get(room, set()), f"{room} must not import {name}"
        door = DOORS.get(name, "")
        assert str(file).startswith(door), f"only {door} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_stay_short(file: Path) -> None:
    lines = (PACKAGE / file).read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES


def test_a_proxy_loads_only_what_it_needs() -> None:
    """Each of these is large, and behind a door that most configurations never open."""
    code = "import sys, trailproxy.cli, trailproxy.app, trailproxy.supervisor; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    modules = set(told.stdout.split())
    loaded = {name.partition(".")[0] for name in modules}
    assert not loaded & {"h2", "opentelemetry", "re2", "rich", "shtab"}
    assert "trailproxy.ops.live" not in modules  # until somebody looks on
