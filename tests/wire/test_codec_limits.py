"""Where a codec stops, and where it must not: GOAWAY races, bad settings, bounded tables."""

from collections.abc import Callable

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Scribe
from trailproxy.wire import CODECS, Codec, Role, WireParams, make_codec
from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    Event,
    HeadReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
)
from trailproxy.wire.fields import Fields

TOLD = HeadReceived | DataReceived | TrailersReceived | StreamFault | StreamReset | ConnectionFault
Peer = tuple[Codec, Scribe]


@pytest.fixture(params=CODECS)
def server(request: pytest.FixtureRequest) -> Peer:
    codec, scribe = make_codec(str(request.param), Role.SERVER, WireParams()), Scribe()
    codec.receive(scribe.hello())
    codec.take_output()
    return codec, scribe


@pytest.fixture(params=CODECS)
def client(request: pytest.FixtureRequest) -> Peer:
    codec, scribe = make_codec(str(request.param), Role.CLIENT, WireParams()), Scribe()
    codec.receive(scribe.hello(client=False))
    codec.take_output()
    return codec, scribe


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, TOLD)]


def written(codec: Codec, kind: int) -> list[tuple[int, bytes]]:
    """Return stream and payload of each frame of a type that the codec has written."""
    octets, found = codec.take_output(), []
    while octets:
        size = int.from_bytes(octets[:3], "big")
        if octets[3] == kind:
            found.append((int.from_bytes(octets[5:9], "big"), octets[9 : 9 + size]))
        octets = octets[9 + size :]
    return found


# -- GOAWAY -----------------------------------------------------------------------------------

RACERS = {
    "body": frames.data(3, b"x", end=True),
    "trailers": frames.raw(1, 5, 3, b"\0\5x-sum\0011"),
    "window": frames.window_update(3, 9),
    "reset": frames.rst(3),
    "bad window": frames.raw(8, 0, 3, b"\0\0\0\0"),
}


@pytest.mark.parametrize("racer", RACERS.values(), ids=RACERS)
def test_a_message_that_crossed_our_goaway_is_ignored_whole(server: Peer, racer: bytes) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST))
    codec.goaway(1, ErrorCode.NO_ERROR)
    assert told(codec.receive(scribe.headers(3, POST) + racer)) == []
    assert told(codec.receive(frames.data(1, b"y", end=True))) == [DataReceived(1, b"y", 1, True)]
    assert codec.last_peer_sid == 1


def test_the_window_of_ignored_bodies_comes_back(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST))
    codec.goaway(1, ErrorCode.NO_ERROR)
    codec.receive(scribe.headers(3, POST))
    piece = frames.data(3, b"x" * 16_000)
    for _ in range(1000):
        assert told(codec.receive(piece)) == []
    returned = sum(int.from_bytes(payload, "big") for sid, payload in written(codec, 8) if not sid)
    assert returned > 10_000_000


def test_the_last_id_of_goaway_never_grows(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + scribe.headers(3, POST))
    codec.goaway(1, ErrorCode.NO_ERROR)
    codec.receive(frames.raw(6, 0, 0, b"1"))
    lasts = [int.from_bytes(payload[:4], "big") for _, payload in written(codec, 7)]
    assert lasts == [1, 1]


def test_a_goodbye_is_not_said_for_ever(client: Peer) -> None:
    codec, _ = client
    assert len(told(codec.receive(frames.goaway(1) * 20))) == 0
    (fault,) = told(codec.receive(frames.goaway(1)))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.ENHANCE_YOUR_CALM


# -- streams of ours that the peer breaks off ----------------------------------------------------

BROKEN_OFF = {
    "refused": lambda scribe, sid: frames.rst(sid, 7),
    "malformed": lambda scribe, sid: scribe.headers(sid, [("x", "1")]),
    "window": lambda scribe, sid: frames.raw(8, 0, sid, bytes(4)),
    "window too wide": lambda scribe, sid: frames.window_update(sid, MAX_SID),
}


