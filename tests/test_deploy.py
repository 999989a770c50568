"""What is shipped beside the package: it loads, and names only what exists."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shipped import DEPLOY, ROOT, documents, relative
from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.record import Direction, Outcome, Progress, Tally
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector
from trailproxy.wire.errors import ErrorCode

RULES = DEPLOY / "prometheus" / "rules" / "trailproxy.yaml"
RULE_TESTS = DEPLOY / "prometheus" / "trailproxy_test.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
YAML_FILES = sorted(
    path
    for path in DEPLOY.rglob("*.y*ml")
    if "templates" not in path.parts  # of the chart
)
LOCKS = [ROOT / f"requirements{purpose}.lock" for purpose in ("", "-build", "-sbom", "-dev")]


@pytest.mark.parametrize("path", YAML_FILES, ids=relative)
def test_yaml_parses(path: Path) -> None:
    assert all(document for document in documents(path))


# -- Prometheus and Grafana ---------------------------------------------------------------


def expressions(path: Path) -> Iterator[str]:
    if path == RULES:
        for group in documents(path)[0]["groups"]:
            yield from (rule["expr"] for rule in group["rules"])
    elif path == RULE_TESTS:
        for test in documents(path)[0]["tests"]:
            yield from (series["series"] for series in test["input_series"])
    else:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        yield from (each["query"]["query"] for each in dashboard["templating"]["list"][1:])
        for panel in dashboard["panels"]:
            yield from (target["expr"] for target in panel.get("targets", []))


def exposed() -> dict[str, set[str]]:
    """Name every sample that the metrics page can have, with its labels."""
    samples: dict[str, set[str]] = {}
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for family in Collector(Metrics({side: Tally() for side in Side})).collect():
        labels = set(family._labelnames) | {"job", "instance", "le", "version"}
        for ending in endings.get(family.type, ("_info",) if family.type == "info" else ("",)):
            samples[family.name + ending] = labels
    return samples


CODES = {code.name for code in ErrorCode}
VALUES: dict[str, set[str]] = {
    "side": set(Side),
    "initiator": set(Initiator),
    "cause": {*Cause, *Refusal},
    "phase": set(Progress),
    "direction": set(Direction),
    "outcome": {*Outcome, "ok", "failed"},
}
METRIC = re.compile(r"(?<![:\w])(trailproxy_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@pytest.mark.parametrize("path", [RULES, RULE_TESTS, DASHBOARD], ids=relative)
def test_rules_and_dashboard_name_only_what_is_exposed(path: Path) -> None:
    samples = exposed()
    named = [found for expr in expressions(path) for found in METRIC.findall(expr)]
    assert named
    for metric, matchers in named:
        assert metric in samples, metric
        for label, operator, value in MATCHER.findall(matchers):
            assert label in samples[metric], f"{metric}{{{label}}}"
            known = CODES if label == "code" and "resets" in metric else VALUES.get(label)
            if known is None or value.startswith("$"):
                continue
            fits = re.compile(value if "~" in operator else re.escape(value)).fullmatch
            assert path == RULE_TESTS or any(map(fits, known)), f"{metric}{{{label}={value!r}}}"


def test_dashboard_shows_every_metric_of_the_contract() -> None:
    shown = {metric for expr in expressions(DASHBOARD) for metric, _ in METRIC.findall(expr)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in shown}
    contract = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in exposed()}
    assert contract <= bases


def test_every_alert_has_a_test() -> None:
    tested = RULE_TESTS.read_text(encoding="utf-8")
    for group in documents(RULES)[0]["groups"]:
        for rule in group["rules"]:
            assert "alert" not in rule or rule["alert"] in tested


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(RULES)),
        ("test", "rules", str(RULE_TESTS)),
        ("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which is optional, is not at hand")
    told = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


# -- the locks ----------------------------------------------------------------------------


@pytest.mark.parametrize("lock", sorted(ROOT.glob("*.lock")), ids=relative)
def test_locks_are_hashed_and_name_no_place(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-[-\w]*\s*(index|find|trusted)|\s/\w+/", text, re.MULTILINE)
    lines = [line for line in text.strip().splitlines() if not line.startswith("#")]
    pins = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    assert all(
        re.match(r"[\w.-]+==\S+( ; [^\\]+)? \\\n", pin) and "--hash=sha256:" in pin for pin in pins
    )


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, build, sbom, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS
    )
    groups = project["dependency-groups"]
    asked = [each for name in ("test", "lint", "build", "sbom") for each in groups[name]]
    assert names(project["project"]["dependencies"]) <= runtime.keys()
    assert names(project["build-system"]["requires"]) <= build.keys()
    assert names(asked) <= dev.keys()
    assert names(groups["sbom"]) <= sbom.keys()
    release = (ROOT / "requirements-release.lock").read_text(encoding="utf-8")
    assert names(groups["release"]) <= set(re.findall(r"^([\w.-]+)==", release, re.MULTILINE))
    assert runtime.items() | build.items() | sbom.items() <= dev.items()


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", each)[0].lower() for each in requirements}
