"""Packages: the same octets wherever they are built, whole, and they run where they are installed.

What is built here is the work tree, by the packages of the lock; nothing is fetched. That pipx
runs it takes no more than a program that is called as the package is: pipx makes a venv, installs
the wheel and its dependencies, and runs that program.
"""

import email
import faulthandler
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from deploy.release.comparing import differences
from deploy.release.making import MakingError, compiled_wheel, pure_wheel, run, sdist, unpack
from deploy.release.pythons import VERSIONS
from hatch_build import COMPILED
from tests.support.shipped import ROOT, checked
from trailproxy import __version__

EPOCH = 1_700_000_000
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
OFFLINE = ("--no-deps", "--no-index", "--quiet")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked(under: str = ".") -> list[str]:
    """List what git knows of: what a commit of the work tree would hold."""
    told = checked("git", "ls-files", "--cached", "--others", "--exclude-standard", under)
    return [name for name in told.splitlines() if (ROOT / name).is_file()]


def copied(folder: Path) -> Path:
    """Copy the work tree."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the pure wheel that was made from it."""
    place = tmp_path_factory.mktemp("here")
    made = sdist(sys.executable, copied(place / "tree"), place / "dist", EPOCH)
    pure_wheel(sys.executable, unpack(made, place / "sdist"), place / "dist", EPOCH)
    return place / "dist"


@pytest.fixture(scope="module")
def archive(dist: Path) -> Path:
    (made,) = dist.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (made,) = dist.glob("*-py3-none-any.whl")
    return made


# -- the same octets ----------------------------------------------------------------------


def test_the_same_octets_whatever_the_folder_and_the_hour(dist: Path, tmp_path: Path) -> None:
    tree, elsewhere = copied(tmp_path / "another" / "and longer"), tmp_path / "dist"
    for file in tree.rglob("*"):
        os.utime(file, (0, 10**9))
    sdist(sys.executable, tree, elsewhere, EPOCH)
    pure_wheel(sys.executable, tree, elsewhere, EPOCH)
    assert differences(sorted(dist.iterdir()), elsewhere) == []


def test_a_difference_is_named(wheel: Path, tmp_path: Path) -> None:
    other = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(other, "w") as after:
        for each in before.infolist():
            more = b"# not ours\n" if each.filename == "trailproxy/app.py" else b""
            after.writestr(each, before.read(each) + more)
    assert differences([wheel], tmp_path) == [f"{wheel.name}: differs in trailproxy/app.py"]
    (tmp_path / wheel.name).unlink()
    assert differences([wheel], tmp_path) == [f"{wheel.name}: there is none in {tmp_path}"]


def in_place() -> list[Path]:
    """Return what `make build` has compiled; it must be of the source there is now."""
    made = [*ROOT.glob("*__mypyc.*.so"), *(ROOT / "trailproxy").rglob("*.so")]
    sources = [ROOT / "hatch_build.py", *(ROOT / f"trailproxy/{each}.py" for each in COMPILED)]
    newest = max(source.stat().st_mtime for source in sources)
    if len(made) == len(COMPILED) + 1 and min(each.stat().st_mtime for each in made) > newest:
        return made
    missing = "what is compiled in place is not of this source: make build"
    assert os.environ.get("TRAILPROXY_REQUIRE_TOOLS") != "1", missing
    pytest.skip(missing)


@pytest.mark.slow
def test_a_compiled_wheel_has_the_octets_that_were_compiled_here(
    archive: Path, tmp_path: Path
) -> None:
    """Another folder, another hash seed, and from the sdist: it takes a minute or two."""
    faulthandler.cancel_dump_traceback_later()  # so long is as it should be
    here = {str(file.relative_to(ROOT)): file.read_bytes() for file in in_place()}
    made = compiled_wheel(sys.executable, unpack(archive, tmp_path), tmp_path / "dist", EPOCH)
    with zipfile.ZipFile(made) as packed:
        there = {name: packed.read(name) for name in packed.namelist() if name.endswith(".so")}
    assert [name for name in here if there.get(name) != here[name]] == []
    assert there.keys() == here.keys()
    for place in (str(ROOT), str(tmp_path), str(Path(sys.executable).parents[1]), sys.base_prefix):
        assert not [name for name in there if place.encode() in there[name]], place
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert made.name.startswith(f"trailproxy-{__version__}-{python}-{python}-")
    told = installed(tmp_path / "venv", made.parent)
    assert f"trailproxy {__version__} (native codec, compiled; Python 3." in told


# -- whole --------------------------------------------------------------------------------


