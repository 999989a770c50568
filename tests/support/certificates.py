"""Certificates made on the fly: one authority, and what it signs."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files, as a configuration names them.

    `ca` signed everything but the stranger, who has an authority of its own.
    """

    ca: str
    server: str
    server_key: str
    client: str
    client_key: str
    stranger: str
    stranger_key: str
    other_ca: str

    def server_tls(self, *, client_ca: bool = False) -> dict[str, str]:
        """Return the `tls` mapping of a listener."""
        tls = {"certificate": self.server, "private_key": self.server_key}
        return {**tls, "client_ca": self.ca} if client_ca else tls

    def server_context(self, *, client_ca: bool = False, alpn: str = "h2") -> ssl.SSLContext:
        """Return a context for a backend that speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        context.set_alpn_protocols([alpn])
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def client_context(self, alpn: str = "h2") -> ssl.SSLContext:
        """Return a context for a client that trusts the authority and shows no certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([alpn])
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write a fresh set of PEM files into `folder`."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    other.cert_pem.write_to_path(folder / "other-ca.crt")
    issued = {
        "server": authority.issue_cert("localhost", "127.0.0.1", "app.local"),
        "client": authority.issue_cert("client.local"),
        "stranger": other.issue_cert("stranger.local"),
    }
    for name, leaf in issued.items():
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(folder / f"{name}.crt", append=True)
    return Certificates(
        ca=str(folder / "ca.crt"),
        other_ca=str(folder / "other-ca.crt"),
        **{name: str(folder / f"{name}.crt") for name in issued},
        **{f"{name}_key": str(folder / f"{name}.key") for name in issued},
    )


class Renewal:
    """A server's certificate that is replaced by another of the same authority."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        ca, self._server, self._key = (
            str(folder / name) for name in ("live-ca.crt", "live.crt", "live.key")
        )
        self._authority.cert_pem.write_to_path(ca)
        self.ca = ca
        self.renew()

    @property
    def tls(self) -> dict[str, str]:
        """The `tls` mapping of a listener."""
        return {"certificate": self._server, "private_key": self._key}

    def renew(self) -> None:
        """Put a new certificate and key in place, each file whole at every moment."""
        leaf = self._authority.issue_cert("localhost", "127.0.0.1")
        for path, pem in (
            (self._key, leaf.private_key_pem),
            (self._server, leaf.cert_chain_pems[0]),
        ):
            fresh = Path(path + ".new")
            pem.write_to_path(fresh)
            fresh.replace(path)


class Pair(NamedTuple):
    """The paths of a certificate and its key."""

    certificate: str
    private_key: str

    @property
    def tls(self) -> dict[str, str]:
        """What a configuration says of it."""
        return self._asdict()


class Authority:
    """An authority that signs whatever it is told to.

    Attributes:
        ca: the path of its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self._count = 0
        made = self._begin(self._name, self._key)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = str(folder / "authority.crt")
        Path(self.ca).write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def issue(
        self, *names: x509.GeneralName | str, subject: x509.Name | None = None, raw: bytes = b""
    ) -> Pair:
        """Sign a certificate, and return its files.

        Args:
            names: its alternative names; text is a DNS name, or a URI if it has a colon.
            subject: whose it is; left out: nobody's.
            raw: DER in place of the alternative names.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begin(subject or x509.Name([]), key)
        general = [_general(name) for name in names]
        if raw:
            kind = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
            made = made.add_extension(x509.UnrecognizedExtension(kind, raw), critical=False)
        elif general:
            made = made.add_extension(x509.SubjectAlternativeName(general), critical=False)
        self._count += 1
        files = [self._folder / f"issued-{self._count}.{kind}" for kind in ("crt", "key")]
        files[0].write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Pair(*map(str, files))

    def client_context(self, shown: Pair | None = None) -> ssl.SSLContext:
        """Return a context for a client that trusts this authority, and shows a certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        # authorities as small as this one do not meet RFC 5280 in full, which 3.13 asks for
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["h2"])
        if shown is not None:
            context.load_cert_chain(*shown)
        return context

    def _begin(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime(2020, 1, 1))
            .not_valid_after(datetime.datetime(2100, 1, 1))
        )


def _general(name: x509.GeneralName | str) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    return x509.UniformResourceIdentifier(name) if ":" in name else x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Make a connection in memory, on which the client asks for `name`; return both its sides."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepted = server.wrap_bio(there, back, server_side=True)
    dialled = client.wrap_bio(back, there, server_hostname=name)
    waiting = [dialled, accepted]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    return accepted, dialled
