"""Marked: what a program writes into a page, between two comments that nobody sees.

    <!-- made:begin settings listeners -->
    <!-- made:end -->

The first word behind `made:begin` says who writes, the others what. All else on the page is
written by hand, and stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

_MARKED: Final = re.compile(
    r"(?P<begin><!-- made:begin (?P<maker>\S+)(?P<about>[^>]*) -->\n).*?(?P<end><!-- made:end -->)",
    re.DOTALL,
)


Maker = Callable[..., str]
"""Returns Markdown about something, with a line break at its end."""


def fill(text: str, makers: Mapping[str, Maker]) -> str:
    """Return a page with what the makers say now between its marks."""

    def made(mark: re.Match[str]) -> str:
        said = makers[mark["maker"]](*mark["about"].split())
        return f"{mark['begin']}\n{said}\n{mark['end']}"

    return _MARKED.sub(made, text)


def told(text: str) -> list[tuple[str, list[str]]]:
    """Return what the marks of a page ask for: who writes, and about what."""
    return [(mark["maker"], mark["about"].split()) for mark in _MARKED.finditer(text)]


def table(titles: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table; `titles` are the words of its head."""
    head = titles.split(" | ")
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def prose(text: str) -> str:
    """Write a text so that Markdown shows it as it stands, but for words in backticks."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*<|])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def code(text: str) -> str:
    """Write a text as code, in a table too."""
    return f"`{text}`".replace("|", "\\|")
