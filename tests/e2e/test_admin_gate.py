"""The admin page behind a token and certificates, in one process and before several."""

import http.client
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.support.backend import RunningBackend
from tests.support.certificates import Authority, Pair
from tests.support.crew import all_ready
from tests.support.running import (
    PATIENCE_S,
    ROOT,
    Proxy,
    Run,
    Settings,
    Start,
    eventually,
    free_port,
    refused,
    running_proxy,
    settings,
)

pytestmark = [pytest.mark.e2e, pytest.mark.operators]
TIME_LIMIT_S = 60

TOKEN = "s3cret-t0ken-of-the-admin-page"


@pytest.fixture(autouse=True)
def in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def admin(**keys: object) -> Settings:
    return {"bind": f"127.0.0.1:{free_port()}", **keys}


class Answer(NamedTuple):
    """What the page said."""

    status: int
    challenge: str | None
    body: str


def ask(proxy: Proxy, path: str, method: str = "GET", **fields: str) -> Answer:
    """Ask the admin page as somebody who is told nothing but its address."""
    host, _, port = str(proxy.settings["admin"]["bind"]).rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers=fields)
        response = connection.getresponse()
        body = response.read().decode()
        return Answer(response.status, response.headers["WWW-Authenticate"], body)
    finally:
        connection.close()


def shown(proxy: Proxy) -> str:
    """Return everything that operators can see: pages, log and access log."""
    pages = [proxy.admin(path)[1] for path in ("/", "/metrics", "/config", "/streams")]
    return "".join([*pages, proxy.errors, proxy.log.read_text() if proxy.log.exists() else ""])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_token_opens_every_page_and_stands_on_none(
    backend: RunningBackend, tmp_path: Path, workers: int
):
    with running_proxy(
        tmp_path / "proxy", backend.endpoint, admin=admin(token="${ADMIN_TOKEN}"), workers=workers
    ) as proxy:
        if workers > 1:
            all_ready(proxy, workers)
        stranger = ask(proxy, "/metrics")
        assert (stranger.status, stranger.challenge) == (401, 'Bearer realm="trailproxy admin"')
        assert ask(proxy, "/reload", "POST", Authorization="Bearer guess").status == 401
        assert ask(proxy, "/healthz").status == ask(proxy, "/readyz").status == 200

        # as Prometheus asks: authorization.credentials, and the formats it takes
        formats = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        scrape = ask(proxy, "/metrics", Authorization=f"Bearer {TOKEN}", Accept=formats)
        assert scrape.status == 200
        assert "# TYPE trailproxy_requests counter" in scrape.body
        assert scrape.body.endswith("# EOF\n")

        assert proxy.admin("/reload", "POST")[0] == 200
        assert proxy.metrics().total("config_reloads_total", outcome="ok") == 1
        assert TOKEN not in shown(proxy)
        assert '"token": "***"' in proxy.admin("/config")[1]


def test_a_token_of_another_configuration_takes_effect(backend: RunningBackend, start: Start):
    proxy = start(backend.endpoint, admin=admin())
    assert ask(proxy, "/config").status == 200
    proxy.settings["admin"]["token"] = TOKEN
    proxy.write()
    assert ask(proxy, "/reload", "POST").status == 200
    assert ask(proxy, "/config").status == 401
    assert proxy.admin("/config")[0] == 200
    assert TOKEN not in shown(proxy)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mounted_token_is_taken_up_when_it_is_replaced(
    backend: RunningBackend, tmp_path: Path, workers: int
):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    wanted = admin(token_file=str(file))
    with running_proxy(
        tmp_path / "proxy", backend.endpoint, admin=wanted, workers=workers
    ) as proxy:
        assert ask(proxy, "/config", Authorization=f"Bearer {TOKEN}").status == 200
        file.write_text("another-token\n")
        eventually(
            lambda: ask(proxy, "/config", Authorization="Bearer another-token").status == 200,
            "the new token",
        )
        assert ask(proxy, "/config", Authorization=f"Bearer {TOKEN}").status == 401
        proxy.settings["admin"]["token"] = "another-token"  # for the books at its end
        told = shown(proxy)
        assert TOKEN not in told
        assert "another-token" not in told


