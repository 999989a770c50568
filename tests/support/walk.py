"""A page is walked through: its files are written, its commands run, its outputs compared.

How a page is written so that it reads well and can be walked:

- A block that begins with `# some.file` is that file.
- `sh` is commands, each of which must succeed; `console` is commands behind `$ ` (and `> `, where
  one goes on), with what they say below them.
- `...` stands for what is left out: lines, where it has a line of its own, else a part of one.
  Dates, timings and ports that the system chose are as they were that day, and are not compared.
- A command that only looks (`cat`, `grep`, `curl` without an order) is repeated until it shows
  what the page says, as a reader would repeat it.
- Installing is done already: `pip install` must only name what this Python has.

Ports are those a reader has. Here they are replaced by free ones, wherever they stand.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from tests.support.pages import ROOT, Block, blocks
from tests.support.running import free_port
from tests.support.terminal import PATIENCE_S, Terminal, terminal

_PORT: Final = re.compile(r"(?<![\w.])(?:80|84|94|99|500)\d\d\b(?!\.)")
_LOOKS: Final = re.compile(r"(?:cat|grep|tail|head|ls|wc|curl(?!.* (?:-X|-d|--data)))\b")
_BLOTS: Final = (
    (re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT"), "TODAY"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?"), "NOW"),
    (re.compile(r"\[ *\d+\.\d+\]|(?<=stream_id=)\d+"), "N"),
    (re.compile(r'(?<=_ms":)[\d.]+'), "N"),
    (re.compile(r"(?<=;dur=)[\d.]+"), "N"),
    (re.compile(r"(?<=127\.0\.0\.1:)(?:[2-6]\d|1\d)\d{3}\b(?<!50051)(?<!5005\d)"), "PORT"),
)

# what bash says of a job that was killed
_NOTICE: Final = re.compile(r"^\w+: line \d+: +\d+ Killed .*\n", re.MULTILINE)


class Step(NamedTuple):
    """One command of a page."""

    command: str
    shown: str | None  # None: the page does not say


def steps(block: Block) -> Iterator[Step]:
    """Split a block into its commands."""
    if block.language == "sh":
        for command in _commands(block.text.splitlines()):
            yield Step(command, None)
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        more = 1
        while more < len(lines) and lines[more].startswith("> "):
            more += 1
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:more])])
        yield Step(command, "\n".join(lines[more:]))


def _commands(lines: Sequence[str]) -> Iterator[str]:
    """Put the lines of a script together that belong to the one above them."""
    whole: list[str] = []
    for line in lines:
        if whole and not whole[-1].endswith("\\") and not line.startswith((" ", "}")):
            yield "\n".join(whole)
            whole = []
        if line.strip() and not line.startswith("#"):
            whole.append(line)
    if whole:
        yield "\n".join(whole)


def steady(text: str) -> str:
    """Blot out what differs from run to run."""
    for pattern, stands_for in _BLOTS:
        text = pattern.sub(stands_for, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def fits(shown: str, said: str) -> bool:
    """Tell whether a command said what the page shows."""
    pattern = ""
    for line in steady(shown).splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return re.fullmatch(pattern, steady(said) + "\n" if said.strip() else "") is not None


def walk(
    page: Path,
    folder: Path,
    given: Mapping[str, str] = MappingProxyType({}),
    passed_over: Callable[[Block], bool] = lambda _: False,
) -> None:
    """Walk through a page in a folder of its own, in which some files are `given`."""
    ports = Ports([page.read_text("utf-8"), *given.values()])
    work = folder / "work"
    work.mkdir()
    for name, text in given.items():
        (work / name).write_text(ports.real(text), "utf-8")
    with terminal(work, at_hand(folder)) as shell:
        for block in blocks(page):
            if passed_over(block):
                continue
            if block.file:
                here = Path(shell.run("pwd")[1].strip())
                (here / block.file).write_text(ports.real(block.text), "utf-8")
            elif block.language in ("sh", "console"):
                for step in steps(block):
                    play(shell, step, ports, str(block))


def play(shell: Terminal, step: Step, ports: "Ports", place: str) -> None:
    """Run a command; fail unless it went as the page says."""
    looks = bool(_LOOKS.match(step.command)) and step.shown is not None
    deadline = time.monotonic() + PATIENCE_S / 2
    while True:
        status, said = shell.run(ports.real(step.command))
        said = ports.written(_NOTICE.sub("", said))
        if step.shown is None:
            assert status == 0, f"{place}: {step.command}\n{said}"
            return
        if fits(step.shown, said):
            return
        if not looks or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    raise AssertionError(
        f"{place}: {step.command}\n--- shown:\n{steady(step.shown)}\n--- said:\n{steady(said)}"
    )


class Ports:
    """The ports of a page, and those that stand for them here, in the same order."""

    def __init__(self, texts: Iterable[str]) -> None:
        written = sorted({port for text in texts for port in _PORT.findall(text)}, key=int)
        free: set[int] = set()
        while len(free) < len(written):
            free.add(free_port())
        self._real: Final = dict(zip(written, map(str, sorted(free)), strict=True))

    def real(self, text: str) -> str:
        """Replace the ports of the page."""
        return _PORT.sub(lambda hit: self._real[hit[0]], text)

    def written(self, text: str) -> str:
        """Take that back."""
        for written, real in self._real.items():
            text = re.sub(rf"\b{real}\b", written, text)
        return text


_PIP: Final = """
import sys
from importlib.metadata import distribution
from re import findall
wanted = [word for word in sys.argv[1:] if not word.startswith("-") and word != "install"]
for word in wanted:
    distribution(findall("[A-Za-z0-9_.-]+", word)[0])
"""


def at_hand(folder: Path) -> Mapping[str, str]:
    """Make an environment in which everything is installed already."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "pip.py").write_text(_PIP, "utf-8")
    python = shlex.quote(sys.executable)
    made = 'mkdir -p "$3/bin" && : > "$3/bin/activate"'
    scripts = {
        "trailproxy": f'exec {python} -m trailproxy "$@"',
        "python": f'exec {python} "$@"',
        "python3": f'if [ "$1 $2" = "-m venv" ]; then {made}; else exec {python} "$@"; fi',
        "pip": f'exec {python} {shlex.quote(str(tools / "pip.py"))} "$@"',
    }
    for name, script in scripts.items():
        tool = tools / name
        tool.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        tool.chmod(0o755)
    path = f"{tools}:{os.environ.get('PATH', '')}:/usr/sbin"
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TERM") if name in os.environ}
    return {
        **kept, "HOME": str(folder), "PATH": path, "PYTHONPATH": str(ROOT), "USER": "me",
    }  # fmt: skip
