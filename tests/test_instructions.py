"""Instruction counts: the conversation that is counted, and what is compared with what."""

import pytest

from benchmarks import instructions
from benchmarks.conversation import TALKS, Stand, play, record
from benchmarks.instructions import COUNTERS, Comparison, build, compare, kinds
from trailproxy.wire import CODECS

HERE = {"counter": "cachegrind", "python": "3.11.7, GCC 12", "codec": "h2"}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_the_proxy_hears_the_same_again(codec, talk):
    tape = record(codec, talk, 3)
    assert record(codec, talk, 3) == tape
    assert play(Stand(codec), tape) == 3
    assert play(Stand(codec), tape[:2]) == 2


def test_requests_of_their_own_never_repeat():
    tape = record("h2", TALKS["unique-get"], 20)
    assert len({exchange[0] for exchange in tape}) == 20


@pytest.mark.parametrize(
    ("name", "said", "count"),
    [
        ("cachegrind", "==7== \n==7== I   refs:      1,234,567\n", 1_234_567),
        ("cachegrind", "==7== I refs: 12\n", 12),
        ("perf", "1234567,,instructions:u,812,100.00,,\n", 1_234_567),
        ("perf", "<not supported>,,instructions:u,0,100.00,,\n", None),
    ],
)
def test_what_a_counter_says_is_read(name, said, count):
    (counter,) = [each for each in COUNTERS if each.name == name]
    assert counter.read(said) == count


def test_without_a_counter_nothing_is_compared(monkeypatch, capsys):
    monkeypatch.setattr(instructions, "COUNTERS", ())
    assert instructions.main([]) == 0
    assert "nothing is compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "grown", "word"),
    [
        (1000, False, "+0.0%: ok"),
        (1030, False, "+3.0%: ok"),
        (1031, True, "+3.1%: GROWN"),
        (960, False, "-4.0%: shrunk: save it"),
    ],
)
def test_only_growth_beyond_the_tolerance_is_a_fault(count, grown, word):
    compared = Comparison("small-get", count, 1000)
    assert compared.grown is grown
    assert compared.text.endswith(word)


def test_counts_are_compared_with_their_like_only():
    baseline = {**HERE, "per_exchange": {"small-get": 1000}}
    (alike,) = compare({"small-get": 1000}, baseline, HERE)
    assert alike.before == 1000
    for name in HERE:
        (other,) = compare({"small-get": 9000}, baseline, {**HERE, name: "another"})
        assert other.before is None
        assert not other.grown
        assert other.text.endswith("no baseline")
    assert compare({"small-get": 9000}, {}, HERE)[0].before is None


def test_the_build_is_known():
    assert build() in {"pure", "compiled"}


@pytest.mark.parametrize(
    ("here", "codec", "only", "found"),
    [
        ("pure", None, None, ["pure native", "pure h2"]),
        ("compiled", "native", None, ["compiled native", "pure native"]),
        ("compiled", None, "compiled", ["compiled native", "compiled h2"]),
        ("pure", None, "compiled", []),
    ],
)
def test_each_codec_and_each_build_has_a_baseline_of_its_own(monkeypatch, here, codec, only, found):
    monkeypatch.setattr(instructions, "build", lambda: here)
    assert [kind.key.split(" ", 1)[1] for kind in kinds(codec, only)] == found


def test_what_is_saved_is_compared_with(monkeypatch, capsys, tmp_path):
    counts = iter([{"small-get": 1000.0}, {"small-get": 1040.0}, {"small-get": 900.0}])
    monkeypatch.setattr(instructions, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(instructions, "counter", lambda: COUNTERS[0])
    monkeypatch.setattr(instructions, "TALKS", {"small-get": None})
    monkeypatch.setattr(instructions, "count", lambda *_: next(counts))
    asked = ["--codec", "native", "--build", "pure"]
    assert instructions.main([*asked, "--save"]) == 0
    assert instructions.main(asked) == 1
    assert "+4.0%: GROWN" in capsys.readouterr().out
    assert instructions.main(["--codec", "h2", "--build", "pure"]) == 0
    assert "no baseline" in capsys.readouterr().out


def test_what_is_not_compiled_is_not_counted(monkeypatch, capsys):
    monkeypatch.setattr(instructions, "counter", lambda: COUNTERS[0])
    monkeypatch.setattr(instructions, "build", lambda: "pure")
    assert instructions.main(["--build", "compiled"]) == 1
    assert "make build" in capsys.readouterr().out
