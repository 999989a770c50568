"""Resilience: what counts as lost, what the verdict says of it, and a small campaign."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import publish
from benchmarks.crowd import ANSWERED, CANCELLED, CUT, LATE, LOST, REFUSED, UNREACHED, WHOLE
from benchmarks.resilience_report import checks, sum_up, table, verdict
from tests.support.running import ROOT


def told(**odd: str) -> dict[str, Any]:
    """What the crowd says of a phase in which these requests did not come whole."""
    ends = {WHOLE: 1000 - len(odd)}
    for end in odd.values():
        ends[end] = ends.get(end, 0) + 1
    return {
        "seconds": 10.0,
        "ends": ends,
        "again": 0,
        "p50_ms": 1.0,
        "p99_ms": 5.0,
        "odd": odd,
        "certificates": 3,
    }


def found(phases: dict[str, dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """What a campaign found in which nothing went wrong, but for `changes`."""
    all_phases = {"changes": told(), "faults": told(), "calm": told(), **(phases or {})}
    return {
        "rate": 100.0,
        "done": {"reloads": 20, "certificate rotations": 2},
        **sum_up(all_phases, changes.pop("causes", {})),
        "before": {"memory": 50 << 20, "descriptors": 40},
        "after": {"memory": 51 << 20, "descriptors": 41},
        "books": {
            "requests_total": 10,
            "requests_completed_total": 7,
            "streams_dropped_total": 2,
            "requests_active": 1,
        },
        "grpc": {"served": 5, "lost": []},
        **changes,
    }


def violated(campaign: dict[str, Any]) -> list[str]:
    return [check.what for check in checks(campaign) if not check.good]


def test_a_campaign_in_which_all_went_well_is_good():
    assert violated(found()) == []


@pytest.mark.parametrize("end", [ANSWERED, CUT])
def test_what_a_fault_costs_must_have_a_cause_in_the_log(end: str):
    faults = {"faults": told(a=end)}
    assert violated(found(faults, causes={"a": "upstream_gone"})) == []
    assert violated(found(faults)) == ["lost without a cause"]
    assert violated(found(faults, causes={"a": "internal"})) == ["lost without a cause"]


@pytest.mark.parametrize("end", [LOST, LATE, REFUSED, UNREACHED])
def test_what_looks_whole_or_never_comes_has_no_excuse(end: str):
    faults = {"faults": told(a=end)}
    assert violated(found(faults, causes={"a": "upstream_gone"})) == ["lost without a cause"]


@pytest.mark.parametrize("end", [ANSWERED, CUT, REFUSED, UNREACHED])
def test_a_change_may_cost_nothing_whatever_its_cause(end: str):
    campaign = found({"changes": told(a=end)}, causes={"a": "upstream_gone"})
    assert "cost by a change" in violated(campaign)


def test_what_a_client_cancels_is_its_own():
    campaign = found({"changes": told(a=CANCELLED)}, causes={"a": "client_reset"})
    assert violated(campaign) == []
    assert campaign["dropped"] == {}


def test_only_behind_a_drain_may_nobody_be_there():
    assert violated(found({"drain": told(a=UNREACHED)})) == []
    assert violated(found({"drain": told(a=CUT)}, causes={"a": "drain_timeout"})) == [
        "cost by a change"
    ]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rate": 104.0}, "streams a second through changes"),
        ({"grpc": {"served": 1, "lost": ["UNAVAILABLE"]}}, "gRPC calls that did not come whole"),
        ({"done": {"certificate rotations": 3}}, "certificates that clients were shown"),
        ({"after": {"memory": 64 << 20, "descriptors": 40}}, "memory, MiB"),
        ({"after": {"memory": 50 << 20, "descriptors": 57}}, "descriptors"),
    ],
)
def test_each_promise_can_be_broken(changes: dict[str, Any], what: str):
    assert violated(found(**changes)) == [what]


def test_books_that_do_not_balance_are_told():
    books = {**found()["books"], "requests_active": 0}
    campaign = found(books=books)
    assert violated(campaign) == ["requests = completed + dropped + active"]
    assert "VIOLATED" in verdict(campaign)


def test_the_table_tells_load_changes_and_causes():
    faults = {"faults": told(a=CUT, b=CUT, c=CANCELLED)}
    text = table(found(faults, causes={"a": "upstream_gone", "b": "upstream_gone"}))
    assert "| load held, streams a second | 100 |" in text
    assert "| reloads | 20 |" in text
    assert "| dropped, with cause `upstream_gone` | 2 |" in text
    assert "| **lost without a cause** | **0** |" in text
    assert "| cancelled by the client | 1 |" in text


def test_it_is_published_between_its_own_markers(tmp_path: Path):
    markers = f"{publish.CAMPAIGN_BEGIN}\n{publish.CAMPAIGN_END}"
    (tmp_path / publish.README).write_text(f"# Name\n\n{markers}\n")
    (tmp_path / "measured.json").write_text(json.dumps(found()))
    publish.publish(tmp_path, {publish.CAMPAIGN: tmp_path / "measured.json"})
    readme = (tmp_path / publish.README).read_text()
    assert table(found()) in readme
    assert publish.stale(tmp_path) == []
    (tmp_path / publish.README).write_text(readme.replace("| reloads | 20 |", "| reloads | 21 |"))
    assert publish.stale(tmp_path) == [publish.README]


@pytest.mark.e2e
@pytest.mark.slow
def test_a_small_campaign_loses_nothing(tmp_path: Path):
    saved = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.resilience", "--json", str(saved)]
    small = ["--rate", "100", "--changing", "8", "--failing", "4", "--warm", "0.5"]
    ran = subprocess.run(
        [*command, *small], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert saved.exists(), ran.stderr
    campaign = json.loads(saved.read_text())
    assert campaign["unexplained"] == []
    assert campaign["disturbed"] == []
    assert campaign["grpc"]["lost"] == []
    assert campaign["done"]["reloads"] == 20
    assert campaign["done"]["restarts of a backend"] == 3
    assert {"upstream_gone", "upstream_reset"} <= campaign["dropped"].keys()
