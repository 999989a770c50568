"""TLS contexts: what is wrong names its file."""

import re
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.support.certificates import Authority, shake_hands
from trailproxy.net.tls import TLSError, client_context, listener_tls, server_context


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


# -- several certificates ------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def asked(authority: Authority, context: ssl.SSLContext, name: str | None) -> str:
    """Ask for `name`, and return the first name of the certificate that was shown."""
    client = authority.client_context()
    client.check_hostname = False
    _, dialled = shake_hands(context, client, name)
    certificate = dialled.getpeercert()
    assert certificate is not None
    return str(certificate["subjectAltName"][0][1])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, "default.example"),
        ("nobody.example", "default.example"),
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("also-a.example", "a.example"),
        ("b.wild.example", "*.wild.example"),
        ("exact.wild.example", "exact.wild.example"),  # a whole name beats a wildcard
        ("a.b.wild.example", "default.example"),  # a wildcard is for one label
        ("wild.example", "default.example"),
        ("twice.example", "a.example"),  # the first in order
        ("default-too.example", "default.example"),
        ("localhost", "default.example"),
    ],
)
def test_a_client_is_shown_the_certificate_it_asks_for(
    authority: Authority, name: str | None, shown: str
) -> None:
    pairs = [
        authority.issue("default.example", "default-too.example"),
        authority.issue("a.example", "also-a.example", "twice.example"),
        authority.issue("*.wild.example", "twice.example"),
        authority.issue("exact.wild.example", "default-too.example"),
    ]
    tls = listener_tls(pairs, None)
    assert asked(authority, tls.context, name) == shown


def test_each_certificate_asks_clients_for_theirs(authority: Authority) -> None:
    tls = listener_tls([authority.issue(name) for name in ("a.example", "b.example")], authority.ca)
    for name in ("a.example", "b.example"):
        accepted, _ = shake_hands(
            tls.context, authority.client_context(authority.issue("client.local")), name
        )
        assert accepted.getpeercert()
        with pytest.raises(ssl.SSLError):
            shake_hands(tls.context, authority.client_context(), name)[1].read()


def test_the_uris_of_the_certificate_that_was_shown_are_known(authority: Authority) -> None:
    pairs = [authority.issue("a.example", "urn:a"), authority.issue("b.example", "urn:b", "urn:c")]
    tls = listener_tls(pairs, None)
    for name, uris in (("a.example", ["urn:a"]), ("b.example", ["urn:b", "urn:c"])):
        accepted, _ = shake_hands(tls.context, authority.client_context(), name)
        assert tls.uris[accepted.context] == uris


def test_one_certificate_is_shown_without_a_question(authority: Authority) -> None:
    tls = listener_tls([authority.issue("spiffe://td/alone")], None)
    assert tls.context.sni_callback is None
    assert list(tls.uris.values()) == [["spiffe://td/alone"]]


def test_a_certificate_that_nobody_can_ask_for_is_named(authority: Authority) -> None:
    nameless = authority.issue("spiffe://td/nameless")
    with pytest.raises(TLSError, match=re.escape(f"{nameless.certificate} has no DNS names")):
        listener_tls([authority.issue("a.example"), nameless], None)


def test_one_bad_certificate_of_several_is_named(authority: Authority) -> None:
    good, other = authority.issue("a.example"), authority.issue("b.example")
    for bad in ((other.certificate, good.private_key), ("missing.crt", other.private_key)):
        with pytest.raises(TLSError, match=re.escape(bad[0])):
            listener_tls([good, bad], None)


def test_a_server_name_that_is_no_ascii_fails_its_handshake_and_no_more(
    authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = listener_tls([authority.issue(name) for name in ("a.example", "b.example")], None)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepted = tls.context.wrap_bio(there, back, server_side=True)
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialled = authority.client_context().wrap_bio(heard, said, server_hostname="aaaa.example")
    with pytest.raises(ssl.SSLWantReadError):
        dialled.do_handshake()
    there.write(said.read().replace(b"aaaa.example", b"\xff\xfeaa.example"))

    with pytest.raises(ssl.SSLError):
        accepted.do_handshake()

    assert capsys.readouterr().err == ""
    assert asked(authority, tls.context, "b.example") == "b.example"
