"""The words keep step with the code: what README and docs say is found in it, or is run."""

import ast
import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Timer
from typing import Final

import msgspec
import pytest

import trailproxy
from tests.support import pages
from tests.support.log_line import Line
from tests.support.parts import data, head, request
from tests.support.table import Table
from trailproxy.cli import main
from trailproxy.core.fault import Cause, Refusal, Side
from trailproxy.core.record import Ending, Outcome, Progress, Tally
from trailproxy.net.connection import AsyncConnection
from trailproxy.ops.flags import FLAGS
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector
from trailproxy.ops.settings import load, parse
from trailproxy.wire import WireParams
from trailproxy.wire.codec import PREFACE

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = Path(trailproxy.__file__).parent
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*DOCS.glob("*.md"), *(DOCS / "how-to").glob("*.md")])
DECISIONS: Final = sorted((DOCS / "adr").glob("*.md"))
EVERY_PAGE: Final = [README, *PAGES, *DECISIONS]
# a decision tells of the day it was made; all other pages tell of the code there is
OF_TODAY: Final = [README, *PAGES]

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")


def name(path: Path) -> str:
    """Name a page in the ids of tests."""
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks in one language."""
    return [text for kind, text in _FENCE.findall(page.read_text("utf-8")) if kind == language]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def section(page: Path, title: str) -> str:
    """Return what stands under a heading of the second level."""
    parts = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)
    (found,) = [part for part in parts if part.partition("\n")[0] == title]
    return found


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell is a name in backticks."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip() for cell in row] for row in cells]


# -- links --------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the fragments that lead to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is not there"
        assert ROOT in (there, *there.parents), f"{target} leads out of the project"
        assert not fragment or fragment in anchors(there), f"{target}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    targets = [target.partition("#")[0] for target in _LINK.findall(prose(README))]
    assert {*PAGES, DOCS / "adr"} <= {(ROOT / target).resolve() for target in targets}


# -- names of files, functions and tests ---------------------------------------------------


def members(node: ast.ClassDef) -> Iterator[str]:
    """Name the methods of a class, its fields, and what its methods set on self."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner.name
        elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner.attr
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


