"""A release: its workflow asks for little and calls our verbs, and all name one version."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.release import notes
from deploy.release.pythons import VERSIONS, find
from tests.support.shipped import ROOT, checked, documents, relative, tool
from trailproxy import __version__

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
TAG = f"v{__version__}"
VERSIONED = sorted({file for file, _ in notes._PLACES} | {"trailproxy/__init__.py", "CHANGELOG.md"})


def workflow(path: Path) -> dict[Any, Any]:
    (read,) = documents(path)
    return read


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


# -- workflows ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_a_workflow_is_understood(path: Path) -> None:
    checked(tool("actionlint", built_with="go"), "-no-color", str(path))


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_actions_are_pinned_to_one_commit_each(path: Path) -> None:
    lines = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert len(lines) == len([step for step in steps(path) if "uses" in step])
    for line in lines:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    everywhere = "\n".join(each.read_text(encoding="utf-8") for each in WORKFLOWS)
    for action in {line.partition("@")[0] for line in lines}:
        assert len(set(re.findall(rf"{action}@(.*)", everywhere))) == 1, action


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_what_a_workflow_runs_is_a_verb_of_ours(path: Path) -> None:
    verbs = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    commands = [step["run"] for step in steps(path) if "run" in step]
    for command in commands:
        program, verb, *_ = [*command.split(), ""]
        if program == "make":
            assert verb in verbs, command
        else:
            assert program in (".ci/run", "gh"), command
        # what strangers may choose, such as the name of a branch, is no part of a command
        assert "${{" not in command


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_a_job_ends_and_leaves_no_key_behind(path: Path) -> None:
    for job in workflow(path)["jobs"].values():
        assert job["timeout-minutes"] <= 90
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_a_job_of_the_release_may_do_what_it_must_and_no_more() -> None:
    read = workflow(RELEASE)
    assert read["permissions"] == {}
    assert {name: job["permissions"] for name, job in read["jobs"].items()} == {
        "sdist": {"contents": "read"},
        "wheels": {"contents": "read"},
        "image": {"contents": "read", "packages": "write"},
        "publish": {"id-token": "write"},
        "announce": {"contents": "write", "id-token": "write", "attestations": "write"},
    }
    # what may publish builds nothing, and runs nothing of the commit
    for name in ("publish", "announce"):
        uses = [step.get("uses", "") for step in read["jobs"][name]["steps"]]
        assert not [each for each in uses if each.startswith("actions/checkout@")]


def test_nothing_is_published_before_all_of_it_is_built_and_named() -> None:
    jobs = workflow(RELEASE)["jobs"]
    assert jobs["sdist"]["steps"][2]["run"] == "make notes"
    assert jobs["wheels"]["needs"] == jobs["image"]["needs"] == "sdist"
    assert jobs["publish"]["needs"] == ["sdist", "wheels"]
    assert jobs["announce"]["needs"] == "publish"


# -- Pythons ------------------------------------------------------------------------------


def test_all_name_the_same_pythons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    containers = project["tool"]["cibuildwheel"]["build"].split()
    assert containers == [f"cp{version.replace('.', '')}-*" for version in VERSIONS]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"PYTHONS ?= {' '.join(f'python{version}' for version in VERSIONS)}\n" in makefile
    tried = workflow(ROOT / ".github/workflows/ci.yml")["jobs"]["pythons"]
    oldest, *others = VERSIONS
    assert tried["strategy"]["matrix"]["python"] == others
    assert project["project"]["requires-python"] == f">={oldest}"


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def python(version: str, kind: str = "CPython") -> str:
    return f"""echo '["/usr/bin/{kind}-{version}", "{kind}", "{version}"]'"""


def test_pythons_are_found_that_are_there_and_run(tmp_path: Path) -> None:
    program(tmp_path, "python3.11", python("3.11"))
    program(tmp_path, "python3", python("3.11"))  # the same version once more
    program(tmp_path, "python3.12", "exit 127")  # of a manager that is not let
    program(tmp_path, "python3.13", python("3.13", "PyPy"))
    program(tmp_path, "python3.14", python("3.14"))  # nothing is compiled for it
    names = ["python3.11", "python3", "python3.12", "python3.13", "python3.14", "no-such"]
    found = find(names, {"PATH": str(tmp_path)})
    assert found == [("/usr/bin/CPython-3.11", "3.11")]


@pytest.mark.parametrize(("chosen", "expected"), [({}, ["3.12"]), ({"PYENV_VERSION": "3.9"}, [])])
def test_what_pyenv_has_is_let_unless_a_version_was_chosen(
    tmp_path: Path, chosen: dict[str, str], expected: list[str]
) -> None:
    program(tmp_path, "pyenv", "echo 3.11.7; echo 3.12.1")
    shim = f'test "$PYENV_VERSION" = 3.11.7:3.12.1 || exit 127\n{python("3.12")}'
    program(tmp_path, "python3.12", shim)
    found = find(["python3.12"], {"PATH": str(tmp_path), **chosen})
    assert [each.version for each in found] == expected


# -- one version --------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Copy what names the version, with a changelog that has a section for it."""
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # as a release does it
    log = log.replace("## Unreleased", f"## {__version__} - 2026-12-01", 1)
    (tmp_path / "CHANGELOG.md").write_text(log, encoding="utf-8")
    return tmp_path


def test_a_release_is_what_all_say_it_is(root: Path) -> None:
    assert list(notes.disagreements(TAG, root)) == []
    told = notes.section(__version__, root)
    assert told.startswith("### Added")
    assert "\n## " not in told


def test_a_version_stands_nowhere_that_a_release_does_not_look() -> None:
    shipped = checked("git", "ls-files", "Dockerfile", "deploy", "trailproxy").splitlines()
    named = {
        name
        for name in shipped
        if __version__ in (ROOT / name).read_text(encoding="utf-8", errors="replace")
        and "/ci/" not in name
        and not name.endswith("_test.yaml")
        and not name.endswith("kustomization.yaml")  # in a comment, as an example
    }
    assert named == {name for name in VERSIONED if name != "CHANGELOG.md"}


@pytest.mark.parametrize("tag", ["", "0.1.0", "v0.1", "v0.1.0; true", "v0.1.0-2"])
def test_a_tag_has_one_form(root: Path, tag: str) -> None:
    (told,) = notes.disagreements(tag, root)
    assert told.startswith("a release is tagged as v1.2.3")


@pytest.mark.parametrize("name", [name for name in VERSIONED if name != "CHANGELOG.md"])
def test_who_names_another_version_is_named(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    (root / name).write_text(text.replace(__version__, "9.9.9"), encoding="utf-8")
    told = list(notes.disagreements(TAG, root))
    assert told
    assert all(each == f"{name}: has 9.9.9, and the tag is {TAG}" for each in told)


def test_a_changelog_without_the_version_is_named(root: Path) -> None:
    shutil.copy(ROOT / "CHANGELOG.md", root)
    (told,) = notes.disagreements(TAG, root)
    assert told.startswith("CHANGELOG.md: ")
    assert notes.section(__version__, root) == ""
