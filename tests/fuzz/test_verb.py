"""The verb: both engines in turn, each target for its share, and a status that tells."""

import pytest

from benchmarks.fuzz import __main__ as verb
from benchmarks.fuzz.guided import Report
from benchmarks.fuzz.targets import TARGETS


@pytest.fixture
def engines(monkeypatch):
    """Stand in for both engines; return what was asked of them."""
    asked = []

    def seeded(run):
        asked.append(("seeded", [target.name for target in run.targets], run.seconds, run.seed))
        return seeded.found

    def guided(target, seconds, seed):
        asked.append((target.name, seconds, seed))
        return Report(target.name, 9, 8, 7, "leaks" if target.name == guided.finds else "")

    seeded.found, guided.finds = False, ""
    monkeypatch.setattr(verb.seeded, "watched", seeded)
    monkeypatch.setattr(verb.guided, "run", guided)
    monkeypatch.setattr(verb.guided, "missing", lambda: "")
    asked.append((seeded, guided))
    return asked


def test_each_target_has_its_share_of_the_time(engines, capsys):
    assert verb.main(["--seconds", "80", "--seed", "3"]) == 0
    assert engines[1:] == [
        ("seeded", list(TARGETS), 20.0, 3),
        ("proxy", 22.5, 3),
        *((name, 7.5, 3) for name in list(TARGETS)[1:]),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "guided: proxy    9 inputs, 8 edges, 7 new units: nothing was found"
    assert len(lines) == len(TARGETS)


def test_targets_may_be_named(engines):
    assert verb.main(["words", "hpack", "--seconds", "80"]) == 0
    assert [asked[0] for asked in engines[1:]] == ["seeded", "words", "hpack"]


def test_a_finding_of_either_engine_is_a_failure(engines):
    seeded, guided = engines[0]
    guided.finds = "server"
    assert verb.main([]) == 1
    assert len(engines) == 2 + len(TARGETS), "the others have their turn"
    seeded.found, guided.finds = True, ""
    assert verb.main([]) == 1


def test_without_atheris_it_says_so_and_goes_on(engines, monkeypatch, capsys):
    monkeypatch.setattr(verb.guided, "missing", lambda: "atheris is not installed")
    assert verb.main(["--seconds", "80"]) == 0
    assert engines[1:] == [("seeded", list(TARGETS), 80.0, 1)]
    assert capsys.readouterr().out == ("atheris is not installed: inputs are made up, not guided\n")


def test_unguided_it_is_silent_about_it(engines, capsys):
    assert verb.main(["--seeded"]) == 0
    assert [asked[0] for asked in engines[1:]] == ["seeded"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nothing"], "there is no target nothing"),
        (["--play", "file"], "--play needs the name of the target"),
    ],
)
def test_what_cannot_be_done_is_told(argv, told, capsys):
    with pytest.raises(SystemExit):
        verb.main(argv)
    assert told in capsys.readouterr().err
