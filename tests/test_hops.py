"""The table of hops in the docs is what was found: written, never typed."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hops
from benchmarks.publish import PublishError
from trailproxy.probe.cases import CASES

ROOT = Path(__file__).parents[1]
SAVED = json.loads((ROOT / hops.SAVED).read_text())


def test_the_page_is_what_the_saved_findings_say() -> None:
    text = (ROOT / hops.PAGE).read_text()
    assert hops.page(text, SAVED) == text


def test_every_case_was_tried_at_every_hop() -> None:
    names = [case.name for case in CASES]
    for hop in SAVED["hops"]:
        for talk in hops.TALKS:
            assert [finding["case"] for finding in hop[talk]] == names, hop["name"]


def test_a_page_without_a_place_for_it_is_left_alone() -> None:
    with pytest.raises(PublishError, match="has no"):
        hops.page("nothing", SAVED)


def _hop(name: str, plain: str, grpc: str) -> dict[str, object]:
    def finding(verdict: str) -> dict[str, str]:
        why = "" if verdict == "kept" else "lost"
        return {"case": "c", "section": "RFC", "verdict": verdict, "why": why}

    return {"name": name, "version": "1", "plain": [finding(plain)], "gRPC": [finding(grpc)]}


def test_where_plain_and_grpc_differ_both_are_told() -> None:
    told = hops.block(
        {
            "date": "2026-01-01",
            "hops": [
                _hop("a", "kept", "broken"),
                _hop("b", "broken", "broken"),
                _hop("c", "kept", "skipped"),
                _hop("d", "skipped", "skipped"),
                _hop("e", "changed", "changed"),
            ],
        }
    )
    assert "| `c` | plain: kept, gRPC: **broken** | **broken** | kept | – | changed | RFC |" in told
    assert "- **a**: `c`: lost (gRPC).\n- **b**: `c`: lost.\n- **c**: nothing." in told


def test_colours_are_for_terminals_alone() -> None:
    """Run the probe of nobody with a terminal for its output, and without one."""
    command = [sys.executable, "-m", "trailproxy", "probe", "http://127.0.0.1:1/"]
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert b"\x1b" not in piped.stdout
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert b"not reached" in os.read(ours, 4096)
    assert child.wait(20) == piped.returncode == 2
    os.close(ours)
