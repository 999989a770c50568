"""The pages that people read, and their fenced blocks.

A block whose first line is a comment that is nothing but the name of a file
(`# trailproxy.yaml`) is that file.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"(?:#|//) ([\w.-]+\.\w+)")


class Block(NamedTuple):
    """One fenced block."""

    page: Path
    line: int  # where it begins
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file it is, or nothing."""
        found = _NAMED.fullmatch(self.first)
        return found[1] if found else ""

    @property
    def first(self) -> str:
        """Its first line, by which tables name it."""
        return self.text.partition("\n")[0].strip()

    def __str__(self) -> str:
        """Name it in the ids of tests, and in what they say."""
        return f"{relative(self.page)}:{self.line} {self.language}"


def relative(page: Path) -> str:
    """Name a page."""
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text("utf-8")
    found = [
        Block(page, text.count("\n", 0, hit.start()) + 1, hit[1], hit[2])
        for hit in _FENCE.finditer(text)
    ]
    fences = len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE))
    assert fences == 2 * len(found), f"{relative(page)}: a fence that is not seen"
    return found


def pages() -> list[Path]:
    """Return every page there is, decisions among them."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(DOCS.rglob("*.md")),
        ROOT / "benchmarks" / "README.md",
    ]
