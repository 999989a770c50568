"""Completion: what a shell offers while a command line is typed, asked of the shells themselves."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.shipped import checked, tool
from trailproxy.cli import main
from trailproxy.words import OK

# each shell on its own: what it is given, and how it is asked
BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
asked=$(complete -p trailproxy); asked=${{asked##*-F }}; ${{asked%% *}}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source {script}; complete --do-complete {line}"
ZSH = """
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -u -D
print -r -- $_comps[trailproxy]
"""


@pytest.fixture(params=["bash", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a file and a folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here" / "captures").mkdir(parents=True)
    (tmp_path / "here" / "captured.har").touch()
    return tmp_path / "here"


def written(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write the script for a shell; return where it is."""
    assert main(["completion", shell]) == OK
    script = folder.parent / f"completion.{shell}"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    return script


def offered(shell: str, script: Path, line: str, place: Path) -> set[str]:
    """Return what a shell offers at the end of a line."""
    if shell == "bash":
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        told = BASH.format(script=script, words=" ".join(map(shlex.quote, words)))
        command = [tool("bash"), "--norc", "--noprofile", "-c", told]
    else:
        told = FISH.format(script=script, line=shlex.quote(line))
        command = [tool("fish"), "--no-config", "-c", told]
    heard = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=20, check=True
    )
    assert heard.stderr == ""
    # fish says behind a tab what a word means; of a folder both may say that it is one
    return {word.split("\t")[0].rstrip("/") for word in heard.stdout.splitlines() if word}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trailproxy ", {"run", "check", "schema", "demo", "probe", "replay", "completion"}),
        ("trailproxy re", {"replay"}),
        ("trailproxy demo --o", {"--once"}),
        ("trailproxy probe --c", {"--ca", "--certificate"}),
        ("trailproxy completion ", {"bash", "zsh", "fish"}),
        ("trailproxy run -c cap", {"captured.har", "captures"}),
        ("trailproxy run --config cap", {"captured.har", "captures"}),
        ("trailproxy replay cap", {"captured.har", "captures"}),
        ("trailproxy nonsense x", set()),
    ],
)
def test_a_shell_offers_what_the_program_takes(
    shell: str, place: Path, capsys: pytest.CaptureFixture[str], line: str, expected: set[str]
) -> None:
    script = written(shell, place, capsys)
    found = offered(shell, script, line, place)
    if line == "trailproxy ":
        found = {word for word in found if not word.startswith("-")}  # fish offers files besides
        assert found & {"worker"} == set()
        assert expected <= found
    else:
        assert found == expected


def test_zsh_knows_who_completes_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = written("zsh", place, capsys)
    checked(tool("zsh"), "-n", str(script))
    functions = place / "functions"
    functions.mkdir()
    script.rename(functions / "_trailproxy")
    told = checked(tool("zsh"), "-f", "-c", ZSH.format(folder=functions))
    assert told.strip() == "_trailproxy"


def test_another_shell_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "ksh"])
    error = capsys.readouterr().err
    assert all(shell in error for shell in ("ksh", "bash", "zsh", "fish"))
