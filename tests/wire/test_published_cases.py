"""Cases that other people thought of: how a connection begins, its settings, and its end.

They are the cases of the tests that h2 4.4.1 is published with, read one by one; the
code is ours, and so is the expectation where RFC 9113 leaves a choice: h2 ends the
connection where we reset a stream. Every case is told to every codec. Those on frames,
field lists and messages, streams, and windows stand in `test_published_frames`,
`_fields`, `_streams` and `_windows`; what the contract tells already is not told again.

Left out is what cannot happen here, or is nobody's promise:

- server push: we switch it off, so that PUSH_PROMISE is an error (in the contract);
- the upgrade from HTTP/1.1 (RFC 9113 dropped it), and extended CONNECT but for its
  refusal: we never announce it;
- ALTSVC and priorities, which we do not write; read, they are ignored;
- the order of what we send, checked by h2's state machines: ours is `core`'s business;
- settings changed while the connection lives: ours are said once;
- h2's own surface: its configuration, loggers, representations, text encodings, joined
  cookies, normalised fields, related events.
"""

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Scribe
from tests.support.seat import SMALL, Seat, broken
from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.codec import MAX_SID, PREFACE
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import (
    DataReceived,
    GoAwayReceived,
    HeadReceived,
    PeerSettings,
    PongReceived,
    TrailersReceived,
)
from trailproxy.wire.fields import Fields

# -- how a connection begins (section 3.4) ------------------------------------------------------


@pytest.mark.parametrize("step", range(1, 25))
def test_the_preface_may_come_in_drips(name: str, step: int) -> None:
    codec, scribe = make_codec(name, Role.SERVER, SMALL), Scribe()
    octets = scribe.hello() + scribe.headers(1, GET)
    told = [e for at in range(0, len(octets), step) for e in codec.receive(octets[at : at + step])]
    assert told[-1] == HeadReceived(1, Fields.of(GET), end=False)


@pytest.mark.parametrize(
    "octets",
    [Scribe().headers(1, GET), PREFACE[:-1] + b"\r", PREFACE[:16] + b"XX", PREFACE + PREFACE],
    ids=["frame", "last octet", "middle", "twice"],
)
def test_what_is_no_preface_ends_the_connection(name: str, octets: bytes) -> None:
    codec = make_codec(name, Role.SERVER, SMALL)
    events = [event for at in range(len(octets)) for event in codec.receive(octets[at : at + 1])]
    assert broken(events) is not None


def test_a_server_sends_no_preface_and_a_client_needs_none(name: str) -> None:
    assert not make_codec(name, Role.SERVER, SMALL).take_output().startswith(PREFACE)
    assert make_codec(name, Role.CLIENT, SMALL).take_output().startswith(PREFACE)
    codec = make_codec(name, Role.CLIENT, SMALL)
    assert broken(codec.receive(frames.settings_frame())) is None


# -- settings (section 6.5) ---------------------------------------------------------------------

ILL_SETTINGS = {
    "push of 5": (Role.SERVER, 2, 5, ErrorCode.PROTOCOL_ERROR),
    "push by a server": (Role.CLIENT, 2, 1, ErrorCode.PROTOCOL_ERROR),
    "window of 2^31": (Role.SERVER, 4, 2**31, ErrorCode.FLOW_CONTROL_ERROR),
    "window of 2^32-1": (Role.CLIENT, 4, 2**32 - 1, ErrorCode.FLOW_CONTROL_ERROR),
    "frames of 5": (Role.SERVER, 5, 5, ErrorCode.PROTOCOL_ERROR),
    "frames of 0": (Role.CLIENT, 5, 0, ErrorCode.PROTOCOL_ERROR),
    "frames of 2^24": (Role.CLIENT, 5, 2**24, ErrorCode.PROTOCOL_ERROR),
}
GOOD_SETTINGS = {
    "nothing": b"",
    "no table": b"\0\1\0\0\0\0",
    "no push": b"\0\2\0\0\0\0",
    "no streams": b"\0\3\0\0\0\0",
    "no window": b"\0\4\0\0\0\0",
    "largest window": b"\0\4\x7f\xff\xff\xff",
    "smallest frames": b"\0\5\0\0\x40\0",
    "largest frames": b"\0\5\0\xff\xff\xff",
    "no fields": b"\0\6\0\0\0\0",
    "extended connect": b"\0\x08\0\0\0\1",
    "unknown": b"\0\x63\xff\xff\xff\xff\xff\xff\0\0\0\0",
    "one twice": b"\0\4\0\0\0\5" * 2,
}


@pytest.mark.parametrize(
    ("role", "setting", "value", "code"), ILL_SETTINGS.values(), ids=ILL_SETTINGS
)
def test_a_setting_out_of_its_range_ends_the_connection(
    name: str, role: Role, setting: int, value: int, code: ErrorCode
) -> None:
    seat = Seat(name, role, SMALL)
    payload = setting.to_bytes(2, "big") + value.to_bytes(4, "big")
    assert broken(seat.hear(frames.raw(4, 0, 0, payload))) == code


