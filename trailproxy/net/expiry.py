"""Expiry: until when a certificate holds.

The standard library tells it of certificates that are its own authority, and of peers'.
Ours are neither, so their validity is read from DER here (X.690, RFC 5280 section 4.1);
OpenSSL has accepted them by then.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(
    "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
_VERSION: Final = 0xA0  # the tag of the one part that may be missing before the validity
_UTC_TIME: Final = 0x17


class _Element(NamedTuple):
    tag: int
    content: bytes


def expires_at(certificate: str) -> float | None:
    """Return when the first certificate of a PEM file ends, in seconds since 1970.

    None where there is none that could be read.
    """
    try:
        with open(certificate, encoding="latin-1") as file:
            blocks = _PEM.findall(file.read())
        ends = [_not_after(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]
    except (OSError, ValueError, IndexError):
        return None
    return min(ends, default=None)


def _not_after(der: bytes) -> float:
    """Return the end of a certificate's validity.

    Raises:
        ValueError, IndexError: it is none, or cut short.
    """
    (certificate,) = _elements(der)
    to_be_signed, *_ = _elements(certificate.content)
    parts = [part for part in _elements(to_be_signed.content) if part.tag != _VERSION]
    _, _, _, validity, *_ = parts  # behind the serial number, the algorithm and the issuer
    _, end = _elements(validity.content)
    text = end.content.decode("ascii")
    if end.tag == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1: the years from 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(octets: bytes) -> Iterator[_Element]:
    while octets:
        tag, size, at = octets[0], octets[1], 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(octets[2:at])
        if len(octets) < at + size:
            raise ValueError("an element is cut short")
        yield _Element(tag, octets[at : at + size])
        octets = octets[at + size :]
