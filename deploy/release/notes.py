"""Notes: what a release says of itself, if all that name its version name the same one.

    python -m deploy.release.notes v1.2.3

The tag, `__version__`, the image, the chart and the changelog are compared; the section of
the changelog becomes build/notes.md.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

#: Where else the version stands, and what stands around it.
_PLACES: Final = (
    ("Dockerfile", r'image\.version="([^"]+)"'),
    ("deploy/helm/trailproxy/Chart.yaml", r"^version: (\S+)"),
    ("deploy/helm/trailproxy/Chart.yaml", r"^appVersion: (\S+)"),
    ("deploy/kubernetes/component/sidecar.yaml", r"image: trailproxy:(\S+)"),
    ("deploy/kubernetes/example/greeter.yaml", r"image: trailproxy:(\S+)"),
)
_VERSION: Final = r'^__version__ = "([^"]+)"'
_TAG: Final = r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)"


def main(argv: list[str]) -> int:
    """Check, and write the notes; return the exit status."""
    (tag,) = argv[1:] or [""]
    problems = list(disagreements(tag, ROOT))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    if problems:
        return 1
    notes = ROOT / "build" / "notes.md"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text(section(tag[1:], ROOT) + "\n", encoding="utf-8")
    sys.stdout.write(f"{tag} is {tag[1:]} everywhere; its notes are in {notes}\n")
    return 0


def disagreements(tag: str, root: Path) -> Iterator[str]:
    """Say where the version of a tag is not told, or told otherwise."""
    form = re.fullmatch(_TAG, tag)
    if form is None:
        yield f'a release is tagged as v1.2.3 (or v1.2.3rc1), not as "{tag}": make notes TAG=v1.2.3'
        return
    for file, pattern in (("trailproxy/__init__.py", _VERSION), *_PLACES):
        text = (root / file).read_text(encoding="utf-8")
        told = re.findall(pattern, text, re.MULTILINE)
        if set(told) != {form[1]}:
            yield f"{file}: has {', '.join(told) or 'no version'}, and the tag is {tag}"
    if not section(form[1], root):
        yield f'CHANGELOG.md: no "## {form[1]}" with lines: they are under "## Unreleased" yet'


def section(version: str, root: Path) -> str:
    """Return what the changelog says of a version; a date may stand behind its number."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title.split()[:1] == [version]:
            return body.strip()
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
