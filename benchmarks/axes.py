"""The axes along which a request may grow dearer, and the shape its cost must keep.

Flat: the last step costs no more than the cheapest, give or take. Linear: each further
unit costs no more than the units before it. Both are judged from the medians.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.origin import EMPTY, LARGE, SMALL
from benchmarks.peers import OURS
from benchmarks.targets import Word
from benchmarks.workloads import Workload

#: Who is measured; nghttpx has no routes like ours to have many of.
BOTH: Final = (OURS, "nghttpx")

#: How far from its shape a curve may stray.
SLACK: Final = 1.5

#: What a proxy opens besides the two sockets a client connection may cost it.
OTHER_DESCRIPTORS: Final = 200

#: What h2load sends of its own: four pseudo-fields and its name.
OWN_FIELDS: Final = 5


class Shape(StrEnum):
    """How cost may follow the axis."""

    FLAT = "flat"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that grows while everything else stays."""

    name: str
    title: str
    shape: Shape
    steps: tuple[int, ...]
    workload: Callable[[int], Workload]


def _streams(count: int) -> Workload:
    return Workload(f"streams-{count}", "", SMALL, clients=1, streams=count, proxies=BOTH)


def _connections(count: int) -> Workload:
    return Workload(
        f"connections-{count}", "", SMALL, clients=count, streams=1, settled=True, proxies=BOTH
    )


def _fields(count: int) -> Workload:
    # Short enough for all of them to fit into an HPACK table of 4096 octets, whoever adds what:
    # beyond it a hundred entries push each other out, and the cost leaps once, for everybody.
    more = tuple(f"x{number:02}: 1" for number in range(count - OWN_FIELDS))
    return Workload(f"fields-{count}", "", SMALL, clients=8, streams=8, headers=more, proxies=BOTH)


def _body(octets: int) -> Workload:
    path = {0: EMPTY, 10_000_000: LARGE}.get(octets, f"/body/{octets}")
    return Workload(f"body-{octets}", "", path, clients=4, streams=4, proxies=BOTH)


def _routes(count: int) -> Workload:
    return Workload(
        f"routes-{count}", "", SMALL, clients=8, streams=8, routes=count, proxies=(OURS,)
    )


AXES: Final = (
    Axis("streams", "streams per connection", Shape.FLAT, (1, 3, 10, 30, 100, 300, 1000), _streams),
    Axis("connections", "connections", Shape.FLAT, (1, 10, 100, 1000, 5000), _connections),
    Axis("fields", "fields per request", Shape.LINEAR, (5, 10, 20, 50, 100), _fields),
    Axis(
        "body",
        "octets of body",
        Shape.LINEAR,
        (0, *(10**power for power in range(2, 8))),
        _body,
    ),
    Axis("routes", "routes, the last one taken", Shape.FLAT, (1, 10, 100, 1000), _routes),
)


def affordable(axis: Axis, descriptors: int) -> list[int]:
    """Return the steps whose connections a process may open."""
    return [
        step
        for step in axis.steps
        if 2 * axis.workload(step).clients + OTHER_DESCRIPTORS <= descriptors
    ]


Point = tuple[float, float]


def strays(shape: Shape, points: Sequence[Point]) -> float | None:
    """Return how far a curve is from its shape, 1.0 being on it; None if that cannot be said."""
    if shape is Shape.FLAT:
        costs = [cost for _, cost in points]
        return costs[-1] / min(costs) if len(costs) > 1 and min(costs) > 0 else None
    slopes = [
        (cost - cost_before) / (at - before)
        for (before, cost_before), (at, cost) in itertools.pairwise(points)
    ]
    return slopes[-1] / slopes[-2] if len(slopes) > 1 and slopes[-2] > 0 else None


def judge_shape(shape: Shape, points: Sequence[Point]) -> tuple[Word, str]:
    """Say whether a curve keeps its shape, and what was found."""
    found = strays(shape, points)
    if found is None:
        return Word.OPEN, "too few steps were measured"
    word = Word.MET if found <= SLACK else Word.MISSED
    if shape is Shape.FLAT:
        return word, f"the last step costs {found:.2f} × the cheapest (at most {SLACK:g})"
    return word, f"the last units cost {found:.2f} × those before (at most {SLACK:g})"