@pytest.mark.parametrize("payload", GOOD_SETTINGS.values(), ids=GOOD_SETTINGS)
@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_settings_are_acknowledged_once_and_an_acknowledgement_never(
    name: str, role: Role, payload: bytes
) -> None:
    seat = Seat(name, role, SMALL)
    seat.codec.take_output()
    events = seat.hear(frames.raw(4, 0, 0, payload), frames.raw(4, 1, 0, b""))
    assert sum(isinstance(event, PeerSettings) for event in events) == 1
    assert broken(events) is None
    assert seat.frames() == [(4, 0, b"")]


def test_an_acknowledgement_with_settings_is_a_frame_of_the_wrong_size(server: Seat) -> None:
    assert broken(server.hear(frames.raw(4, 1, 0, b"\0\4\0\0\0\5"))) == ErrorCode.FRAME_SIZE_ERROR


def test_the_last_word_on_streams_is_the_one_that_counts(client: Seat) -> None:
    events = client.hear(frames.raw(4, 0, 0, b"\0\3\0\0\0\7" + b"\0\3\0\0\0\2"))
    assert PeerSettings(2) in events
    client.hear(frames.settings_frame(max_concurrent_streams=0))
    assert client.codec.max_streams == 0
    client.hear(frames.settings_frame(enable_push=0))
    assert client.codec.max_streams == 0, "what is not named stays"


@pytest.mark.parametrize("size", [16_384, 16_385, 65_536, 2**20])
def test_the_frames_we_are_sent_may_be_as_large_as_we_said(name: str, size: int) -> None:
    params = WireParams(max_frame_size=size, stream_window=2**25, connection_window=2**25)
    seat = Seat(name, Role.SERVER, params)
    seat.hear(seat.scribe.headers(1, POST))
    (heard,) = seat.heads(frames.data(1, b"\0" * size))
    assert isinstance(heard, DataReceived)
    assert heard.credit == size
    assert broken(seat.hear((size + 1).to_bytes(3, "big") + bytes(6))) == ErrorCode.FRAME_SIZE_ERROR


def test_the_frames_we_send_are_as_large_as_the_peer_allows(name: str) -> None:
    seat = Seat(name, Role.SERVER, SMALL)
    seat.hear(seat.scribe.headers(1, GET, end=True))
    seat.codec.send_head(1, Fields.of(OK), end=False)
    for allowed, sizes in ((16_384, [16_384, 3616]), (17_000, [17_000, 3000]), (20_000, [20_000])):
        seat.hear(frames.settings_frame(max_frame_size=allowed))
        seat.codec.take_output()
        seat.codec.send_data(1, b"x" * 20_000, end=False)
        assert [len(payload) for payload in seat.written(0)] == sizes


def test_a_smaller_table_is_told_before_the_next_fields(server: Seat) -> None:
    """RFC 7541 section 4.2: the change stands at the beginning of the first block behind it."""
    server.hear(*[server.scribe.headers(sid, GET, end=True) for sid in (1, 3)])
    server.hear(frames.settings_frame(header_table_size=80))
    for sid, told in ((1, True), (3, False)):
        server.codec.send_head(sid, Fields.of(OK), end=True)
        (block,) = server.written(1)
        assert block.startswith(b"\x3f\x31") is told


# -- PING and GOAWAY (sections 6.7 and 6.8) -----------------------------------------------------


def test_a_ping_comes_back_as_it_was(server: Seat) -> None:
    server.codec.take_output()
    assert server.hear(frames.ping(b"\1" * 8)) == []
    assert server.frames() == [(6, 0, b"\1" * 8)]
    assert server.hear(frames.raw(6, 1, 0, b"\1" * 8)) == [PongReceived(b"\1" * 8)]
    assert server.frames() == []


@pytest.mark.parametrize("code", [*ErrorCode, 0xFA, 2**32 - 1])
def test_a_goaway_is_told_with_its_code_whatever_it_is(client: Seat, code: int) -> None:
    assert client.hear(frames.goaway(MAX_SID, code)) == [GoAwayReceived(MAX_SID, code, "")]


def test_a_goaway_may_say_why_and_may_come_again_with_less(client: Seat) -> None:
    why = frames.raw(7, 0, 0, bytes(3) + b"\3" + bytes(4) + b"so long \xff")
    events = client.heads(
        frames.goaway(MAX_SID),
        client.scribe.headers(1, OK),
        why,
        frames.data(1, b"x"),
        frames.goaway(1, ErrorCode.ENHANCE_YOUR_CALM),
        client.scribe.headers(1, [("x-sum", "1")], end=True),
    )
    assert events == [
        GoAwayReceived(MAX_SID, 0, ""),
        HeadReceived(1, Fields.of(OK), end=False),
        GoAwayReceived(3, 0, "so long \N{REPLACEMENT CHARACTER}"),
        DataReceived(1, b"x", 1, end=False),
        GoAwayReceived(1, ErrorCode.ENHANCE_YOUR_CALM, ""),
        TrailersReceived(1, Fields.of([("x-sum", "1")])),
    ]


def test_a_goaway_of_ours_says_what_it_is_told_to(server: Seat) -> None:
    server.hear(server.scribe.headers(23, GET))
    server.codec.take_output()
    said = [
        (MAX_SID, ErrorCode.NO_ERROR, ""),
        (23, ErrorCode.NO_ERROR, ""),
        (23, ErrorCode.CANCEL, "x"),
    ]
    for last, code, why in said:
        server.codec.goaway(last, code, why)
    assert server.frames() == [
        (7, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + why.encode())
        for last, code, why in said
    ]
