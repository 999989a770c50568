"""The dashboard: what the program writes, which Grafana can show and a reader can use."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.grafana.dashboard import ENDINGS, FILE, SCHEMA, UID, WORDS_ID, dashboard
from deploy.grafana.queries import OF_UPSTREAMS, ROUTED
from tests.support.promql import grouped_by, matchers_of, metric_of, selectors
from trailproxy.core.fault import Cause, Refusal, Side
from trailproxy.core.record import Outcome, Tally
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector

WRITTEN: Final[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
PANELS: Final = WRITTEN["panels"]
SHOWN: Final = [panel for panel in PANELS if "targets" in panel]
TARGETS: Final = [target for panel in SHOWN for target in panel["targets"]]
(WORDS,) = [panel for panel in PANELS if panel["type"] == "text"]
WIDTH: Final = 24


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_the_file_is_what_the_program_writes() -> None:
    assert dashboard() == WRITTEN, "make dashboard writes it anew"


def test_the_schema_is_that_of_today() -> None:
    assert WRITTEN["schemaVersion"] == SCHEMA == 42
    assert WRITTEN["uid"] == UID


def test_every_panel_has_an_id_of_its_own() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)


def test_no_two_panels_have_one_title() -> None:
    titles = [title(panel) for panel in SHOWN]
    assert len(set(titles)) == len(titles)


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= WIDTH, title(panel)
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{title(panel)} lies on {taken[x, y]}"
                taken[x, y] = title(panel)


def test_every_row_begins_below_the_one_before() -> None:
    rows = [panel["gridPos"] for panel in PANELS if panel["type"] == "row"]
    assert all(above["y"] < below["y"] for above, below in combinations(rows, 2))
    assert {(row["x"], row["w"]) for row in rows} == {(0, WIDTH)}


def test_the_first_screen_tells_what_is_urgent() -> None:
    urgent = [title(panel) for panel in SHOWN if panel["gridPos"]["y"] < 10]
    assert urgent == [
        *("Requests", "Errors", "Requests dropped", "Trailers lost"),
        *("Not in the books", "Refused configurations"),
        *("Requests by route", "Dropped, by side and cause", "Alerts that fire"),
    ]


@pytest.mark.parametrize("panel", SHOWN, ids=title)
def test_every_panel_says_what_a_bad_value_means(panel: dict[str, Any]) -> None:
    meaning, _, link = panel["description"].rpartition("\n\n")
    assert len(meaning) > 40
    assert meaning.endswith(".")
    assert link == f"[What each cause means](d/{WRITTEN['uid']}?viewPanel={WORDS['id']})"


def test_panels_that_are_named_exist() -> None:
    titles = {title(panel) for panel in PANELS}
    for panel in SHOWN:
        for named in re.findall(r"\*([A-Z][^*]+)\*", panel["description"]):
            assert named in titles, f"{title(panel)} names {named}"


def test_the_words_are_those_of_the_docs() -> None:
    assert WORDS["id"] == WORDS_ID
    content = WORDS["options"]["content"]
    for word in (*Cause, *Refusal, *Outcome):
        assert f"| `{word}` |" in content
    assert "](" not in content, "a link that would lead nowhere in Grafana"
    told = set(ENDINGS.read_text("utf-8").splitlines())
    lines = [line for line in content.splitlines() if line.startswith("| `")]
    assert len(lines) == len(Cause) + len(Refusal) + len(Outcome)
    assert len(set(lines) - told) < 5, "more than links is missing"


# -- queries -------------------------------------------------------------------------------


def exposed() -> dict[str, set[str]]:
    """Return the labels of every metric of the page, but for the process's own."""
    labels = {}
    for family in Collector(Metrics({side: Tally() for side in Side})).collect():
        ending = {"counter": "_total", "histogram": "_bucket", "info": "_info"}.get(family.type, "")
        labels[family.name + ending] = set(getattr(family, "_labelnames", ()))
    return labels


def expr(target: dict[str, Any]) -> str:
    return str(target["expr"])


@pytest.mark.parametrize("target", TARGETS, ids=expr)
def test_queries_ask_for_what_the_reader_chose(target: dict[str, Any]) -> None:
    labels = exposed()
    for selector in selectors(target["expr"]):
        metric = metric_of(selector)
        if metric in labels:
            wanted = {"job", "instance"} | labels[metric] & {"route", "upstream"}
        elif metric.startswith("process_"):
            wanted = {"job", "instance"}
        elif metric in ("ALERTS", "trailproxy:error_budget"):
            wanted = set()
        else:
            wanted = {"job", *metric.partition(":")[0].split("_")}
        chosen = {label for label, _, value in matchers_of(selector) if value == f"${label}"}
        assert chosen == wanted, selector


def test_metrics_are_listed_by_the_labels_they_have() -> None:
    asked = {metric_of(selector) for target in TARGETS for selector in selectors(target["expr"])}
    labels = {metric: labels for metric, labels in exposed().items() if metric in asked}
    prefixed = {f"trailproxy_{name}" for name in ROUTED}
    assert prefixed == {metric for metric in labels if "route" in labels[metric]}
    prefixed = {f"trailproxy_{name}" for name in OF_UPSTREAMS}
    assert prefixed == {metric for metric in labels if "upstream" in labels[metric]}


@pytest.mark.parametrize("target", TARGETS, ids=expr)
def test_legends_show_labels_that_the_query_leaves(target: dict[str, Any]) -> None:
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped_by(target["expr"])


@pytest.mark.parametrize("panel", SHOWN, ids=title)
def test_lines_of_a_panel_can_be_told_apart(panel: dict[str, Any]) -> None:
    for part in ("refId", "legendFormat", "expr"):
        values = [target[part] for target in panel["targets"]]
        assert len(set(values)) == len(values)


def test_the_variables_narrow_each_other_down() -> None:
    variables = WRITTEN["templating"]["list"]
    names = [variable["name"] for variable in variables]
    assert names == ["datasource", "job", "instance", "route", "upstream"]
    for place, variable in enumerate(variables[1:], 1):
        used = re.findall(r"\$(\w+)", variable["query"]["query"])
        assert set(used) <= set(names[:place]), variable["name"]
    used = {name for target in TARGETS for name in re.findall(r'"\$(\w+)"', target["expr"])}
    assert used == set(names) - {"datasource"}


# -- how Grafana comes by it ---------------------------------------------------------------


def provisioned(path: str) -> dict[str, Any]:
    return yaml.safe_load((FILE.parent / "provisioning" / path).read_text("utf-8"))


def test_the_source_that_is_provisioned_is_the_one_that_is_asked() -> None:
    (source,) = provisioned("datasources/prometheus.yaml")["datasources"]
    (variable,) = [each for each in WRITTEN["templating"]["list"] if each["type"] == "datasource"]
    assert (source["type"], source["uid"]) == (variable["query"], variable["current"]["value"])


def test_the_dashboard_lies_where_grafana_looks() -> None:
    (provider,) = provisioned("dashboards/trailproxy.yaml")["providers"]
    compose = yaml.safe_load((FILE.parents[1] / "compose" / "compose.yaml").read_text("utf-8"))
    mounted = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    places = {Path(source).name: Path(target) for source, target, _ in mounted}
    assert places[FILE.name].parent == Path(provider["options"]["path"])
