"""Growth: which steps are taken, and when a curve keeps its shape."""

import pytest

from benchmarks import axes, growth
from benchmarks.axes import AXES, SLACK, Shape, affordable, judge_shape
from benchmarks.origin import BODY_SIZES
from benchmarks.result import Result, Round, as_json, beyond
from benchmarks.summary import Load
from benchmarks.targets import Word

BY_NAME = {axis.name: axis for axis in AXES}


def load(succeeded, seconds=1.0):
    return Load(succeeded, succeeded, seconds, body_bytes=200 * succeeded, p50_ms=1.0, p99_ms=2.0)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("streams", 1, 1000),
        ("connections", 1, 5000),
        ("fields", 5, 100),
        ("body", 0, 10_000_000),
        ("routes", 1, 1000),
    ],
)
def test_the_axes_reach_as_far_as_they_promise(name, first, last):
    assert BY_NAME[name].steps[0] == first
    assert BY_NAME[name].steps[-1] == last


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_each_step_is_a_load_that_can_be_made(axis, tmp_path):
    for step in axis.steps:
        workload = axis.workload(step)
        assert workload.path in BODY_SIZES
        assert workload.streams <= growth.MOST_STREAMS
        assert workload.proxies[0] == axes.OURS
        assert workload.fitting(1) >= workload.in_flight
        assert workload.command(8080, 16, tmp_path)[0] == "h2load"


def test_fields_are_counted_with_those_that_every_request_has(tmp_path):
    for step in BY_NAME["fields"].steps:
        command = BY_NAME["fields"].workload(step).command(8080, 64, tmp_path)
        more = [word for word in command if word.startswith("--header")]
        assert len(set(more)) == len(more) == step - axes.OWN_FIELDS


@pytest.mark.parametrize(
    ("descriptors", "steps"),
    [
        (20_000, [1, 10, 100, 1000, 5000]),
        (10_200, [1, 10, 100, 1000, 5000]),
        (10_199, [1, 10, 100, 1000]),
        (1024, [1, 10, 100]),
        (100, []),
    ],
)
def test_steps_beyond_the_descriptors_are_not_taken(descriptors, steps):
    assert affordable(BY_NAME["connections"], descriptors) == steps


@pytest.mark.parametrize(
    ("shape", "costs", "word"),
    [
        (Shape.FLAT, {1: 30.0, 10: 10.0, 100: 11.0}, Word.MET),  # dear at first is no growth
        (Shape.FLAT, {1: 10.0, 10: 10.0, 100: 15.0}, Word.MET),
        (Shape.FLAT, {1: 10.0, 10: 12.0, 100: 15.1}, Word.MISSED),
        (Shape.FLAT, {1: 10.0}, Word.OPEN),
        (Shape.LINEAR, {0: 10.0, 10: 20.0, 100: 110.0}, Word.MET),
        (Shape.LINEAR, {0: 10.0, 10: 20.0, 100: 80.0}, Word.MET),  # cheaper by the dozen
        (Shape.LINEAR, {0: 0.0, 10: 1.0, 100: 100.0}, Word.MISSED),  # quadratic
        (Shape.LINEAR, {0: 10.0, 10: 20.0}, Word.OPEN),
    ],
)
def test_a_curve_keeps_its_shape_or_not(shape, costs, word):
    found, reason = judge_shape(shape, list(costs.items()))
    assert found is word
    assert (f"at most {SLACK:g}" in reason) is (word is not Word.OPEN)


def test_a_curve_has_the_steps_at_which_all_went_well():
    good = Result("trailproxy", trailers=True, rounds=[Round(load(100), 0.001)])
    lossy = Result("trailproxy", trailers=False, rounds=[Round(load(100), 0.001)])
    other = Result("nghttpx", trailers=True, rounds=[Round(load(100), 0.002)])
    steps = [
        {"at": 1, "proxies": [as_json(good), as_json(other)]},
        {"at": 10, "proxies": [as_json(lossy), as_json(other)]},
    ]
    axis = {"steps": steps}
    assert growth.curve(axis, "trailproxy") == [(1, pytest.approx(10))]
    assert growth.curve(axis, "nghttpx") == [(1, pytest.approx(20)), (10, pytest.approx(20))]


def test_what_a_longer_round_has_beyond_a_shorter_one_is_free_of_connecting():
    connecting = 0.5
    shorter = Round(load(100), connecting + 100 * 10e-6)
    longer = Round(load(200, seconds=1.5), connecting + 200 * 10e-6)
    rest = beyond(longer, shorter)
    assert rest.cpu_us == pytest.approx(10)
    assert rest.load.seconds == pytest.approx(0.5)
    assert rest.load.succeeded == 100


@pytest.mark.parametrize("argv", [["--axes", "depth"], ["--rounds", "0"], ["--codec", "nothing"]])
def test_a_wrong_choice_is_refused(argv, capsys):
    with pytest.raises(SystemExit):
        growth.arguments(argv)
    assert "error:" in capsys.readouterr().err
