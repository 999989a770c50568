"""The site as it was built: whole, and at peace with having no network. `make docs` runs these."""

import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.browser import running_browser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# what a browser fetches by itself, and by which attribute
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src",
           "video": "src", "audio": "src", "object": "data", "embed": "src"}  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Path:
    if "TRAILPROXY_SITE" not in os.environ:
        pytest.skip("make docs builds the site, and runs this")
    return ROOT / os.environ["TRAILPROXY_SITE"]


class Page(HTMLParser):
    """One page.

    Attributes:
        fetched: what a browser fetches by itself.
        links: where links lead.
        ids: what fragments may name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.ids |= {told["id"]} if told.get("id") else set()
        if tag in FETCHED and told.get("rel") != "canonical":
            self.fetched += [told[FETCHED[tag]] or ""] if FETCHED[tag] in told else []
        if tag == "a" and told.get("href"):
            self.links.append(told["href"] or "")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_every_page_is_built(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(ROOT).with_suffix(".html")).exists(), page


def test_nothing_is_fetched_from_another_host(pages: dict[Path, Page]) -> None:
    for page in pages.values():
        for address in page.fetched:
            assert "//" not in address, (page.path, address)
            if not address.startswith(("data:", "#")):
                file = page.path.parent / address.partition("?")[0]
                assert file.exists(), (page.path, address)


def test_no_style_fetches_from_another_host(site: Path) -> None:
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        for address in re.findall(r"(?:url\(|@import )\s*[\"']?([^\"')]+)", text):
            assert address.startswith("data:") or "//" not in address, (style, address)


def links(page: Page) -> Iterator[tuple[Path, str]]:
    """Yield the files that a page links to on the site, with the fragments."""
    for link in page.links:
        path, _, fragment = link.partition("#")
        if "://" not in link and not link.startswith("mailto:"):
            yield (page.path.parent / path).resolve() if path else page.path.resolve(), fragment


def test_links_on_the_site_lead_somewhere(pages: dict[Path, Page]) -> None:
    for page in pages.values():
        for there, fragment in links(page):
            assert there.exists(), (page.path, there)
            if fragment and there in pages:
                assert fragment in pages[there].ids, (page.path, there, fragment)


def test_the_first_page_leads_to_all(site: Path, pages: dict[Path, Page]) -> None:
    reached = {there for there, _ in links(pages[(site / "docs/index.html").resolve()])}
    wanted = {site / page.relative_to(ROOT).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert {path.resolve() for path in wanted} <= reached


def test_the_root_of_the_site_leads_to_the_first_page(pages: dict[Path, Page], site: Path) -> None:
    assert pages[(site / "index.html").resolve()].links == ["docs/index.html"]


def test_the_search_finds_words_without_a_server(site: Path) -> None:
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").rstrip(";\n").removesuffix(")"))
    found = index["terms"]["queue_timeout"]
    assert index["docnames"].index("docs/configuration") in found


def test_no_name_of_this_machine_stands_on_the_site(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.js")]:
        assert str(ROOT) not in path.read_text("utf-8"), path


@pytest.mark.parametrize("width", [400, 1300], ids=["phone", "desk"])
def test_no_page_is_wider_than_its_window(site: Path, pages: dict[Path, Page], width: int) -> None:
    """What is too wide scrolls by itself: a page that does takes its words along."""
    with running_browser() as browser:
        view = browser.new_page(viewport={"width": width, "height": 900})
        for path in pages.keys() - {(site / "index.html").resolve()}:  # which only leads on
            view.goto(path.as_uri(), wait_until="domcontentloaded")
            measured = view.evaluate("document.documentElement.scrollWidth")
            assert measured <= width, path.relative_to(site.resolve())
