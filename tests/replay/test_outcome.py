"""What came of a request, and when two outcomes are the same."""

import pytest

from trailproxy.probe.message import Message
from trailproxy.replay.outcome import CANCELLED, Outcome
from trailproxy.wire.events import DataReceived, HeadReceived, StreamFault, StreamReset
from trailproxy.wire.events import TrailersReceived as Trailers
from trailproxy.wire.fields import Fields

WELL = Outcome(200, "0", "trailers", (("grpc-status", "0"), ("x-sum", "1")))


def heard(*events: object) -> Outcome:
    message = Message()
    for event in events:
        message.take(event)  # type: ignore[arg-type]
    return Outcome.of(message)


def head(*pairs: tuple[str, str], end: bool = False) -> HeadReceived:
    return HeadReceived(1, Fields.of([(":status", "200"), *pairs]), end)


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        (WELL, []),
        (Outcome(200, "0", "trailers", (("x-sum", "2"), ("grpc-status", "0"))), []),
        (Outcome(503, "0", "trailers", WELL.trailers), ["status"]),
        (Outcome(200, "14", "trailers", WELL.trailers), ["grpc-status"]),
        (Outcome(200, "0", "trailers", (("grpc-status", "0"),)), ["trailers"]),
        (Outcome(200, "", "reset"), ["grpc-status", "ending", "trailers"]),
    ],
)
def test_two_outcomes_differ_in_what_matters(now: Outcome, differs: list[str]) -> None:
    assert WELL.differences(now) == differs


def test_what_is_not_known_is_not_compared() -> None:
    assert Outcome(200, "", CANCELLED).differences(WELL) == []
    assert Outcome(200, "0", "").differences(WELL) == []
    assert Outcome(404, "0", "").differences(WELL) == ["status"]


def test_every_way_a_response_can_end_has_a_name() -> None:
    assert heard(head(end=True)).ending == "end"
    assert heard(head(), DataReceived(1, b"x", 1, True)).ending == "end"
    assert heard(head(), StreamReset(1, 2)).ending == "reset"
    assert heard(head(), StreamFault(1, 1, "odd", False, False)).ending == "malformed"
    assert heard(head()).ending == "no end"
    told = heard(head(), Trailers(1, Fields.of([("grpc-status", "5"), ("x-sum", "1")])))
    assert (told.ending, told.grpc_status) == ("trailers", "5")
    assert heard(head(("grpc-status", "12"), end=True)).grpc_status == "12"


def test_an_outcome_is_told_in_a_line_that_plays_no_terminal() -> None:
    assert WELL.tell() == "200, grpc-status 0, trailers x-sum: 1"
    assert heard(head(), StreamReset(1, 2)).tell() == "200, RST_STREAM INTERNAL_ERROR"
    assert Outcome(0, "", "lost", detail="gone").tell() == "no response, gone"
    odd = Outcome(200, "\x1b[2J", "trailers", (("x", "\r\n" + "é" * 900),)).tell()
    assert odd.isascii()
    assert odd.isprintable()
    assert len(odd) < 1200
