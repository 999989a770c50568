"""Promises: what is compared with whom, and when a promise counts as kept."""

import pytest

from benchmarks.peers import LOGGING, OURS, PEERS
from benchmarks.result import CPU, CPU_PER_GB, IDLE, P50, P99, PEAK, Result, Round
from benchmarks.summary import Load
from benchmarks.targets import BEST, Target, Word, best, judge
from benchmarks.workloads import WORKLOADS


def result(name, *cpu_us, failed=0, p50=1.0, **rest):
    load = Load(100 + failed, 100, 1.0, body_bytes=10**6, p50_ms=p50, p99_ms=2.0, sent_bytes=10**6)
    rounds = [Round(load, us * 100 / 1e6) for us in cpu_us]
    return Result(name, rounds=rounds, **{"trailers": True, **rest})


def word(target, *results):
    return judge(target, results).word


@pytest.mark.parametrize(
    ("ours", "word"), [(74.0, Word.MET), (75.0, Word.MET), (76.0, Word.MISSED)]
)
def test_a_ratio_is_kept_up_to_its_limit(ours, word):
    verdict = judge(Target(CPU, 0.75, "nghttpx"), [result(OURS, ours), result("nghttpx", 100.0)])
    assert verdict.word is word
    assert verdict.target.text == "CPU per request ≤ 0.75 × nghttpx"
    assert verdict.found == f"{ours / 100:.2f} × nghttpx"


def test_rounds_of_the_same_turn_are_compared():
    # the machine was ten times slower in the second turn
    rows = [result(OURS, 30.0, 300.0, 30.0), result("nghttpx", 40.0, 400.0, 60.0)]
    assert judge(Target(CPU, 0.75, "nghttpx"), rows).found == "0.75 × nghttpx"


def test_an_absolute_limit_needs_no_yardstick():
    target = Target(IDLE, 40)
    assert target.text == "idle memory ≤ 40 MB"
    assert word(target, result(OURS, 1.0, idle_bytes=40_000_000)) is Word.MET
    assert judge(target, [result(OURS, 1.0, idle_bytes=40_100_000)]).word is Word.MISSED


def test_the_best_peer_is_the_best_at_that_figure():
    rows = [result(OURS, 1.0), result("nghttpx", 9.0, p50=3.0), result("envoy", 8.0, p50=5.0)]
    assert best(CPU, rows) is rows[2]
    assert best(P50, rows) is rows[1]


@pytest.mark.parametrize(
    "cheat",
    [
        result("bare-relay", 1.0),  # ours
        result("nginx", 1.0, failed=1),
        result("nginx", 1.0, trailers=False),
        result("nginx", 1.0, trouble="died"),
        result("nginx"),
    ],
)
def test_only_a_third_party_that_did_all_of_the_work_is_the_best(cheat):
    rows = [result(OURS, 1.0), cheat, result("envoy", 8.0)]
    assert best(CPU, rows) is rows[2]


@pytest.mark.parametrize(
    "rest", [{"failed": 1}, {"trailers": False}, {"trouble": "died in the third round"}]
)
def test_who_fails_requests_has_met_nothing(rest):
    rows = [result(OURS, 1.0, **rest), result("nghttpx", 100.0)]
    verdict = judge(Target(CPU, 0.75, "nghttpx"), rows)
    assert verdict.word is Word.MISSED
    assert verdict.found == "0.01 × nghttpx, but not all requests ended well"


@pytest.mark.parametrize(
    ("target", "rows", "missing"),
    [
        (Target(CPU, 1.0, "nghttpx"), [result(OURS, 1.0)], "nghttpx"),
        (Target(CPU, 1.0, "nghttpx"), [result(OURS, 1.0), result("nghttpx")], "nghttpx"),
        (Target(CPU, 1.0, BEST), [result(OURS, 1.0)], BEST),
        (Target(CPU, 1.0, "nghttpx"), [result("nghttpx", 1.0)], OURS),
        (Target(IDLE, 40), [result(OURS)], OURS),
    ],
)
def test_without_somebody_it_takes_a_promise_stays_open(target, rows, missing):
    verdict = judge(target, rows)
    assert verdict.word is Word.OPEN
    assert verdict.found == f"{missing} was not measured"


def test_a_variant_is_compared_with_the_same_without():
    target = Target(CPU, 1.25, OURS, of=LOGGING)
    assert target.text == f"CPU per request of {LOGGING} ≤ 1.25 × {OURS}"
    assert word(target, result(OURS, 100.0), result(LOGGING, 120.0)) is Word.MET
    assert word(target, result(OURS, 100.0), result(LOGGING, 130.0)) is Word.MISSED


def test_a_gigabyte_counts_both_ways():
    # 100 µs for each of 100 requests, 2 MB of body in all
    assert CPU_PER_GB.median(result(OURS, 100.0)) == pytest.approx(5.0)


def test_every_workload_promises_something_that_can_be_judged():
    names = {peer.name for peer in PEERS} | {BEST, ""}
    for workload in WORKLOADS:
        assert workload.targets
        for target in workload.targets:
            assert {target.against, target.of} <= names
            assert target.figure in (CPU, CPU_PER_GB, P50, P99, IDLE, PEAK)
