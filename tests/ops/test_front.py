"""The page, as far as it can be judged without a browser."""

import re
from importlib.resources import files

import pytest

from trailproxy.core.fault import Cause
from trailproxy.core.record import Progress
from trailproxy.ops.front import front

PARTS = files("trailproxy.ops") / "live_page"


def script(name: str) -> str:
    return (PARTS / name).read_text("utf-8")


def keys(text: str, constant: str) -> set[str]:
    """Return the keys of an object that a script names."""
    found = re.search(rf"const {constant} = {{(.*?)\n}};", text, re.DOTALL)
    assert found is not None
    return set(re.findall(r"(?:^|, |\n)\s*(\w+):", found[1]))


def test_every_cause_and_phase_is_put_in_words() -> None:
    text = script("timeline.js")
    assert keys(text, "CAUSES") == {cause.value for cause in Cause}
    assert keys(text, "PHASES") == {phase.value for phase in Progress}


def test_the_page_is_small_and_asks_nobody_else() -> None:
    page = front().html.decode()
    assert len(page) < 80_000
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, that nobody asks for


def test_text_of_peers_is_never_markup() -> None:
    page = front().html.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in page
    assert "require-trusted-types-for 'script'" in front().headers["Content-Security-Policy"]


def test_every_control_has_a_name() -> None:
    page = script("page.html")
    controls = re.findall(r"<(?:input|select)[^>]*>", page)
    assert len(controls) > 15
    for control in controls:
        named = re.search(r'id="([\w-]+)"', control)
        assert named is not None, control
        assert f'<label for="{named[1]}"' in page, control


def luminance(colour: str) -> float:
    """Return how light a colour is (WCAG 2.2, relative luminance)."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast_enough(scheme: str) -> None:
    sets = re.findall(r":root {(.*?)}", script("style.css"), re.DOTALL)
    colours = dict(re.findall(r"--(\w[\w-]*): #(\w{3,6});", sets[scheme == "dark"]))

    def contrast(one: str, other: str) -> float:
        darker, lighter = sorted((luminance(colours[one]), luminance(colours[other])))
        return (lighter + 0.05) / (darker + 0.05)

    for text in ("ink", "quiet", "accent", "good", "bad", "warn"):
        for ground in ("panel", "ground"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for text in ("ink", "quiet", "accent", "bad"):
        assert contrast(text, "accent-ground") >= 4.5, text
    assert contrast("mark", "panel") >= 3  # borders of controls


def test_all_parts_are_in_the_page() -> None:
    page = front().html.decode()
    for part in PARTS.iterdir():
        if not part.name.endswith(".html"):
            assert part.read_text("utf-8") in page, part.name
