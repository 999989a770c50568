"""The seeded engine: a short run finds nothing, and what is planted is found and can be played."""

import os
import subprocess
import sys

import pytest

from benchmarks.fuzz import codecs, seeded, target
from benchmarks.fuzz.__main__ import main
from benchmarks.fuzz.seeded import Run
from benchmarks.fuzz.targets import TARGETS
from tests.fuzz.planted import Planted, Raises

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def ran(kept, *names, inputs=40):
    targets = [TARGETS[name] for name in names or TARGETS]
    run = Run(targets, seed=1, seconds=120.0, inputs=inputs, kept=kept)
    run.go(lambda number: None)
    return run


@pytest.mark.slow
def test_a_short_run_finds_nothing(tmp_path):
    run = ran(tmp_path, inputs=80)
    assert run.findings == []
    assert run.tried == {"proxy": 30, **dict.fromkeys(TARGETS.keys() - {"proxy"}, 10)}
    assert "80 inputs (client 10, hpack 10, proxy 30," in str(run)
    assert str(run).endswith(" MiB: nothing was found")


def test_an_input_is_the_same_again(tmp_path):
    run = Run([TARGETS["proxy"]], seed=7, seconds=1.0)
    assert run.made(3) == run.made(3)
    assert run.made(3) != run.made(4)
    assert run.made(3) != Run([TARGETS["proxy"]], seed=8, seconds=1.0).made(3)


def test_what_is_planted_is_found_and_can_be_played(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(codecs, "make_codec", Raises)
    (finding,) = ran(tmp_path, "server").findings
    (file,) = tmp_path.iterdir()
    assert "IndexError" in finding
    assert finding.endswith(f"python -m benchmarks.fuzz server --play {file}")
    assert main(["server", "--play", str(file)]) == 1
    assert "IndexError" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["server", "--play", str(file)]) == 0


def test_what_is_kept_and_never_given_back_is_found(monkeypatch, tmp_path):
    kept = []

    class Keeps(Planted):
        def __init__(self, name, role, params):
            super().__init__(name, role, params)
            kept.extend(bytes(100) for _ in range(3000))

    monkeypatch.setattr(codecs, "make_codec", Keeps)
    (finding,) = ran(tmp_path, "server").findings
    assert finding.startswith("leak: +")


def test_memory_is_not_judged_under_another_allocator(monkeypatch, tmp_path):
    monkeypatch.setattr(seeded.sys, "getallocatedblocks", lambda: 0)
    run = ran(tmp_path)
    assert run.findings == []
    assert "memory is not judged" in str(run)


def test_what_takes_too_long_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(target, "SLOW_S", 0.0)
    (finding,) = ran(tmp_path).findings
    assert finding.startswith("slow: ")


def planted(code, tmp_path):
    """Run the engine in a process of its own, with something wrong in it."""
    run = f"seeded.Run([TARGETS['server']], 1, 60.0, kept=pathlib.Path({str(tmp_path)!r}))"
    code = f"""
import os, pathlib, time
from benchmarks.fuzz import codecs, seeded
from benchmarks.fuzz.targets import TARGETS

{code}
found = seeded.watched({run})
print("found" if found else "not found")
"""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    return done.stdout


@pytest.mark.parametrize(
    ("code", "died"),
    [
        ("codecs.make_codec = lambda *_: os.abort()", "died: SIGABRT\n"),
        (
            "seeded.HANG_S = 0.5\ncodecs.make_codec = lambda *_: time.sleep(90)",
            "died: status 1, or it hung\n",
        ),
    ],
    ids=["crash", "hang"],
)
def test_a_process_that_dies_is_found_and_its_input_kept(tmp_path, code, died):
    told = planted(code, tmp_path)
    (file,) = tmp_path.iterdir()
    assert told == f"{died}python -m benchmarks.fuzz server --play {file}\nfound\n"
    assert file.read_bytes() == Run([TARGETS["server"]], seed=1, seconds=1.0).made(0)[1]
