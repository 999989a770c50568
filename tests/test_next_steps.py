"""Errors at the command line: one line that says what, where, and what to do next."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_certificates
from trailproxy.cli import main
from trailproxy.words import BAD_CONFIGURATION, FAILED

GOOD = """
listeners: [{name: main, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:1"]}]
routes: [{name: all, match: {path_prefix: /}, upstream: app}]
admin: {bind: "127.0.0.1:0"}
"""
LISTENER = '"127.0.0.1:0"}]\nup'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for each in ("HOST", "PORT"):
        monkeypatch.delenv(f"KUBERNETES_SERVICE_{each}", raising=False)
    return Path("c.yaml")


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


Heard = pytest.CaptureFixture[str]


def said(capsys: Heard, status: int, *command: str) -> str:
    """Run a command that must fail; return the one line it says."""
    try:
        ended = main(command)
    except SystemExit as end:
        ended = int(str(end.code))
    error = capsys.readouterr().err
    assert ended == status, error
    assert error.count("\n") == 1, error
    return error.rstrip()


# -- what was typed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "",
            "trailproxy: the following arguments are required: COMMAND; see trailproxy --help",
        ),
        (
            "run",
            "trailproxy run: the following arguments are required: -c/--config; "
            "see trailproxy run --help",
        ),
        (
            "demo --port 99999",
            "trailproxy demo: argument --port: must be a port from 0 to 65535, not '99999'; "
            "see trailproxy demo --help",
        ),
        (
            "probe",
            "trailproxy probe: give a URL to probe, such as https://host:port/path, or --serve",
        ),
        (
            "probe --serve --certificate x",
            "trailproxy probe: --certificate and --private-key go together",
        ),
        (
            "replay no.har --against http://127.0.0.1:1",
            "trailproxy replay: no.har: cannot be read: No such file or directory",
        ),
    ],
)
def test_a_command_line_is_corrected(config: Path, capsys: Heard, command: str, line: str) -> None:
    assert said(capsys, BAD_CONFIGURATION, *command.split()) == line


def test_a_word_that_is_no_command_is_told_which_there_are(capsys: Heard) -> None:
    told = said(capsys, BAD_CONFIGURATION, "serve")
    assert "'serve'" in told
    assert all(command in told for command in ("run", "check", "demo", "trailproxy --help"))
    assert "worker" not in told


# -- the machine ---------------------------------------------------------------------------


def test_a_port_in_use_says_how_to_find_out_who_has_it(
    config: Path, capsys: Heard, taken: str
) -> None:
    for key, file in (
        ("listener main", GOOD.replace(LISTENER, f'"{taken}"}}]\nup')),
        ("admin", GOOD.replace('admin: {bind: "127.0.0.1:0"}', f'admin: {{bind: "{taken}"}}')),
    ):
        config.write_text(file)
        told = said(capsys, FAILED, "run", "-c", str(config))
        assert told.startswith(f"trailproxy: {key}: cannot bind {taken}: Address already in use; ")
        assert "`ss -ltnp`" in told


@pytest.mark.parametrize(
    ("bind", "next_step"),
    [
        ("192.0.2.1:8080", "0.0.0.0 is any"),
        ("unix:/no/such/folder/x.sock", "make the folder first"),
        ("unix:HERE/c.yaml", "choose another path"),
    ],
)
def test_an_address_that_cannot_be_had_says_what_can(
    config: Path, capsys: Heard, bind: str, next_step: str
) -> None:
    bind = bind.replace("HERE", str(Path.cwd()))
    config.write_text(GOOD.replace(LISTENER, f'"{bind}"}}]\nup'))
    told = said(capsys, FAILED, "run", "-c", str(config))
    assert told.startswith(f"trailproxy: listener main: cannot bind {bind}: ")
    assert next_step in told


@pytest.mark.parametrize(
    ("path", "next_step"),
    [("/no/such/h.sock", "make it, and give it to our user"), ("c.yaml", "choose another path")],
)
def test_a_handover_that_cannot_be_is_refused_at_the_start(
    config: Path, capsys: Heard, path: str, next_step: str
) -> None:
    there = Path(path).absolute()
    config.write_text(GOOD + f"handover: {there}\n")
    told = said(capsys, FAILED, "run", "-c", str(config))
    assert told.startswith(f"trailproxy: handover: {there}: ")
    assert next_step in told


def test_too_few_files_are_an_end_in_one_line(config: Path) -> None:
    config.write_text(GOOD)
    told = subprocess.run(
        ["sh", "-c", f'ulimit -n 12; exec "{sys.executable}" -m trailproxy run -c {config}'],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == FAILED
    assert told.stderr.startswith("trailproxy: this process may open 12 files, and needs 64 ")
    assert "ulimit -n" in told.stderr
    assert told.stderr.count("\n") == 1


# -- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "key", "next_step"),
    [
        ("server.key", "server.key", "server.key holds no certificate in PEM"),
        ("server.crt", "server.crt", "server.crt holds no private key in PEM"),
        ("server.crt", "client.key", "key values mismatch; the key is that of another certificate"),
    ],
)
def test_a_pair_that_is_none_says_which_file_to_look_at(
    config: Path, capsys: Heard, certificate: str, key: str, next_step: str
) -> None:
    made = make_certificates(Path())
    files = {
        "server.crt": made.server,
        "server.key": made.server_key,
        "client.key": made.client_key,
    }
    pair = f"certificate: {files[certificate]}, private_key: {files[key]}"
    config.write_text(GOOD.replace(LISTENER, f'"127.0.0.1:0", tls: {{{pair}}}}}]\nup'))
    told = said(capsys, BAD_CONFIGURATION, "check", "-c", str(config))
    assert told.startswith("c.yaml: listeners[0].tls: ")
    assert next_step in told.replace(f"{Path()}/", "")


def test_an_empty_token_says_how_to_make_one(config: Path, capsys: Heard) -> None:
    Path("token").touch()
    config.write_text(GOOD.replace('admin: {bind: "127.0.0.1:0"}', "admin: {token_file: token}"))
    told = said(capsys, BAD_CONFIGURATION, "check", "-c", str(config))
    assert told.startswith("c.yaml: admin.token_file: token must hold one line")
    assert "`openssl rand -hex 32`" in told


def test_an_open_admin_page_says_how_to_close_it(config: Path, capsys: Heard) -> None:
    config.write_text(GOOD.replace('admin: {bind: "127.0.0.1:0"}', 'admin: {bind: "0.0.0.0:0"}'))
    told = said(capsys, 0, "check", "-c", str(config))
    assert "set admin.token_file or admin.tls.client_ca, or bind it to 127.0.0.1" in told


def test_pods_outside_a_cluster_say_what_to_write(config: Path, capsys: Heard) -> None:
    config.write_text(GOOD.replace('"127.0.0.1:1"', '"k8s:shop/app:grpc"'))
    told = said(capsys, BAD_CONFIGURATION, "check", "-c", str(config))
    assert told.startswith("c.yaml: upstreams[0].endpoints: KUBERNETES_SERVICE_HOST ")
    assert told.endswith("elsewhere give host:port")


@pytest.mark.parametrize(
    ("text", "next_step"),
    [("listeners: []", "docs/live.md"), ('{"log": {"entries": []}}', "the tap saw none")],
)
def test_a_capture_that_is_none_says_where_one_comes_from(
    config: Path, capsys: Heard, text: str, next_step: str
) -> None:
    Path("c.har").write_text(text)
    told = said(capsys, BAD_CONFIGURATION, "replay", "c.har", "--against", "http://127.0.0.1:1")
    assert told.startswith("trailproxy replay: c.har: ")
    assert next_step in told


# -- peers ---------------------------------------------------------------------------------


def test_a_peer_that_is_not_there_is_asked_about(config: Path, capsys: Heard) -> None:
    request = {"method": "GET", "url": "http://a/b", "headers": []}
    response = {"status": 200, "headers": [], "content": {}}
    archive = {"log": {"entries": [{"request": request, "response": response}]}}
    Path("c.har").write_text(json.dumps(archive))
    told = said(capsys, BAD_CONFIGURATION, "replay", "c.har", "--against", "http://127.0.0.1:1")
    assert told == (
        "trailproxy replay: 127.0.0.1:1: connection refused; does it run, and is that its port?"
    )


def test_an_origin_whose_port_is_taken_says_so(config: Path, capsys: Heard, taken: str) -> None:
    told = said(capsys, BAD_CONFIGURATION, "probe", "--serve", "--bind", taken)
    assert told.startswith(f"trailproxy probe: --bind: {taken}: Address already in use; `ss -ltnp`")
