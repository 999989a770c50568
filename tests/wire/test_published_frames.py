"""Cases that other people thought of: frames, whole, padded, misplaced and in pieces.

Cases of h2 4.4.1, told in `test_published_cases`, where it also says what was left out.
"""

import pytest

from tests.support import frames
from tests.support.frames import GET, POST, Scribe
from tests.support.seat import SMALL, Seat, broken, faults
from trailproxy.wire import Role
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.fields import Fields

RESERVED = 1 << 31  # the bit in front of a stream's id, which says nothing (section 4.1)


WRONG_SIZES = {
    "PRIORITY": (2, 1, [0, 4, 6]),
    "RST_STREAM": (3, 1, [0, 3, 5]),
    "SETTINGS": (4, 0, [1, 5, 7]),
    "PING": (6, 0, [0, 7, 9]),
    "GOAWAY": (7, 0, [0, 7]),
    "WINDOW_UPDATE": (8, 0, [0, 3, 5]),
}


@pytest.mark.parametrize(
    ("kind", "sid", "size"),
    [(kind, sid, size) for kind, sid, sizes in WRONG_SIZES.values() for size in sizes],
)
def test_a_frame_of_the_wrong_size_is_told_as_such(
    server: Seat, kind: int, sid: int, size: int
) -> None:
    server.hear(server.scribe.headers(1, POST))
    events = server.heads(frames.raw(kind, 0, sid, b"\0" * size))
    codes = [broken(events), *[code for _, code in faults(events)]]
    assert ErrorCode.FRAME_SIZE_ERROR in codes


WRONG_STREAMS = {
    "DATA": (0, 0, 1),
    "HEADERS": (1, 0, 1),
    "PRIORITY": (2, 0, 5),
    "RST_STREAM": (3, 0, 4),
    "SETTINGS": (4, 1, 0),
    "PING": (6, 1, 8),
    "GOAWAY": (7, 1, 8),
    "CONTINUATION": (9, 0, 1),
}


@pytest.mark.parametrize(("kind", "sid", "size"), WRONG_STREAMS.values(), ids=WRONG_STREAMS)
def test_a_frame_on_the_wrong_stream_ends_the_connection(
    server: Seat, kind: int, sid: int, size: int
) -> None:
    server.hear(server.scribe.headers(1, POST))
    events = server.heads(frames.raw(kind, 4, sid, bytes([0x82] * size)))
    assert broken(events) == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [10, 11, 16, 32, 128, 255])
@pytest.mark.parametrize("sid", [0, 1, 2, 77])
def test_frames_of_unknown_types_are_ignored(server: Seat, kind: int, sid: int) -> None:
    """RFC 9113 section 5.5; 10 is ALTSVC, 16 PRIORITY_UPDATE."""
    server.hear(server.scribe.headers(1, POST))
    server.codec.take_output()
    unknown = frames.raw(kind, 0xFF, sid, b"anything")
    assert server.hear(unknown, frames.data(1, b"x")) == [DataReceived(1, b"x", 1, end=False)]
    assert server.frames() == []


def test_flags_nobody_defined_are_ignored(server: Seat) -> None:
    """RFC 9113 section 4.1."""
    server.hear(server.scribe.headers(1, POST))
    assert server.hear(frames.raw(6, 0xFE, 0, b"draining")) == []
    assert server.hear(frames.raw(8, 0xFF, 0, b"\0\0\0\1")) == [WindowOpened(0)]
    assert server.hear(frames.raw(0, 0xF6, 1, b"x")) == [DataReceived(1, b"x", 1, end=False)]


@pytest.mark.parametrize("setting", [0, 7, 8, 9, 0x0A0A, 0xFFFF])
def test_settings_that_nobody_here_supports_are_ignored(server: Seat, setting: int) -> None:
    """RFC 9113 section 6.5.2; ENABLE_CONNECT_PROTOCOL, which is 8, is one of them."""
    value = setting.to_bytes(2, "big") + b"\xff\xff\xff\xff"
    events = server.hear(frames.raw(4, 0, 0, value + b"\0\3\0\0\0\7"))
    assert events == [PeerSettings(7), WindowOpened(0)]


def test_each_setting_counts_though_another_of_its_name_follows(server: Seat) -> None:
    """RFC 9113 section 6.5.3: they are processed in the order they appear."""
    twice = b"\0\4\x80\0\0\0" + b"\0\4\0\0\0\1"
    assert broken(server.hear(frames.raw(4, 0, 0, twice))) == ErrorCode.FLOW_CONTROL_ERROR


