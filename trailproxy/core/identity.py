"""Identity: who a client's certificate says it is, who is let in, and what upstreams are told.

A name counts by its kind: nobody who may call himself something as a URI is let in for the
same text as a DNS name. What is told stands in elements (x-forwarded-client-cert, as Envoy
writes it) that no value can end: whatever could is written as its octets.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final, final

from trailproxy.wire.field import octet_set

#: One part of a subject: attribute names, as X.520 writes them out, with their values.
Rdn = tuple[tuple[str, str], ...]

_MOST_OCTETS: Final = 8 * 1024  # that are told of one certificate
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: What stands as it is in a subject (RFC 4514 section 2.4 lets more), and in a URI (RFC 3986).
_IN_SUBJECT: Final = octet_set(_LETTERS + b" !$%&'()*-./:?@[]^_`{|}~")
_IN_URI: Final = octet_set(_LETTERS + b"-._~:/?#[]@!$&'()*+,;=%")
_QUOTED: Final = re.compile("[,;=]")
_DNS_NAME: Final = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_ATTRIBUTE: Final = re.compile("[^A-Za-z0-9.-]")

#: RFC 4514 section 3; other attributes go by the name they have.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class NameKind(Enum):
    """What a name of a certificate is (RFC 5280 section 4.2.1.6)."""

    DNS = "DNS"
    URI = "URI"
    EMAIL = "email"
    ADDRESS = "IP Address"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says, as its issuer signed it."""

    digest: str  # SHA-256 of its DER, in hexadecimal digits
    subject: tuple[Rdn, ...]
    names: tuple[tuple[NameKind, str], ...]

    def all(self, kind: NameKind) -> list[str]:
        """Return the names of one kind, in order."""
        return [name for each, name in self.names if each is kind]


@final
class Guests:
    """The names that are let in, each by its kind."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take names that `name_fault` finds nothing wrong with."""
        known = {(kind := _kind_of(name), _key(kind, name)) for name in names}
        self._exact: Final = known
        dns = [key for kind, key in known if kind is NameKind.DNS]
        uris = [key for kind, key in known if kind is NameKind.URI]
        self._domains: Final = tuple(key[1:] for key in dns if key.startswith("*."))
        self._beginnings: Final = tuple(key[:-1] for key in uris if key.endswith("*"))

    def admit(self, certificate: Certificate) -> bool:
        """Tell whether one of a certificate's names is let in; its subject is no name."""
        return any(self._admits(kind, _key(kind, name)) for kind, name in certificate.names)

    def _admits(self, kind: NameKind, key: str) -> bool:
        if kind is NameKind.DNS and key.endswith(self._domains):
            return True
        if kind is NameKind.URI and key.startswith(self._beginnings):
            return True
        return bool(key) and (kind, key) in self._exact


def name_fault(name: str) -> str:
    """Say what keeps a text from being a name, or a pattern of names; nothing if it is one."""
    kind = _kind_of(name)
    plain = name
    if kind is NameKind.URI:
        plain = name.removesuffix("*")
    elif kind is NameKind.DNS:
        plain = name.removeprefix("*.")
    if "*" in plain:
        return "* stands before a DNS name, as in *.example.com, or at the end of a URI"
    if kind is NameKind.DNS and _DNS_NAME.fullmatch(name) is None:
        return "is no DNS name, URI, e-mail address or IP address"
    return ""


def _kind_of(name: str) -> NameKind:
    if _ip(name):
        return NameKind.ADDRESS
    if _URI.fullmatch(name) is not None:
        return NameKind.URI
    return NameKind.EMAIL if "@" in name else NameKind.DNS


def _key(kind: NameKind, name: str) -> str:
    """Return what is the same for names that are the same; nothing for what is no name."""
    if kind is NameKind.DNS:
        return name.lower()
    if kind is NameKind.EMAIL:
        mailbox, at, host = name.rpartition("@")
        return mailbox + at + host.lower()  # a mailbox may have case (RFC 5280 section 7.5)
    return _ip(name) if kind is NameKind.ADDRESS else name


def _ip(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


# -- what upstreams are told ---------------------------------------------------------------


def tell(certificate: Certificate, by: Sequence[str]) -> str:
    """Return the element that tells of a client's certificate.

    Args:
        certificate: the client's.
        by: the URIs of the certificate that we have shown it.

    Returns:
        ASCII, at most 8 KiB: elements beyond that are left out.
    """
    pairs = [("By", _told_uri(uri)) for uri in by]
    pairs.append(("Hash", certificate.digest))
    pairs.append(("Subject", f'"{_told_subject(certificate.subject)}"'))
    pairs += [("URI", _told_uri(uri)) for uri in certificate.all(NameKind.URI)]
    # what is no DNS name, whatever its issuer thought, could be anything to its reader
    pairs += [("DNS", name) for name in certificate.all(NameKind.DNS) if _DNS_NAME.fullmatch(name)]
    told: list[str] = []
    left = _MOST_OCTETS
    for key, value in pairs:
        left -= len(key) + len(value) + 2
        if left >= 0:
            told.append(f"{key}={value}")
    return ";".join(told)


def _told_subject(subject: Sequence[Rdn]) -> str:
    """Write a subject as RFC 4514 does: the last part first."""
    parts = ["+".join([_told_attribute(*pair) for pair in rdn]) for rdn in reversed(subject)]
    return ",".join(parts)


def _told_attribute(name: str, value: str) -> str:
    value = _escaped(value, _IN_SUBJECT, "\\%02X")
    # a blank at either end would not be read back
    if value.startswith(" "):
        value = "\\20" + value[1:]
    if value.endswith(" "):
        value = value[:-1] + "\\20"
    return f"{_SHORT.get(name) or _ATTRIBUTE.sub('', name)}={value}"


def _told_uri(uri: str) -> str:
    told = _escaped(uri, _IN_URI, "%%%02X")
    return f'"{told}"' if _QUOTED.search(told) else told


def _escaped(text: str, lawful: bytes, form: str) -> str:
    return "".join([chr(octet) if lawful[octet] else form % octet for octet in text.encode()])
