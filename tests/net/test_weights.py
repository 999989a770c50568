"""Weights: what endpoints get for their reports, when, for how long, and within what bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import FakeClock
from trailproxy.core.address import Address
from trailproxy.core.load_report import LoadReport
from trailproxy.net.endpoint import Endpoint
from trailproxy.net.weights import LoadParams, Weights

EVEN = LoadReport(0.5, 100.0, 0.0)  # could bear 200 requests a second


def _bears(most: float) -> LoadReport:
    return LoadReport(0.5, most / 2, 0.0)


class Scales:
    """Some endpoints, and who weighs them once a second."""

    def __init__(self, *weights: int, **params: float) -> None:
        self.clock = FakeClock()
        self.endpoints = [
            Endpoint(Address("192.0.2.1", place + 1), 65_535, weight)
            for place, weight in enumerate(weights)
        ]
        made = LoadParams(**({"blackout_s": 0.0} | params))
        self.weights = Weights(made, self.clock)

    def hears(self, *reports: LoadReport | None) -> None:
        """Let each endpoint report; None: it has nothing to say."""
        for endpoint, report in zip(self.endpoints, reports, strict=True):
            if report is not None:
                assert self.weights.hear(endpoint, report) == "read"

    def waits(self, seconds: int, *reports: LoadReport | None) -> None:
        """Let time pass, and endpoints report in each second of it."""
        for _ in range(seconds):
            self.clock.advance(1)
            if reports:
                self.hears(*reports)
            self.weights.update(self.endpoints)

    @property
    def shares(self) -> list[float]:
        return [endpoint.share for endpoint in self.endpoints]


def test_without_reports_the_weights_are_the_shares() -> None:
    scales = Scales(1, 3)
    assert not scales.weights.update(scales.endpoints)
    assert scales.shares == [1.0, 3.0]


def test_who_could_bear_more_gets_more_beside_the_one_in_the_middle() -> None:
    scales = Scales(1, 1, 1)
    scales.waits(10, _bears(100), _bears(200), _bears(600))
    assert scales.shares == [0.5, 1.0, 3.0]


def test_configured_weights_multiply() -> None:
    scales = Scales(2, 3, 10)
    scales.waits(10, _bears(200), _bears(100), _bears(200))
    assert scales.shares == [2.0, 1.5, 10.0]


def test_errors_count_as_utilization() -> None:
    failing = LoadReport(0.5, 100.0, 50.0)
    for penalty, share in ((1.0, 0.5), (2.0, 1 / 3), (0.0, 1.0)):
        scales = Scales(1, 1, 1, error_penalty=penalty)
        scales.waits(10, failing, EVEN, EVEN)
        assert scales.shares == pytest.approx([share, 1.0, 1.0])


def test_more_errors_than_requests_are_as_many() -> None:
    scales = Scales(1, 1, 1)
    scales.waits(10, LoadReport(0.5, 100.0, 1e9), LoadReport(0.5, 100.0, 100.0), EVEN)
    assert scales.shares == [1.0, 1.0, 3.0]


def test_one_that_reports_alone_is_like_the_others() -> None:
    scales = Scales(1, 1)
    scales.waits(10, _bears(900), None)
    assert scales.shares == [1.0, 1.0]


def test_who_says_nothing_gets_what_the_one_in_the_middle_gets() -> None:
    scales = Scales(1, 1, 1, 1)
    scales.waits(10, _bears(100), _bears(200), _bears(400), None)
    assert scales.shares == [0.5, 1.0, 2.0, 1.0]


def test_shares_move_half_of_the_way_each_second() -> None:
    scales = Scales(1, 1, 1)
    moved = []
    for _ in range(4):
        scales.waits(1, EVEN, EVEN, _bears(1000))
        moved.append(scales.shares[2])
    assert moved == [3.0, 4.0, 4.5, 4.75]
    scales.waits(10, EVEN, EVEN, _bears(1000))
    assert scales.shares == [1.0, 1.0, 5.0]
    assert not scales.weights.update(scales.endpoints), "it is there"


def test_reports_count_when_they_have_come_for_a_while() -> None:
    scales = Scales(1, 1, 1, blackout_s=10.0)
    scales.waits(10, EVEN, EVEN, _bears(400))
    assert scales.shares == [1.0, 1.0, 1.0]
    scales.waits(10, EVEN, EVEN, _bears(400))
    assert scales.shares == [1.0, 1.0, 2.0]


def test_a_report_expires_and_then_the_blackout_begins_anew() -> None:
    scales = Scales(1, 1, 1, blackout_s=5.0, expiration_s=20.0)
    loads = (EVEN, EVEN, _bears(400))
    scales.waits(20, *loads)
    scales.waits(19)
    assert scales.shares == [1.0, 1.0, 2.0]
    scales.waits(10)
    assert scales.shares == [1.0, 1.0, 1.0]
    scales.waits(5, *loads)
    assert scales.shares == [1.0, 1.0, 1.0]
    scales.waits(10, *loads)
    assert scales.shares == [1.0, 1.0, 2.0]


def test_who_is_forgotten_begins_anew() -> None:
    scales = Scales(1, 1, 1, blackout_s=5.0)
    loads = (EVEN, EVEN, _bears(400))
    scales.waits(20, *loads)
    scales.endpoints[2].forget_load()
    scales.waits(1)
    assert scales.shares == [1.0, 1.0, 1.5]
    scales.waits(5, *loads)
    assert scales.shares[2] < 1.1
    scales.waits(10, *loads)
    assert scales.shares == [1.0, 1.0, 2.0]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_liar_gets_five_times_what_an_honest_one_gets_and_no_more(count: int) -> None:
    scales = Scales(*[1] * count)
    scales.waits(20, LoadReport(1e-300, 1e9, 0.0), *[EVEN] * (count - 1))
    assert scales.shares == [5.0, *[1.0] * (count - 1)]


def test_who_is_down_still_gets_a_tenth() -> None:
    scales = Scales(1, 1, 1)
    scales.waits(20, LoadReport(1e9, 1e-300, 1e9), EVEN, EVEN)
    assert scales.shares == [0.1, 1.0, 1.0]


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (None, "malformed"),
        (LoadReport(0.0, 100.0, 0.0), "incomplete"),
        (LoadReport(0.5, 0.0, 0.0), "incomplete"),
        (EVEN, "read"),
    ],
)
def test_what_says_too_little_changes_nothing(report: LoadReport | None, outcome: str) -> None:
    scales = Scales(1, 1, 1)
    scales.waits(10, _bears(400), EVEN, EVEN)
    for endpoint in (scales.endpoints[1], None):
        assert scales.weights.hear(endpoint, report) == outcome
    scales.waits(1)
    assert scales.shares == [2.0, 1.0, 1.0]


_NUMBERS = st.floats(0.0, 1e9)
_REPORTS = st.builds(LoadReport, _NUMBERS, _NUMBERS, _NUMBERS)


@given(st.lists(st.lists(_REPORTS, min_size=3, max_size=3), max_size=6), st.floats(0.0, 10.0))
def test_whatever_is_reported_shares_stay_within_their_bounds(
    talk: list[list[LoadReport]], penalty: float
) -> None:
    scales = Scales(1, 10, 1000, error_penalty=penalty)
    for reports in talk:
        for endpoint, report in zip(scales.endpoints, reports, strict=True):
            scales.weights.hear(endpoint, report)
        scales.waits(1)
        for endpoint in scales.endpoints:
            assert math.isfinite(endpoint.share)
            assert 0.1 <= endpoint.factor <= 5.0
            assert endpoint.share == endpoint.weight * endpoint.factor
