"""Archive: the requests of a HAR file, and how each of them went when it was captured.

The file may come from anywhere: what is not ours in it is passed over, and what is
missing of ours is not compared.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from trailproxy.replay.outcome import Outcome

MASK: Final = "***"
"""What stands where a secret was; see `ops.masking`."""
_MOST_OCTETS: Final = 256 * 1024 * 1024

Pairs = list[tuple[str, str]]


class ArchiveError(Exception):
    """A file cannot be read as an archive; the text says why."""


class _Named(msgspec.Struct):
    name: str
    value: str


class _Body(msgspec.Struct, rename={"encoding": "_encoding", "whole": "_whole"}):
    text: str = ""
    encoding: str = ""
    whole: bool = True


class _Request(
    msgspec.Struct, rename={"body": "postData", "size": "bodySize", "trailers": "_trailers"}
):
    method: str
    url: str
    headers: list[_Named] = []
    size: int = 0
    body: _Body | None = None
    trailers: list[_Named] = []


class _Response(msgspec.Struct, rename={"trailers": "_trailers"}):
    status: int
    headers: list[_Named] = []
    trailers: list[_Named] = []


class _Ending(msgspec.Struct):
    response: str = ""


class _Entry(msgspec.Struct, rename={"ending": "_ending"}):
    request: _Request
    response: _Response
    ending: _Ending = msgspec.field(default_factory=_Ending)


class _Log(msgspec.Struct):
    entries: list[_Entry]


class _Archive(msgspec.Struct):
    log: _Log


@dataclass(frozen=True, slots=True)
class Captured:
    """A request to send again, and what came of it.

    Attributes:
        head: field lines without pseudo-fields.
        left_out: what cannot be sent again, and why.
    """

    method: str
    path: str
    head: Pairs
    body: bytes
    trailers: Pairs
    left_out: tuple[str, ...]
    outcome: Outcome


def read(file: Path) -> list[Captured]:
    """Read the requests of a file.

    Raises:
        ArchiveError: it cannot be read, or is no archive.
    """
    try:
        if file.stat().st_size > _MOST_OCTETS:
            raise ArchiveError(f"{file}: is larger than {_MOST_OCTETS >> 20} MiB")
        archive = msgspec.json.decode(file.read_bytes(), type=_Archive)
    except OSError as error:
        raise ArchiveError(f"{file}: cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ArchiveError(
            f"{file}: is no HAR: {error}; docs/live.md says how a tap writes one"
        ) from error
    if not archive.log.entries:
        raise ArchiveError(f"{file}: holds no requests; the tap saw none, or the file was cut")
    return [_captured(entry) for entry in archive.log.entries]


def _captured(entry: _Entry) -> Captured:
    request = entry.request
    left_out: list[str] = []
    head = _sendable(request.headers, left_out)
    body = _octets(request, left_out)
    if len(body) != request.size:
        head = [pair for pair in head if pair[0].lower() != "content-length"]
    return Captured(
        method=request.method,
        path=_path(request.url, left_out),
        head=head,
        body=body,
        trailers=_sendable(request.trailers, left_out),
        left_out=tuple(left_out),
        outcome=_outcome(entry),
    )


def _sendable(fields: list[_Named], left_out: list[str]) -> Pairs:
    kept: Pairs = []
    for field in fields:
        if field.value == MASK:
            left_out.append(f"{field.name}: masked")
        elif not field.name.startswith(":") and field.name.lower() != "host":
            kept.append((field.name, field.value))
    return kept


def _path(url: str, left_out: list[str]) -> str:
    parts = urlsplit(url)
    kept = []
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if value == MASK:
            left_out.append(f"?{name}: masked")
        else:
            kept.append(pair)
    query = "&".join(kept)
    return (parts.path or "/") + (f"?{query}" if query else "")


def _octets(request: _Request, left_out: list[str]) -> bytes:
    body = request.body
    if body is None or not body.whole:
        if request.size > 0:
            left_out.append(f"body: {'not' if body is None else 'not wholly'} captured")
        return b""
    if body.encoding != "base64":
        return body.text.encode()
    try:
        return base64.b64decode(body.text, validate=True)
    except binascii.Error:
        left_out.append("body: no base64")
        return b""


def _outcome(entry: _Entry) -> Outcome:
    response = entry.response
    fields = [*response.headers, *response.trailers]
    return Outcome(
        status=response.status,
        grpc_status=next((each.value for each in fields if each.name == "grpc-status"), ""),
        ending=entry.ending.response,
        trailers=tuple((each.name, each.value) for each in response.trailers),
    )
