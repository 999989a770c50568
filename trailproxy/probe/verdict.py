"""Verdict: whether what came is what was sent.

A hop may add fields of its own; it may not lose what was sent, and a message that was cut
short may not look complete. That an ending came by another name is told, and costs no more
than that: HTTP does not ask a hop to pass codes on, though gRPC makes a status of them.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from trailproxy.core.grpc import is_grpc
from trailproxy.probe.message import Message
from trailproxy.probe.script import CASE, Pairs, Script
from trailproxy.wire.errors import code_name
from trailproxy.wire.fields import Fields


class Verdict(StrEnum):
    """What became of a promise."""

    KEPT = "kept"
    CHANGED = "changed"  # nothing is lost, and it is not what was sent
    BROKEN = "broken"
    UNCLEAR = "unclear"  # what came says nothing about it
    SKIPPED = "skipped"  # it was not tried


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One promise, and what became of it on one way."""

    case: str
    section: str
    sent: str
    came: str
    verdict: Verdict
    why: str = ""  # where it was not kept


Judgement = tuple[Verdict, str]

KEPT: Judgement = (Verdict.KEPT, "")


def broken(why: str) -> Judgement:
    """Say what was lost."""
    return Verdict.BROKEN, why


def changed(why: str) -> Judgement:
    """Say what was sent and what came."""
    return Verdict.CHANGED, why


def unclear(why: str) -> Judgement:
    """Say why nothing can be said."""
    return Verdict.UNCLEAR, why


def judge(script: Script, came: Message) -> Judgement:
    """Compare what came with the script."""
    broken_off = script.breaks is not None or script.cuts
    if broken_off and _is_loud(script.name, came):
        return _judge_code(script, came)
    whose = judge_answer(script.name, came)
    if whose is not None:
        return whose
    for status in script.interim:
        if status not in [interim.status for interim in came.interim]:
            return broken(f"the {status} did not arrive")
    if broken_off:
        return _judge_break(script, came)
    if not came.ended:
        return _judge_no_end(came)
    return _judge_whole(script, came)


def judge_answer(case: str, came: Message) -> Judgement | None:
    """Say what is wrong with an answer whatever it should be; None if it is the origin's."""
    if came.head is None:
        return _judge_no_end(came)
    if came.header(CASE) != case:
        if came.head.status >= 400:
            return broken(f"the hop answered {came.head.status} in the origin's place")
        return unclear(f"the answer has no field {CASE}: something else than the origin gave it")
    if came.head.status != 200:
        return broken(f"status 200 was sent, {came.head.status} came")
    return None


def _judge_no_end(came: Message) -> Judgement:
    if came.fault:
        return broken(f"malformed: {came.fault}")
    if came.reset is not None:
        return broken(f"RST_STREAM {code_name(came.reset)} in place of the end")
    return broken("no end came")


def _judge_break(script: Script, came: Message) -> Judgement:
    if came.ended:
        assert came.head is not None  # judge_answer has seen it
        status = came.trailer("grpc-status") or came.header("grpc-status")
        if is_grpc(came.head) and status not in ("", "0"):
            return KEPT  # gRPC's way to say that a message is not whole
        return broken("a message cut short looks complete")
    if came.reset is None and not script.cuts:
        return _judge_no_end(came)
    return _judge_code(script, came)


def _is_loud(case: str, came: Message) -> bool:
    """Tell whether a hop says of what broke behind it that it broke, before any of it came."""
    if came.head is None:
        return came.reset is not None
    return came.header(CASE) != case and came.head.status >= 500


def _judge_code(script: Script, came: Message) -> Judgement:
    if came.head is not None and came.reset is None:
        return KEPT
    if script.breaks is not None and came.reset != script.breaks:
        sent, arrived = code_name(script.breaks), code_name(came.reset or 0)
        return changed(f"{sent} was sent, {arrived} came")
    return KEPT


def _judge_whole(script: Script, came: Message) -> Judgement:
    if script.method != "HEAD":
        if came.size != sum(script.pieces):
            return broken(f"{sum(script.pieces):,} octets were sent, {came.size:,} came")
        if came.digest != hashlib.sha256(script.body).hexdigest():
            return broken("the body is another")
    assert came.head is not None  # judge_answer has seen it
    grpc = is_grpc(came.head)
    lost = _missing(script.fields, came.head)
    if lost and grpc and came.trailers is not None:
        lost = _missing(script.fields, came.trailers)  # a status is as good in trailers
    if lost:
        why = f"{lost} of the head did not come"
        # an answer to HEAD may leave out what takes a body to find out (RFC 9110 9.3.2)
        return changed(why) if script.method == "HEAD" else broken(why)
    return judge_trailers(script.ending(grpc) or (), came.trailers)


def judge_trailers(sent: Pairs, came: Fields | None) -> Judgement:
    """Compare trailers: each must be there, as often as it was sent.

    Only lines of one name have an order that means something (RFC 9110 section 5.3).
    """
    if not sent:
        return KEPT
    if came is None:
        return broken("no trailers came")
    lost = _missing(sent, came)
    if lost:
        return broken(f"{lost} did not come")
    for name in {name for name, _ in sent}:
        if came.all(name.encode()) != [value for other, value in sent if other == name]:
            return broken(f"{name} came in another order, or more often")
    return KEPT


def _missing(sent: Pairs, came: Fields) -> str:
    """Name the first field that did not come, or came with another value."""
    for name, value in sent:
        if value not in came.all(name.encode()):
            return name
    return ""