def test_the_reserved_bit_says_nothing(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    assert server.hear(frames.raw(0, 0, RESERVED | 1, b"x")) == [DataReceived(1, b"x", 1, False)]
    assert server.hear(frames.raw(8, 0, 0, b"\x80\0\0\1")) == [WindowOpened(0)]
    assert server.hear(frames.raw(7, 0, 0, b"\x80\0\0\7" + bytes(4))) == [GoAwayReceived(7, 0, "")]


@pytest.mark.parametrize(
    ("payload", "body"), [(b"\5Hello\0\0\0\0\0", b"Hello"), (b"\5\0\0\0\0\0", b""), (b"\0", b"")]
)
def test_padding_may_be_all_there_is(server: Seat, payload: bytes, body: bytes) -> None:
    server.hear(server.scribe.headers(1, POST))
    events = server.hear(frames.raw(0, 8, 1, payload))
    assert events == [DataReceived(1, body, len(payload), end=False)]


@pytest.mark.parametrize("payload", [b"\6Test", b"\4Tes", b"\xff" + b"x" * 254])
def test_padding_longer_than_its_frame_ends_the_connection(server: Seat, payload: bytes) -> None:
    """RFC 9113 section 6.1."""
    server.hear(server.scribe.headers(1, POST))
    assert broken(server.hear(frames.raw(0, 0x0B, 1, payload))) == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("flags", [0x08, 0x28, 0x20])
def test_a_head_may_be_padded_and_carry_a_priority(server: Seat, flags: int) -> None:
    """RFC 9113 section 6.2."""
    payload = Scribe().headers(1, GET)[9:]
    if flags & 0x20:
        payload = b"\x80\0\0\3\xff" + payload
    if flags & 0x08:
        payload = b"\4" + payload + bytes(4)
    events = server.heads(frames.raw(1, flags | 5, 1, payload))
    assert events == [HeadReceived(1, Fields.of(GET), end=True)]


@pytest.mark.parametrize("payload", [b"\0", b"\4\0\0\0\0", b"\xff" + bytes(255)])
def test_trailers_may_be_all_padding(server: Seat, payload: bytes) -> None:
    """RFC 9113 section 6.2 forbids only more padding than the frame has room for."""
    server.hear(server.scribe.headers(1, POST))
    assert server.heads(frames.raw(1, 0x0D, 1, payload)) == [TrailersReceived(1, Fields([]))]


UNDECODABLE = {
    "name cut short": b"\0\0\0\0",
    "no such place": b"\xff\0",
    "place 0": b"\x80",
    "end of string": b"\x40\x84\xff\xff\xff\xff\0",
    "end of string behind a letter": b"\x40\x85\x1f\xff\xff\xff\xff\0",
}


@pytest.mark.parametrize("block", UNDECODABLE.values(), ids=UNDECODABLE)
@pytest.mark.parametrize("sid", [1, 3])
def test_what_cannot_be_decoded_ends_the_connection(server: Seat, block: bytes, sid: int) -> None:
    """RFC 9113 section 4.3; also when nobody waits for it."""
    server.hear(server.scribe.headers(1, POST))
    server.codec.reset(1, ErrorCode.CANCEL)
    assert broken(server.heads(frames.raw(1, 5, sid, block))) == ErrorCode.COMPRESSION_ERROR


# -- field blocks in pieces (section 6.10) ------------------------------------------------------


@pytest.mark.parametrize("pieces", [2, 3, 9])
@pytest.mark.parametrize("end", [True, False])
def test_a_block_in_pieces_is_one(server: Seat, pieces: int, end: bool) -> None:
    events = server.heads(server.scribe.headers(1, GET, end=end, pieces=pieces))
    assert events == [HeadReceived(1, Fields.of(GET), end)]


INTRUDERS = {
    "DATA": frames.data(1, b"x"),
    "HEADERS": frames.raw(1, 4, 1, b"\x82"),
    "HEADERS of another": frames.raw(1, 4, 3, b"\x82"),
    "PRIORITY": frames.priority(1, depends=3),
    "RST_STREAM": frames.rst(1),
    "SETTINGS": frames.settings_frame(),
    "GOAWAY": frames.goaway(0),
    "WINDOW_UPDATE": frames.window_update(0, 1),
    "CONTINUATION of another": frames.raw(9, 4, 3, b"\x82"),
    "unknown": frames.raw(250, 0, 1, b"unknown"),
}


@pytest.mark.parametrize("intruder", INTRUDERS.values(), ids=INTRUDERS)
@pytest.mark.parametrize("trailers", [False, True])
def test_nothing_comes_between_the_pieces(server: Seat, intruder: bytes, trailers: bool) -> None:
    if trailers:
        server.hear(server.scribe.headers(1, POST))
    events = server.heads(frames.raw(1, 1, 1, b"\x82"), intruder)
    assert broken(events) == ErrorCode.PROTOCOL_ERROR
    assert len(events) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_a_piece_behind_a_whole_block_ends_the_connection(server: Seat, ends: bool) -> None:
    server.hear(server.scribe.headers(1, GET, end=ends))
    assert broken(server.hear(frames.raw(9, 4, 1, b"hello"))) == ErrorCode.PROTOCOL_ERROR


def test_a_block_has_sixty_four_pieces_at_most(name: str) -> None:
    """CVE-2024-27316 and its kin."""
    block = Scribe().headers(1, GET)[9:]
    for more, last in ((62, HeadReceived), (63, ConnectionFault)):
        seat = Seat(name, Role.SERVER, SMALL)
        assert seat.hear(frames.raw(1, 1, 1, block), frames.raw(9, 0, 1, b"") * more) == []
        assert [type(event) for event in seat.hear(frames.raw(9, 4, 1, b""))] == [last]