def test_the_sdist_has_all_that_a_wheel_is_made_of(archive: Path, wheel: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    beside = {"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "PKG-INFO"}
    build = {"pyproject.toml", "hatch_build.py", "requirements-build.lock"}
    package = set(tracked("trailproxy"))
    assert names == {*beside, *build, ".gitignore", *package, *tracked("config")}
    with zipfile.ZipFile(wheel) as packed:
        inside = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert inside == package
    assert "trailproxy/py.typed" in inside


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as packed:
        return email.message_from_string(
            packed.read(f"trailproxy-{__version__}.dist-info/METADATA").decode()
        )


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    told, project = metadata(wheel), PROJECT["project"]
    assert told["Name"] == "trailproxy"
    assert told["Version"] == __version__
    assert told["Metadata-Version"] == "2.4"
    assert told["Requires-Python"] == ">=3.11"
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_all("License-File") == ["LICENSE"]
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().strip() == (ROOT / "README.md").read_text("utf-8").strip()
    asked = [each for each in told.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert len(asked) == len(project["dependencies"])
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(told.get_all("Classifier", [])))
    assert tuple(pythons) == VERSIONS


def test_a_program_is_called_as_the_package_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        points = packed.read(f"trailproxy-{__version__}.dist-info/entry_points.txt").decode()
    assert points.split() == ["[console_scripts]", "trailproxy", "=", "trailproxy.__main__:main"]


# -- installed ----------------------------------------------------------------------------


def installed(venv: Path, found: Path) -> str:
    """Install what pip chooses from a folder, run its demo, and return what it is."""
    checked(sys.executable, "-m", "venv", "--without-pip", str(venv))
    (packages,) = venv.glob("lib/python*/site-packages")
    python = str(venv / "bin" / "python")
    checked(*PIP, "--python", python, "install", *OFFLINE, "--find-links", str(found), "trailproxy")
    # the dependencies are those of the lock, where they are; what is installed here comes first
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    program = [str(venv / "bin" / "trailproxy")]
    where = run([python, "-c", "import trailproxy; print(trailproxy.__file__)"], cwd=venv)
    assert where.startswith(str(packages))
    once = run([*program, "demo", "--once", "--port", "0", "--admin-port", "0"], cwd=venv)
    assert "head, body and trailers arrived" in once
    return run([*program, "--version"], cwd=venv)


@pytest.mark.slow
def test_the_pure_wheel_runs_and_says_so(wheel: Path, tmp_path: Path) -> None:
    told = installed(tmp_path / "venv", wheel.parent)
    assert f"trailproxy {__version__} (native codec, pure Python; Python 3." in told


@pytest.mark.slow
def test_without_a_compiler_the_sdist_becomes_the_pure_wheel_and_says_so(
    archive: Path, wheel: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--verbose")
    told = subprocess.run(
        [*PIP, "wheel", *options, "--wheel-dir", str(tmp_path), str(archive)],
        env={"HOME": str(tmp_path), "PATH": str(nothing), "SOURCE_DATE_EPOCH": str(EPOCH)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    word = "trailproxy is pure Python here, and slower: there is no C compiler called"
    assert word in told.stdout + told.stderr
    assert differences([wheel], tmp_path) == []


def test_who_asks_for_a_compiled_wheel_is_told_that_there_is_no_compiler(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MakingError, match="compiled nothing: is there a C compiler"):
        compiled_wheel(sys.executable, unpack(archive, tmp_path), tmp_path / "dist", EPOCH)
    assert list((tmp_path / "dist").iterdir()) == []


@pytest.mark.parametrize(
    ("python", "platform", "chosen"),
    [
        ("3.11", "manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_x86_64"),
        ("3.13", "manylinux_2_28_aarch64", "cp313-cp313-manylinux_2_28_aarch64"),
        ("3.14", "manylinux_2_17_x86_64", "py3-none-any"),
        ("3.12", "musllinux_1_2_x86_64", "py3-none-any"),
        ("3.12", "macosx_14_0_arm64", "py3-none-any"),
    ],
)
def test_pip_takes_the_compiled_wheel_where_there_is_one(
    wheel: Path, tmp_path: Path, python: str, platform: str, chosen: str
) -> None:
    index, found = tmp_path / "index", tmp_path / "found"
    index.mkdir()
    name = f"trailproxy-{__version__}"
    for version in ("311", "312", "313"):
        for kind in ("2_17_x86_64", "2_28_aarch64"):
            tag = f"cp{version}-cp{version}-manylinux_{kind}"
            shutil.copy(wheel, index / f"{name}-{tag}.whl")  # pip goes by the name alone
    shutil.copy(wheel, index)
    asked = ("--only-binary=:all:", f"--python-version={python}", f"--platform={platform}")
    where = ("--find-links", str(index), "--dest", str(found))
    checked(*PIP, "download", *OFFLINE, *asked, *where, "trailproxy")
    assert [file.name for file in found.iterdir()] == [f"{name}-{chosen}.whl"]
