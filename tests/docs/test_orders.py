"""Commands that stand alone on a page are given to a proxy that runs."""

import json
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.pages import DOCS, ROOT, Block, blocks
from tests.support.running import eventually, free_port
from tests.support.shipped import tool
from tests.support.terminal import Terminal, terminal
from tests.support.walk import at_hand, steps

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

README = ROOT / "README.md"
ROUTES = """
listeners: [{name: main, bind: "127.0.0.1:${PORT}"}]
upstreams: [{name: app, endpoints: ["${APP}"], connect_timeout: 2s}]
routes: [{name: greeter, match: {}, upstream: app}]
admin: {bind: "${ADMIN}"}
access_log: {path: "off"}
"""


def orders(page: Path, first: str) -> list[str]:
    """Return the commands of the block that begins so, without their comments."""
    (found,) = [block for block in blocks(page) if block.first.startswith(first)]
    return [step.command.partition("  #")[0].strip() for step in steps(found)]


class Desk:
    """A terminal, and the ports that stand for those of the pages."""

    def __init__(self, shell: Terminal) -> None:
        self._shell = shell
        self.ports = {port: str(free_port()) for port in ("8080", "9901", "50051")}
        self.run(f"export PORT={self.ports['8080']} ADMIN=127.0.0.1:{self.ports['9901']}")
        self.run(f"export APP=127.0.0.1:{self.ports['50051']}")

    def real(self, command: str) -> str:
        for written, real in self.ports.items():
            command = command.replace(f":{written}", f":{real}")
        return command

    def run(self, command: str) -> str:
        """Run a command that must succeed; return what it said."""
        status, said = self._shell.run(self.real(command))
        assert status == 0, f"{command}\n{said}"
        return said

    def start(self, command: str) -> None:
        """Run a proxy in the background, and wait for it."""
        self.run(f"{command} > /dev/null 2>&1 & PID=$!")
        ready = self.real("curl -s http://127.0.0.1:9901/readyz")
        eventually(lambda: self._shell.run(ready)[1].strip() == "ok", "the proxy to be ready")

    def has_ended(self) -> bool:
        return self.run('wait $PID; echo "status $?"').endswith("status 0\n")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tool("curl")
    with terminal(ROOT, at_hand(tmp_path)) as shell:
        yield Desk(shell)


@contextmanager
def silence(port: str) -> Iterator[None]:
    """Listen where nobody answers: who asks waits, until `connect_timeout`."""
    with socket.create_server(("127.0.0.1", int(port))):
        yield


def test_the_orders_of_the_readme_are_obeyed(desk: Desk) -> None:
    check, run, version, completion, *rest = orders(README, "trailproxy check")
    hup, reload, term, drain, ready, streams, live = rest
    assert desk.run(check).startswith("config/sidecar.yaml: good")
    assert desk.run(version).startswith("trailproxy ")
    assert "replay" in desk.run(completion)

    desk.start(run)
    assert json.loads(desk.run(streams)) == []
    desk.run(hup)
    counted = desk.real("curl -s http://127.0.0.1:9901/metrics | grep config_reloads_total")
    eventually(lambda: '{outcome="ok"} 1.0' in desk.run(counted), "the reload to be counted")
    assert json.loads(desk.run(reload)) == {"ok": True}
    assert "event:" in desk.run(f"timeout 2 {live} | head -c 2000")
    desk.run(term)
    assert desk.has_ended()

    desk.start(run)
    with silence(desk.ports["50051"]):
        desk.run("curl -s --http2-prior-knowledge http://127.0.0.1:8080/ > /dev/null &")
        eventually(lambda: json.loads(desk.run(streams)), "a request to be in flight")
        desk.run(drain)
        assert "draining" in desk.run(ready)
    assert desk.has_ended()


def test_what_a_tap_catches_is_sent_again(desk: Desk, tmp_path: Path) -> None:
    begin, fetch, end = orders(DOCS / "live.md", "curl -s -X POST http://127.0.0.1:9901/tap")
    (replay,) = orders(DOCS / "live.md", "trailproxy replay")
    file = tmp_path / "trailproxy.yaml"
    file.write_text(ROUTES, "utf-8")
    desk.start(f"trailproxy run -c {shlex.quote(str(file))}")
    desk.run(f"cd {shlex.quote(str(tmp_path))}")
    began = json.loads(desk.run(begin))
    desk.run(f"ID={began['id']}")
    desk.run("curl -s --http2-prior-knowledge http://127.0.0.1:8080/lost > /dev/null")
    eventually(lambda: "/lost" in desk.run(f"{fetch}; cat capture.har"), "the capture")
    desk.run(end)
    assert desk.run(replay).endswith("1 request, 0 differ\n")


def test_the_probe_has_an_origin_of_its_own(desk: Desk, tmp_path: Path) -> None:
    serve, ask = orders(DOCS / "probe.md", "trailproxy probe --serve")
    desk.run(f"{serve} > /dev/null & ORIGIN=$!")
    file = tmp_path / "trailproxy.yaml"
    file.write_text(ROUTES, "utf-8")
    desk.start(f"trailproxy run -c {shlex.quote(str(file))}")
    assert desk.run(ask).endswith("no promise is broken\n")


def test_a_block_is_split_into_its_commands() -> None:
    text = "one \\\n  more\ntwo() {\n  three\n}\n# four\n\nfive\n"
    commands = [step.command for step in steps(Block(README, 1, "sh", text))]
    assert commands == ["one \\\n  more", "two() {\n  three\n}", "five"]


# -- docs/install.md ------------------------------------------------------------------------------


def test_the_version_is_told_as_the_page_says(desk: Desk):
    (shown,) = [block for block in blocks(DOCS / "install.md") if block.language == "console"]
    (step,) = steps(shown)
    assert step.shown is not None
    form = re.compile(r"(\S+ \S+ \(native codec, )(?:compiled|pure Python)(; Python )[\d.]+\)")
    told = form.fullmatch(desk.run(step.command).strip())
    page = form.fullmatch(step.shown.strip())
    assert told is not None
    assert page is not None
    assert told.groups() == page.groups()


def test_shells_find_what_they_complete_with(desk: Desk, tmp_path: Path):
    home = tmp_path / "home"
    desk.run(f"export HOME={home}; mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc")
    desk.run("mkdir -p ~/.config/fish/completions")
    for order in orders(DOCS / "install.md", "trailproxy completion bash"):
        desk.run(order)
    written = [path for path in home.rglob("*trailproxy*") if path.is_file()]
    assert len(written) == 3
    assert all("replay" in path.read_text() for path in written)
