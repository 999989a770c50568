"""TLS settings: what certificates are shown, who must show one, and the secrets of the admin page.

Files are named here and read by whoever uses them. A secret is never repeated: neither
in what is wrong with it, nor on the admin page.
"""

from typing import Annotated, Literal

import msgspec

from trailproxy.ops.section import File, Section, doc

Token = Annotated[
    str,
    msgspec.Meta(
        pattern="^[!-~]+$",
        extra={"wanted": "text of visible ASCII characters without blanks", "secret": True},
    ),
]
Chain = Annotated[File, doc("PEM file: the certificate, then its intermediates.", "/tls/tls.crt")]
PrivateKey = Annotated[
    File, doc("PEM file: the certificate's key, without a passphrase.", "/tls/tls.key")
]


class CertificateSettings(Section, frozen=True, kw_only=True):
    """A certificate and its key."""

    certificate: Chain
    private_key: PrivateKey


class ListenerTls(Section, frozen=True, kw_only=True):
    """The TLS of a listener: TLS 1.2 or 1.3, with HTTP/2 chosen by ALPN."""

    certificate: Chain
    private_key: PrivateKey
    certificates: Annotated[
        tuple[CertificateSettings, ...],
        doc("More certificates: shown to clients that ask for a DNS name of theirs (SNI)."),
    ] = ()
    client_ca: Annotated[
        File | None,
        doc(
            "PEM file: clients must show a certificate that one of these signed.",
            "/tls/clients.crt",
        ),
    ] = None
    client_auth: Annotated[
        Literal["require", "optional"],
        doc("optional: clients may also show none; one that they show must be good."),
    ] = "require"
    client_names: Annotated[
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None,
        doc(
            "The certificate must have one of these names: a DNS name or *.example.com, a URI or "
            "spiffe://example.com/ns/*, an e-mail address, an IP address. Default: any.",
            ["spiffe://example.com/ns/shop/*", "*.ops.example.com"],
        ),
    ] = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every certificate with its key, the default one first."""
        more = ((each.certificate, each.private_key) for each in self.certificates)
        return ((self.certificate, self.private_key), *more)

    @property
    def files(self) -> tuple[str | None, ...]:
        """Every file that is named here."""
        return (self.client_ca, *(name for pair in self.pairs for name in pair))


class AdminTls(Section, frozen=True, kw_only=True):
    """The TLS of the admin page, over which it speaks HTTP/1.1."""

    certificate: Chain
    private_key: PrivateKey
    client_ca: Annotated[
        File | None,
        doc(
            "PEM file: who asks for more than /healthz and /readyz must show a certificate that "
            "one of these signed.",
            "/tls/operators.crt",
        ),
    ] = None

    @property
    def files(self) -> tuple[str | None, ...]:
        """Every file that is named here."""
        return self.certificate, self.private_key, self.client_ca