def definitions() -> set[str]:
    """Name what the package defines: functions, classes, constants, and `Class.member`."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.ClassDef):
                found |= {node.name} | {f"{node.name}.{member}" for member in members(node)}
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return found


DEFINED: Final = definitions()
# files that a reader of the pages writes
WRITTEN: Final = {block.file for page in PAGES for block in pages.blocks(page)}
_MEMBER: Final = re.compile(r"\b[A-Z]\w+\.[a-z_]\w*\b")
_FILE: Final = re.compile(r"[\w./-]+\.(?:py|yaml|json)")
_TEST: Final = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_functions_that_are_named_exist(page: Path) -> None:
    named = {hit for span in _SPAN.findall(prose(page)) for hit in _MEMBER.findall(span)}
    named |= {hit for chart in blocks(page, "text") for hit in _MEMBER.findall(chart)}
    named -= {hit for hit in named if hit.rpartition(".")[2] in ("py", "md", "yaml")}
    assert named <= DEFINED, named - DEFINED


def test_the_walk_names_functions_in_the_files_that_have_them() -> None:
    page = DOCS / "life-of-a-request.md"
    pairs = re.findall(r"`(\w+)(?:\.\w+)?` \(`([\w/]+\.py)`", prose(page))
    pairs += re.findall(r"`(\w+)(?:\.\w+)?` in `([\w/]+\.py)`", prose(page))
    assert len(pairs) > 15
    for symbol, file in pairs:
        text = (PACKAGE / file).read_text("utf-8")
        found = re.search(rf"^(class |def |async def |){symbol}\b", text, re.MULTILINE)
        assert found is not None, f"{symbol} is not in {file}"


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = [span for span in _SPAN.findall(prose(page)) if _FILE.fullmatch(span)]
    named += [hit for chart in blocks(page, "text") for hit in re.findall(r"\b[\w/]+\.py\b", chart)]
    for file in named:
        if file != "trailproxy.yaml" and file not in WRITTEN:  # the operator's own
            assert any((base / file).exists() for base in (PACKAGE, ROOT)), file


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_tests_that_are_named_exist(page: Path) -> None:
    for file, test in _TEST.findall(page.read_text("utf-8")):
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), f"{file}::{test}"


def test_every_pressure_is_proved() -> None:
    text = prose(DOCS / "pressure.md")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    titles = re.findall(r"^\| \[.+\]\(#([\w-]+)\)", text, flags=re.MULTILINE)
    proved = {part.partition("\n")[0] for part in parts if _TEST.search(part)}
    assert {re.sub(r"[^\w ]", "", t.lower()).replace(" ", "-") for t in proved} == set(titles)


# -- the README ----------------------------------------------------------------------------


def test_the_readme_opens_with_two_commands() -> None:
    first = blocks(README, "sh")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]


def test_the_readme_shows_the_sidecar_example() -> None:
    (shown,) = blocks(README, "yaml")
    example = ROOT / "config" / "sidecar.yaml"
    lines = example.read_text("utf-8").splitlines()
    assert shown.splitlines() == [
        line for line in lines if line.strip() and not line.lstrip().startswith("#")
    ]
    assert parse(shown, "README.md", {}) == load(example, {})


def words() -> Iterator[str]:
    """Yield every command and every span of the pages that operators read."""
    for page in OF_TODAY:
        lines = "".join(blocks(page, "sh")).splitlines()
        yield from (line.split("#")[0] for line in lines)
        yield from _SPAN.findall(prose(page))


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {word for text in words() for word in re.findall(r"\bmake ([a-z]+)", text)}
    assert {"run", "test", "bench", "soak"} <= named <= targets


def commands() -> set[str]:
    """Return the command lines that are named, without the environment before them."""
    texts = [text for text in words() if not text.startswith("pip ")]
    hits = [re.search(r"(?:^| )trailproxy ((?:--)?[a-z].*)", text) for text in texts]
    return {" ".join(hit[1].split()) for hit in hits if hit is not None}


@pytest.mark.parametrize("command", sorted(commands()))
def test_commands_that_are_named_are_understood(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as told:  # `--help` behind it: understood, and not carried out
        main([*shlex.split(command), "--help"])
    assert told.value.code == 0, capsys.readouterr().err


def test_admin_pages_that_are_named_exist() -> None:
    served = set(re.findall(r'add_\w+\("(/\w+)"', (PACKAGE / "ops/admin.py").read_text("utf-8")))
    text = "".join(page.read_text("utf-8") for page in OF_TODAY)
    named = set(re.findall(r"127\.0\.0\.1:9901(/\w+)", text))
    assert {"/metrics", "/reload", "/drain"} <= named <= served


@contextmanager
def demo() -> Iterator[tuple[str, dict[str, str]]]:
    """Run the demo; give what it printed, and its addresses in place of those in the README."""
    command = [sys.executable, "-m", "trailproxy", "demo", "--port", "0", "--admin-port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        late = Timer(20, process.kill)
        late.start()
        try:
            told = ""
            while not told.rstrip().endswith(("arrived", "missing")):
                line = process.stdout.readline()
                assert line, told
                told += line
            _, proxy, admin = re.findall(r"127\.0\.0\.1:\d+", told)
            yield told, {"127.0.0.1:8080": proxy, "127.0.0.1:9901": admin}
            process.terminate()
            process.stdout.read()
            assert process.wait() == 0
        finally:
            late.cancel()
            process.kill()


def steady(text: str) -> str:
    """Blot out what differs from run to run: ports, dates, timings, blanks at line ends."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HERE", text)
    text = re.sub(r"(?<=date: ).*", "TODAY", text)
    text = re.sub(r"\[ *\d+\.\d+\]|(?<=stream_id=)\d+", "N", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.e2e
@pytest.mark.slow
def test_the_tour_goes_as_the_readme_says() -> None:
    for tool in ("curl", "nghttp"):
        if shutil.which(tool) is None:
            missing = f"{tool} is not installed"
            assert os.environ.get("TRAILPROXY_REQUIRE_TOOLS") != "1", missing
            pytest.skip(missing)
    with demo() as (told, addresses):
        assert steady(told) == steady(blocks(README, "text")[0])
        for step in blocks(README, "console"):
            command, _, shown = step.removeprefix("$ ").partition("\n")
            for written, real in addresses.items():
                command = command.replace(written, real)
            heard = subprocess.run(
                ["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=10, check=True
            )
            assert steady(heard.stdout.decode()) == steady(shown)


# -- endings, configuration, metrics -------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Endings", Ending),
        ("Progress", Progress),
        ("Causes", Cause),
        ("Refused connections", Refusal),
        ("Outcomes", Outcome),
    ],
    ids=str,
)
def test_every_word_of_an_ending_is_explained(title: str, kind: type[StrEnum]) -> None:
    told = rows(section(DOCS / "endings.md", title))
    assert [row[0].strip("`") for row in told] == [word.value for word in kind]
    assert all(len(cell) > 5 for row in told for cell in row[1:])


def test_every_flag_is_explained() -> None:
    told = rows(section(DOCS / "endings.md", "The access log"))
    assert {row[0].strip("`"): row[1].strip("`") for row in told} == dict(FLAGS)


def test_examples_of_the_access_log_are_lines_of_it() -> None:
    lines = blocks(DOCS / "endings.md", "json")
    assert len(lines) >= 4
    for text in lines:
        line = msgspec.json.decode(text, type=Line)  # every word in it is one of ours
        assert msgspec.json.encode(line) == text.strip().encode()


