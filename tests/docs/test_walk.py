"""The runner of the pages finds what a page says wrongly, and nothing else."""

import os
from pathlib import Path

import pytest

from tests.support.pages import Block
from tests.support.running import eventually
from tests.support.terminal import terminal
from tests.support.walk import Ports, Step, fits, steps, walk


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("", ""),
        ("one\ntwo", "one \ntwo\n\n"),
        ("one\n...\nfour", "one\ntwo\nthree\nfour\n"),
        ("one\n...\ntwo", "one\ntwo\n"),
        ("...", ""),
        ("port ... is open", "port 8080 is open\n"),
        ("date: Sun, 29 Nov 2026 19:03:41 GMT", "date: Mon, 30 Nov 2026 01:00:00 GMT\n"),
        ("2026-11-29 19:06:47,520 INFO", "2027-01-02 03:04:05,678 INFO\n"),
        ('"duration_ms":48.19,', '"duration_ms":0.5,\n'),
        ("from 127.0.0.1:36351", "from 127.0.0.1:40000\n"),
    ],
)
def test_what_is_shown_fits(shown: str, said: str) -> None:
    assert fits(shown, said)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("", "something\n"),
        ("something", ""),
        ("one", "one\ntwo\n"),
        ("one\n...\nfour", "one\ntwo\n"),
        ("port ... is open", "port 8080 is closed\n"),
        ("a.c", "abc\n"),
        ("from 127.0.0.1:50051", "from 127.0.0.1:50052\n"),
    ],
)
def test_what_is_not_so_does_not_fit(shown: str, said: str) -> None:
    assert not fits(shown, said)


def test_ports_keep_their_order() -> None:
    ports = Ports(["127.0.0.1:8081 and 8080, not 192.0.2.8080", '"50051"'])
    low, high = (int(ports.real(port)) for port in ("8080", "8081"))
    assert low < high < int(ports.real('"50051"').strip('"'))
    assert ports.written(ports.real("127.0.0.1:8080")) == "127.0.0.1:8080"


def test_a_console_is_split_into_commands_and_what_they_say() -> None:
    text = "$ one \\\n> more\nsaid\n\nand said\n$ two\n"
    found = list(steps(Block(Path(), 1, "console", text)))
    assert found == [Step("one \\\nmore", "said\n\nand said"), Step("two", "")]


def test_a_page_is_walked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```yaml\n# a.yaml\nport: 8080\n```\n```sh\ntest -f a.yaml\n```\n"
        "```console\n$ (sleep 0.2; echo late > b.log) &\n$ cat b.log\nlate\n"
        "$ tail -1 a.yaml\nport: 8080\n```\n"
    )
    walk(page, tmp_path)


@pytest.mark.parametrize(
    "block", ["```sh\nfalse\n```\n", "```console\n$ echo one\ntwo\n```\n", "```sh\nexit 0\n```\n"]
)
def test_a_page_that_is_wrong_is_found_out(block: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(block)
    with pytest.raises(AssertionError):
        walk(page, tmp_path)


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"  # whoever takes up orphans has yet to


def test_what_a_terminal_began_ends_with_it(tmp_path: Path) -> None:
    with terminal(tmp_path, os.environ) as shell:
        _, told = shell.run("sleep 60 & echo $!")
        pid = int(told)
        os.kill(pid, 0)
    eventually(lambda: has_ended(pid), "the end of what was begun")


def test_a_terminal_does_not_wait_for_ever(tmp_path: Path) -> None:
    with terminal(tmp_path, os.environ) as shell, pytest.raises(AssertionError, match="not over"):
        shell.run("sleep 60", patience_s=0.2)
