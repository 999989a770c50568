"""Certificates: what one says, a client's or our own.

A client's is read by OpenSSL, which has verified it. The names in our own are read from
their files (RFC 5280 section 4.2.1.6).
"""

import hashlib
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

from trailproxy.core.identity import Certificate, NameKind
from trailproxy.net.der import Element, certificates, elements, only

_EXTENSIONS: Final = 0xA3
_ALTERNATIVE_NAMES: Final = Element(0x06, b"\x55\x1d\x11")  # 2.5.29.17
_KINDS: Final = {0x82: NameKind.DNS, 0x86: NameKind.URI}
_SPELT: Final = {kind.value: kind for kind in NameKind}  # as the ssl module does


def read_peer(tls: ssl.SSLObject) -> Certificate | None:
    """Return what the peer's certificate says; None if it showed none."""
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return None
    told = cast("dict[str, Any]", tls.getpeercert())
    names = [(_SPELT.get(kind), name) for kind, name in told.get("subjectAltName", ())]
    return Certificate(
        digest=hashlib.sha256(der).hexdigest(),
        subject=told["subject"],
        names=tuple((kind, name) for kind, name in names if kind is not None),
    )


def read_names(file: str) -> dict[NameKind, list[str]]:
    """Return the DNS names and URIs of the first certificate in a PEM file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate.
    """
    found = certificates(file)
    if not found:
        raise ValueError("holds no certificate")
    names: dict[NameKind, list[str]] = {kind: [] for kind in _KINDS.values()}
    for tag, octets in _alternative_names(found[0]):
        if tag in _KINDS:
            names[_KINDS[tag]].append(octets.decode("ascii", "replace"))
    return names


def _alternative_names(der: bytes) -> Iterable[Element]:
    signed, *_ = elements(only(der))
    for tag, content in elements(signed.content):
        if tag != _EXTENSIONS:
            continue
        for extension in elements(only(content)):
            kind, *_, value = elements(extension.content)
            if kind == _ALTERNATIVE_NAMES:
                return elements(only(value.content))
    return ()