def test_every_metric_is_explained() -> None:
    told = {row[0]: row[1:] for row in rows((DOCS / "metrics.md").read_text("utf-8"))}
    families = list(Collector(Metrics({side: Tally() for side in Side})).collect())
    ending = {"counter": "_total", "info": "_info"}
    for family in families:
        kind, labels, meaning = told.pop(f"`{family.name}{ending.get(family.type, '')}`")
        known = family.samples[0].labels if family.type == "info" else family._labelnames  # type: ignore[attr-defined]
        assert set(re.findall(r"\w+", labels)) == set(known), family.name
        assert (kind, meaning) == (family.type, family.documentation)
    assert not [key for key in told if key.startswith("`trailproxy_")]


def test_every_outcome_of_a_dial_is_explained() -> None:
    words = [row[0].strip("`") for row in rows(section(DOCS / "metrics.md", "Upstreams"))]
    told = {word for word in words if not word.startswith("trailproxy_")}
    tree = ast.parse((PACKAGE / "net/dial.py").read_text("utf-8"))
    given: set[str] = {"ok"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DialError":
            given |= {str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)}
        elif isinstance(node, ast.FunctionDef) and node.name == "_outcome":
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            constants = [c for each in returned if each for c in ast.walk(each)]
            given |= {str(c.value) for c in constants if isinstance(c, ast.Constant)}
    assert told == given


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_metrics_that_are_named_exist(page: Path) -> None:
    known = {row[0].strip("`") for row in rows((DOCS / "metrics.md").read_text("utf-8"))}
    for metric in re.findall(r"(?<![\w:])trailproxy_\w+", page.read_text("utf-8")):
        assert metric.removesuffix("_bucket") in {*known, "trailproxy_"}, metric


# -- what is run ---------------------------------------------------------------------------


@pytest.mark.e2e
def test_the_program_does_what_the_page_says(tmp_path: Path) -> None:
    page = DOCS / "send-trailers.md"
    (program,), (shown,) = blocks(page, "python"), blocks(page, "text")
    file = tmp_path / "program.py"
    file.write_text(program, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=environment,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert sorted(told.stdout.splitlines()) == sorted(shown.splitlines())


def test_sixteen_silent_readers_use_up_the_connection_window() -> None:
    table = Table(client_window=1, proxy=WireParams())
    client, server = table.client, table.server
    client.holds = True
    rooms = []
    for _ in range(17):
        client.opens(request(end=True))
        server.says(head(200))
        rooms.append(server.codec.sendable(server.sid))
        if rooms[-1]:
            server.says(data(b"x" * rooms[-1]))
    assert rooms == [256 * 1024] * 16 + [0]


def test_lanes_that_waited_for_the_socket_have_a_turn_each() -> None:
    table = Table()
    client, server, proxy = table.client, table.server, table.client.core
    large, small = [client.opens(request(end=True)) for _ in range(2)]
    server.says(head(200), sid=large)
    server.says(head(200), sid=small)
    proxy.writable = False
    server.says(data(b"x" * 65_536), sid=large)
    server.says(data(b"small", end=True), sid=small)
    client.hears(head(200), sid=small)

    proxy.writable = True
    proxy.take_turns()

    assert data_frames(proxy.codec.take_output()) == [large, small, large, large, large]


class FullTransport(asyncio.Transport):
    """A socket whose peer reads nothing."""

    def __init__(self, unsent: int) -> None:
        super().__init__()
        self.reads = True
        self._unsent = unsent

    def write(self, data: object) -> None:
        """Keep nothing: what is unsent was set."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have none."""

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


@pytest.mark.parametrize(("unsent", "read"), [(1024 * 1024, True), (1024 * 1024 + 1, False)])
async def test_a_peer_that_reads_no_answers_is_not_read_either(unsent: int, read: bool) -> None:
    tally, table = Tally(), Table()
    connection = AsyncConnection(lambda _: table.client.core, lambda _: None, tally)
    transport = FullTransport(unsent)
    connection.connection_made(transport)
    connection.pause_writing()
    connection.data_received(PREFACE)
    assert transport.reads is read
    connection.resume_writing()
    assert transport.reads


def data_frames(octets: bytes) -> list[int]:
    """Return the stream ids of the DATA frames, in their order."""
    found = []
    while octets:
        end = 9 + int.from_bytes(octets[:3], "big")
        if octets[3] == 0:
            found.append(int.from_bytes(octets[5:9], "big"))
        octets = octets[end:]
    return found


# -- decisions -----------------------------------------------------------------------------


def test_decisions_are_numbered_and_made() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for number, path in enumerate(DECISIONS, 1):
        titles = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
        assert titles[0].startswith(f"{number}. ")
        assert titles[1:] == ["Context", "Decision", "Consequences"]
