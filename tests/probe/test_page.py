"""docs/probe.md names every option, verdict and case there is."""

import argparse
from pathlib import Path

from tests.test_docs import rows, section
from trailproxy.probe.arguments import add_arguments
from trailproxy.probe.cases import CASES
from trailproxy.probe.verdict import Verdict

PAGE = Path(__file__).parents[2] / "docs" / "probe.md"


def test_every_option_is_explained() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    options = [name for action in parser._actions for name in action.option_strings]
    told = [row[0].strip("`").split()[0] for row in rows(section(PAGE, "Options"))]
    assert [each for each in told if each.startswith("-")] == options


def test_every_verdict_is_explained() -> None:
    told = [row[0].strip("`") for row in rows(section(PAGE, "Verdicts"))]
    assert told == list(Verdict)


def test_every_case_is_listed() -> None:
    told = [(row[0].strip("`"), *row[1:]) for row in rows(section(PAGE, "Cases"))]
    assert told == [(case.name, case.sends, case.section) for case in CASES]
