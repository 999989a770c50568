"""The rules of one message: what may come next, and how long a body must be."""

import pytest

from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.ledger import Ledger


def _request(*more: tuple[str, str], method: str = "POST") -> Fields:
    target = [] if method == "CONNECT" else [(":scheme", "http"), (":path", "/")]
    return Fields.of([(":method", method), *target, (":authority", "a:1"), *more])


def _response(status: int, *more: tuple[str, str]) -> Fields:
    return Fields.of([(":status", str(status)), *more])


TRAILERS = Fields.of([("grpc-status", "0")])


def test_a_request_is_a_head_and_then_trailers() -> None:
    ledger = Ledger(request=True)
    kinds = [ledger.next_kind]
    assert ledger.fields_fault(_request(), end=False) == ""
    kinds.append(ledger.next_kind)
    assert kinds == [Kind.REQUEST, Kind.TRAILERS]
    assert ledger.data_fault(5, end=False) == ""
    assert ledger.fields_fault(TRAILERS, end=True) == ""


def test_interim_heads_leave_the_final_head_to_come() -> None:
    ledger = Ledger(request=False, method=b"GET")
    for _ in range(32):
        assert ledger.fields_fault(_response(103), end=False) == ""
    assert not ledger.head_came
    assert ledger.next_kind is Kind.RESPONSE
    assert "one too many" in ledger.fields_fault(_response(103), end=False)


def test_interim_heads_together_are_no_larger_than_a_large_head() -> None:
    """They are passed on whether the client reads or not."""
    ledger = Ledger(request=False, method=b"GET")
    large = _response(103, ("link", "x" * 30_000))
    assert [ledger.fields_fault(large, end=False) == "" for _ in range(3)] == [True, True, False]


def test_an_interim_head_ends_nothing() -> None:
    assert Ledger(request=False, method=b"GET").fields_fault(_response(100), end=True)


def test_a_malformed_head_is_not_entered() -> None:
    ledger = Ledger(request=True)
    assert "connection" in ledger.fields_fault(_request(("connection", "close")), end=False)
    assert not ledger.head_came


def test_a_body_does_not_come_first() -> None:
    assert "before the head" in Ledger(request=True).data_fault(1, end=False)


def test_trailers_end_the_message() -> None:
    ledger = Ledger(request=True)
    ledger.fields_fault(_request(), end=False)
    assert "END_STREAM" in ledger.fields_fault(TRAILERS, end=False)


@pytest.mark.parametrize(
    ("sizes", "good"), [([5], True), ([2, 3], True), ([4], False), ([], False)]
)
@pytest.mark.parametrize("by_trailers", [False, True])
def test_the_body_is_as_long_as_announced(sizes: list[int], good: bool, by_trailers: bool) -> None:
    ledger = Ledger(request=True)
    assert ledger.fields_fault(_request(("content-length", "5")), end=False) == ""
    for size in sizes:
        assert ledger.data_fault(size, end=False) == ""
    why = ledger.fields_fault(TRAILERS, end=True) if by_trailers else ledger.data_fault(0, end=True)
    assert (why == "") is good


def test_a_body_too_long_is_told_before_its_end() -> None:
    ledger = Ledger(request=True)
    ledger.fields_fault(_request(("content-length", "5")), end=False)
    assert ledger.data_fault(6, end=False) == "content-length 5, and 6 octets came"


def test_a_head_that_ends_the_message_announces_no_body() -> None:
    announced = _request(("content-length", "1"))
    assert Ledger(request=True).fields_fault(announced, end=True)
    assert Ledger(request=True).fields_fault(_request(("content-length", "0")), end=True) == ""


@pytest.mark.parametrize(
    ("method", "status", "bodiless"),
    [(b"HEAD", 200, True), (b"GET", 204, True), (b"GET", 304, True), (b"GET", 200, False)],
)
def test_bodiless_responses_may_announce_a_length(
    method: bytes, status: int, bodiless: bool
) -> None:
    head = _response(status, ("content-length", "5"))
    assert (Ledger(request=False, method=method).fields_fault(head, end=True) == "") is bodiless
    ledger = Ledger(request=False, method=method)
    ledger.fields_fault(head, end=False)
    assert (ledger.data_fault(5, end=True) == "") is not bodiless


def test_a_bodiless_response_may_have_trailers() -> None:
    ledger = Ledger(request=False, method=b"HEAD")
    ledger.fields_fault(_response(200, ("content-length", "5")), end=False)
    assert ledger.fields_fault(TRAILERS, end=True) == ""


def test_a_tunnel_has_no_trailers_and_no_length() -> None:
    ledger = Ledger(request=True)
    ledger.fields_fault(_request(("content-length", "5"), method="CONNECT"), end=False)
    assert ledger.data_fault(9, end=False) == ""
    assert "tunnel" in ledger.fields_fault(TRAILERS, end=True)


@pytest.mark.parametrize(("status", "tunnel"), [(200, True), (502, False)])
def test_a_refused_tunnel_is_an_ordinary_response(status: int, tunnel: bool) -> None:
    ledger = Ledger(request=False, method=b"CONNECT")
    ledger.fields_fault(_response(status), end=False)
    assert bool(ledger.fields_fault(TRAILERS, end=True)) is tunnel
