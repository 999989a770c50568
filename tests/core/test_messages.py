"""Messages: gRPC messages are counted, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.parts import (
    Head,
    Said,
    data,
    grpc_head,
    grpc_request,
    head,
    request,
    reset,
    trailers,
)
from tests.support.table import Table
from trailproxy.core.messages import Messages

DONE = trailers(grpc_status="0")


def message(octets: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(octets).to_bytes(4, "big") + octets


def counted(*pieces: bytes) -> int:
    messages = Messages()
    for piece in pieces:
        messages.follow(piece)
    return messages.count


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans())), st.lists(st.integers(1, 40)))
def test_messages_are_counted_however_they_are_cut(
    said: list[tuple[bytes, bool]], cuts: list[int]
) -> None:
    body = b"".join(message(octets, compressed=flag) for octets, flag in said)
    pieces = []
    for size in [*cuts, len(body)]:
        pieces.append(body[:size])
        body = body[size:]
    assert counted(*pieces) == len(said)


@given(st.binary(min_size=1, max_size=50), st.integers(1, 54))
def test_a_message_that_is_not_whole_does_not_count(octets: bytes, missing: int) -> None:
    whole = message(octets)
    assert counted(message(b"first"), whole[: max(len(whole) - missing, 0)]) == 1


def test_the_longest_message_is_passed_over_by_its_length() -> None:
    prefix = b"\x01\xff\xff\xff\xff"
    assert counted(prefix, b"x" * 1000, message(b"")) == 0


@pytest.mark.parametrize("body", [b"<html>" + bytes(1000), b"\x02" + bytes(1000), b"\x80\0\0\0\0"])
def test_a_body_that_is_no_grpc_has_no_messages(body: bytes) -> None:
    assert counted(message(b"one"), body, message(b"two")) == 1


# -- in an exchange ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said", "answer", "messages"),
    [
        (grpc_request(), [data(message(b"a"), end=True)], [data(message(b"b")), DONE], (1, 1)),
        (
            grpc_request(),
            [data(message(b"a") * 3), data(message(b"b"), end=True)],
            [data(message(b"c")[:2]), data(message(b"c")[2:] + message(b"")), DONE],
            (4, 2),
        ),
        (request(content_type="application/grpc+proto"), [data(message(b""), end=True)],
         [DONE], (1, 0)),
        (request(), [data(message(b"a"), end=True)], [data(message(b"b"), end=True)], (0, 0)),
        (
            request(content_type="application/grpc-web"),
            [data(message(b"a"), end=True)],
            [data(message(b"b"), end=True)],
            (0, 0),
        ),
    ],
    ids=["unary", "streams", "with a suffix", "not grpc", "grpc-web"],
)  # fmt: skip
def test_both_ways_are_counted(
    asked: Head, said: list[Said], answer: list[Said], messages: tuple[int, int]
) -> None:
    table = Table()
    table.client.split = 7  # octets a read: prefixes come in pieces
    table.client.opens(asked, *said)
    table.server.says(grpc_head(), *answer)
    table.is_clean()
    assert (table.record.request_messages, table.record.response_messages) == messages


def test_a_message_counts_when_it_has_come_though_it_never_leaves() -> None:
    table = Table(client_window=1)
    table.client.holds = True
    table.client.opens(grpc_request(), data(message(b"a")))
    table.server.says(grpc_head(), data(message(b"bc")), data(message(b"cut off")[:-1]))
    table.client.says(reset())
    table.is_clean()
    assert (table.record.request_messages, table.record.response_messages) == (1, 1)
    assert table.record.response_bytes == 1


def test_an_answer_of_another_kind_has_no_messages() -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    table.server.says(head(502, content_type="text/html"), data(b"<h1>Bad Gateway", end=True))
    assert table.record.response_messages == 0
