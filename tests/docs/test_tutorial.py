"""The tutorial is typed as it stands."""

from pathlib import Path

import pytest

from tests.support.pages import DOCS
from tests.support.walk import walk


@pytest.mark.e2e
@pytest.mark.slow
def test_the_tutorial_goes_as_it_says(tmp_path: Path) -> None:
    walk(DOCS / "tutorial.md", tmp_path)
