"""LoadReport: what an endpoint says, in trailers or in a head, of how busy it is (ORCA).

Its field is meant for whoever chooses endpoints, so it goes no further than to who reads
it. Whatever stands in it, nothing here raises: a report that is malformed, too long to be
looked at, or has a number that no endpoint could have is none.
"""

import base64
import json
import struct
from typing import Final, NamedTuple

from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

_PLAIN: Final = b"endpoint-load-metrics"  # its value says in which form: BIN, JSON or TEXT
_BINARY: Final = b"endpoint-load-metrics-bin"

_LONGEST: Final = 8192  # octets of a value that is looked at
_HIGHEST: Final = 1e9  # of any number

_APPLICATION: Final = "application_utilization"
_CPU: Final = "cpu_utilization"
_RPS: Final = "rps_fractional"
_EPS: Final = "eps"

#: The numbers that count here, by the names they have in text and in JSON.
_BY_NAME: Final = {
    _APPLICATION: _APPLICATION,
    _CPU: _CPU,
    _RPS: _RPS,
    _EPS: _EPS,
    "applicationUtilization": _APPLICATION,
    "cpuUtilization": _CPU,
    "rpsFractional": _RPS,
}
#: The same by their place in xds.data.orca.v3.OrcaLoadReport; all are doubles.
_BY_PLACE: Final = {1: _CPU, 6: _RPS, 7: _EPS, 9: _APPLICATION}

# wire types of Protocol Buffers
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_VARINT_OCTETS: Final = 10  # of the longest


class LoadReport(NamedTuple):
    """How busy an endpoint is; 0 stands for what it does not say."""

    utilization: float  # of what it could bear: the application's word, else that of its CPUs
    rps: float  # requests a second, those that fail among them
    eps: float  # errors a second


def take_report(section: Fields) -> tuple[Fields, Field | None]:
    """Part a head or trailers from the load reports in it.

    Returns:
        What may travel on, the same object if there was no report; and the first report.
    """
    for report in section.items:
        if _is_report(report):
            kept = [field for field in section.items if not _is_report(field)]
            return Fields(kept), report
    return section, None


def _is_report(field: Field) -> bool:
    return field.name == _BINARY or field.name == _PLAIN


def read_report(field: Field) -> LoadReport | None:
    """Return what a report says; None if it is none."""
    if len(field.value) > _LONGEST:
        return None
    try:
        told = _told(field)
    except (ValueError, RecursionError):  # the latter: JSON, deeply nested
        return None
    utilization = told.get(_APPLICATION) or told.get(_CPU, 0.0)
    return LoadReport(utilization, told.get(_RPS, 0.0), told.get(_EPS, 0.0))


def _told(field: Field) -> dict[str, float]:
    """Return the numbers of a report; of one that is told twice, the last.

    Raises:
        ValueError: it is malformed.
    """
    if field.name == _BINARY:
        return _from_base64(field.value)
    form, _, text = field.value.partition(b" ")
    if form == b"BIN":
        return _from_base64(text)
    if form == b"JSON":
        return _from_json(text.decode())
    if form == b"TEXT":
        return _from_text(text.decode())
    raise ValueError("neither BIN nor JSON nor TEXT")


def _from_text(text: str) -> dict[str, float]:
    told = {}
    for item in text.split(","):
        # some wrote a colon before it was agreed upon
        name, separator, number = item.partition("=" if "=" in item else ":")
        if not separator:
            raise ValueError("not a name and a number")
        known = _BY_NAME.get(name.strip())
        if known is not None:
            told[known] = _number(number)
    return told


def _from_json(text: str) -> dict[str, float]:
    report = json.loads(text, parse_int=float)
    if not isinstance(report, dict):
        raise ValueError("not an object")
    told = {}
    for name, number in report.items():
        known = _BY_NAME.get(name)
        if known is not None:
            told[known] = _number(number)
    return told


def _number(value: object) -> float:
    """Take a number, or the text of one, which JSON may have in its place."""
    if not isinstance(value, float | str):
        raise ValueError("not a number")
    return _in_range(float(value))


def _in_range(number: float) -> float:
    if not 0.0 <= number <= _HIGHEST:  # not a number is in no range
        raise ValueError("no endpoint has such a number")
    return number


def _from_base64(value: bytes) -> dict[str, float]:
    """Decode; gRPC leaves the padding away, others do not."""
    bare = value.rstrip(b"=")
    return _from_protobuf(base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True))


def _from_protobuf(octets: bytes) -> dict[str, float]:
    told = {}
    at = 0
    while at < len(octets):
        tag, at = _varint(octets, at)
        wire_type = tag & 7
        known: str | None = None
        if wire_type == _FIXED64:
            end = at + 8
            known = _BY_PLACE.get(tag >> 3)
        elif wire_type == _FIXED32:
            end = at + 4
        elif wire_type == _LENGTH:
            size, at = _varint(octets, at)
            end = at + size
        elif wire_type == _VARINT:
            _, end = _varint(octets, at)
        else:
            raise ValueError("no such wire type")
        if end > len(octets):
            raise ValueError("cut short")
        if known is not None:
            number: float = struct.unpack_from("<d", octets, at)[0]
            told[known] = _in_range(number)
        at = end
    return told


def _varint(octets: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where the next thing begins."""
    number = 0
    for place, octet in enumerate(octets[at : at + _VARINT_OCTETS]):
        number |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            return number, at + place + 1
    raise ValueError("a number without an end")
