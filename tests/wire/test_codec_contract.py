"""What every codec promises (trailproxy.wire.codec); each test runs against all of them."""

from collections.abc import Callable

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Scribe
from tests.support.seat import SMALL, Seat, broken, faults
from trailproxy.wire import CODECS, Role, WireParams, make_codec
from trailproxy.wire.codec import MAX_SID, PREFACE
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import (
    ConnectionFault,
    DataReceived,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
    PongReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

# -- 1. messages as they are told -----------------------------------------------------------


def test_a_message_is_told_part_by_part_and_its_end_rides_on_the_last(server: Seat) -> None:
    events = server.heads(
        server.scribe.headers(1, POST),
        frames.data(1, b"a"),
        frames.data(1, b"b", pad=9),
        server.scribe.headers(1, [("x-sum", "1")], end=True),
        server.scribe.headers(3, GET, end=True),
    )
    assert events == [
        HeadReceived(1, Fields.of(POST), end=False),
        DataReceived(1, b"a", 1, end=False),
        DataReceived(1, b"b", 11, end=False),
        TrailersReceived(1, Fields.of([("x-sum", "1")])),
        HeadReceived(3, Fields.of(GET), end=True),
    ]


def test_order_duplicates_cookies_and_never_indexed_marks_survive(name: str) -> None:
    sender = make_codec(name, Role.CLIENT, WireParams())
    receiver = make_codec(name, Role.SERVER, WireParams())
    sent = Fields(
        [
            *Fields.of(GET),
            Field(b"cookie", b"a=1"),
            Field(b"x-b", b"2"),
            Field(b"cookie", b"b=2"),
            Field(b"authorization", b"secret", never_indexed=True),
            Field(b"x-b", b"1"),
        ]
    )
    sender.send_head(1, sent, end=True)
    events = receiver.receive(sender.take_output())
    (head,) = [event for event in events if isinstance(event, HeadReceived)]
    assert list(head.fields) == list(sent)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_events_are_the_same_for_every_split(name: str, step: int) -> None:
    scribe = Scribe()
    octets = (
        scribe.hello()
        + scribe.headers(1, POST, pieces=3)
        + frames.data(1, b"x" * 100, pad=3)
        + frames.ping()
        + scribe.headers(1, [("x-t", "1")], end=True)
        + scribe.headers(3, [(":bad", "1")])
        + frames.window_update(0, 5)
        + frames.rst(99)
    )
    whole = make_codec(name, Role.SERVER, SMALL)
    split = make_codec(name, Role.SERVER, SMALL)
    expected = whole.receive(octets)
    told = [e for at in range(0, len(octets), step) for e in split.receive(octets[at : at + step])]
    assert told == expected
    assert split.take_output() == whole.take_output()
    assert isinstance(told[-1], ConnectionFault)


@pytest.mark.parametrize("name", CODECS)
def test_pieces_are_the_output_in_its_order_once(name: str) -> None:
    whole, pieces = [Seat(name, Role.CLIENT, WireParams()) for _ in range(2)]
    for seat in (whole, pieces):
        sid = seat.codec.open_stream()
        seat.codec.send_head(sid, Fields.of(POST), end=False)
        for size in (10, 20_000, 2048, 0):
            seat.codec.send_data(sid, b"x" * size, end=not size)
        seat.codec.ping(b"12345678")
    taken = pieces.codec.take_pieces()
    assert b"".join(taken) == whole.codec.take_output()
    assert b"" not in taken
    assert pieces.codec.take_pieces() == []


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("cut", [1, 8, 9, 10, 5000, 16_392, 16_393, 16_394, 20_000])
def test_a_frame_may_end_in_the_next_read_with_others_behind_it(name: str, cut: int) -> None:
    seat = Seat(name, Role.SERVER, WireParams())
    seat.hear(seat.scribe.headers(1, POST))
    octets = frames.data(1, b"a" * 16_384) + frames.data(1, b"b" * 5000) + frames.data(1, b"c")
    told = seat.heads(octets[:cut]) + seat.heads(octets[cut:])
    assert [event.data[:1] for event in told if isinstance(event, DataReceived)] == [
        b"a",
        b"b",
        b"c",
    ]
    assert sum(event.credit for event in told if isinstance(event, DataReceived)) == 21_385


# -- 2. a malformed message costs its stream -------------------------------------------------

MALFORMED = {
    "no method": GET[1:],
    "no scheme": [GET[0], *GET[2:]],
    "no path": GET[:3],
    "empty path": [*GET[:3], (":path", "")],
    "path without slash": [*GET[:3], (":path", "x")],
    "space in path": [*GET[:3], (":path", "/a b")],
    "status in request": [*GET, (":status", "200")],
    "pseudo behind regular": [GET[0], ("x", "1"), *GET[1:]],
    "pseudo twice": [*GET, (":path", "/")],
    "unknown pseudo": [*GET, (":made-up", "1")],
    "upper case": [*GET, ("X-Upper", "1")],
    "empty name": [*GET, ("", "1")],
    "space in name": [*GET, ("x y", "1")],
    "newline in value": [*GET, ("x", "a\r\nb: c")],
    "nul in value": [*GET, ("x", "a\0b")],
    "space around value": [*GET, ("x", " a")],
    "connection": [*GET, ("connection", "close")],
    "transfer-encoding": [*GET, ("transfer-encoding", "chunked")],
    "te": [*GET, ("te", "gzip")],
    "userinfo": [*GET[:2], (":authority", "u:p@a"), GET[3]],
    "host differs": [*GET, ("host", "b")],
    "no authority": [*GET[:2], GET[3]],
    "content-length twice": [*GET, ("content-length", "1"), ("content-length", "2")],
    "content-length of letters": [*GET, ("content-length", "1x")],
    "connect with path": [(":method", "CONNECT"), *GET[2:]],
    "too large": [*GET, ("x", "y" * 3000)],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_resets_its_stream_and_nothing_else(
    server: Seat, fields: list[tuple[str, str]]
) -> None:
    events = server.heads(
        server.scribe.headers(1, fields, end=True), server.scribe.headers(3, GET, end=True)
    )
    fault, head = events
    assert isinstance(fault, StreamFault)
    assert fault.why
    assert head == HeadReceived(3, Fields.of(GET), end=True)
    assert server.resets() == [(1, fault.code)]


@pytest.mark.parametrize(
    ("length", "body", "ending"),
    [
        ("5", b"four", "data"),
        ("5", b"four", "trailers"),
        ("3", b"four", "data"),
        ("3", b"", "head"),
    ],
)
def test_content_length_must_equal_the_body_however_it_ends(
    server: Seat, length: str, body: bytes, ending: str
) -> None:
    head = server.scribe.headers(1, [*POST, ("content-length", length)], end=ending == "head")
    rest = b""
    if ending != "head":
        rest = frames.data(1, body, end=ending == "data")
    if ending == "trailers":
        rest += server.scribe.headers(1, [("x", "1")], end=True)
    events = server.heads(head, rest)
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert broken(events) is None


@pytest.mark.parametrize(
    "section",
    [[(":status", "200")], [("X", "1")], [("x", "a\nb")], [("", "1")]],
    ids=["pseudo", "upper", "newline", "empty"],
)
def test_malformed_trailers_reset_their_stream_and_say_so(
    server: Seat, section: list[tuple[str, str]]
) -> None:
    (fault,) = server.heads(
        server.scribe.headers(1, POST), server.scribe.headers(1, section, end=True)
    )[1:]
    assert isinstance(fault, StreamFault)
    assert fault.trailers


def test_trailers_without_end_stream_are_malformed(server: Seat) -> None:
    events = server.heads(server.scribe.headers(1, POST), server.scribe.headers(1, [("x", "1")]))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_a_tunnel_has_no_trailers(server: Seat) -> None:
    events = server.heads(
        server.scribe.headers(1, [(":method", "CONNECT"), (":authority", "a:1")]),
        frames.data(1, b"x"),
        server.scribe.headers(1, [("x", "1")], end=True),
    )
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_hpack_stays_in_step_behind_an_oversized_section(server: Seat) -> None:
    large = server.scribe.headers(1, [*GET, ("x-a", "kept"), ("x", "y" * 3000)])
    events = server.heads(large, server.scribe.headers(3, [*GET, ("x-a", "kept")], end=True))
    assert faults(events) == [(1, ErrorCode.ENHANCE_YOUR_CALM)]
    assert events[-1] == HeadReceived(3, Fields.of([*GET, ("x-a", "kept")]), end=True)


# -- responses --------------------------------------------------------------------------------


def test_interim_heads_come_before_the_final_one(client: Seat) -> None:
    events = client.heads(
        client.scribe.headers(1, [(":status", "103"), ("link", "</a>")]),
        client.scribe.headers(1, OK),
        client.scribe.headers(1, [("x", "1")], end=True),
    )
    assert [type(event) for event in events] == [HeadReceived, HeadReceived, TrailersReceived]


def test_interim_heads_have_a_bound(client: Seat) -> None:
    events = client.heads(*[client.scribe.headers(1, [(":status", "100")]) for _ in range(40)])
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]


@pytest.mark.parametrize("status", ["101", "20", "abc", ""])
def test_an_unusable_status_is_malformed(client: Seat, status: str) -> None:
    assert faults(client.heads(client.scribe.headers(1, [(":status", status)])))


def test_data_before_the_head_is_malformed(client: Seat) -> None:
    assert faults(client.heads(frames.data(1, b"x"))) == [(1, ErrorCode.PROTOCOL_ERROR)]


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200"), ("GET", "204"), ("GET", "304")])
@pytest.mark.parametrize("body", [b"", b"x"])
def test_some_responses_have_a_length_and_no_body(
    name: str, method: str, status: str, body: bytes
) -> None:
    seat = Seat(name, Role.CLIENT, SMALL)
    seat.codec.send_head(1, Fields.of([(":method", method), *GET[1:]]), end=True)
    head = [(":status", status), ("content-length", "10")]
    events = seat.heads(seat.scribe.headers(1, head), frames.data(1, body, end=True))
    assert bool(faults(events)) is bool(body)


@pytest.mark.parametrize("sid", [2, 3])
def test_a_server_opens_no_streams(client: Seat, sid: int) -> None:
    assert broken(client.heads(client.scribe.headers(sid, OK))) == ErrorCode.PROTOCOL_ERROR


# -- 3. what ends the connection ----------------------------------------------------------------

FATAL = {
    "frame too large": (frames.raw(0, 0, 1, b"x" * 16_385), ErrorCode.FRAME_SIZE_ERROR),
    "DATA on idle": (frames.data(1, b"x"), ErrorCode.PROTOCOL_ERROR),
    "DATA on stream 0": (frames.raw(0, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM on idle": (frames.rst(1), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM too short": (frames.raw(3, 0, 1, b"xx"), ErrorCode.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE on idle": (frames.raw(8, 0, 1, b"\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE of 0": (frames.raw(8, 0, 0, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE too short": (frames.raw(8, 0, 0, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
    "window overflow": (frames.window_update(0, MAX_SID), ErrorCode.FLOW_CONTROL_ERROR),
    "SETTINGS of 5": (frames.raw(4, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frames.raw(4, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "initial window": (
        frames.settings_frame(initial_window_size=2**31),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "enable push": (frames.settings_frame(enable_push=2), ErrorCode.PROTOCOL_ERROR),
    "PING too short": (frames.raw(6, 0, 0, b"1"), ErrorCode.FRAME_SIZE_ERROR),
    "PING on a stream": (frames.raw(6, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
    "GOAWAY on a stream": (frames.raw(7, 0, 1, b"\0" * 8), ErrorCode.PROTOCOL_ERROR),
    "CONTINUATION alone": (frames.raw(9, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "interrupted block": (
        frames.raw(1, 0, 1, b"\x82") + frames.ping(),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "undecodable block": (
        frames.raw(1, 5, 1, b"\xff\xff\xff\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "even stream": (frames.raw(1, 5, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    "padding": (frames.raw(0, 8, 1, b"\x05xx"), ErrorCode.PROTOCOL_ERROR),
    "padding without its length": (frames.raw(0, 8, 1, b""), ErrorCode.FRAME_SIZE_ERROR),
    "HEADERS on stream 0": (frames.raw(1, 5, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    "HEADERS with half a priority": (frames.raw(1, 0x25, 1, b"xxx"), ErrorCode.FRAME_SIZE_ERROR),
    "HEADERS with padding in place of a priority": (
        frames.raw(1, 0x2D, 1, b"\x03" + bytes(7)),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "HEADERS padded without its length": (
        frames.raw(1, 0x0D, 1, b""),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "HEADERS of padding": (frames.raw(1, 0x0D, 1, b"\x05x"), ErrorCode.PROTOCOL_ERROR),
    "PUSH_PROMISE": (frames.raw(5, 4, 1, b"\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
    "PRIORITY on itself": (frames.priority(1, depends=1), ErrorCode.PROTOCOL_ERROR),
    "PRIORITY of 4": (frames.raw(2, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    "block without end": (
        frames.raw(1, 0, 1, b"") + frames.raw(9, 0, 1, b"") * 65,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize(("octets", "code"), FATAL.values(), ids=FATAL)
def test_framing_faults_end_the_connection_behind_what_came_before(
    server: Seat, octets: bytes, code: ErrorCode
) -> None:
    events = server.heads(frames.ping(), octets)
    assert broken(events) == code
    (payload,) = server.written(7)
    assert int.from_bytes(payload[4:8], "big") == code
    assert server.hear(server.scribe.headers(1, GET)) == []


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n", PREFACE + frames.ping()])
def test_a_connection_begins_with_the_preface_and_settings(name: str, octets: bytes) -> None:
    codec = make_codec(name, Role.SERVER, SMALL)
    assert broken(codec.receive(octets)) == ErrorCode.PROTOCOL_ERROR


Flood = Callable[[Seat, int], bytes]
FLOODS: dict[str, Flood] = {
    "rapid reset": lambda s, n: s.scribe.headers(n, GET) + frames.rst(n),
    "made you reset": lambda s, n: s.scribe.headers(n, GET) + frames.raw(8, 0, n, b"\0\0\0\0"),
    "ping": lambda s, n: frames.ping(),
    "settings": lambda s, n: frames.settings_frame(),
    "priority": lambda s, n: frames.priority(1, depends=3),
    "unknown": lambda s, n: frames.raw(200, 0, 0, b""),
    "window update": lambda s, n: frames.window_update(0, 1) * 5,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_floods_of_cheap_frames_end_in_enhance_your_calm(server: Seat, flood: Flood) -> None:
    for sid in range(1, 8001, 2):
        events = server.hear(flood(server, sid))
        if broken(events) is not None:
            assert broken(events) == ErrorCode.ENHANCE_YOUR_CALM
            return
    pytest.fail("the flood was never stopped")


def test_empty_data_is_a_flood_too(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    codes = [broken(server.hear(frames.data(1, b"") * 100)) for _ in range(15)]
    assert ErrorCode.ENHANCE_YOUR_CALM in codes


def test_a_peer_that_takes_its_time_is_no_flood(server: Seat) -> None:
    for _ in range(50):
        assert broken(server.hear(frames.ping() * 15)) is None
        server.codec.replenish()


# -- 4. GOAWAY -----------------------------------------------------------------------------------


def test_streams_in_flight_finish_behind_a_goaway_we_sent(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    server.codec.goaway(1, ErrorCode.NO_ERROR)
    events = server.heads(
        server.scribe.headers(3, [*GET, ("x-a", "1")], end=True),
        frames.data(1, b"x"),
        server.scribe.headers(1, [("x-a", "1")], end=True),
    )
    assert [type(event) for event in events] == [DataReceived, TrailersReceived]
    server.codec.send_head(1, Fields.of(OK), end=True)
    assert server.written(1)


def test_streams_in_flight_finish_behind_a_goaway_we_got(client: Seat) -> None:
    events = client.heads(
        frames.goaway(1), client.scribe.headers(1, OK), frames.data(1, b"x", end=True)
    )
    assert events[0] == GoAwayReceived(1, 0, "")
    assert [type(event) for event in events[1:]] == [HeadReceived, DataReceived]


# -- 5, 6. what we send ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [[("x", "a\r\nb")], [("", "v")], [("x y", "v")], [(":status", "1")], [("x", " v")]],
    ids=["newline", "empty", "space", "pseudo", "outer space"],
)
def test_a_refused_field_leaves_the_compression_in_step(
    name: str, fields: list[tuple[str, str]]
) -> None:
    codec = make_codec(name, Role.SERVER, SMALL)
    reader = make_codec("h2", Role.CLIENT, WireParams())
    reader.send_head(1, Fields.of(GET), end=True)
    codec.receive(reader.take_output())
    codec.send_head(1, Fields.of([*OK, ("x-one", "1")]), end=False)
    with pytest.raises(HTTP2Error):
        codec.send_trailers(1, Fields.of([("x-two", "2"), *fields]))
    codec.send_trailers(1, Fields.of([("x-one", "1"), ("x-three", "3")]))
    events = reader.receive(codec.take_output())
    assert events[-1] == TrailersReceived(1, Fields.of([("x-one", "1"), ("x-three", "3")]))


def test_empty_trailers_are_an_empty_data_frame(server: Seat) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    server.codec.send_head(1, Fields.of(OK), end=False)
    server.codec.take_output()
    server.codec.send_trailers(1, Fields([]))
    assert server.frames() == [(0, 1, b"")]


def test_sending_on_a_stream_that_is_over_is_our_own_mistake(server: Seat) -> None:
    with pytest.raises(HTTP2Error, match="stream 1 is over"):
        server.codec.send_data(1, b"x", end=True)
    server.codec.reset(1, ErrorCode.CANCEL)
    assert server.resets() == []


def test_large_trailers_go_out_in_continuation_frames(name: str) -> None:
    seat = Seat(name, Role.SERVER, WireParams())
    seat.hear(seat.scribe.headers(1, GET, end=True))
    seat.codec.send_head(1, Fields.of(OK), end=False)
    seat.codec.take_output()
    seat.codec.send_trailers(1, Fields.of([("x", "v" * 60_000)]))
    assert [kind for kind, _, _ in seat.frames()] == [1, 9, 9, 9]


# -- 7. windows ------------------------------------------------------------------------------------


def test_padding_counts_as_credit_and_comes_back(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    for _ in range(200):
        events = server.heads(frames.data(1, b"x" * 10, pad=200))
        (part,) = events
        assert isinstance(part, DataReceived)
        assert part.credit == 211
        server.codec.consumed(1, part.credit)


@pytest.mark.parametrize("window", [0, 1000])
def test_no_credit_is_no_window_update(name: str, window: int) -> None:
    seat = Seat(name, Role.SERVER, WireParams(stream_window=window))
    seat.hear(seat.scribe.headers(1, POST))
    seat.frames()
    seat.codec.consumed(1, 0)
    assert seat.frames() == []


def test_data_beyond_the_streams_window_costs_the_stream(server: Seat) -> None:
    server.hear(server.scribe.headers(1, POST))
    events = server.heads(frames.data(1, b"x" * 1001))
    assert faults(events) == [(1, ErrorCode.FLOW_CONTROL_ERROR)]


def test_credit_for_streams_that_are_gone_opens_the_connection(server: Seat) -> None:
    for sid in range(1, 401, 2):
        events = server.hear(
            server.scribe.headers(sid, POST), frames.data(sid, b"x" * 900), frames.rst(sid)
        )
        assert broken(events) is None
        for event in events:
            if isinstance(event, DataReceived):
                server.codec.consumed(sid, event.credit)


def test_data_that_comes_behind_our_reset_is_paid_for(server: Seat) -> None:
    for sid in range(1, 201, 2):
        server.hear(server.scribe.headers(sid, POST))
        server.codec.reset(sid, ErrorCode.CANCEL)
        events = server.hear(
            frames.data(sid, b"x" * 900), server.scribe.headers(sid, [("x", "1")], end=True)
        )
        assert broken(events) is None
        assert faults(events) == []


def test_a_streams_window_is_the_peers_to_open(server: Seat) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    server.codec.send_head(1, Fields.of(OK), end=False)
    assert server.codec.sendable(1) == 65_535
    server.codec.send_data(1, b"x" * 65_535, end=False)
    assert server.codec.sendable(1) == 0
    events = server.hear(frames.window_update(1, 10), frames.window_update(0, 7))
    assert events == [WindowOpened(1), WindowOpened(0)]
    assert server.codec.sendable(1) == 7
    assert server.codec.sendable(99) == 0


@pytest.mark.parametrize(
    ("increment", "code"), [(0, ErrorCode.PROTOCOL_ERROR), (MAX_SID, ErrorCode.FLOW_CONTROL_ERROR)]
)
def test_a_bad_window_update_costs_its_stream(server: Seat, increment: int, code: int) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    events = server.heads(frames.raw(8, 0, 1, increment.to_bytes(4, "big")))
    assert faults(events) == [(1, code)]
    assert server.resets() == [(1, code)]


# -- 9, 10. streams -------------------------------------------------------------------------------


def test_a_stream_over_the_limit_is_refused(server: Seat) -> None:
    events = server.heads(*[server.scribe.headers(sid, GET) for sid in (1, 3, 5)])
    refusal = events[-1]
    assert isinstance(refusal, StreamFault)
    assert refusal.refused
    assert server.resets() == [(5, ErrorCode.REFUSED_STREAM)]
    server.hear(frames.rst(1))
    assert isinstance(server.heads(server.scribe.headers(7, GET))[-1], HeadReceived)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (lambda s: frames.data(1, b"x"), ErrorCode.STREAM_CLOSED),
        (lambda s: s.scribe.headers(1, [("x", "1")], end=True), ErrorCode.STREAM_CLOSED),
    ],
    ids=["data", "headers"],
)
def test_frames_behind_the_end_of_a_message_are_stream_closed(
    server: Seat, octets: Callable[[Seat], bytes], code: int
) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    assert faults(server.heads(octets(server))) == [(1, code)]


def test_an_id_that_was_used_ends_the_connection(server: Seat) -> None:
    server.hear(server.scribe.headers(5, GET, end=True))
    assert broken(server.heads(server.scribe.headers(3, GET))) == ErrorCode.PROTOCOL_ERROR


def test_a_reset_is_told_once_and_never_answered(server: Seat) -> None:
    server.hear(server.scribe.headers(1, GET))
    assert server.heads(frames.rst(1, 5), frames.rst(1, 5)) == [StreamReset(1, 5)]
    assert server.resets() == []


def test_settings_and_pings_are_answered_and_told(server: Seat) -> None:
    server.codec.take_output()
    events = server.hear(frames.settings_frame(max_concurrent_streams=7), frames.ping())
    assert PeerSettings(7) in events
    assert server.codec.max_streams == 7
    assert [kind for kind, _, _ in server.frames()] == [4, 6]
    assert server.hear(frames.raw(6, 1, 0, b"draining")) == [PongReceived(b"draining")]


def test_finished_streams_cost_nothing(name: str) -> None:
    seat = Seat(name, Role.SERVER, WireParams())
    for sid in range(1, 4001, 2):
        seat.hear(seat.scribe.headers(sid, GET, end=True))
        seat.codec.send_head(sid, Fields.of(OK), end=True)
        seat.codec.take_output()
    assert seat.codec.last_peer_sid == 3999
    assert seat.codec.sendable(3999) == 0
    assert broken(seat.heads(frames.rst(1))) is None


def test_ids_of_ours_go_up_by_two(client: Seat) -> None:
    assert client.codec.open_stream() == 3
    client.codec.ping(b"draining")
    assert client.written(6) == [b"draining"]


def test_a_stream_that_depends_on_itself_is_reset(server: Seat) -> None:
    events = server.heads(server.scribe.headers(1, GET, depends=1))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
    server.hear(server.scribe.headers(3, POST))
    assert faults(server.heads(frames.priority(3, depends=3))) == [(3, ErrorCode.PROTOCOL_ERROR)]


def test_a_second_head_on_a_finished_stream_ends_the_connection(server: Seat) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    server.codec.send_head(1, Fields.of(OK), end=True)
    assert broken(server.heads(server.scribe.headers(1, GET))) == ErrorCode.STREAM_CLOSED


def test_a_section_that_unpacks_beyond_every_limit_is_a_bomb(name: str) -> None:
    seat = Seat(name, Role.SERVER, SMALL)
    field = ("x-large", "y" * 1500)
    seat.hear(seat.scribe.headers(1, [*GET, field], end=True))
    events = seat.heads(seat.scribe.headers(3, [*GET, *([field] * 60)], end=True))
    assert broken(events) == ErrorCode.ENHANCE_YOUR_CALM


def test_the_first_reason_is_the_one_that_is_told(server: Seat) -> None:
    flood = frames.ping() * 5000
    events = server.heads(flood + frames.raw(6, 0, 1, b"12345678"))
    assert broken(events) == ErrorCode.ENHANCE_YOUR_CALM
    assert len(server.written(7)) == 1


def test_more_from_a_peer_behind_its_own_reset_is_stream_closed_once(server: Seat) -> None:
    """The peer's own reset, and then more from it, is STREAM_CLOSED; after ours it is silence."""
    server.hear(server.scribe.headers(1, POST), frames.rst(1))
    assert faults(server.heads(frames.data(1, b"x"))) == [(1, ErrorCode.STREAM_CLOSED)]
    assert faults(server.heads(frames.data(1, b"x"))) == []
