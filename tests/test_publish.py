"""What the README says about speed is what was measured: written, never typed."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from benchmarks import plot, publish
from benchmarks.peers import LOGGING
from benchmarks.publish import BEGIN, CPU_PLOT, END, GROWTH_PLOT, README, PublishError, stale
from benchmarks.result import Result, Round, as_json
from benchmarks.summary import Load

ROOT = Path(__file__).parents[1]


def test_readme_and_plots_are_what_the_published_rounds_say():
    assert stale(ROOT) == []


def result(name, *cpu_us, failed=0):
    load = Load(100 + failed, 100, 1.0, body_bytes=10**6, p50_ms=1.0, p99_ms=2.0)
    rounds = [Round(load, us * 100 / 1e6) for us in cpu_us]
    return as_json(Result(name, trailers=True, rounds=rounds, idle_bytes=39_000_000))


PRIVATE = ("some-host", "/tmp", "secret")
DOWN = {**result("nginx"), "trouble": "cannot open /tmp/secret/nginx.conf"}


def measured():
    """Return what `make bench` would save on a small day."""
    loads = {
        "small-get": [result("trailproxy", 7.0, 7.2, 7.1), result("nghttpx", 10.0, 10.0, 10.0)],
        "one-at-a-time": [result("trailproxy", 30.0), result("nghttpx", 20.0), DOWN],
        "access-log": [result("trailproxy", 7.0), result(LOGGING, 8.4)],
        "download": [result("trailproxy", 7.0), result("envoy", 8.0, failed=1)],
    }
    return {
        "machine": {
            "cpu": "Some CPU",
            "cores": 2,
            "kernel": "6.1.0-44-some-host",
            "python": "3.11.7",
            "load_average_before": 0.1,
        },
        "versions": {"h2load": "nghttp2/1.52.0", "envoy": "version: 9e55/1.40.0/Clean"},
        "rounds": 3,
        "seconds": 1.5,
        "codec": "h2",
        "workloads": [
            {"name": name, "title": name, "proxies": proxies} for name, proxies in loads.items()
        ],
    }


def grown():
    costs = {1: (9.0, 20.0), 10: (7.0, 12.0), 100: (7.5, 11.0)}
    steps = [
        {"at": at, "proxies": [result("trailproxy", ours), result("nghttpx", theirs)]}
        for at, (ours, theirs) in costs.items()
    ]
    axis = {"name": "streams", "title": "streams per connection", "shape": "flat", "steps": steps}
    return {**measured(), "axes": [axis, {**axis, "shape": "linear", "name": "fields"}]}


@pytest.fixture
def project(tmp_path):
    """A project whose README waits for its figures, and what was measured for it."""
    (tmp_path / README).write_text(f"# Name\n\n{BEGIN}\n{END}\n\nThe end.\n")
    (tmp_path / "latest.json").write_text(json.dumps(measured()))
    (tmp_path / "grown.json").write_text(json.dumps(grown()))
    return tmp_path


def sources(project):
    return {publish.RESULTS: project / "latest.json", publish.GROWTH: project / "grown.json"}


def published(project):
    publish.publish(project, sources(project))
    return (project / README).read_text()


def rows(readme):
    lines = [line for line in readme.splitlines() if line.startswith("| ")]
    head, *rest = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rest]


def test_a_row_tells_the_figures_the_promise_and_the_verdict(project):
    first, cpu, latency, logging, _ = rows(published(project))
    assert first["figure"] == "CPU per request, µs"
    assert (first["trailproxy"], first["nghttpx"], first["envoy"]) == ("7.1", "10", "–")
    assert (first["promise"], first["found"]) == ("≤ 0.75 × nghttpx", "0.71 × nghttpx: met")
    assert cpu["found"] == "1.50 × nghttpx: **missed**"
    assert latency["nginx"] == "–"
    assert (logging["trailproxy"], logging["found"]) == ("8.4", "1.20 × trailproxy: met")


def test_who_failed_requests_is_marked_and_is_nobodys_yardstick(project):
    download = rows(published(project))[-1]
    assert download["envoy"].endswith("†")
    assert download["found"] == "the best peer was not measured: open"


def test_what_stands_around_the_block_stays(project):
    readme = published(project)
    assert readme.startswith(f"# Name\n\n{BEGIN}\n| workload")
    assert readme.endswith(f"\n{END}\n\nThe end.\n")
    assert published(project) == readme


def test_the_machine_is_told_in_numbers_only(project):
    readme = published(project)
    words = "Some CPU, 2 cores, Linux 6.1.0, Python 3.11.7, codec h2; h2load 1.52.0, envoy 1.40.0."
    assert words in readme
    everything = [file.read_text() for file in (project / "docs").rglob("*") if file.is_file()]
    assert not any(word in text for text in [readme, *everything] for word in PRIVATE)


def test_growth_says_whether_each_curve_keeps_its_shape(project):
    readme = published(project)
    assert "- streams per connection, flat: the last step costs 1.07 × the cheapest" in readme
    assert f"]({GROWTH_PLOT})" in readme


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (README, "7.1", "6.1"),
        (README, "0.71 × nghttpx: met", "0.61 × nghttpx: met"),
        (CPU_PLOT, ">7.1<", ">6.1<"),
        (GROWTH_PLOT, "circle", "ellipse"),
    ],
)
def test_a_figure_that_was_typed_is_found_out(project, file, old, new):
    published(project)
    assert stale(project) == []
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert stale(project) == [file]


def test_other_rounds_make_all_that_follows_from_them_stale(project):
    published(project)
    results = project / publish.RESULTS
    results.write_text(re.sub(r'"cpu_s": [\d.]+', '"cpu_s": 0.5', results.read_text()))
    assert stale(project) == [README, CPU_PLOT]


def test_without_published_rounds_there_is_no_place_for_figures(project):
    assert stale(project) == [README]
    (project / README).write_text("# Name\n")
    assert stale(project) == []


def test_a_readme_without_markers_is_left_alone(project):
    (project / README).write_text("# Name\n")
    with pytest.raises(PublishError, match="put them where"):
        published(project)
    assert (project / README).read_text() == "# Name\n"
    assert not (project / "docs").exists()


def test_nothing_measured_is_nothing_published(project):
    with pytest.raises(PublishError, match="make bench"):
        publish.publish(project, {publish.RESULTS: project / "none.json"})


def test_growth_may_wait(project):
    (project / "grown.json").unlink()
    assert str(GROWTH_PLOT) not in published(project)
    assert stale(project) == []


# -- plots -------------------------------------------------------------------------------


def test_the_published_plots_are_well_formed(project):
    published(project)
    for file in (CPU_PLOT, GROWTH_PLOT):
        assert Xml.parse(project / file).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "0.123"), (7.16, "7.16"), (1234.5, "1,234"), (38_041.9, "38k"), (1e7, "10M")],
)
def test_figures_are_short(value, text):
    assert plot.short(value) == text


def test_a_bar_is_as_long_as_its_figure():
    drawn = plot.bars([plot.Bars("a < b", [("x", 10.0), ("y", 5.0)], limit=7.5)], ours="x")
    first, second = re.findall(r'<rect .*?width="([\d.]+)"', drawn)
    assert float(first) == pytest.approx(2 * float(second), abs=0.2)
    assert "a &lt; b" in drawn
    assert "stroke-dasharray" in drawn


def test_a_curve_may_begin_at_nothing_and_need_not_be_there():
    points = [(0, 1.0), (100, 2.0), (1000, 30.0)]
    panel = plot.Curves("body", [("x", points), ("y", [])], logarithmic=True)
    drawn = plot.curves([panel, plot.Curves("empty", [])], ours="x")
    xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    assert xs == sorted(set(xs))
    assert xs[2] - xs[1] == pytest.approx(xs[1] - xs[0], abs=0.2)  # a decade each


def test_labels_of_curves_that_end_together_do_not_lie_on_each_other():
    panel = plot.Curves("x", [("a", [(1, 5.0), (2, 5.0)]), ("b", [(1, 5.0), (2, 5.01)])])
    ys = [float(y) for y in re.findall(r'y="([\d.]+)" fill', plot.curves([panel], ours="a"))]
    assert abs(ys[0] - ys[1]) >= 13
