"""Expiry: until when a certificate holds (RFC 5280 section 4.1.2.5)."""

from datetime import UTC, datetime
from typing import Final

from trailproxy.net.der import certificates, elements, only

_VERSION: Final = 0xA0  # the tag of the one part that may be missing before the validity
_UTC_TIME: Final = 0x17


def expires_at(file: str) -> float | None:
    """Return when the first certificate of a PEM file ends, in seconds since 1970.

    None where there is none that could be read.
    """
    try:
        ends = [_not_after(certificate) for certificate in certificates(file)]
    except (OSError, ValueError):
        return None
    return min(ends, default=None)


def _not_after(der: bytes) -> float:
    """Return the end of a certificate's validity.

    Raises:
        ValueError: it is none, or cut short.
    """
    signed, *_ = elements(only(der))
    parts = [part for part in elements(signed.content) if part.tag != _VERSION]
    _, _, _, validity, *_ = parts  # behind the serial number, the algorithm and the issuer
    _, end = elements(validity.content)
    text = end.content.decode("ascii")
    if end.tag == _UTC_TIME:  # two digits are the years from 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
