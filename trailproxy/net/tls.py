"""TLS contexts for HTTP/2: ALPN h2, TLS 1.2 as RFC 9113 section 9.2 allows it, and 1.3.

A context is built whole or not at all; what is wrong names its file.
"""

import ssl
from typing import Final

# RFC 9113 9.2.2 forbids the suites of appendix A: this leaves ephemeral key exchange with AEAD.
_TLS12_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TLSError(Exception):
    """A certificate, a key or a CA file cannot be used; the text names the file."""


def server_context(certificate: str, private_key: str, client_ca: str | None) -> ssl.SSLContext:
    """Build the context of a listener; with `client_ca`, clients must show a certificate.

    Raises:
        TLSError: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context)
    _load_chain(context, certificate, private_key)
    if client_ca is not None:
        _load_ca(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    ca: str | None, certificate: str | None, private_key: str | None
) -> ssl.SSLContext:
    """Build the context of an upstream; without `ca` the system's authorities are trusted.

    Raises:
        TLSError: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context)
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, ca)
    if certificate is not None and private_key is not None:
        _load_chain(context, certificate, private_key)
    return context


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["h2"])
    # RFC 9113 9.2.1: neither compression nor renegotiation
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_chain(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    for name in (certificate, private_key):
        _check_readable(name)
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise TLSError(
            f"certificate {certificate} with private key {private_key}: {_reason(error)}"
        ) from error


def _load_ca(context: ssl.SSLContext, ca: str) -> None:
    _check_readable(ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TLSError(f"CA file {ca}: {_reason(error)}") from error


def _check_readable(name: str) -> None:
    try:
        with open(name, "rb"):
            pass
    except OSError as error:
        raise TLSError(f"{name}: {error.strerror}") from error


def _no_password() -> str:
    raise ValueError("the private key is encrypted, and there is nobody to ask for a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error)
