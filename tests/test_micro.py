"""The micro-benchmarks: each of them still does what it measures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_each_part_can_be_measured():
    pytest_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--benchmark-disable"]
    ran = subprocess.run(
        [*pytest_, "benchmarks/test_micro.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= 30
