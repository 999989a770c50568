"""Plots as SVG, drawn by hand: small panels, side by side.

No background and no pure black or white, so that they read on a light page and on a dark
one. What is drawn is told in numbers as well: a plot is never the only place of a figure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

INK, FAINT, OURS, OTHERS = "#7d8590", "#7d859055", "#e8590c", "#6c8ebf"
FONT: Final = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
PANEL_WIDTH, GAP, COLUMNS = 400, 24, 2
NAMES, VALUES, ROW, TITLE = 100, 64, 18, 30
PLOT_HEIGHT, MARGIN, LABEL = 130, 44, 80

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bars:
    """One panel of bars, one a proxy; `limit` is where ours may end."""

    title: str
    values: Sequence[tuple[str, float]]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Curves:
    """One panel of curves over the same steps; the x axis is logarithmic, a zero its left end."""

    title: str
    curves: Sequence[tuple[str, Sequence[Point]]]
    logarithmic: bool = False  # the y axis


def bars(panels: Sequence[Bars], ours: str) -> str:
    """Draw panels of bars; each has a scale of its own."""
    height = TITLE + ROW * max((len(panel.values) for panel in panels), default=0) + GAP
    return _grid([_bar_panel(panel, ours) for panel in panels], height)


def curves(panels: Sequence[Curves], ours: str) -> str:
    """Draw panels of curves."""
    height = TITLE + PLOT_HEIGHT + 2 * GAP
    return _grid([_curve_panel(panel, ours) for panel in panels], height)


def short(value: float) -> str:
    """Write a figure in three digits or so."""
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _grid(panels: Sequence[str], height: int) -> str:
    rows = math.ceil(len(panels) / COLUMNS)
    width = COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * GAP
    placed = [
        f'<g transform="translate({at % COLUMNS * (PANEL_WIDTH + GAP)} {at // COLUMNS * height})">'
        f"\n{panel}\n</g>"
        for at, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {rows * height}" '
        f'width="{width}" height="{rows * height}" font-family="{FONT}" font-size="12" '
        f'fill="{INK}">\n' + "\n".join(placed) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, rest: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}"{rest and " " + rest}>{escape(text)}</text>'


def _line(start: Point, end: Point, rest: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" {rest}/>'


def _bar_panel(panel: Bars, ours: str) -> str:
    room = PANEL_WIDTH - NAMES - VALUES
    most = max([value for _, value in panel.values] + [panel.limit or 0.0]) or 1.0
    drawn = [_text(0, 14, panel.title, 'font-weight="600"')]
    for at, (name, value) in enumerate(panel.values):
        y = TITLE + at * ROW
        colour = OURS if name == ours else OTHERS
        weight = f'font-weight="600" fill="{OURS}"' if name == ours else ""
        wide = max(value / most * room, 1)
        drawn += [
            _text(NAMES - 8, y + 10, name, f'text-anchor="end" {weight}'.strip()),
            f'<rect x="{NAMES}" y="{y}" width="{wide:.1f}" height="{ROW - 5}" rx="2" '
            f'fill="{colour}"/>',
            _text(round(NAMES + wide + 6, 1), y + 10, short(value), weight),
        ]
    if panel.limit is not None and panel.values:
        x = NAMES + panel.limit / most * room
        end = TITLE + len(panel.values) * ROW
        dashes = f'stroke="{INK}" stroke-dasharray="3 3"'
        drawn.append(_line((x, TITLE - 5), (x, end), dashes))
    return "\n".join(drawn)


def _curve_panel(panel: Curves, ours: str) -> str:
    points = [point for _, curve in panel.curves for point in curve]
    title = _text(0, 14, panel.title, 'font-weight="600"')
    if not points:
        return title
    field = _Field.around(points, logarithmic=panel.logarithmic)
    drawn = [title, *field.grid()]
    ends = []
    for name, curve in panel.curves:
        if curve:
            colour = OURS if name == ours else OTHERS
            places = [field.place(point) for point in curve]
            drawn += _curve(places, colour)
            ends.append((places[-1], name, colour))
    return "\n".join([*drawn, *_labels(ends)])


@dataclass(frozen=True, slots=True)
class _Field:
    """Where points lie in a panel of curves."""

    steps: Sequence[float]  # marked on the x axis
    ticks: Sequence[float]  # marked on the y axis
    logarithmic: bool

    @classmethod
    def around(cls, points: Sequence[Point], *, logarithmic: bool) -> "_Field":
        ticks = _ticks([y for _, y in points], logarithmic=logarithmic)
        return cls(sorted({x for x, _ in points}), ticks, logarithmic)

    def place(self, point: Point) -> Point:
        x, y = point
        zero = min((step for step in self.steps if step), default=10) / 10
        low, at, high = (math.log10(each or zero) for each in (self.steps[0], x, self.steps[-1]))
        ends = [self.ticks[0], y, self.ticks[-1]]
        bottom, up, top = map(math.log10, ends) if self.logarithmic else ends
        across = _share(at, low, high) * (PANEL_WIDTH - MARGIN - LABEL)
        return MARGIN + across, TITLE + PLOT_HEIGHT * (1 - _share(up, bottom, top))

    def grid(self) -> list[str]:
        drawn = []
        for tick in self.ticks:
            _, y = self.place((self.steps[0], tick))
            drawn.append(_line((MARGIN, y), (PANEL_WIDTH - LABEL, y), f'stroke="{FAINT}"'))
            drawn.append(_text(MARGIN - 6, round(y + 4, 1), short(tick), 'text-anchor="end"'))
        for step in self.steps:
            x, _ = self.place((step, self.ticks[0]))
            below = TITLE + PLOT_HEIGHT + 18
            drawn.append(_text(round(x, 1), below, short(step), 'text-anchor="middle"'))
        return drawn


def _curve(places: Sequence[Point], colour: str) -> list[str]:
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return [f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _labels(ends: Sequence[tuple[Point, str, str]]) -> list[str]:
    """Name the curves where they end, one above the other where they end together."""
    drawn = []
    lowest = 0.0
    for (x, y), name, colour in sorted(ends, key=lambda end: end[0][1]):
        lowest = max(y + 4, lowest + 13)
        drawn.append(_text(round(x + 8, 1), round(lowest, 1), name, f'fill="{colour}"'))
    return drawn


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _ticks(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    if logarithmic:
        low = math.floor(math.log10(min(values)))
        high = max(math.ceil(math.log10(max(values))), low + 1)
        return [10.0**power for power in range(low, high + 1)]
    size = 10.0 ** math.floor(math.log10(max(values)))
    step = next(size * part for part in (0.25, 0.5, 1, 2.5) if max(values) <= 4 * size * part)
    return [step * at for at in range(5)]
