"""Cases that other people thought of: windows, the peer's and ours (RFC 9113 section 6.9).

Cases of h2 4.4.1, told in `test_published_cases`, where it also says what was left out.
"""

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST
from tests.support.seat import Seat, broken, faults
from trailproxy.wire import Role, WireParams
from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import DataReceived, TrailersReceived, WindowOpened
from trailproxy.wire.fields import Fields

SUM = [("x-sum", "1")]
#: The connection's window is as narrow as each stream's.
NARROW = WireParams(stream_window=65_535, connection_window=65_535)


# -- what the peer lets us send (section 6.9) ---------------------------------------------------


@pytest.fixture
def sender(server: Seat) -> Seat:
    """Sit where two responses have begun."""
    for sid in (1, 3):
        server.hear(server.scribe.headers(sid, GET, end=True))
        server.codec.send_head(sid, Fields.of(OK), end=False)
    return server


def test_a_window_is_for_a_stream_and_one_for_all(sender: Seat) -> None:
    codec = sender.codec
    assert codec.sendable(1) == codec.sendable(3) == 65_535
    codec.send_data(1, b"some data", end=False)
    assert codec.sendable(1) == codec.sendable(3) == 65_526, "the connection's is the narrower"
    sender.hear(frames.window_update(0, 100))
    assert (codec.sendable(1), codec.sendable(3)) == (65_526, 65_535)
    sender.hear(frames.window_update(1, 50))
    assert (codec.sendable(1), codec.sendable(3)) == (65_576, 65_535)


@pytest.mark.parametrize(
    ("initial", "more", "room"),
    [(1280, 0, 1280), (128_000, 128_000, 128_000), (128_000, 0, 65_535), (0, 0, 0)],
    ids=["smaller", "larger", "larger than the connection's", "none"],
)
def test_settings_move_the_windows_of_old_and_new_streams(
    sender: Seat, initial: int, more: int, room: int
) -> None:
    """RFC 9113 section 6.9.2: the connection's window they leave alone."""
    if more:
        sender.hear(frames.window_update(0, more))
    sender.hear(frames.settings_frame(initial_window_size=initial))
    assert sender.codec.sendable(1) == room
    sender.codec.reset(3, ErrorCode.CANCEL)
    sender.hear(sender.scribe.headers(5, GET, end=True))
    assert sender.codec.sendable(5) == room


def test_a_window_below_zero_lets_an_empty_frame_through(sender: Seat) -> None:
    sender.codec.send_data(1, b"x" * 1000, end=False)
    sender.hear(frames.settings_frame(initial_window_size=0))
    assert sender.codec.sendable(1) == 0
    sender.hear(frames.window_update(1, 999))
    assert sender.codec.sendable(1) == 0
    sender.codec.take_output()
    sender.codec.send_data(1, b"", end=True)
    assert sender.frames() == [(0, 1, b"")]


@pytest.mark.parametrize("sid", [0, 1])
def test_a_window_has_a_largest_size_and_no_octet_more(sender: Seat, sid: int) -> None:
    room = MAX_SID - 65_535
    assert sender.hear(frames.window_update(sid, room)) == [WindowOpened(sid)]
    events = sender.hear(frames.window_update(sid, 1))
    assert faults(events) == ([(1, ErrorCode.FLOW_CONTROL_ERROR)] if sid else [])
    assert broken(events) == (None if sid else ErrorCode.FLOW_CONTROL_ERROR)


def test_settings_never_overflow_the_connections_window(client: Seat) -> None:
    client.hear(frames.rst(1), frames.window_update(0, MAX_SID - 65_535))
    assert broken(client.hear(frames.settings_frame(initial_window_size=MAX_SID))) is None


# -- what we let the peer send ------------------------------------------------------------------


def announced(seat: Seat) -> dict[int, int]:
    """Add up what the codec has announced for each stream."""
    found: dict[int, int] = {}
    for kind, sid, payload in seat.frames():
        if kind == 8:
            found[sid] = found.get(sid, 0) + int.from_bytes(payload, "big")
    return found


def test_little_is_not_worth_a_frame_and_nothing_is_lost(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST), frames.data(1, b"some data"))
    server.codec.take_output()
    server.codec.consumed(1, 9)
    assert announced(server) == {}
    server.hear(frames.data(1, b"x" * 991))
    server.codec.consumed(1, 991)
    assert announced(server) == {1: 1000}


def test_an_empty_window_is_opened_again(name: str) -> None:
    seat = Seat(name, Role.SERVER, NARROW)
    seat.hear(*[seat.scribe.headers(sid, POST) for sid in (1, 3, 5, 7)])
    for sid in (1, 3, 5, 7):
        seat.hear(frames.data(sid, b"x" * 16_000))
    seat.hear(frames.data(7, b"x" * 1535))
    seat.codec.take_output()
    for sid in (1, 3, 5):
        seat.codec.consumed(sid, 16_000)
    seat.codec.consumed(7, 17_535)
    told = announced(seat)
    assert told[0] >= 65_535 - 65_535 // 4
    assert all(credit <= 17_535 for sid, credit in told.items() if sid)


@pytest.mark.parametrize("over", ["reset by us", "reset by the peer", "ended"])
def test_credit_for_a_stream_that_is_over_is_the_connections(name: str, over: str) -> None:
    seat = Seat(name, Role.SERVER, NARROW)
    seat.hear(seat.scribe.headers(1, POST))
    seat.hear(*[frames.data(1, b"x" * 16_000, end=over == "ended" and n == 3) for n in range(4)])
    if over == "reset by us":
        seat.codec.reset(1, ErrorCode.CANCEL)
    elif over == "reset by the peer":
        seat.hear(frames.rst(1))
    seat.codec.take_output()
    seat.codec.consumed(1, 64_000)
    assert announced(seat)[0] == 64_000


def test_what_comes_for_a_stream_we_reset_is_paid_for_at_once(name: str) -> None:
    seat = Seat(name, Role.CLIENT, NARROW)
    seat.codec.send_head(1, Fields.of(GET), end=True)
    seat.codec.reset(1, ErrorCode.CANCEL)
    seat.codec.take_output()
    for _ in range(20):
        assert seat.hear(frames.data(1, b"some data" * 1500)) == []
    told = announced(seat)
    assert list(told) == [0]
    assert 270_000 - 65_535 // 2 <= told[0] <= 270_000


def test_a_window_may_be_used_to_its_last_octet(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    events = server.heads(frames.data(1, b"x" * 1000), frames.data(1, b"", end=True))
    assert events == [DataReceived(1, b"x" * 1000, 1000, False), DataReceived(1, b"", 0, True)]


def test_trailers_need_no_window(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST), frames.data(1, b"x" * 1000))
    events = server.heads(server.scribe.headers(1, SUM, end=True))
    assert events == [TrailersReceived(1, Fields.of(SUM))]