@pytest.mark.parametrize("broken_off", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_a_server_may_break_off_all_that_we_ask_of_it(
    client: Peer, broken_off: Callable[[Scribe, int], bytes]
) -> None:
    """It can do so once for each stream that we open: one that sheds load is no flood."""
    codec, scribe = client
    for _ in range(1500):
        sid = codec.open_stream()
        codec.send_head(sid, Fields.of(POST), end=False)
        (event,) = told(codec.receive(broken_off(scribe, sid)))
        assert isinstance(event, StreamReset | StreamFault)


def test_a_server_may_not_break_off_what_is_over_for_ever(client: Peer) -> None:
    codec, _ = client
    sid = codec.open_stream()
    codec.send_head(sid, Fields.of(GET), end=True)
    *_, fault = told(codec.receive(frames.rst(sid) * 1500))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.ENHANCE_YOUR_CALM


# -- settings ---------------------------------------------------------------------------------


def settings_of(entries: list[tuple[int, int]]) -> bytes:
    payload = b"".join([name.to_bytes(2, "big") + n.to_bytes(4, "big") for name, n in entries])
    return frames.raw(4, 0, 0, payload)


@pytest.mark.parametrize(("count", "broken"), [(32, False), (33, True)])
def test_settings_in_one_frame_have_a_bound(server: Peer, count: int, broken: bool) -> None:
    faults = told(server[0].receive(settings_of([(99, 1)] * count)))
    codes = [fault.code for fault in faults if isinstance(fault, ConnectionFault)]
    assert codes == [ErrorCode.ENHANCE_YOUR_CALM] * broken


def test_of_several_initial_windows_the_last_one_counts(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + frames.window_update(1, MAX_SID - 65_535))
    assert told(codec.receive(settings_of([(4, 65_536), (4, 100)]))) == []
    assert codec.sendable(1) == 65_535, "the connection's is the narrower"
    codec.receive(scribe.headers(3, POST))
    assert codec.sendable(3) == 100


@pytest.mark.parametrize("size", [16_383, 2**24])
def test_a_frame_size_outside_its_range_ends_the_connection(server: Peer, size: int) -> None:
    (fault,) = told(server[0].receive(frames.settings_frame(max_frame_size=size)))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.PROTOCOL_ERROR


def test_settings_that_overflow_a_streams_window_end_the_connection(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + frames.window_update(1, MAX_SID - 65_535))
    (fault,) = told(codec.receive(frames.settings_frame(initial_window_size=65_536)))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.FLOW_CONTROL_ERROR


def test_a_smaller_initial_window_may_leave_nothing_to_send(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, GET, end=True))
    codec.send_head(1, Fields.of(OK), end=False)
    codec.send_data(1, b"x" * 100, end=False)
    codec.receive(frames.settings_frame(initial_window_size=50))
    assert codec.sendable(1) == 0
    codec.receive(frames.window_update(1, 51))
    assert codec.sendable(1) == 1


def test_a_huge_compression_table_is_not_taken_up(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, GET, end=True) + frames.settings_frame(header_table_size=2**31))
    codec.send_head(1, Fields.of([*OK, ("x-a", "1")]), end=True)
    ((_, block),) = written(codec, 1)
    assert b"\x3f\xe1\xff\x03" in block, "the table size last told is 64 KiB (RFC 7541 6.3)"


@pytest.mark.parametrize(
    ("sizes", "told_first"),
    [((8192, 100), b"\x3f\x45"), ((8192, 0, 100), b"\x20\x3f\x45"), ((100, 100), b"\x3f\x45")],
)
def test_of_several_table_sizes_the_least_and_the_last_are_told(
    server: Peer, sizes: tuple[int, ...], told_first: bytes
) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, GET, end=True))
    for size in sizes:
        codec.receive(frames.settings_frame(header_table_size=size))
    codec.send_head(1, Fields.of(OK), end=True)
    ((_, block),) = written(codec, 1)
    assert block == told_first + b"\x88", "RFC 7541 section 4.2"


def test_a_compression_table_beyond_what_we_allow_is_a_fault(server: Peer) -> None:
    (fault,) = told(server[0].receive(frames.raw(1, 5, 1, b"\x3f\xff\xff\x03")))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.COMPRESSION_ERROR


@pytest.mark.parametrize(("sizes", "sound"), [(1, True), (2, True), (3, False)])
def test_a_block_begins_with_two_table_sizes_at_most(server: Peer, sizes: int, sound: bool) -> None:
    """RFC 7541 section 4.2; a block of nothing else would be work for nothing."""
    block = b"\x20" * sizes + b"\x82\x86\x84\x41\1a"
    (event,) = told(server[0].receive(frames.raw(1, 5, 1, block)))
    assert isinstance(event, HeadReceived if sound else ConnectionFault)
    if isinstance(event, ConnectionFault):
        assert event.code == ErrorCode.COMPRESSION_ERROR


