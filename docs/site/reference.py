"""Reference: the parts of docs/ that are made of the code. `make reference` writes them anew.

A page is written by hand but for what stands between its marks (see `marked`), so that what
code can tell is told once, and what it cannot stands beside it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.site import api_tables, openapi, signatures
from docs.site.commands import arguments, commands
from docs.site.marked import Maker, fill
from docs.site.metric_tables import labels, metrics
from docs.site.settings_tables import settings

DOCS: Final = Path(__file__).parents[1]

MAKERS: Final[Mapping[str, Maker]] = {
    "settings": settings,
    "metrics": metrics,
    "labels": labels,
    "commands": commands,
    "arguments": arguments,
    "functions": signatures.functions,
    "classes": signatures.classes,
    "fields": signatures.fields,
    "operations": api_tables.operations,
    "shapes": api_tables.shapes,
}


def written() -> Iterator[tuple[Path, str]]:
    """Yield every file that is made, or made in part, with what it should say."""
    for page in sorted(DOCS.glob("**/*.md")):
        text = page.read_text("utf-8")
        if "<!-- made:begin" in text:
            yield page, fill(text, MAKERS)
    yield openapi.FILE, openapi.text()


def main() -> None:
    """Write them."""
    for path, text in written():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