# -- TLS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_page_speaks_tls_and_knows_its_operators(
    backend: RunningBackend, authority: Authority, tmp_path: Path, workers: int, run: Run
):
    ours, operator = authority.issue("localhost"), authority.issue("operator.local")
    wanted = admin(tls={**ours.tls, "client_ca": authority.ca})
    with running_proxy(
        tmp_path / "proxy", backend.endpoint, admin=wanted, workers=workers
    ) as proxy:
        port = wanted["bind"].rpartition(":")[2]
        trusting = ("curl", "-sS", "--max-time", "5", "--cacert", authority.ca)
        known = ("--cert", operator.certificate, "--key", operator.private_key)
        status = ("-o", "/dev/null", "-w", "%{http_code} %{http_version}")
        url = f"https://localhost:{port}"
        assert run(*trusting, *status, *known, f"{url}/config").stdout == "200 1.1"
        assert run(*trusting, *status, f"{url}/config").stdout == "403 1.1"
        assert run(*trusting, *status, f"{url}/healthz").stdout == "200 1.1"
        assert run(*trusting, *status, f"http://localhost:{port}/config").stdout[:3] != "200"
        proxy.admin_context.load_cert_chain(*operator)
        assert ours.private_key not in shown(proxy)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_certificate_of_the_page_is_renewed_by_itself(
    backend: RunningBackend, authority: Authority, tmp_path: Path, workers: int
):
    files = Pair(str(tmp_path / "admin.crt"), str(tmp_path / "admin.key"))

    def put(pair: Pair) -> None:
        for mine, theirs in zip(files, pair, strict=True):
            Path(mine).write_bytes(Path(theirs).read_bytes())

    put(authority.issue("old.local"))
    with running_proxy(
        tmp_path / "proxy", backend.endpoint, admin=admin(tls=files.tls), workers=workers
    ) as proxy:
        proxy.admin_context = authority.client_context()
        proxy.admin_context.set_alpn_protocols(["http/1.1"])
        proxy.admin_context.check_hostname = False
        host, _, port = proxy.settings["admin"]["bind"].rpartition(":")

        def name() -> str:
            with (
                socket.create_connection((host, int(port))) as sock,
                proxy.admin_context.wrap_socket(sock, server_hostname="x") as tls,
            ):
                certificate = tls.getpeercert()
                assert certificate is not None
                return str(certificate["subjectAltName"][0][1])

        assert name() == "old.local"
        put(authority.issue("new.local"))
        eventually(lambda: name() == "new.local", "the new certificate")
        assert proxy.admin("/readyz")[0] == 200


# -- what operators are told ---------------------------------------------------------------


def check(folder: Path, whole: Settings) -> subprocess.CompletedProcess[str]:
    file = folder / "checked.yaml"
    file.write_text(yaml.safe_dump(whole))
    return subprocess.run(
        [sys.executable, "-m", "trailproxy", "check", "-c", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_page_that_anybody_may_order_about_is_told_of(
    backend: RunningBackend, start: Start, tmp_path: Path
):
    bind = f"0.0.0.0:{free_port()}"
    caution = f"admin: {bind} asks for neither a token nor a certificate: whoever reaches it"
    told = check(tmp_path, settings(backend.endpoint, admin={"bind": bind}))
    assert told.returncode == 0
    assert ": good: " in told.stdout
    assert caution in told.stderr

    proxy = start(backend.endpoint, admin={"bind": bind})
    assert f"WARNING trailproxy: {caution}" in proxy.errors


def test_a_page_behind_a_token_is_not(backend: RunningBackend, tmp_path: Path):
    whole = settings(backend.endpoint, admin={"bind": "0.0.0.0:9901", "token": "${ADMIN_TOKEN}"})
    told = check(tmp_path, whole)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    "keys",
    [
        {"token": "${ADMIN_TOKEN} ${ADMIN_TOKEN}"},
        {"token": 12345678901},
        {"token": TOKEN, "tls": {"certificate": "missing.crt", "private_key": "missing.key"}},
    ],
    ids=repr,
)
def test_what_is_wrong_with_a_token_does_not_repeat_it(tmp_path: Path, keys: Settings):
    whole = settings("127.0.0.1:1", admin=admin() | keys)
    for status, told in (refused(tmp_path, yaml.safe_dump(whole)), outcome(tmp_path, whole)):
        assert status == 2
        assert "admin" in told
        assert TOKEN not in told
        assert "12345678901" not in told


def outcome(folder: Path, whole: Settings) -> tuple[int, str]:
    told = check(folder, whole)
    return told.returncode, told.stdout + told.stderr


def test_a_reload_that_is_refused_keeps_the_token_and_its_silence(
    backend: RunningBackend, start: Start
):
    proxy = start(backend.endpoint, admin=admin(token="${ADMIN_TOKEN}"))
    proxy.settings["admin"]["token_file"] = "/run/token"
    proxy.write()
    status, told = proxy.admin("/reload", "POST")
    assert status == 422
    assert "admin.token_file" in told
    assert TOKEN not in told + shown(proxy)
