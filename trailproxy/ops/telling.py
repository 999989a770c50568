"""Telling: an exchange as people are shown it: one row of a table, and its timeline.

What peers choose is cut to a bound, and what is secret is masked.
"""

from collections.abc import Callable
from typing import Any, Final

from trailproxy.core.exchange import Exchange
from trailproxy.core.fault import Initiator, Side
from trailproxy.core.grpc import percent_decoded
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.message import request_that_came
from trailproxy.core.record import Direction, Ending, Record
from trailproxy.core.timeline import Kind, Part, Timeline
from trailproxy.core.witness import Witness
from trailproxy.ops.access_line import grpc_name, route_name
from trailproxy.ops.masking import masked, masked_target
from trailproxy.ops.sight import Message, Reset, Row
from trailproxy.wire.errors import code_name
from trailproxy.wire.fields import Fields

_MAX_TEXT: Final = 256  # characters of what peers choose
_MAX_RESETS: Final = 16

Plain = dict[str, Any]
Dated = Callable[[float], float]
"""Turns clock seconds into seconds since 1970."""


def row_of(record: Record, key: str, dated: Dated, exchange: Exchange | None, **more: bool) -> Row:
    """Tell of an exchange; one that is in flight is given itself."""
    request, response = _messages(record, exchange)
    return Row(
        key=key,
        began=round(dated(record.began), 3),
        duration_ms=None if exchange is not None else round(record.duration * 1000, 3),
        listener=record.listener,
        route=route_name(record.route),
        peer=record.peer,
        method=record.method[:_MAX_TEXT],
        authority=record.authority[:_MAX_TEXT],
        path=masked_target(record.path)[:_MAX_TEXT],
        grpc=record.grpc,
        upstream=record.upstream,
        endpoint=record.endpoint,
        attempts=record.attempts,
        status=record.status,
        grpc_status=grpc_name(record.grpc_status),
        grpc_message=_grpc_message(record),
        request=request,
        response=response,
        answered=record.answered,
        side=record.dropped_side,
        cause=record.dropped,
        why=record.why[:_MAX_TEXT],
        resets=tuple(resets_of(record)),
        **more,
    )


def _messages(record: Record, exchange: Exchange | None) -> tuple[Message, Message]:
    if exchange is not None:
        return _in_flight(exchange.request), _in_flight(exchange.response)
    return (
        Message(
            ending=record.request_ending,
            octets=record.request_bytes,
            trailers=record.request_trailers,
        ),
        Message(
            ending=record.response_ending,
            octets=record.response_bytes,
            trailers=record.response_trailers,
        ),
    )


def _in_flight(lane: Lane) -> Message:
    return Message(
        phase=Phase.NAMES[lane.phase],
        ending=lane.ending,
        octets=lane.departed,
        parked=lane.parked_bytes,
        trailers=lane.trailers_departed,
    )


def _grpc_message(record: Record) -> str:
    if not record.grpc_status or record.grpc_status == "0":
        return ""
    for section in (record.response_section, record.response_head):
        message = None if section is None else section.get(b"grpc-message")
        if message is not None:
            return percent_decoded(message[: 3 * _MAX_TEXT])[:_MAX_TEXT]
    return ""


def resets_of(record: Record) -> list[Reset]:
    """List the RST_STREAMs of an exchange, in the order they passed."""
    return [
        Reset(side, initiator, code_name(code), phase, cause)
        for side, initiator, code, phase, cause in (record.resets or ())[:_MAX_RESETS]
    ]


def timeline_of(witness: Witness, dated: Dated) -> Plain:
    """Tell all that a witness has written down."""
    exchange, record = witness.exchange, witness.record
    if exchange is not None:
        witness.look()
    row = row_of(record, witness.key, dated, exchange, late=witness.late is not None)
    return _told(row, witness.timeline, record.began)


def bare_timeline_of(record: Record, key: str, dated: Dated) -> Plain:
    """Tell what a record knows of the parts, and when: nobody looked."""
    timeline = Timeline()
    for part in _parts_of(record):
        timeline.mark(part)
    return _told(row_of(record, key, dated, None, bare=True), timeline, record.began)


def _told(row: Row, timeline: Timeline, began: float) -> Plain:
    parts = [part_of(part, began) for part in timeline.parts()]
    return {"row": row, "parts": parts, "left_out": timeline.left_out}


def part_of(part: Part, began: float, *, fields: bool = True) -> Plain:
    """Tell of a part; times are milliseconds since the exchange `began`, in clock seconds."""
    told: Plain = {
        "at": round((part.at - began) * 1000, 3),
        "side": part.side,
        "way": part.way,
        "what": part.kind,
    }
    if part.kind is Kind.DATA:
        told["octets"] = part.size
        if part.chunks != 1:
            told["chunks"] = part.chunks
            told["until"] = round((part.until - began) * 1000, 3)
    if part.code is not None:
        told["code"] = code_name(part.code)
    if part.cause is not None:
        told["cause"] = part.cause
    if part.note:
        told["note"] = part.note[:_MAX_TEXT]
    if fields and part.fields is not None:
        told["fields"] = masked(part.fields)
        if part.left_out:
            told["left_out"] = part.left_out
    return told


def _parts_of(record: Record) -> list[Part]:
    """Return the parts of which the time is known, and at the end those of which it is not."""
    down, up = Side.DOWNSTREAM, Side.UPSTREAM
    came, went = Direction.RECEIVED, Direction.SENT
    parts = [_head(record.began, down, came, request_that_came(record.asked))]
    if record.request_sent_at is not None:
        parts.append(_head(record.request_sent_at, up, went, record.asked.relayed, record.endpoint))
    if record.response_head_at is not None and not record.answered:
        parts.append(_head(record.response_head_at, up, came, record.response_head))
    if record.status:
        at = record.ended if record.response_head_at is None else record.response_head_at
        parts.append(_head(at, down, went, record.response_head))
    for side, initiator, code, _, cause in record.resets or ():
        way = came if initiator is Initiator.PEER else went
        parts.append(
            Part(at=record.ended, side=side, way=way, kind=Kind.RESET, code=code, cause=cause)
        )
    for side, ending, section in (
        (up, record.request_ending, record.request_section),
        (down, record.response_ending, record.response_section),
    ):
        if ending is Ending.TRAILERS:
            parts.append(
                Part(at=record.ended, side=side, way=went, kind=Kind.TRAILERS, fields=section)
            )
    return parts


def _head(at: float, side: Side, way: Direction, fields: Fields | None, note: str = "") -> Part:
    return Part(at=at, side=side, way=way, kind=Kind.HEAD, fields=fields, note=note)
