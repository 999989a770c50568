"""TLS contexts: TLS 1.2 as RFC 9113 section 9.2 allows it, and 1.3, with ALPN.

A context is built whole or not at all; what is wrong names its file. Of several
certificates the client's words choose (SNI, RFC 6066 section 3).
"""

import re
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from trailproxy.core.identity import NameKind
from trailproxy.net.certificate import read_names

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# RFC 9113 9.2.2 forbids the suites of appendix A: this leaves ephemeral key exchange with AEAD.
_TLS12_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_MOST_PEM: Final = 4 * 1024 * 1024  # octets of a file that are searched
_NEXT: Final = {"KEY_VALUES_MISMATCH": "; the key is that of another certificate"}


class TLSError(Exception):
    """A certificate, a key or a CA file cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How a listener shows itself."""

    context: ssl.SSLContext  # that handshakes begin with; clients may be handed to another
    uris: Mapping[ssl.SSLContext, Sequence[str]]  # of the certificate that each shows


def listener_tls(
    pairs: Sequence[tuple[str, str]], client_ca: str | None, *, optional: bool = False
) -> ServerTls:
    """Build what a listener shows itself with.

    A certificate is shown to clients that ask for one of its DNS names, a whole name before
    a wildcard, the first in order of those with the same; to all others the first of all.

    Args:
        pairs: certificates, each with its private key.
        client_ca: who signs the certificates of clients; None: they are not asked for one.
        optional: whether clients may show none all the same.

    Raises:
        TLSError: a file is missing or unusable, or no client could ask for a certificate.
    """
    by_name: dict[str, ssl.SSLContext] = {}
    uris: dict[ssl.SSLContext, Sequence[str]] = {}
    for certificate, private_key in pairs:
        context = server_context(certificate, private_key, client_ca, optional=optional)
        names = _names(certificate)
        if uris and not names[NameKind.DNS]:
            raise TLSError(f"certificate {certificate} has no DNS names: nobody can ask for it")
        uris[context] = names[NameKind.URI]
        for name in names[NameKind.DNS]:
            by_name.setdefault(name.lower(), context)
    default = next(iter(uris))
    if len(uris) > 1:
        default.sni_callback = _chooser(by_name)
        _pass_over_bad_names()
    return ServerTls(default, uris)


def server_context(
    certificate: str,
    private_key: str,
    client_ca: str | None,
    *,
    optional: bool = False,
    alpn: str = "h2",
) -> ssl.SSLContext:
    """Build the context of a server; with `client_ca`, clients must show a certificate, or may.

    Raises:
        TLSError: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, alpn)
    _load_chain(context, certificate, private_key)
    if client_ca is not None:
        _load_ca(context, client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    return context


def client_context(
    ca: str | None, certificate: str | None, private_key: str | None
) -> ssl.SSLContext:
    """Build the context of an upstream; without `ca` the system's authorities are trusted.

    Raises:
        TLSError: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, "h2")
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, ca)
    if certificate is not None and private_key is not None:
        _load_chain(context, certificate, private_key)
    return context


def _chooser(
    by_name: Mapping[str, ssl.SSLContext],
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        # a wildcard stands for one label (RFC 9525 section 6.3)
        chosen = by_name.get(name) or by_name.get("*" + name[name.find(".") :])
        if chosen is not None:
            tls.context = chosen

    return choose


@cache
def _pass_over_bad_names() -> None:
    """Let a server name that is no ASCII fail its handshake, and no more.

    The ssl module hands it to nobody but this hook, which would print a traceback for
    every client that likes to fill our log.
    """
    tell = sys.unraisablehook

    def tell_others(unraisable: "UnraisableHookArgs") -> None:
        undecoded = isinstance(unraisable.exc_value, UnicodeDecodeError)
        if not (undecoded and isinstance(unraisable.object, bytes)):
            tell(unraisable)

    sys.unraisablehook = tell_others


def _names(certificate: str) -> Mapping[NameKind, Sequence[str]]:
    try:
        return read_names(certificate)
    except (OSError, ValueError) as error:
        raise TLSError(f"certificate {certificate}: its names cannot be read: {error}") from error


def _restrict(context: ssl.SSLContext, alpn: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols([alpn])
    # RFC 9113 9.2.1: neither compression nor renegotiation
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_chain(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    _check_holds(certificate, "CERTIFICATE", "certificate")
    _check_holds(private_key, "PRIVATE KEY", "private key")
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise TLSError(
            f"certificate {certificate} with private key {private_key}: {_reason(error)}"
        ) from error


def _load_ca(context: ssl.SSLContext, ca: str) -> None:
    _check_holds(ca, "CERTIFICATE", "certificate")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TLSError(f"CA file {ca}: {_reason(error)}") from error


def _check_holds(name: str, label: str, what: str) -> None:
    """See whether a file has something of its kind: OpenSSL says of none that it is none."""
    try:
        with open(name, "rb") as file:
            octets = file.read(_MOST_PEM)
    except OSError as error:
        raise TLSError(f"{name}: {error.strerror}") from error
    if re.search(rf"-----BEGIN [A-Z0-9 ]*{label}-----".encode(), octets) is None:
        raise TLSError(f"{name} holds no {what} in PEM (-----BEGIN {label}-----)")


def _no_password() -> str:
    raise ValueError(
        "the private key is encrypted, and there is nobody to ask for a password; "
        "`openssl pkey -in KEY -out PLAIN` takes it off"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower() + _NEXT.get(error.reason, "")
    return str(error)
