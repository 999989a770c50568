"""HAR: captured exchanges as an HTTP Archive (version 1.2), with what it has no words for.

Members that begin with an underscore are ours: trailers, endings and the timeline have no
place in HAR, and tools that do not know them pass them over. Secrets are masked.
"""

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from trailproxy import __version__
from trailproxy.core.message import request_that_came
from trailproxy.core.record import REQUEST, RESPONSE, Direction, Record
from trailproxy.core.witness import Body, Witness
from trailproxy.ops.access_line import grpc_name, route_name
from trailproxy.ops.masking import masked, masked_target
from trailproxy.ops.telling import Plain, part_of, resets_of
from trailproxy.wire.field import SCHEME
from trailproxy.wire.fields import Fields

_VERSION: Final = "HTTP/2.0"


def archive(entries: Iterable[Any], state: Plain) -> Plain:
    """Return a whole archive; `state` says how its capture went."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "trailproxy", "version": __version__},
            "entries": list(entries),
            "_capture": state,
        }
    }


def entry_of(witness: Witness, dated: Callable[[float], float]) -> Plain:
    """Return the entry of an exchange that is over."""
    record = witness.record
    began = datetime.fromtimestamp(dated(record.began), UTC)
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": round(record.duration * 1000, 3),
        "request": _request(record, witness.bodies.get(REQUEST)),
        "response": _response(record, witness.bodies.get(RESPONSE)),
        "cache": {},
        "timings": _timings(record),
        "_listener": record.listener,
        "_route": route_name(record.route),
        "_peer": record.peer,
        "_upstream": record.upstream,
        "_endpoint": record.endpoint,
        "_attempts": record.attempts,
        "_ending": _ending(record),
        "_timeline": [
            part_of(part, record.began, fields=False) for part in witness.timeline.parts()
        ],
    }


def _request(record: Record, body: Body | None) -> Plain:
    head = request_that_came(record.asked)
    target = masked_target(record.path)
    scheme = (head.find(SCHEME) or b"http").decode("latin-1")
    request: Plain = {
        "method": record.method,
        "url": f"{scheme}://{record.authority}{target}",
        "httpVersion": _VERSION,
        "cookies": [],
        "headers": _fields(head),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(target.partition("?")[2], keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": record.request_bytes,
    }
    if body is not None and (body.octets or record.request_bytes):
        request["postData"] = _content(body, head, "_encoding")
    if record.request_section is not None:
        request["_trailers"] = _fields(record.request_section)
    return request


def _response(record: Record, body: Body | None) -> Plain:
    head = record.response_head or Fields([])
    content: Plain = {"size": record.response_bytes, "mimeType": _kind(head)}
    if body is not None and (body.octets or record.response_bytes):
        content |= _content(body, head, "encoding")
    response: Plain = {
        "status": record.status,
        "statusText": _reason(record.status),
        "httpVersion": _VERSION,
        "cookies": [],
        "headers": _fields(head),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": record.response_bytes,
    }
    if record.response_section is not None:
        response["_trailers"] = _fields(record.response_section)
    return response


def _fields(fields: Fields) -> list[Plain]:
    return [{"name": name, "value": value} for name, value in masked(fields)]


def _content(body: Body, head: Fields, encoding: str) -> Plain:
    """Return a body as text if it is any, else in base64; HAR has a word for that on one side."""
    told: Plain = {"mimeType": _kind(head), "_whole": body.whole}
    try:
        return told | {"text": body.octets.decode()}
    except UnicodeDecodeError:
        return told | {"text": base64.b64encode(body.octets).decode(), encoding: "base64"}


def _kind(head: Fields) -> str:
    return (head.get(b"content-type") or b"").decode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _timings(record: Record) -> dict[str, float]:
    """Return where the time went, in milliseconds; HAR wants each of three, and -1 for none."""
    sent, head = record.request_sent_at, record.response_head_at
    sent = record.ended if sent is None else sent
    head = record.ended if head is None else head
    spans = {
        "blocked": sent - record.began,
        "send": 0.0,
        "wait": head - sent,
        "receive": record.ended - head,
    }
    return {name: round(max(span, 0.0) * 1000, 3) for name, span in spans.items()}


def _ending(record: Record) -> Plain:
    ending: Plain = {
        Direction.REQUEST: record.request_ending,
        Direction.RESPONSE: record.response_ending,
        "grpc_status": grpc_name(record.grpc_status),
        "answered": record.answered,
        "resets": msgspec.to_builtins(resets_of(record)),
    }
    if record.dropped is not None:
        ending["dropped"] = {
            "side": record.dropped_side,
            "cause": record.dropped,
            "why": record.why,
        }
    return ending
