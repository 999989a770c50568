"""The units of systemd: systemd understands them, and the proxy runs within what they leave it."""

import asyncio
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.backend import running_backend
from tests.support.certificates import make_certificates
from tests.support.running import settings
from tests.support.shipped import DEPLOY, ROOT, tool
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.net.local import connect
from trailproxy.ops.settings import load
from trailproxy.wire.events import HeadReceived

UNITS = DEPLOY / "systemd"
SERVICE = UNITS / "trailproxy.service"
SOCKET = UNITS / "trailproxy.socket"
PROGRAM = "/opt/trailproxy/bin/trailproxy"
CONFIGURATION = ROOT / "config" / "sidecar.yaml"
CONFINED = ("tests/support/confined.py", str(SERVICE))
LOG = {"path": "off"}


def settings_of(unit: Path, section: str) -> dict[str, list[str]]:
    """Read a section, in which a key may stand several times."""
    body = unit.read_text(encoding="utf-8").partition(f"[{section}]")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", body, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """Return copies of the units, which name a program that is there."""
    program = Path(sys.executable).parent / "trailproxy"
    for unit in (SERVICE, SOCKET):
        text = unit.read_text(encoding="utf-8").replace(PROGRAM, str(program))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return [str(tmp_path / unit.name) for unit in (SERVICE, SOCKET)]


def analyse(*arguments: str) -> str:
    told = subprocess.run(
        [tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


def test_systemd_understands_every_word(installed: list[str]) -> None:
    assert analyse("verify", "--man=no", *installed) == ""


def test_the_service_is_exposed_to_little(installed: list[str]) -> None:
    # in tenths: what is left is the network, and the file system it reads its files from
    analyse("security", "--offline=true", "--threshold=12", "--no-pager", installed[0])


def test_the_sockets_are_those_of_the_configuration() -> None:
    settings = load(CONFIGURATION, {})
    binds = [*(listener.bind for listener in settings.listeners), settings.admin.bind]
    assert settings_of(SOCKET, "Socket")["ListenStream"] == binds


def test_the_service_waits_for_the_drain_and_reloads_what_is_good() -> None:
    service = settings_of(SERVICE, "Service")
    configuration = "/etc/trailproxy/trailproxy.yaml"
    assert float(service["TimeoutStopSec"][0]) > load(CONFIGURATION, {}).drain_timeout + 10
    assert service["ExecStart"] == [f"{PROGRAM} run -c {configuration}"]
    check, signal = service["ExecReload"]
    assert check == f"{PROGRAM} check -c {configuration}"
    assert signal.split()[1:] == ["-HUP", "$MAINPID"]
    assert service["KillMode"] == ["mixed"]
    assert service["RestartPreventExitStatus"] == ["2"]


async def asked(port: int, tls: ssl.SSLContext, path: str) -> int:
    """Return the status of one request over TLS."""
    connection = await connect(Address("127.0.0.1", port), tls)
    head = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", path)]
    try:
        answer = await connection.receive(await connection.open(head, end=True))
    finally:
        connection.transport.abort()
    assert isinstance(answer, HeadReceived)
    return answer.fields.status


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.e2e
@pytest.mark.slow
async def test_the_proxy_runs_within_what_the_service_leaves_it(tmp_path: Path) -> None:
    """With workers, TLS, names and patterns: with what loads the most libraries."""
    tool("systemd-analyze")
    certificates = make_certificates(tmp_path)
    file, log = tmp_path / "trailproxy.yaml", tmp_path / "told"
    with running_backend() as backend:
        port = backend.endpoint.rpartition(":")[2]
        pattern = {"name": "some", "match": {"path_regex": "/bytes/[0-9]+"}, "upstream": "app"}
        whole = settings(f"localhost:{port}", workers=2, routes=[pattern], access_log=LOG)
        whole["listeners"][0]["tls"] = certificates.server_tls()
        front = int(whole["listeners"][0]["bind"].rpartition(":")[2])
        file.write_text(yaml.safe_dump(whole))
        command = (sys.executable, "-m", "trailproxy", "run", "-c", str(file))
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *CONFINED, *command, cwd=ROOT, stdout=out, stderr=out
            )
        try:
            await until(lambda: process.returncode is not None or listening(front), 60)
            tls = certificates.client_context()
            assert await asked(front, tls, "/bytes/10") == 200
            assert await asked(front, tls, "/other") == 404
            process.send_signal(signal.SIGHUP)
            await until(lambda: "reloaded" in log.read_text(), 20)
            assert await asked(front, tls, "/bytes/10") == 200
            process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() == 0, log.read_text()
        finally:
            if process.returncode is None:
                process.kill()
    assert not re.search("Traceback|not permitted", log.read_text())


@pytest.mark.parametrize(
    "attempt",
    [
        "import mmap; mmap.mmap(-1, 4096, prot=7)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "import os; os.chroot('/')",
        "import os; os.nice(-1)",
    ],
    ids=["writable code", "netlink", "chroot", "nice"],
)
def test_what_the_service_does_not_leave_it_is_refused(attempt: str) -> None:
    tool("systemd-analyze")
    told = subprocess.run(
        [sys.executable, *CONFINED, sys.executable, "-c", attempt],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=ROOT,
    )
    assert "Operation not permitted" in told.stderr
