"""The rules: every alert says what it means, is explained, and is tested both ways."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.grafana.dashboard import dashboard
from deploy.grafana.queries import SERVER_ERRORS
from tests.support.prometheus import quickened
from tests.support.promql import matchers_of, metric_of, selectors

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "deploy" / "prometheus" / "rules" / "trailproxy.yaml"
TESTS: Final = ROOT / "deploy" / "prometheus" / "trailproxy_test.yaml"
PAGE: Final = ROOT / "docs" / "observability.md"

GROUPS: Final = yaml.safe_load(FILE.read_text("utf-8"))["groups"]
RULES: Final[list[dict[str, Any]]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
RECORDED: Final = [rule["record"] for rule in RULES if "record" in rule]
HEADINGS: Final = re.findall(r"^### (Trailproxy\w+)$", PAGE.read_text("utf-8"), re.MULTILINE)


def name(rule: dict[str, Any]) -> str:
    return str(rule["alert"])


@pytest.mark.parametrize("rule", ALERTS, ids=name)
def test_an_alert_says_what_it_means_and_where_more_stands(rule: dict[str, Any]) -> None:
    assert rule["for"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/observability.md#{rule['alert'].lower()}"
    assert len(told["summary"]) < 110
    assert "\n" not in told["summary"]


def test_every_alert_is_explained_and_no_other() -> None:
    assert sorted(HEADINGS) == sorted(rule["alert"] for rule in ALERTS)


@pytest.mark.parametrize("rule", ALERTS, ids=name)
def test_every_alert_is_seen_to_fire_and_to_be_silent(rule: dict[str, Any]) -> None:
    tests = yaml.safe_load(TESTS.read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    fired = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
    assert fired == {True, False}


def test_what_is_recorded_is_used() -> None:
    used = [rule["expr"] for rule in RULES]
    used += [target["expr"] for each in dashboard()["panels"] for target in each.get("targets", ())]
    asked = {metric_of(selector) for expr in used for selector in selectors(expr)}
    assert set(RECORDED) <= asked
    assert {metric for metric in asked if ":" in metric} <= set(RECORDED)


def test_recorded_names_tell_their_labels() -> None:
    for recorded in RECORDED:
        labels = recorded.partition(":")[0]
        assert re.fullmatch(r"(job_route(_cause)?|instance|trailproxy):\w+(:\w+)?", recorded), (
            labels
        )


def test_rules_and_dashboard_agree_on_what_an_error_is() -> None:
    matched = {
        value
        for rule in RULES
        for selector in selectors(rule["expr"])
        for label, _, value in matchers_of(selector)
        if label == "grpc_status"
    }
    assert matched == {SERVER_ERRORS}


@pytest.mark.parametrize("window", ["5m", "30m", "1h", "6h"])
def test_the_error_windows_differ_in_nothing_else(window: str) -> None:
    exprs = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    for kind in ("rate", "ratio"):
        base, other = (f"job_route:trailproxy_response_errors:{kind}{w}" for w in ("5m", window))
        assert exprs[other] == exprs[base].replace("5m", window)


def test_rules_that_are_quickened_keep_all_but_their_durations() -> None:
    quick = yaml.safe_load(quickened(FILE.read_text("utf-8")))["groups"]
    blank = re.compile(r"(?<![\w.:])\d+[smhd]\b")
    for slow, fast in zip(RULES, (r for group in quick for r in group["rules"]), strict=True):
        assert blank.sub("", slow["expr"]) == blank.sub("", fast["expr"])
        assert "for" not in slow or fast["for"] in ("2s", "3s")
    exprs = "".join(rule["expr"] for group in quick for rule in group["rules"])
    assert set(re.findall(r"\[(\w+)\]", exprs)) == {"5s", "10s", "30s", "60s", "360s"}
