"""What Sphinx calls while it builds the site."""

import re
from pathlib import Path
from posixpath import dirname
from typing import Any, Final

from docutils import nodes

from docs.site.contents import with_contents

# where a long name in a table may be broken: behind these
_JOINT: Final = re.compile(r"(?<=[./\]])(?=[\w\[])")

_ENTRANCE: Final = """\
<!doctype html>
<meta charset="utf-8">
<title>trailproxy</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">trailproxy</a>
"""


def setup(app: Any) -> dict[str, bool]:
    """Take part in a build."""
    app.connect("source-read", _read)
    app.connect("doctree-read", _leave_folders)
    app.connect("doctree-read", _name_pages)
    app.connect("doctree-read", _joint_names)
    app.connect("build-finished", _enter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(_app: Any, docname: str, source: list[str]) -> None:
    source[0] = with_contents(docname, source[0])


def _leave_folders(app: Any, page: Any) -> None:
    """Make plain words of links to folders: a site has none to look into."""
    here = Path(app.srcdir, dirname(app.env.docname))
    for link in list(page.findall(lambda node: node.tagname == "pending_xref")):
        if (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def _name_pages(_app: Any, page: Any) -> None:
    """Call a page by its title where a link has the name of its file for want of words."""
    for link in page.findall(lambda node: node.tagname == "pending_xref"):
        if link.get("refdomain") == "doc" and link.astext().endswith(".md"):
            link["refexplicit"] = False


def _joint_names(_app: Any, page: Any) -> None:
    """Let long names in tables be broken where people would."""
    for table in page.findall(lambda node: node.tagname == "table"):
        for literal in table.findall(lambda node: node.tagname == "literal"):
            pieces = _JOINT.split(literal.astext())
            literal.children = [nodes.Text(pieces[0])]
            for piece in pieces[1:]:
                literal += [nodes.raw("", "<wbr>", format="html"), nodes.Text(piece)]


def _enter(app: Any, failed: Exception | None) -> None:
    """Lead whoever opens the site's root to the first page."""
    if failed is None and app.builder.format == "html":
        Path(app.outdir, "index.html").write_text(_ENTRANCE, "utf-8")
