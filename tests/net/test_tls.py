"""TLS contexts: what is wrong names its file."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from trailproxy.net.tls import TLSError, client_context, server_context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    for name in ("good", "other"):
        leaf = authority.issue_cert("app.test")
        (folder / f"{name}.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
        (folder / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())
    key = serialization.load_pem_private_key((folder / "good.key").read_bytes(), None)
    (folder / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    (folder / "junk.pem").write_text("no PEM at all\n")
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "named"),
    [
        ("missing.crt", "good.key", "missing.crt: No such file"),
        ("good.crt", "missing.key", "missing.key: No such file"),
        ("junk.pem", "good.key", "junk.pem"),
        ("good.crt", "junk.pem", "junk.pem"),
        ("good.crt", "other.key", "key values mismatch"),
        ("good.crt", "locked.key", "encrypted"),
    ],
)
def test_a_bad_certificate_or_key_is_named(
    files: Path, certificate: str, key: str, named: str
) -> None:
    with pytest.raises(TLSError, match=named):
        server_context(str(files / certificate), str(files / key), None)


@pytest.mark.parametrize("ca", ["missing.crt", "junk.pem"])
def test_a_bad_ca_file_is_named(files: Path, ca: str) -> None:
    with pytest.raises(TLSError, match=ca):
        client_context(str(files / ca), None, None)
    with pytest.raises(TLSError, match=ca):
        server_context(str(files / "good.crt"), str(files / "good.key"), str(files / ca))


def test_contexts_keep_to_the_rules_of_http2(files: Path) -> None:
    """RFC 9113 section 9.2: TLS 1.2 at least, no renegotiation, ephemeral AEAD suites."""
    server = server_context(str(files / "good.crt"), str(files / "good.key"), str(files / "ca.crt"))
    client = client_context(str(files / "ca.crt"), str(files / "good.crt"), str(files / "good.key"))
    for context in (server, client):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.verify_mode is ssl.CERT_REQUIRED
        old = [c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.2"]
        assert old
        assert all(name.startswith("ECDHE") and ("GCM" in name or "CHACHA" in name) for name in old)


def test_without_a_ca_the_systems_are_trusted() -> None:
    assert client_context(None, None, None).verify_mode is ssl.CERT_REQUIRED
