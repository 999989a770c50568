"""Certificates: what one says, a client's or our own.

A client's is read by OpenSSL, which has verified it. Of files the standard library reads
none in public, so the names of our own are read here (RFC 5280 section 4.1, X.690): they
are the operator's, and OpenSSL has loaded them before.
"""

import base64
import hashlib
import re
import ssl
from typing import Any, Final, cast

from trailproxy.core.identity import Certificate, NameKind

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END ", re.DOTALL
)
_EXTENSIONS: Final = 0xA3
_ALTERNATIVE_NAMES: Final = (0x06, b"\x55\x1d\x11")  # 2.5.29.17
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
    with open(file, "rb") as opened:
        pem = _PEM.search(opened.read())
    if pem is None:
        raise ValueError("holds no certificate")
    names: dict[NameKind, list[str]] = {kind: [] for kind in _KINDS.values()}
    for tag, octets in _alternative_names(base64.b64decode(pem[1])):
        if tag in _KINDS:
            names[_KINDS[tag]].append(octets.decode("ascii", "replace"))
    return names


def _alternative_names(der: bytes) -> list[tuple[int, bytes]]:
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    for tag, content in _parts(signed):
        if tag != _EXTENSIONS:
            continue
        for _, extension in _parts(_inner(content)):
            kind, *_, (_, value) = _parts(extension)
            if kind == _ALTERNATIVE_NAMES:
                return _parts(_inner(value))
    return []


def _inner(der: bytes) -> bytes:
    """Open the one part that there is."""
    ((_, content),) = _parts(der)
    return content


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """Return what stands one behind the other, each with its tag (X.690 section 8.1)."""
    parts = []
    place = 0
    while place < len(der):
        tag, size = der[place : place + 2]
        place += 2
        if size & 0x80:
            start, place = place, place + (size & 0x7F)
            size = int.from_bytes(der[start:place], "big")
        parts.append((tag, der[place : place + size]))
        place += size
    return parts
