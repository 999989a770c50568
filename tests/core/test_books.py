"""The books: each trailer section is entered once, and a loss has a cause."""

from collections import Counter

import pytest

from tests.support.parts import Said, data, grpc_request, head, request, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.routing import Router
from trailproxy.wire.fields import Fields

REQ, RES = Direction.REQUEST, Direction.RESPONSE


def _outcomes(table: Table) -> dict[tuple[Direction, Outcome], int]:
    table.is_clean()
    return dict(Counter(table.notes.trailer_outcomes))


@pytest.mark.parametrize(
    ("answer", "grpc", "outcome"),
    [
        ([head(200), data(b"x", end=True)], False, None),
        ([head(200, end=True)], False, None),
        ([head(200), trailers(x="1")], False, Outcome.RELAYED),
        ([head(200), trailers(te="x")], False, Outcome.EMPTY),
        ([head(200, trailer="x-sum"), data(b"x", end=True)], False, Outcome.MISSING),
        ([head(200, trailer="x-sum", end=True)], False, Outcome.MISSING),
        ([head(200, trailer="x-sum"), trailers(x_sum="1")], False, Outcome.RELAYED),
        ([head(200), data(b"x", end=True)], True, Outcome.MISSING),
        ([head(200, end=True)], True, Outcome.MISSING),
        ([head(200, grpc_status="5", end=True)], True, None),
        ([head(200), trailers(grpc_status="0")], True, Outcome.RELAYED),
        ([head(200, grpc_status="0", end=True)], False, None),
    ],
)
def test_what_becomes_of_a_response_s_trailers(
    answer: list[Said], grpc: bool, outcome: Outcome | None
) -> None:
    table = Table()
    table.client.opens(grpc_request(end=True) if grpc else request(end=True))
    table.server.says(*answer)
    assert _outcomes(table) == ({(RES, outcome): 1} if outcome else {})


@pytest.mark.parametrize(
    ("section", "outcome"),
    [
        (trailers(x="1"), Outcome.RELAYED),
        (trailers(host="a"), Outcome.EMPTY),
        (data(b"", end=True), None),
    ],
)
def test_what_becomes_of_a_request_s_trailers(section: Said, outcome: Outcome | None) -> None:
    table = Table()
    table.client.opens(request(), data(b"x"), section)
    table.server.says(head(204, end=True))
    assert _outcomes(table) == ({(REQ, outcome): 1} if outcome else {})


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_owes_no_trailers(status: int) -> None:
    table = Table()
    table.client.opens(request("GET", end=True))
    table.server.says(head(status, trailer="x-sum", end=True))
    assert _outcomes(table) == {}


def test_a_head_request_owes_no_trailers() -> None:
    table = Table()
    table.client.opens(request("HEAD", end=True))
    table.server.says(head(200, trailer="x-sum", end=True))
    assert _outcomes(table) == {}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ([head(200, grpc_status="5", end=True)], "5"),
        ([head(200), trailers(grpc_status="7")], "7"),
        ([head(200), trailers(x="1")], ""),
    ],
)
def test_the_grpc_status_is_read_wherever_it_stands(answer: list[Said], status: str) -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(*answer)
    assert table.record.grpc_status == status


def test_trailers_of_ours_are_synthesized() -> None:
    table = Table()
    table.proxy.router = Router(())
    table.client.opens(grpc_request(end=True))
    assert _outcomes(table) == {(RES, Outcome.SYNTHESIZED): 1}
    assert table.record.grpc_status == "12"


def test_an_answer_of_ours_without_trailers_owes_none() -> None:
    table = Table()
    table.proxy.router = Router(())
    table.client.opens(request(end=True))
    assert _outcomes(table) == {}


def test_trailers_behind_an_answer_of_ours_are_dropped_for_that() -> None:
    table = Table(server_window=1)
    client, server = table.client, table.server
    server.holds = True
    client.opens(request(), data(b"parked"), trailers(x="1"))
    server.leaves()
    assert _outcomes(table) == {(REQ, Outcome.DROPPED): 1}
    assert table.notes.trailer_losses == [Cause.UPSTREAM_GONE]


@pytest.mark.parametrize(
    ("sections", "octets"),
    [
        ((trailers(x_end="12"), trailers(("a", "1"), ("a", "2"))), (7 + 32, 2 * (2 + 32))),
        ((trailers(host="a", x="1"), trailers(te="x")), (2 + 32, 0)),
        ((data(b"", end=True), data(b"", end=True)), (0, 0)),
    ],
)
def test_what_departs_is_weighed(sections: tuple[Said, Said], octets: tuple[int, int]) -> None:
    table = Table()
    asked, answered = sections
    table.client.opens(request(), asked)
    table.server.says(head(200), answered)
    table.is_clean()
    record = table.record
    assert (record.request_trailer_bytes, record.response_trailer_bytes) == octets


def test_trailers_that_are_lost_are_kept_for_the_log_and_weigh_nothing() -> None:
    table = Table(client_window=1)
    table.client.holds = True
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"parked"), trailers(x="1"))
    table.client.leaves()
    assert table.record.response_section == Fields.of([("x", "1")])
    assert table.record.response_trailer_bytes == 0
