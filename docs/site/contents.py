"""Contents: the order of the pages, from the lists of links that people read too.

A page of `HUBS` lists others, and that is the table of contents: each heading of the second
level is a part of the navigation, and what its list links to are the pages of that part.
"""

import re
from posixpath import dirname, normpath
from typing import Final

HUBS: Final = ("docs/index", "docs/decisions")

_PART: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY: Final = re.compile(r"^- \[([^\]]+)\]\(([^)#]+)\.md\)", re.MULTILINE)


def parts(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the parts that a hub lists: a title, and the pages under the words of their links."""
    before, *split = _PART.split(text)
    named = [("", before), *zip(split[::2], split[1::2], strict=True)]
    return [(title, found) for title, part in named if (found := _ENTRY.findall(part))]


def with_contents(docname: str, text: str) -> str:
    """Return a page with what Sphinx wants to be told beside it; only a hub needs any."""
    if docname not in HUBS:
        return text
    return text + "".join(_toctree(docname, *part) for part in parts(text))


def _toctree(docname: str, title: str, pages: list[tuple[str, str]]) -> str:
    caption = f":caption: {title}\n" if title else ""
    # Sphinx reads names from the root of the source with a slash before them
    names = [f"{words} </{normpath(f'{dirname(docname)}/{page}')}>" for words, page in pages]
    return f"\n```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(names) + "\n```\n"
