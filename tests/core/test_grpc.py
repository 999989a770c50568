"""gRPC's words in HTTP/2 fields, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailproxy.core.grpc import (
    NO_TIMEOUT,
    is_grpc,
    percent_decoded,
    percent_encoded,
    timeout_of,
    with_timeout,
)
from trailproxy.wire.fields import Fields, Kind


@pytest.mark.parametrize(
    ("content_type", "grpc"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc;charset=utf-8", True),
        ("application/grpc-web", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_what_is_grpc(content_type: str, grpc: bool) -> None:
    assert is_grpc(Fields.of([("content-type", content_type)])) is grpc


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1n", 1e-9),
        ("20u", 20e-6),
        ("100m", 0.1),
        ("5S", 5.0),
        ("2M", 120.0),
        ("99999999H", 99_999_999 * 3600.0),
        ("0S", 0.0),
        ("123456789S", NO_TIMEOUT),
        ("5", NO_TIMEOUT),
        ("S", NO_TIMEOUT),
        ("-5S", NO_TIMEOUT),
        ("5s", NO_TIMEOUT),
        ("5 S", NO_TIMEOUT),
        ("", NO_TIMEOUT),
    ],
)
def test_a_timeout_is_read(value: str, seconds: float) -> None:
    assert timeout_of(Fields.of([("grpc-timeout", value)])) == seconds


def test_a_head_without_a_timeout_has_none() -> None:
    assert timeout_of(Fields.of([("content-type", "application/grpc")])) == NO_TIMEOUT


@given(st.floats(min_value=-1.0, max_value=3e11))
def test_a_timeout_that_is_written_is_never_longer_than_what_is_left(seconds: float) -> None:
    head = Fields.of([(":path", "/"), ("grpc-timeout", "1S"), ("x", "1")])
    written = with_timeout(head, seconds)
    told = timeout_of(written)
    assert [field.name for field in written] == [field.name for field in head]
    assert told == 1e-9 if seconds < 1e-9 else 0 < told <= seconds * (1 + 1e-12)
    assert told >= seconds * 0.9999 - 1e-9
    assert written.fault(Kind.REQUEST) == ""


@given(st.text())
def test_a_message_that_was_written_is_read_again(message: str) -> None:
    assert percent_decoded(percent_encoded(message)) == message.strip()[:500]


def test_a_message_that_is_no_utf_8_is_read_as_far_as_it_goes() -> None:
    assert percent_decoded(b"tr%C3%A8s %ff %zz %") == "très \ufffd %zz %"
