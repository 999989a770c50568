"""What is said of a message: for each thing a hop may do to it, the words that name it."""

from dataclasses import replace

import pytest

from trailproxy.probe.message import Message
from trailproxy.probe.script import CASE, SCRIPTS, Script, body
from trailproxy.probe.verdict import Verdict, judge
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    DataReceived,
    Event,
    HeadReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
)
from trailproxy.wire.fields import Fields

SUM = Script(
    name="case",
    sends="",
    section="",
    interim=(103,),
    fields=(("x-head", b"1"),),
    pieces=(10, 20),
    trailers=(("x-a", b"1"), ("x-b", b"2"), ("x-a", b"3")),
)
CUT = replace(SUM, interim=(), breaks=int(ErrorCode.CANCEL))
BROKEN = Verdict.BROKEN


def _head(status: int = 200, end: bool = False, **extra: str) -> Event:
    pairs = {":status": str(status), CASE: "case", "x-head": "1"} | extra
    fields = [(name.replace("_", "-"), value) for name, value in pairs.items() if value]
    return HeadReceived(1, Fields.of(fields), end)


def _data(octets: bytes, end: bool = False) -> Event:
    return DataReceived(1, octets, len(octets), end)


def _trailers(*pairs: tuple[str, str]) -> Event:
    return TrailersReceived(1, Fields.of(pairs))


def _came(*events: Event) -> Message:
    message = Message()
    for event in events:
        message.take(event)
    return message


HINT = HeadReceived(1, Fields.of([(":status", "103")]), False)
BODY = _data(body(30))
ALL = _trailers(("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("via", "somebody"))


@pytest.mark.parametrize(
    ("came", "verdict", "why"),
    [
        ([HINT, _head(), BODY, ALL], Verdict.KEPT, ""),
        (
            [HINT, _head(), BODY, _trailers(("x-b", "2"), ("x-a", "1"), ("x-a", "3"))],
            Verdict.KEPT,
            "",
        ),
        ([_head(), BODY, ALL], BROKEN, "the 103 did not arrive"),
        ([], BROKEN, "no end came"),
        ([HINT, _head(), BODY], BROKEN, "no end came"),
        (
            [HINT, _head(), StreamReset(1, 2)],
            BROKEN,
            "RST_STREAM INTERNAL_ERROR in place of the end",
        ),
        ([StreamFault(1, 1, "odd")], BROKEN, "malformed: odd"),
        (
            [_head(502, end=True, **{CASE: ""})],
            BROKEN,
            "the hop answered 502 in the origin's place",
        ),
        ([_head(201), ALL], BROKEN, "status 200 was sent, 201 came"),
        ([HINT, _head(), _data(body(29)), ALL], BROKEN, "30 octets were sent, 29 came"),
        ([HINT, _head(), _data(bytes(30)), ALL], BROKEN, "the body is another"),
        ([HINT, _head(**{"x-head": ""}), BODY, ALL], BROKEN, "x-head of the head did not come"),
        ([HINT, _head(), _data(body(30), end=True)], BROKEN, "no trailers came"),
        ([HINT, _head(), BODY, _trailers(("x-b", "2"))], BROKEN, "x-a did not come"),
        (
            [HINT, _head(), BODY, _trailers(("x-a", "3"), ("x-b", "2"), ("x-a", "1"))],
            BROKEN,
            "x-a came in another order, or more often",
        ),
    ],
)
def test_what_is_lost_is_named(came: list[Event], verdict: Verdict, why: str) -> None:
    assert judge(SUM, _came(*came)) == (verdict, why)


def test_an_answer_of_somebody_else_says_nothing() -> None:
    verdict, why = judge(SUM, _came(_head(**{CASE: ""}), ALL))
    assert verdict is Verdict.UNCLEAR
    assert CASE in why


GRPC = {"content-type": "application/grpc"}


@pytest.mark.parametrize(
    ("came", "verdict", "why"),
    [
        ([_head(), BODY, StreamReset(1, 8)], Verdict.KEPT, ""),
        (
            [_head(), BODY, StreamReset(1, 2)],
            Verdict.CHANGED,
            "CANCEL was sent, INTERNAL_ERROR came",
        ),
        ([_head(), _data(b"x", end=True)], BROKEN, "a message cut short looks complete"),
        ([_head(), BODY, _trailers(("x-a", "1"))], BROKEN, "a message cut short looks complete"),
        ([_head(**GRPC), _trailers(("grpc-status", "1"))], Verdict.KEPT, ""),
        (
            [_head(**GRPC), _trailers(("grpc-status", "0"))],
            BROKEN,
            "a message cut short looks complete",
        ),
        ([_head(), BODY], BROKEN, "no end came"),
        ([StreamReset(1, 8)], Verdict.KEPT, ""),
        ([StreamReset(1, 2)], Verdict.CHANGED, "CANCEL was sent, INTERNAL_ERROR came"),
        ([_head(502, end=True, **{CASE: ""})], Verdict.KEPT, ""),
        (
            [_head(404, end=True, **{CASE: ""})],
            BROKEN,
            "the hop answered 404 in the origin's place",
        ),
        ([], BROKEN, "no end came"),
    ],
)
def test_a_message_cut_short_may_not_look_complete(
    came: list[Event], verdict: Verdict, why: str
) -> None:
    assert judge(CUT, _came(*came)) == (verdict, why)


def test_a_lost_connection_is_as_good_as_a_reset_where_it_was_cut() -> None:
    cut = replace(CUT, breaks=None, cuts=True)
    assert judge(cut, _came(_head(), BODY)) == (Verdict.KEPT, "")
    assert judge(cut, _came(StreamReset(1, 2))) == (Verdict.KEPT, "")
    assert judge(cut, _came(_head(), BODY, StreamReset(1, 2))) == (Verdict.KEPT, "")


def test_a_status_in_trailers_is_as_good_as_one_in_the_head() -> None:
    (only,) = [script for script in SCRIPTS if script.name == "trailers-only"]
    head = HeadReceived(
        1, Fields.of([(":status", "200"), (CASE, only.name), *GRPC.items()]), end=False
    )
    told = _trailers(("grpc-status", "5"), ("grpc-message", "not found"))
    assert judge(only, _came(head, told)) == (Verdict.KEPT, "")
    lost = _trailers(("grpc-status", "5"))
    assert judge(only, _came(head, lost))[0] is Verdict.BROKEN


def test_an_answer_to_head_may_leave_its_length_out() -> None:
    (script,) = [script for script in SCRIPTS if script.name == "head-request"]
    head = HeadReceived(1, Fields.of([(":status", "200"), (CASE, script.name)]), end=True)
    assert judge(script, _came(head))[0] is Verdict.CHANGED


def test_heads_before_the_head_are_kept_within_a_bound() -> None:
    assert len(_came(*[HINT] * 1000).interim) < 100


@pytest.mark.parametrize("size", [0, 4, 5, 1000])
def test_a_body_is_one_message_to_grpc(size: int) -> None:
    made = body(size)
    assert len(made) == size
    if size >= 5:
        assert made[0] == 0
        assert int.from_bytes(made[1:5]) == size - 5
