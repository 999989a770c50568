"""What certificates say: of our own files the names, of a peer all of it."""

import hashlib
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.certificates import Authority, Pair, shake_hands
from trailproxy.core.identity import NameKind
from trailproxy.net.certificate import read_names, read_peer
from trailproxy.net.tls import server_context

ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
MAIL = x509.RFC822Name("ann@example.com")
OTHER = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("names", "dns", "uris"),
    [
        ([], [], []),
        (["a.example"], ["a.example"], []),
        (
            ["*.a.example", "spiffe://td/a", "b", "urn:x"],
            ["*.a.example", "b"],
            ["spiffe://td/a", "urn:x"],
        ),
        ([ADDRESS, "a.example", MAIL, OTHER], ["a.example"], []),
        # lengths of one, two and three octets
        (["a" * 60 + ".example"] * 2, ["a" * 60 + ".example"] * 2, []),
        (["a" * 60 + ".example"] * 3, ["a" * 60 + ".example"] * 3, []),
        (["urn:" + "b" * 300] * 300, [], ["urn:" + "b" * 300] * 300),
    ],
)
def test_the_names_of_a_file_are_those_it_was_issued_for(
    authority: Authority, names: list[x509.GeneralName | str], dns: list[str], uris: list[str]
) -> None:
    found = read_names(authority.issue(*names).certificate)
    assert found == {NameKind.DNS: dns, NameKind.URI: uris}


def test_the_first_certificate_of_a_file_counts(authority: Authority, tmp_path: Path) -> None:
    first, second = authority.issue("a.example"), authority.issue("b.example")
    text = Path(first.private_key).read_text() + "a word before it\n"
    text += Path(first.certificate).read_text().replace("\n", "\r\n")
    text += Path(second.certificate).read_text()
    (tmp_path / "all.pem").write_text(text)
    assert read_names(str(tmp_path / "all.pem"))[NameKind.DNS] == ["a.example"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no PEM at all",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nM\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "junk.pem").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_names(str(tmp_path / "junk.pem"))


def shown(authority: Authority, pair: Pair | None, *, optional: bool = False) -> ssl.SSLObject:
    """Return the server's side of a connection on which the client has shown `pair`."""
    server = server_context(*authority.issue("localhost"), authority.ca, optional=optional)
    return shake_hands(server, authority.client_context(pair))[0]


def test_a_peers_certificate_is_read_in_full(authority: Authority) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Änn"),
        ]
    )
    names = [ADDRESS, "a.example", MAIL, OTHER, "spiffe://td/a"]
    pair = authority.issue(*names, subject=subject)
    der = ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text())

    certificate = read_peer(shown(authority, pair))

    assert certificate is not None
    assert certificate.digest == hashlib.sha256(der).hexdigest()
    assert certificate.subject == ((("countryName", "DE"),), (("commonName", "Änn"),))
    assert certificate.names == (
        (NameKind.ADDRESS, "192.0.2.1"),
        (NameKind.DNS, "a.example"),
        (NameKind.EMAIL, "ann@example.com"),
        (NameKind.URI, "spiffe://td/a"),
    )


def test_a_peer_without_subject_and_names_has_a_digest(authority: Authority) -> None:
    certificate = read_peer(shown(authority, authority.issue()))
    assert certificate is not None
    assert (certificate.subject, certificate.names) == ((), ())
    assert len(certificate.digest) == 64


def test_a_peer_that_shows_none_has_none(authority: Authority) -> None:
    assert read_peer(shown(authority, None, optional=True)) is None
