"""TLS and mutual TLS, towards clients and towards upstreams."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.backend import RunningBackend, running_backend
from tests.support.certificates import Certificates, make_certificates
from tests.support.running import Proxy, Run, Start, listener, refused, running_proxy, settings
from tests.support.scripted_peer import Address, Peer, dial

pytestmark = pytest.mark.e2e

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def proxy(
    backend: RunningBackend, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """Two listeners: the first asks clients for nothing, the second for a certificate."""
    listeners = [
        listener(name="open", tls=certificates.server_tls()),
        listener(name="mutual", tls=certificates.server_tls(client_ca=True)),
    ]
    folder = tmp_path_factory.mktemp("tls")
    with running_proxy(folder, backend.endpoint, listeners=listeners) as running:
        yield running


def mutual(proxy: Proxy) -> Address:
    host, _, port = str(proxy.settings["listeners"][1]["bind"]).rpartition(":")
    return host, int(port)


def fetch(address: Address, context: ssl.SSLContext | None = None) -> str:
    """Ask for a body with trailers; return the status."""
    with Peer.connect(address, tls=context) as client:
        message = client.response(client.request(path="/bytes/100"))
        if message.status == "200":
            assert dict(message.trailers or ())["x-bytes"] == "100"
        return message.status


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_client_is_served_over_each_version(
    proxy: Proxy, certificates: Certificates, version: ssl.TLSVersion
):
    context = certificates.client_context()
    context.minimum_version = context.maximum_version = version

    with Peer.connect(proxy.address, tls=context) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        assert client.socket.selected_alpn_protocol() == "h2"
        assert client.socket.version() == version.name.replace("_", ".")
        message = client.response(client.request(path="/bytes/300000"))

    assert dict(message.trailers or ())["x-bytes"] == "300000"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_client_with_a_certificate_is_let_in(
    proxy: Proxy, certificates: Certificates, version: ssl.TLSVersion
):
    context = certificates.client_context()
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificates.client, certificates.client_key)

    assert fetch(mutual(proxy), context) == "200"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("shown", ["nothing", "a_strangers"])
def test_a_client_without_a_good_certificate_is_kept_out(
    proxy: Proxy, certificates: Certificates, version: ssl.TLSVersion, shown: str
):
    context = certificates.client_context()
    context.minimum_version = context.maximum_version = version
    if shown == "a_strangers":
        context.load_cert_chain(certificates.stranger, certificates.stranger_key)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        fetch(mutual(proxy), context)

    context.load_cert_chain(certificates.client, certificates.client_key)
    assert fetch(mutual(proxy), context) == "200"


def test_a_client_without_a_common_protocol_is_told_at_once(
    proxy: Proxy, certificates: Certificates
):
    context = certificates.client_context(alpn="http/1.1")

    try:
        with context.wrap_socket(dial(proxy.address), server_hostname="localhost") as client:
            assert client.selected_alpn_protocol() is None
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = client.recv(1000)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 505 ")
    except (ssl.SSLError, ConnectionError):
        pass  # an alert instead: as clear an answer, and as quick


def test_curl_over_http_1_1_does_not_hang(run: Run, proxy: Proxy, certificates: Certificates):
    told = run(
        *("curl", "-sSi", "--http1.1", "--max-time", "5", "--cacert", certificates.ca),
        f"https://localhost:{proxy.address[1]}/bytes/10",
    )

    assert told.returncode not in (0, 28) or told.stdout.startswith("HTTP/1.1 505 "), told.stderr


@pytest.mark.parametrize(
    ("cipher", "taken"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES128-SHA", False),  # CBC: RFC 9113 appendix A forbids it
        ("ECDHE-ECDSA-AES256-SHA384", False),
    ],
)
def test_tls_1_2_takes_only_ciphers_http2_allows(
    run: Run, proxy: Proxy, certificates: Certificates, cipher: str, taken: bool
):
    told = run(
        *("openssl", "s_client", "-connect", proxy.target, "-servername", "localhost"),
        *("-CAfile", certificates.ca, "-alpn", "h2", "-tls1_2", "-cipher", cipher),
    )

    assert (told.returncode == 0) == taken, told.stderr
    assert f"Cipher is {cipher if taken else '(NONE)'}" in told.stdout


def test_tls_1_1_is_refused(run: Run, proxy: Proxy, certificates: Certificates):
    told = run(
        *("openssl", "s_client", "-connect", proxy.target, "-CAfile", certificates.ca),
        *("-alpn", "h2", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"),
    )

    assert told.returncode != 0
    assert "Cipher is (NONE)" in told.stdout


def test_a_tls_client_does_not_get_past_a_plain_listener(
    backend: RunningBackend, certificates: Certificates, start: Start
):
    proxy = start(backend.endpoint)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        fetch(proxy.address, certificates.client_context())

    assert fetch(proxy.address) == "200"


def test_an_upstream_is_verified_against_its_ca_and_name(certificates: Certificates, start: Start):
    with running_backend(tls=certificates.server_context()) as backend:
        tls = {"ca": certificates.ca, "server_name": "app.local"}
        proxy = start({"endpoints": [backend.endpoint], "tls": tls})

        assert fetch(proxy.address) == "200"


@pytest.mark.parametrize("wrong", ["ca", "server_name"])
def test_an_upstream_that_is_not_who_it_should_be_gets_nothing(
    certificates: Certificates, start: Start, wrong: str
):
    tls = {"ca": certificates.ca, "server_name": "app.local"}
    tls[wrong] = {"ca": certificates.other_ca, "server_name": "other.local"}[wrong]
    with running_backend(tls=certificates.server_context()) as backend:
        proxy = start({"endpoints": [backend.endpoint], "tls": tls})

        assert fetch(proxy.address) == "503"
        assert proxy.settled().by("streams_dropped_total", "side", "cause") == {
            ("upstream", "connect_failed"): 1
        }
        assert ("app", "tls") in proxy.metrics().by(
            "upstream_connects_total", "upstream", "outcome"
        )


def test_an_upstream_is_shown_our_certificate(certificates: Certificates, start: Start):
    ours = {"certificate": certificates.client, "private_key": certificates.client_key}
    tls = {"ca": certificates.ca, "server_name": "localhost"}
    with running_backend(tls=certificates.server_context(client_ca=True)) as backend:
        known = start({"endpoints": [backend.endpoint], "tls": {**tls, **ours}})
        unknown = start({"endpoints": [backend.endpoint], "tls": tls})

        assert fetch(known.address) == "200"
        assert fetch(unknown.address) in ("502", "503")


def test_an_upstream_without_http2_is_not_spoken_to(certificates: Certificates, start: Start):
    tls = {"ca": certificates.ca, "server_name": "localhost"}
    with running_backend(tls=certificates.server_context(alpn="http/1.1")) as backend:
        proxy = start({"endpoints": [backend.endpoint], "tls": tls})

        assert fetch(proxy.address) == "503"
        assert proxy.settled().by("streams_dropped_total", "side", "cause") == {
            ("upstream", "connect_failed"): 1
        }


def test_a_rotated_certificate_is_shown_after_a_reload(
    backend: RunningBackend, tmp_path: Path, start: Start
):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = make_certificates(tmp_path / "old"), make_certificates(tmp_path / "new")
    proxy = start(backend.endpoint, listeners=[listener(tls=old.server_tls())])
    assert fetch(proxy.address, old.client_context()) == "200"

    Path(old.server).write_bytes(Path(new.server).read_bytes())
    Path(old.server_key).write_bytes(Path(new.server_key).read_bytes())
    assert proxy.admin("/reload", "POST")[0] == 200

    assert fetch(proxy.address, new.client_context()) == "200"
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(proxy.address, old.client_context())


def test_a_certificate_that_cannot_be_read_is_named(
    backend: RunningBackend, certificates: Certificates, tmp_path: Path
):
    missing = str(tmp_path / "missing.crt")
    tls = {**certificates.server_tls(), "certificate": missing}
    whole = settings(backend.endpoint, listeners=[listener(tls=tls)])

    status, told = refused(tmp_path, yaml.safe_dump(whole))

    assert status == 2
    assert missing in told
    assert "Traceback" not in told
