"""The guided engine: it ends in time, keeps what is new, and finds what is planted."""

import time

import pytest

from benchmarks.fuzz import guided
from benchmarks.fuzz.__main__ import main
from benchmarks.fuzz.targets import TARGETS

WORDS = TARGETS["words"]
needs_atheris = pytest.mark.skipif(bool(guided.missing()), reason=guided.missing())


def planted(monkeypatch, code):
    """Put something wrong into the process that the engine runs."""
    code = f"""
import sys
from benchmarks.fuzz import instrumented, words

{code}
words.PARSERS = (bug,)
instrumented.main(["child", *sys.argv[1:]])
"""
    monkeypatch.setattr(guided, "CHILD", ("-c", code))


@needs_atheris
@pytest.mark.slow
def test_a_short_run_finds_nothing_and_keeps_what_is_new(tmp_path):
    began = time.monotonic()
    report = guided.run(TARGETS["server"], 3.0, 1, tmp_path)
    assert time.monotonic() - began < 3 + guided._SLACK_S
    assert report.wrong == ""
    assert report.inputs > 20
    assert report.edges > 300
    units = list((tmp_path / "corpus" / "server").iterdir())
    assert 0 < report.new == len(units)
    assert str(report).startswith(f"guided: server   {report.inputs:,} inputs, ")
    assert str(report).endswith(f" {report.new:,} new units: nothing was found")


@needs_atheris
@pytest.mark.slow
def test_what_is_planted_is_found_and_can_be_played(monkeypatch, tmp_path, capsys):
    planted(monkeypatch, 'def bug(octets):\n    assert len(octets) < 9, "too long for me"')
    report = guided.run(WORDS, 60.0, 1, tmp_path)
    (file,) = tmp_path.glob("fuzz-words-*")
    assert report.wrong.startswith("Traceback")
    assert report.wrong.endswith(
        "AssertionError: too long for me\n"
        f"TRAILPROXY_PURE=1 python -m benchmarks.fuzz words --play {file}"
    )
    assert len(file.read_bytes()) > 9
    assert main(["words", "--play", str(file)]) == 0, "it is not planted here"
    assert capsys.readouterr().out == "nothing was found\n"


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "wrong"),
    [("while True: pass", "=== Timeout: "), ("import os; os.abort()", "libFuzzer: deadly signal")],
    ids=["hang", "crash"],
)
def test_a_process_that_dies_is_found(monkeypatch, tmp_path, code, wrong):
    monkeypatch.setattr(guided, "HANG_S", 1)
    planted(monkeypatch, f"def bug(octets):\n    {code}")
    assert guided.run(WORDS, 20.0, 1, tmp_path).wrong.startswith(wrong)


def test_a_process_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(guided, "CHILD", ("-c", "import time; time.sleep(90)"))
    monkeypatch.setattr(guided, "_SLACK_S", 0.5)
    report = guided.run(WORDS, 0.5, 1, tmp_path)
    assert report == guided.Report("words", 0, 0, 0, "it did not end in 1 s")


def test_a_process_that_cannot_begin_tells_why(monkeypatch, tmp_path):
    monkeypatch.setattr(guided, "CHILD", ("-c", "raise SystemExit('no such thing')"))
    assert guided.run(WORDS, 1.0, 1, tmp_path).wrong == "status 1: no such thing\n"
