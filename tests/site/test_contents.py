"""The pages of docs/ are in the navigation, by the lists that people read too."""

from pathlib import Path

import pytest

from docs.site.contents import HUBS, parts, with_contents

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def listed(hub: str) -> list[Path]:
    """Return the pages that a hub lists."""
    path = ROOT / f"{hub}.md"
    found = parts(path.read_text("utf-8"))
    return [(path.parent / f"{page}.md").resolve() for _, pages in found for _, page in pages]


def test_every_page_stands_in_the_navigation_once() -> None:
    pages = [page for hub in HUBS for page in listed(hub)]
    wanted = set(DOCS.rglob("*.md")) - {DOCS / "index.md"}
    assert {path for path in pages if DOCS in path.parents} == wanted
    assert len(pages) == len(set(pages))


def test_decisions_are_listed_by_their_titles() -> None:
    ((_, pages),) = parts((DOCS / "decisions.md").read_text("utf-8"))
    for words, page in pages:
        assert (DOCS / f"{page}.md").read_text("utf-8").startswith(f"# {words}\n")


def test_parts_are_headings_with_the_pages_of_their_lists() -> None:
    text = "# Title\n\n## One\n\n- [a page](a.md): about\n- [b](../b.md)\n\n## Two\n\nno list\n"
    assert parts(text) == [("One", [("a page", "a"), ("b", "../b")])]
    assert parts("# Title\n\n- [a](sub/a.md)\n") == [("", [("a", "sub/a")])]


@pytest.mark.parametrize("docname", ["docs/metrics", "README"])
def test_only_a_hub_has_contents(docname: str) -> None:
    assert with_contents(docname, "- [a](a.md)\n") == "- [a](a.md)\n"


def test_a_hub_tells_sphinx_its_contents() -> None:
    text = "## One\n\n- [A page](a.md)\n- [Changes](../CHANGELOG.md)\n"
    told = with_contents("docs/index", text).removeprefix(text)
    assert told.splitlines() == [
        "",
        "```{toctree}",
        ":hidden:",
        ":caption: One",
        "",
        "A page </docs/a>",
        "Changes </CHANGELOG>",
        "```",
    ]
