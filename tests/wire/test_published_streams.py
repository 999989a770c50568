"""Cases that other people thought of: streams that are over, ids, priorities (section 5).

Cases of h2 4.4.1, told in `test_published_cases`, where it also says what was left out.
"""

from collections.abc import Callable

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST
from tests.support.seat import SMALL, Seat, broken, faults
from trailproxy.wire import Role
from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import (
    HeadReceived,
    StreamReset,
)
from trailproxy.wire.fields import Fields

SUM = [("x-sum", "1")]
Say = Callable[[Seat], bytes]

# what may come for a stream that is over
BLOCKS: dict[str, Say] = {
    "HEADERS": lambda seat: seat.scribe.headers(1, GET),
    "HEADERS that ends": lambda seat: seat.scribe.headers(1, GET, end=True),
    "trailers": lambda seat: seat.scribe.headers(1, SUM, end=True),
}
BODIES: dict[str, Say] = {
    "DATA": lambda _: frames.data(1, b"some data"),
    "DATA that ends": lambda _: frames.data(1, b"", end=True),
}
QUIET: dict[str, Say] = {
    "WINDOW_UPDATE": lambda _: frames.window_update(1, 1),
    "WINDOW_UPDATE too far": lambda _: frames.window_update(1, MAX_SID),
    "RST_STREAM": lambda _: frames.rst(1),
    "PRIORITY": lambda _: frames.priority(1, depends=3),
}


# -- streams that are over (section 5.1) --------------------------------------------------------


def finished(name: str, role: Role) -> Seat:
    """Sit where stream 1 has ended on both sides."""
    seat = Seat(name, role, SMALL)
    if role is Role.CLIENT:
        seat.codec.send_head(1, Fields.of(GET), end=True)
        seat.hear(seat.scribe.headers(1, OK, end=True))
    else:
        seat.hear(seat.scribe.headers(1, GET, end=True))
        seat.codec.send_head(1, Fields.of(OK), end=True)
    seat.codec.take_output()
    return seat


@pytest.mark.parametrize("late", QUIET.values(), ids=QUIET)
@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_what_may_cross_the_end_of_a_stream_is_ignored(name: str, role: Role, late: Say) -> None:
    seat = finished(name, role)
    assert seat.hear(late(seat) * 3) == []
    assert seat.frames() == []


@pytest.mark.parametrize("late", BLOCKS.values(), ids=BLOCKS)
def test_a_request_on_a_finished_stream_ends_the_connection(name: str, late: Say) -> None:
    seat = finished(name, Role.SERVER)
    assert broken(seat.hear(late(seat))) == ErrorCode.STREAM_CLOSED
    assert seat.written(7)[0][:8] == b"\0\0\0\1\0\0\0\5"


