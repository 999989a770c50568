"""The image: what it promises, that its steps work without an engine, and with one."""

import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.shipped import ROOT, checked
from trailproxy import __version__

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def dockerfile() -> list[Instruction]:
    """Read the instructions, each with its arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines]


def test_the_image_keeps_its_promises(dockerfile: list[Instruction]) -> None:
    last_stage = max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM")
    stage = dict(dockerfile[last_stage:])
    assert stage["USER"].split(":")[0] not in ("0", "root")
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(stage["ENTRYPOINT"]) == ["trailproxy"]
    assert json.loads(stage["CMD"])[0] == "run"
    assert "RUN" not in stage
    assert "PYTHONDONTWRITEBYTECODE=1" in stage["ENV"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', stage["LABEL"]))
    assert labels.keys() >= {"title", "description", "version", "licenses"}
    assert labels["version"] == __version__
    installs = [what for _, what in dockerfile if "-m pip " in what and " install " in what]
    assert len(installs) == 4
    assert all(re.search("--require-hashes|--no-deps --no-index", each) for each in installs)


def listing(command: str) -> list[str]:
    """Return how a command lists the packages, without the place of the list."""
    _, *arguments = command.replace("\\\n", " ").split()
    out = arguments.index("--output-file")
    assert arguments[out + 1].endswith("/trailproxy.cdx.json")
    return arguments[:out] + arguments[out + 2 :]


def test_the_image_lists_exactly_the_packages_of_its_lock(
    dockerfile: list[Instruction], tmp_path: Path
) -> None:
    (step,) = [what for word, what in dockerfile if word == "RUN" and "cyclonedx-py" in what]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (verb,) = re.findall(r"^\t\S+/cyclonedx-py (?:.*\\\n)*.*$", makefile, re.MULTILINE)
    assert listing(verb) == listing(step)
    # whether the list is CycloneDX to the letter is seen when it is made; that takes 6 s of CPU
    tool, out = Path(sys.executable).parent / "cyclonedx-py", tmp_path / "list.json"
    subprocess.run(
        [tool, *listing(step), "--no-validate", "--output-file", out],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )

    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["bomFormat"] == "CycloneDX"
    assert told["metadata"]["component"]["name"] == "trailproxy"
    listed = {each["name"]: each for each in told["components"]}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.split(r"\n(?=\S)", lock.strip())
    assert len(pins) == len(listed) == len(told["components"])
    for pin in pins:
        name, version = re.split(r"[=\s]+", pin)[:2]
        assert listed[name]["version"] == version
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{version}"
        (distribution,) = listed[name]["externalReferences"]
        hashes = [each["content"] for each in distribution["hashes"]]
        assert hashes == re.findall(r"--hash=sha256:(\w+)", pin)


def test_the_list_is_where_the_label_says_and_its_tool_stays_behind(
    dockerfile: list[Instruction],
) -> None:
    last_stage = max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM")
    stage = dockerfile[last_stage:]
    (place,) = re.findall(r'trailproxy\.sbom="(.+?)"', dict(stage)["LABEL"])
    copied = [what.split() for word, what in stage if word == "COPY"]
    assert all(each[0] == "--from=build" for each in copied)
    assert {each[1]: each[2] for each in copied} == {
        "/opt/venv": "/opt/venv",
        f"/opt/{Path(place).name}": place,
    }
    assert place in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


class Healthy(http.server.BaseHTTPRequestHandler):
    """An admin page that says what it was made to say."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False)])
def test_the_health_check_tells(dockerfile: list[Instruction], status: int, healthy: bool) -> None:
    check = dict(dockerfile)["HEALTHCHECK"].partition("CMD ")[2]
    _, *arguments = json.loads(check)
    answers = type("Answers", (Healthy,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), answers) as server:
        server.timeout = 10
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        asked = [part.replace("9901", str(server.server_port)) for part in arguments]
        told = subprocess.run(
            [sys.executable, *asked], capture_output=True, timeout=20, check=False
        )
        thread.join()
    assert (told.returncode == 0) is healthy


# -- without an engine --------------------------------------------------------------------