# -- windows ----------------------------------------------------------------------------------


def test_of_stream_0_all_of_the_connections_window_is_told(server: Peer) -> None:
    codec, scribe = server
    assert codec.sendable(0) == 65_535
    codec.receive(scribe.headers(1, GET, end=True) + frames.window_update(0, 7))
    codec.send_head(1, Fields.of(OK), end=False)
    codec.send_data(1, b"x" * 42, end=False)
    assert codec.sendable(0) == 65_500


@pytest.mark.parametrize("name", CODECS)
def test_data_beyond_the_connections_window_ends_the_connection(name: str) -> None:
    params = WireParams(stream_window=1 << 20, connection_window=65_535)
    codec, scribe = make_codec(name, Role.SERVER, params), Scribe()
    codec.receive(scribe.hello() + scribe.headers(1, POST))
    *heard, fault = told(codec.receive(frames.data(1, b"x" * 16_000) * 5))
    assert len(heard) == 4
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.FLOW_CONTROL_ERROR


# -- streams that are over --------------------------------------------------------------------


def test_what_comes_behind_our_reset_is_ignored(client: Peer) -> None:
    codec, scribe = client
    sid = codec.open_stream()
    codec.send_head(sid, Fields.of(GET), end=True)
    codec.reset(sid, ErrorCode.CANCEL)
    codec.take_output()
    late = scribe.headers(sid, OK), frames.data(sid, b"x", end=True), frames.window_update(sid, 1)
    assert told(codec.receive(b"".join(late) + frames.rst(sid))) == []
    assert written(codec, 3) == []


def test_a_second_reset_is_not_written(client: Peer) -> None:
    codec, _ = client
    sid = codec.open_stream()
    codec.send_head(sid, Fields.of(GET), end=True)
    codec.reset(sid, ErrorCode.CANCEL)
    codec.reset(sid, ErrorCode.CANCEL)
    assert written(codec, 3) == [(sid, b"\0\0\0\x08")]


@pytest.mark.parametrize("gap", [4, 1000, 2**24])
def test_ids_that_were_passed_over_are_used_up(server: Peer, gap: int) -> None:
    """RFC 9113 section 5.1.1; however many they are, they are one thing to remember."""
    codec, scribe = server
    for sid in range(1, 1200, 4):
        codec.receive(scribe.headers(sid, GET, end=True) + frames.rst(sid))
    codec.receive(scribe.headers(sid + 2 + gap, GET, end=True))
    (late,) = told(codec.receive(frames.data(sid + 2, b"x")))
    assert isinstance(late, StreamFault)
    assert late.code == ErrorCode.STREAM_CLOSED
    (fault,) = told(codec.receive(scribe.headers(sid + gap, GET)))
    assert isinstance(fault, ConnectionFault)
    assert fault.code == ErrorCode.PROTOCOL_ERROR