@pytest.mark.parametrize("late", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_a_body_on_a_finished_stream_is_stream_closed_once(
    name: str, role: Role, late: Say
) -> None:
    seat = finished(name, role)
    events = seat.hear(late(seat) * 5)
    assert faults(events) == [(1, ErrorCode.STREAM_CLOSED)]
    assert len(events) == 1
    assert seat.resets() == [(1, ErrorCode.STREAM_CLOSED)]


def test_a_second_response_is_stream_closed(name: str) -> None:
    seat = finished(name, Role.CLIENT)
    seat.codec.send_head(3, Fields.of(GET), end=True)
    events = seat.hear(seat.scribe.headers(1, OK, end=True), seat.scribe.headers(3, OK, end=True))
    assert faults(events) == [(1, ErrorCode.STREAM_CLOSED)]
    assert events[-1] == HeadReceived(3, Fields.of(OK), end=True)


@pytest.mark.parametrize("late", (BLOCKS | BODIES).values(), ids=BLOCKS | BODIES)
def test_what_comes_behind_the_peers_reset_is_stream_closed_once(server: Seat, late: Say) -> None:
    server.hear(server.scribe.headers(1, POST))
    server.codec.send_head(1, Fields.of(OK), end=False)
    assert server.heads(frames.rst(1, 5)) == [StreamReset(1, 5)]
    server.codec.take_output()
    events = server.hear(*[late(server) for _ in range(4)])
    assert faults(events) == [(1, ErrorCode.STREAM_CLOSED)]
    assert len(events) == 1
    assert server.resets() == [(1, ErrorCode.STREAM_CLOSED)]


@pytest.mark.parametrize("late", (BLOCKS | BODIES | QUIET).values(), ids=BLOCKS | BODIES | QUIET)
def test_what_comes_behind_our_reset_is_ignored(server: Seat, late: Say) -> None:
    server.hear(server.scribe.headers(1, POST))
    server.codec.reset(1, ErrorCode.INTERNAL_ERROR)
    server.codec.take_output()
    assert server.hear(*[late(server) for _ in range(4)]) == []
    assert server.frames() == []


@pytest.mark.parametrize("together", [True, False])
def test_a_reset_that_comes_again_and_again_is_told_once(client: Seat, together: bool) -> None:
    octets = [frames.rst(1)] * 6
    events = client.hear(*octets) if together else [e for o in octets for e in client.hear(o)]
    assert events == [StreamReset(1, ErrorCode.CANCEL)]


@pytest.mark.parametrize("code", [*ErrorCode, 0xFA, 2**32 - 1])
def test_a_reset_keeps_its_code_both_ways(name: str, client: Seat, code: int) -> None:
    assert client.hear(frames.rst(1, code)) == [StreamReset(1, code)]
    seat = Seat(name, Role.SERVER, SMALL)
    seat.hear(seat.scribe.headers(1, GET))
    seat.codec.reset(1, code)
    assert seat.resets() == [(1, code)]


def test_nothing_is_sent_behind_our_end(client: Seat) -> None:
    client.codec.take_output()
    with pytest.raises(HTTP2Error):
        client.codec.send_data(1, b"some data", end=False)
    with pytest.raises(HTTP2Error):
        client.codec.send_trailers(1, Fields.of(SUM))
    with pytest.raises(HTTP2Error):
        client.codec.send_data(3, b"never opened", end=False)
    assert client.frames() == []


def test_a_stream_we_reset_still_counts_for_the_compression(client: Seat) -> None:
    client.codec.reset(1, ErrorCode.CANCEL)
    client.codec.send_head(3, Fields.of(GET), end=True)
    head = [*OK, ("server", "fake-serv/0.1.0"), ("x-kept", "in the table")]
    first, second = client.scribe.headers(1, head), client.scribe.headers(3, head)
    assert len(second) < len(first)
    assert client.heads(first + second) == [HeadReceived(3, Fields.of(head), end=False)]


# -- ids and how many (sections 5.1.1 and 5.1.2) ------------------------------------------------


@pytest.mark.parametrize("sid", [1, 3, 5])
def test_ids_go_up(server: Seat, sid: int) -> None:
    server.hear(server.scribe.headers(7, GET))
    assert broken(server.hear(server.scribe.headers(sid, GET))) == ErrorCode.PROTOCOL_ERROR
    assert server.written(7)[0][:8] == b"\0\0\0\7\0\0\0\1"


@pytest.mark.parametrize("sid", [2, 4, MAX_SID - 1])
def test_a_client_opens_no_even_stream(server: Seat, sid: int) -> None:
    assert broken(server.hear(server.scribe.headers(sid, GET))) == ErrorCode.PROTOCOL_ERROR


def test_the_last_id_is_good_and_then_there_are_none(name: str) -> None:
    server, client = Seat(name, Role.SERVER, SMALL), Seat(name, Role.CLIENT, SMALL)
    client.codec.take_output()
    client.codec.send_head(MAX_SID, Fields.of(GET), end=True)
    events = server.heads(client.codec.take_output())
    assert events == [HeadReceived(MAX_SID, Fields.of(GET), end=True)]
    assert client.codec.open_stream() == 0
    with pytest.raises(HTTP2Error):
        client.codec.send_head(1, Fields.of(GET), end=True)


@pytest.mark.parametrize("gone", ["reset by us", "reset by the peer", "ended", "malformed"])
def test_a_stream_that_is_over_makes_room(server: Seat, gone: str) -> None:
    server.hear(server.scribe.headers(1, GET, end=True), server.scribe.headers(3, POST))
    if gone == "reset by us":
        server.codec.reset(1, ErrorCode.CANCEL)
    elif gone == "reset by the peer":
        server.hear(frames.rst(1))
    elif gone == "ended":
        server.codec.send_head(1, Fields.of(OK), end=True)
    else:
        server.hear(server.scribe.headers(1, SUM, end=True))
    events = server.heads(server.scribe.headers(5, GET), server.scribe.headers(7, GET))
    assert events[0] == HeadReceived(5, Fields.of(GET), end=False)
    assert faults(events) == [(7, ErrorCode.REFUSED_STREAM)]


def test_a_stream_half_over_takes_its_place(server: Seat) -> None:
    server.hear(*[server.scribe.headers(sid, GET, end=True) for sid in (1, 3)])
    server.codec.send_head(1, Fields.of(OK), end=False)
    assert faults(server.heads(server.scribe.headers(5, GET))) == [(5, ErrorCode.REFUSED_STREAM)]


def test_what_follows_a_refused_head_is_ignored(server: Seat) -> None:
    server.hear(*[server.scribe.headers(sid, POST) for sid in (1, 3, 5)])
    assert server.hear(frames.data(5, b"x"), server.scribe.headers(5, SUM, end=True)) == []


# -- priority (sections 5.3 and 6.3) ------------------------------------------------------------


@pytest.mark.parametrize("sid", [1, 3, 5, 7, 2, 99])
def test_priorities_change_nothing_in_any_state(server: Seat, sid: int) -> None:
    server.hear(
        server.scribe.headers(1, GET, end=True),
        server.scribe.headers(3, POST),
        server.scribe.headers(5, GET),
    )
    server.codec.take_output()
    assert server.hear(frames.priority(sid, depends=9), frames.priority(sid, depends=0)) == []
    assert server.frames() == []


def test_a_head_may_carry_a_priority(server: Seat) -> None:
    events = server.heads(server.scribe.headers(3, GET, end=True, depends=1))
    assert events == [HeadReceived(3, Fields.of(GET), end=True)]
