"""DER: what a certificate file is made of (X.690 section 8.1, RFC 7468 section 5).

The standard library reads certificates of peers, and of files none in public. Those
are the operator's, and OpenSSL has loaded them before: whatever else is wrong with one
has been said by then.
"""

import base64
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END ", re.DOTALL
)
_LONG: Final = 0x80  # the length itself has a length


class Element(NamedTuple):
    """A part with its tag, and without its length."""

    tag: int
    content: bytes


def certificates(file: str) -> list[bytes]:
    """Return the certificates of a PEM file, each in DER.

    Raises:
        OSError: the file cannot be read.
        ValueError: a block is not what its name says.
    """
    with open(file, "rb") as opened:
        return [base64.b64decode(block) for block in _PEM.findall(opened.read())]


def elements(octets: bytes) -> Iterator[Element]:
    """Return what stands one behind the other.

    Raises:
        ValueError: it is cut short.
    """
    place = 0
    while place < len(octets):
        tag, *length = octets[place : place + 2]
        place += 2
        size = length[0] if length else len(octets)
        if size & _LONG:
            start, place = place, place + (size & ~_LONG)
            size = int.from_bytes(octets[start:place], "big")
        content = octets[place : place + size]
        if len(content) < size:
            raise ValueError("a part of it is cut short")
        yield Element(tag, content)
        place += size


def only(octets: bytes) -> bytes:
    """Open the one element that there is.

    Raises:
        ValueError: there is another number of them.
    """
    ((_, content),) = elements(octets)
    return content
