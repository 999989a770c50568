"""Panel: one thing that the dashboard shows, and what a bad value of it means."""

from typing import NamedTuple

from deploy.grafana.queries import Query


class Panel(NamedTuple):
    """One panel.

    Attributes:
        unit: in Grafana's words.
        queries: what it shows.
        meaning: what it is, and what a bad value means.
        kind: stat, timeseries, table or heatmap.
        red: from where on a stat is bad; None: it never is.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    meaning: str
    kind: str = "timeseries"
    red: float | None = None


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def stat(title: str, unit: str, query: Query, meaning: str, red: float | None = None) -> Panel:
    """Return a panel with one large number."""
    return Panel(title, unit, (query,), meaning, "stat", red)


def graph(title: str, unit: str, *queries: Query, meaning: str) -> Panel:
    """Return a panel with lines over time."""
    return Panel(title, unit, queries, meaning)