class Room:
    """A folder that stands for the root of a stage, and an environment that is clean."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.bin = folder / "python" / "bin"
        venv.create(folder / "python", with_pip=True)
        self.folder = self.root
        keep = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        keep |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        self.environ = {**keep, "PATH": f"{self.bin}:/usr/bin:/bin", "TRAILPROXY_PURE": "1"}
        self.ran: list[str] = []

    def place(self, path: str) -> Path:
        """Return where an absolute or relative path of the stage is."""
        return self.root / path.lstrip("/") if path.startswith("/") else self.folder / path

    def env(self, what: str) -> None:
        """Set variables."""
        self.environ.update(word.split("=", 1) for word in what.split())

    def workdir(self, what: str) -> None:
        """Go to a folder."""
        self.folder = self.place(what)
        self.folder.mkdir(parents=True, exist_ok=True)

    def copy(self, what: str) -> None:
        """Copy from the context what .dockerignore leaves in it."""
        *sources, target = what.split()
        left = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
        assert set(sources) <= set(left)
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so")
                shutil.copytree(ROOT / source, self.place(target), ignore=ignored)
            else:
                shutil.copy(ROOT / source, self.place(target))

    def run(self, what: str) -> None:
        """Run a command, but for those that install packages of the system."""
        self.ran.append(what)
        if what.startswith("apt-get"):
            return
        command = re.sub(r"(?<![\w.])/(?=opt/)", f"{self.root}/", what)
        told = subprocess.run(
            ["sh", "-ec", command],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert told.returncode == 0, f"{what}:\n{told.stdout}{told.stderr}"


@pytest.fixture(scope="module")
def built(dockerfile: list[Instruction], tmp_path_factory: pytest.TempPathFactory) -> Room:
    """Do what the first stage says. What `make build` compiles is left as it is."""
    room = Room(tmp_path_factory.mktemp("image"))
    room.root.mkdir()
    does = {"ENV": room.env, "WORKDIR": room.workdir, "COPY": room.copy, "RUN": room.run}
    last_stage = max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM")
    for word, what in dockerfile[1:last_stage]:
        does[word](what)
    return room


@pytest.mark.slow
def test_every_step_works_where_no_engine_runs(dockerfile: list[Instruction], built: Room) -> None:
    assert built.ran == [what for word, what in dockerfile if word == "RUN"]
    for word, what in dockerfile:
        if word == "COPY" and what.startswith("--from="):
            assert built.place(what.split()[1]).exists()
    program = str(built.place("/opt/venv/bin/trailproxy"))
    assert f"trailproxy {__version__}" in checked(program, "--version")
    once = checked(program, "demo", "--once", "--port", "0", "--admin-port", "0")
    assert "head, body and trailers arrived" in once


@pytest.mark.slow
def test_nothing_is_in_the_image_that_a_running_proxy_does_not_need(built: Room) -> None:
    (packages,) = built.place("/opt/venv/lib").glob("python*/site-packages")
    there = {each.name.partition("-")[0].lower() for each in packages.glob("*.dist-info")}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    assert there == {"trailproxy", *(name.lower().replace("-", "_") for name in locked)}


@pytest.mark.slow
def test_nothing_is_compiled_at_run_time(built: Room) -> None:
    (source,) = built.place("/opt/venv/lib").rglob("trailproxy/app.py")
    compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    assert int.from_bytes(compiled[4:8], "little") == 0b01, "by its hash, which nobody checks"


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_is_there_for_both_processors(machine: str, tmp_path: Path) -> None:
    """The image has a compiler for our own code alone: what it installs comes as wheels."""
    pins: set[str] = set()
    for lock in ("requirements.lock", "requirements-build.lock"):
        text = (ROOT / lock).read_text(encoding="utf-8")
        pins.update(re.findall(r"^[\w.-]+==[\w.]+", text, re.MULTILINE))
    wheels = (f"--platform=manylinux{each}_{machine}" for each in ("_2_28", "_2_17", "2014"))
    only = ("--only-binary=:all:", "--python-version=3.13", "--implementation=cp", "--target=none")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
    dry = ("--dry-run", "--ignore-installed", "--quiet", "--no-deps")
    checked(*pip, *dry, *only, *wheels, *sorted(pins), patience_s=300)


# -- with one -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> str:
    """Return the program that asks a container engine, if one runs."""
    for program in ("docker", "podman"):
        if shutil.which(program) is None:
            continue
        told = subprocess.run([program, "info"], capture_output=True, timeout=20, check=False)
        if told.returncode == 0:
            return program
    pytest.skip("no container engine runs here")


@pytest.fixture(scope="module")
def image(engine: str) -> Iterator[str]:
    """Build it."""
    name = f"trailproxy:test-{os.getpid()}"
    checked(engine, "build", "--tag", name, ".", patience_s=1800)
    yield name
    checked(engine, "rmi", "--force", name)


@pytest.mark.slow
def test_the_image_runs_without_root_and_writes_nothing(engine: str, image: str) -> None:
    confined = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--rm")
    run = (engine, "run", *confined, "--network=none", image)
    version = checked(*run, "--version")
    assert f"trailproxy {__version__}" in version
    assert "compiled" in version
    once = checked(*run, "demo", "--once")
    assert "head, body and trailers arrived" in once
    user = checked(engine, "inspect", "--format", "{{.Config.User}}", image).strip()
    assert user == "65532:65532"