LATE = {
    "body": lambda scribe: frames.data(1, b"x") * 3,
    "trailers": lambda scribe: scribe.headers(1, [("x-sum", "1")], end=True),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_what_comes_behind_our_reset_of_an_old_stream_is_ignored(
    server: Peer, late: Callable[[Scribe], bytes]
) -> None:
    """A stream may live while thousands pass, and its peer be in the middle of a message."""
    codec, scribe = server
    codec.receive(scribe.headers(1, POST))
    for sid in range(3, 4001, 2):
        codec.receive(scribe.headers(sid, GET, end=True))
        codec.send_head(sid, Fields.of(OK), end=True)
    codec.reset(1, ErrorCode.CANCEL)
    codec.take_output()
    assert told(codec.receive(late(scribe))) == []
    assert written(codec, 3) == []


def test_the_last_five_hundred_resets_are_remembered(server: Peer) -> None:
    codec, scribe = server
    for sid in range(1, 4001, 2):
        codec.receive(scribe.headers(sid, POST))
        codec.reset(sid, ErrorCode.CANCEL)
    late = b"".join([frames.data(sid, b"x") for sid in range(3001, 4001, 2)])
    assert told(codec.receive(late)) == []
    (forgotten,) = told(codec.receive(frames.data(1, b"x") * 3))
    assert isinstance(forgotten, StreamFault)
    assert forgotten.code == ErrorCode.STREAM_CLOSED


# -- field sections -------------------------------------------------------------------------------

FEW = WireParams(max_header_fields=6)


def _more(count: int) -> frames.Pairs:
    return [("x-a", "1")] * count


@pytest.mark.parametrize("name", CODECS)
def test_as_many_fields_as_allowed_pass_and_one_more_costs_its_stream(name: str) -> None:
    codec, scribe = make_codec(name, Role.SERVER, FEW), Scribe()
    codec.receive(scribe.hello())
    most = scribe.headers(1, [*POST, *_more(2)])
    (passed, fault) = told(codec.receive(most + scribe.headers(3, [*POST, *_more(3)])))
    assert isinstance(passed, HeadReceived)
    assert fault == StreamFault(
        3, ErrorCode.ENHANCE_YOUR_CALM, "7 fields in a section, the limit is 6"
    )
    (ended,) = told(codec.receive(scribe.headers(1, _more(6), end=True)))
    assert isinstance(ended, TrailersReceived)


@pytest.mark.parametrize("name", CODECS)
def test_too_many_trailers_cost_their_stream_on_both_sides(name: str) -> None:
    server, client = [make_codec(name, role, FEW) for role in (Role.SERVER, Role.CLIENT)]
    asker, answerer = Scribe(), Scribe()
    server.receive(asker.hello() + asker.headers(1, POST))
    client.receive(answerer.hello(client=False))
    client.send_head(client.open_stream(), Fields.of(GET), end=True)
    client.receive(answerer.headers(1, OK))
    for codec, scribe in ((server, asker), (client, answerer)):
        codec.take_output()
        (fault,) = told(codec.receive(scribe.headers(1, _more(7), end=True)))
        assert isinstance(fault, StreamFault)
        assert (fault.code, fault.trailers) == (ErrorCode.ENHANCE_YOUR_CALM, True)
        assert written(codec, 3) == [(1, b"\0\0\0\x0b")]


# -- what has begun and does not end --------------------------------------------------------------


def _begin(peer: Peer, octets: bytes) -> list[int]:
    """Hear octets one by one; return what was unfinished behind each, without repetitions."""
    numbers: list[int] = []
    for octet in octets:
        peer[0].receive(bytes([octet]))
        if not numbers or numbers[-1] != peer[0].unfinished:
            numbers.append(peer[0].unfinished)
    return numbers


def test_whole_frames_leave_nothing_unfinished(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + frames.data(1, b"x") + frames.ping())
    assert codec.unfinished == 0


@pytest.mark.parametrize(
    "frame", [frames.ping(), frames.window_update(0, 1), frames.raw(0x99, 0, 0, b"x")]
)
def test_a_frame_that_has_begun_is_the_same_one_until_it_ends(server: Peer, frame: bytes) -> None:
    first, nothing = _begin(server, frame)
    second, again = _begin(server, frame)
    assert nothing == again == 0
    assert first != second


def test_a_field_block_is_the_same_one_however_many_frames_it_takes(server: Peer) -> None:
    scribe = server[1]
    whole = scribe.headers(1, POST, pieces=5)
    head = 9 + int.from_bytes(whole[:3], "big")
    frame, block, nothing = _begin(server, whole)
    assert nothing == 0
    assert len({frame, block, nothing}) == 3
    server[0].receive(scribe.headers(3, POST, pieces=5)[:head])
    assert server[0].unfinished not in (0, block)


def test_a_frame_of_body_is_the_business_of_its_stream(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + frames.data(1, b"x" * 100)[:50])
    assert codec.unfinished == 0
    codec.reset(1, ErrorCode.CANCEL)
    number = codec.unfinished
    assert number, "nobody watches it any more"
    codec.receive(b"x")
    assert codec.unfinished == number


def test_what_may_be_body_is_left_alone_while_there_is_a_stream(server: Peer) -> None:
    codec, scribe = server
    codec.receive(scribe.headers(1, POST) + frames.ping()[:5])
    assert codec.unfinished == 0
    codec.receive(frames.ping()[5:9])
    assert codec.unfinished, "it is a PING"
