"""Every how-to is typed as it stands, beside the other proxy where it is about one."""

import shutil
from pathlib import Path

import pytest

from tests.support.pages import DOCS, Block, blocks, relative
from tests.support.shipped import tool
from tests.support.walk import walk

PAGES = sorted((DOCS / "how-to").glob("*.md"))
TOOLS = {
    "mtls.md": ("openssl",),
    "from-nginx.md": ("nginx",),
    "from-haproxy.md": ("haproxy",),
}
# these files are the tutorial's, where a page has none of its own
GIVEN = ("greeter.py", "client.py")


def is_for_envoy(block: Block) -> bool:
    """Whether a block asks for Envoy, which no package of a distribution brings."""
    return block.page.name == "from-envoy.md" and any(
        word in block.text for word in ("$ envoy ", "$ENVOY")
    )


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_how_to_goes_as_it_says(page: Path, tmp_path: Path) -> None:
    for name in ("curl", *TOOLS.get(page.name, ())):
        tool(name)
    passed_over = (lambda _: False) if shutil.which("envoy") else is_for_envoy
    lent = {b.file: b.text for b in blocks(DOCS / "tutorial.md") if b.file in GIVEN}
    walk(page, tmp_path, lent, passed_over)
