"""The command line: what it prints, and how it exits."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import trailproxy
from trailproxy import __version__
from trailproxy.cli import main
from trailproxy.words import BAD_CONFIGURATION, FAILED, OK

GOOD = """
listeners: [{name: main, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:50051"]}]
routes: [{name: all, match: {path_prefix: /}, upstream: app}]
"""


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trailproxy", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "trailproxy.yaml"


def test_check_says_what_a_good_file_holds(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(GOOD)
    assert main(["check", "-c", str(config)]) == OK
    assert capsys.readouterr().out == f"{config}: good: 1 listener, 1 upstream, 1 route\n"


def test_check_names_path_and_line_of_what_is_wrong(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(GOOD + "limitz: {}\n")
    assert main(["check", "-c", str(config)]) == BAD_CONFIGURATION
    error = capsys.readouterr().err
    assert error.startswith(f"{config}:5: limitz: unknown key")
    assert "limits" in error


def test_check_names_a_certificate_that_is_not_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = '"127.0.0.1:0", tls: {certificate: /no/such.crt, private_key: /no/such.key}'
    config.write_text(GOOD.replace('"127.0.0.1:0"', tls))
    assert main(["check", "-c", str(config)]) == BAD_CONFIGURATION
    assert "listeners[0].tls: /no/such.crt: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_file_that_is_not_there_is_a_bad_configuration(
    config: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "-c", str(config)]) == BAD_CONFIGURATION
    assert str(config) in capsys.readouterr().err


def test_an_address_in_use_is_no_fault_of_the_configuration(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config.write_text(GOOD.replace("127.0.0.1:0", address) + 'admin: {bind: "127.0.0.1:0"}\n')
        assert main(["run", "-c", str(config)]) == FAILED
    error = capsys.readouterr().err
    assert address in error
    assert "in use" in error


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == OK
    schema = json.loads(capsys.readouterr().out)
    assert "listeners" in schema["$defs"]["Settings"]["properties"]


@pytest.mark.parametrize("pure", ["0", "1"])
def test_the_version_says_which_build_runs(pure: str) -> None:
    told = _run("--version", TRAILPROXY_PURE=pure)
    assert told.returncode == OK
    built = any(Path(trailproxy.__file__).parent.glob("wire/native.*.so"))
    which = "compiled" if built and pure == "0" else "pure Python"
    assert f"trailproxy {__version__} (native codec, {which}; Python 3." in told.stdout


def test_the_demo_shows_head_body_and_trailers() -> None:
    told = _run("demo", "--once", "--port", "0", "--admin-port", "0")
    assert told.returncode == OK, told.stderr
    lines = told.stdout.splitlines()
    kinds = [line.split()[1] for line in lines if line.startswith("< ")]
    assert sorted(set(kinds), key=kinds.index) == ["head", "body", "trailers"]
    assert "head, body and trailers arrived" in lines


def test_the_demo_names_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = _run("demo", "--once", "--port", str(taken.getsockname()[1]), "--admin-port", "0")
    assert told.returncode == FAILED
    assert "cannot bind 127.0.0.1:" in told.stderr
    assert "--port" in told.stderr
