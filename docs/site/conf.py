"""The site, for Sphinx: `make docs`.

The root of the project is the source, so that a link to README.md or to a file of deploy/
leads somewhere on the site too: pages are pages, and other files are copied along.
"""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from trailproxy import __version__ as version  # noqa: E402 - found by the line above

project = "trailproxy"
release = version
project_copyright = "the trailproxy maintainers"
language = "en"

extensions = ["myst_parser", "sphinx_copybutton", "docs.site.extension"]
source_suffix = {".md": "markdown"}
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "docs/**/*.md",
    "docs/*.md",
]
exclude_patterns = [".*", "build", "dist", "deploy", "tests", "trailproxy", "docs/site"]

# the fragments of headings, as code hosts make them
myst_heading_anchors = 4

# $ and > are prompts, what stands below them is an answer
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "trailproxy"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# fonts of the reader's machine: the site asks no other host for anything
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b6e4f",
        "color-brand-content": "#0b6e4f",
        "color-brand-visited": "#3d5a80",
    },
    "dark_css_variables": {
        "color-brand-primary": "#57cc99",
        "color-brand-content": "#57cc99",
        "color-brand-visited": "#a3bfe0",
    },
}
