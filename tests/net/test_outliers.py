"""Outliers: what counts as a failure, who is left alone for it, and for how long."""

import pytest

from tests.support.clock import FakeClock
from tests.support.records import record_of
from trailproxy.core.address import Address
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Record
from trailproxy.net.endpoint import Endpoint
from trailproxy.net.outliers import OutlierParams, Outliers, failed

PARAMS = OutlierParams(consecutive_failures=3, ejection_s=10, max_ejection_s=25, max_ejected=0.5)


def _record(**words: object) -> Record:
    whole = {"status": 200} | words
    return record_of("main", "GET", "a", "/", "192.0.2.1", 0.0, False, "", **whole)


GOOD = _record()
BAD = _record(dropped=Cause.UPSTREAM_RESET)


@pytest.mark.parametrize(
    ("words", "is_failure"),
    [
        ({}, False),
        ({"status": 499}, False),
        ({"status": 500}, True),
        ({"grpc_status": "0"}, False),
        ({"grpc_status": "5"}, False),
        ({"grpc_status": "14"}, True),
        ({"dropped": Cause.UPSTREAM_GONE}, True),
        ({"dropped": Cause.RESPONSE_HEAD_TIMEOUT, "status": 504}, True),
        ({"dropped": Cause.FIELDS_TOO_LARGE, "dropped_side": Side.UPSTREAM}, True),
        ({"dropped": Cause.FIELDS_TOO_LARGE, "dropped_side": Side.DOWNSTREAM}, False),
        ({"dropped": Cause.CLIENT_RESET}, False),
        ({"dropped": Cause.QUEUE_TIMEOUT, "status": 503}, False),
    ],
)
def test_a_failure_is_the_endpoints_fault(words: dict[str, object], is_failure: bool) -> None:
    assert failed(_record(**words)) is is_failure


class Ward:
    """Some endpoints, and who judges them."""

    def __init__(self, count: int) -> None:
        self.clock = FakeClock()
        self.endpoints = [Endpoint(Address("192.0.2.1", port + 1), 65_535) for port in range(count)]
        self.changes: list[tuple[int, bool]] = []
        self.outliers = Outliers(PARAMS, self.clock, self._changed)

    def _changed(self, endpoint: Endpoint) -> None:
        self.changes.append((endpoint.address.port, endpoint.ejected))

    def sees(self, place: int, *records: Record) -> None:
        for record in records:
            self.outliers.judge(self.endpoints[place], record, self.endpoints)


def test_only_failures_in_a_row_count() -> None:
    ward = Ward(2)
    ward.sees(0, BAD, BAD, GOOD, BAD, BAD)
    assert ward.changes == []
    ward.sees(0, BAD)
    assert ward.changes == [(1, True)]
    ward.sees(0, BAD, BAD, BAD)  # of exchanges that were in flight
    assert ward.changes == [(1, True)]


def test_it_returns_and_stays_away_longer_each_time_until_it_has_made_good() -> None:
    ward = Ward(2)
    for away in (10, 20, 25, 25):
        ward.sees(0, BAD, BAD, BAD)
        ward.clock.advance(away - 0.1)
        assert ward.endpoints[0].ejected
        ward.clock.advance(0.2)
        assert not ward.endpoints[0].ejected
    ward.clock.advance(24)
    ward.sees(0, GOOD)
    assert ward.endpoints[0].ejections == 4
    ward.clock.advance(2)
    ward.sees(0, GOOD, BAD, BAD, BAD)
    assert ward.endpoints[0].ejections == 1


def test_no_more_than_a_part_is_ejected_but_one_always_may_be() -> None:
    ward = Ward(3)
    for place in range(3):
        ward.sees(place, BAD, BAD, BAD)
    assert ward.changes == [(1, True)]
    alone = Ward(1)
    alone.sees(0, BAD, BAD, BAD)
    assert alone.changes == [(1, True)]
