"""The dashboard: its panels as Grafana wants them.

`make dashboard` writes dashboard.json, and nobody else does. At its bottom stands what
docs/endings.md says of causes and outcomes, so that whoever looks at a panel at night
need not look for a repository.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana import resources, traffic
from deploy.grafana.panel import Panel, Row
from deploy.grafana.queries import Query, series

FILE: Final = Path(__file__).with_name("dashboard.json")
ENDINGS: Final = Path(__file__).parents[2] / "docs" / "endings.md"
ROWS: Final[tuple[Row, ...]] = (*traffic.ROWS, *resources.ROWS)

UID: Final = "trailproxy"
# the last schema of the classic model, which every later Grafana reads
SCHEMA: Final = 42
WORDS_ID: Final = 1  # of the panel with the causes; the others count from there

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 24  # of the whole grid, in Grafana's columns
_SIZES: Final = {"stat": (4, 4)}
_SIZE: Final = (8, 8)  # of all other kinds

Json = dict[str, Any]


def dashboard() -> Json:
    """Build the whole of it."""
    return {
        "uid": UID,
        "title": "trailproxy",
        "description": "What passes, what is lost, and whose fault it was.",
        "tags": ["trailproxy", "http2", "grpc"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair in all panels
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": list(_variables())},
        "annotations": {"list": list(_annotations())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[Json]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }
    yield _variable("job", "trailproxy_build_info")
    yield _variable("instance", 'trailproxy_build_info{job=~"$job"}')
    yield _variable("route", 'trailproxy_requests_total{job=~"$job", instance=~"$instance"}')
    yield _variable("upstream", 'trailproxy_endpoints{job=~"$job", instance=~"$instance"}')


def _variable(label: str, metric: str) -> Json:
    query = f"label_values({metric}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,  # when the time range changes
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def _annotations() -> Iterator[Json]:
    loaded = series("config_last_reload_success_timestamp_seconds")
    yield {
        "name": "Reloads",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"changes({loaded}[$__interval]) > 0",
        "titleFormat": "{{instance}} took a configuration",
    }


# -- panels -------------------------------------------------------------------------------


def _panels() -> Iterator[Json]:
    """Yield rows and their panels, from left to right and from top to bottom."""
    number, top = WORDS_ID, 0
    for row in ROWS:
        number += 1
        yield _heading(number, row.title, top)
        top += 1
        left = height = 0
        for panel in row.panels:
            number += 1
            wide, high = _SIZES.get(panel.kind, _SIZE)
            if left + wide > _WIDTH:
                left, top, height = 0, top + height, 0
            yield _panel(number, panel, {"x": left, "y": top, "w": wide, "h": high})
            left, height = left + wide, max(height, high)
        top += height
    yield _heading(number + 1, "Words", top)
    yield _words({"x": 0, "y": top + 1, "w": _WIDTH, "h": 40})


def _heading(number: int, title: str, top: int) -> Json:
    place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> Json:
    words = f"[What each cause means](d/{UID}?viewPanel={WORDS_ID})"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.meaning}\n\n{words}",
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "targets": [_target(place, query) for place, query in enumerate(panel.queries)],
        **_FORMS[panel.kind],
    }


def _target(place: int, query: Query) -> Json:
    target: Json = {
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "refId": "ABCDEFGH"[place],
    }
    if query.form != "time_series":
        target["format"] = query.form
    if query.instant:
        target |= {"instant": True, "range": False}
    if query.exemplar:
        target["exemplar"] = True
    return target


def _defaults(panel: Panel) -> Json:
    """Build what holds for all series of a panel."""
    if panel.kind != "stat":
        lines = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
        more = {"min": 0, "custom": lines} if panel.kind == "timeseries" else {}
        return {"unit": panel.unit, **more}
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    return {
        "unit": panel.unit,
        "noValue": "–",
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }


_FORMS: Final[dict[str, Json]] = {
    "stat": {
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        }
    },
    "timeseries": {
        "options": {
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    },
    "heatmap": {
        "options": {
            "calculate": False,
            "yAxis": {"unit": "s"},
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "steps": 64,
                "exponent": 0.5,
                "fill": "dark-orange",
                "reverse": False,
            },
            "showValue": "never",
            "legend": {"show": True},
            "exemplars": {"color": "rgba(31, 120, 255, 0.7)"},
            "tooltip": {"mode": "single", "yHistogram": True},
        }
    },
    "table": {
        "options": {"showHeader": True, "frameIndex": 0},
        "transformations": [
            {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}
        ],
    },
}


# -- words --------------------------------------------------------------------------------


def _words(place: dict[str, int]) -> Json:
    text = _LINK.sub(r"\1", ENDINGS.read_text("utf-8"))
    titles = ("Causes", "Refused connections", "Outcomes")
    return {
        "id": WORDS_ID,
        "type": "text",
        "title": "What each cause and outcome means",
        "description": "From docs/endings.md.",
        "gridPos": place,
        "options": {
            "mode": "markdown",
            "content": "\n\n".join(f"## {title}\n\n{_table(text, title)}" for title in titles),
        },
    }


_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]*\)")  # to other pages: here they lead nowhere


def _table(text: str, title: str) -> str:
    """Return the table that stands under a heading."""
    part = re.split(rf"^## {title}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    found = re.search(r"^\|(?:.*\n\|)*.*$", part, re.MULTILINE)
    assert found is not None, f"{ENDINGS} has no table under {title}"
    return found[0]


def main() -> None:
    """Write the file anew."""
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False)
    FILE.write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
