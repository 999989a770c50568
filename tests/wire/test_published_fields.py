"""Field lists that other people tried: which may stand where (RFC 9113 sections 8.1 to 8.5).

Cases of h2 4.4.1, told in `test_published_cases`, where it also says what was left out.
"""

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Pairs
from tests.support.seat import SMALL, Seat, broken, faults
from trailproxy.wire import Role, WireParams
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived, TrailersReceived
from trailproxy.wire.fields import Fields

CONNECT: Pairs = [(":method", "CONNECT"), (":authority", "a:443")]
WEBSOCKET: Pairs = [(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]]

# beside those of the contract
ILL_FIELDS: dict[str, Pairs] = {
    "8.2 upper case": [("Uppercase", "name")],
    "8.2.1 colon in name": [("illegal:characters", "value")],
    "8.2.1 return in name": [("illegal-\r-characters", "value")],
    "8.2.1 newline in name": [("illegal-\n-characters", "value")],
    "8.2.1 nul in name": [("illegal-\0-characters", "value")],
    "8.2.1 control in name": [("illegal-\1-characters", "value")],
    "8.2.1 space before name": [(" name", "value")],
    "8.2.1 space behind name": [("name ", "value")],
    "8.2.1 name of no octets": [("", "value")],
    "8.2.1 return in value": [("name", "some \r value")],
    "8.2.1 newline in value": [("name", "some \n value")],
    "8.2.1 nul in value": [("name", "some \0 value")],
    "8.2.1 space before value": [("name", " value")],
    "8.2.1 space behind value": [("name", "value ")],
    "8.2.1 tab behind value": [("name", "value\t")],
    "8.3 late": [(":late", "pseudo-header")],
}
# malformed in heads alone: trailers lose them on their way (core.message)
ILL_IN_HEADS: dict[str, Pairs] = {
    "8.2.2 connection": [("connection", "close")],
    "8.2.2 proxy-connection": [("proxy-connection", "close")],
    "8.2.2 keep-alive": [("keep-alive", "close")],
    "8.2.2 transfer-encoding": [("transfer-encoding", "gzip")],
    "8.2.2 upgrade": [("upgrade", "super-protocol/1.1")],
    "8.2.2 te": [("te", "chunked")],
}
ILL_REQUESTS: dict[str, Pairs] = {
    **{name: [*GET, *fields] for name, fields in (ILL_FIELDS | ILL_IN_HEADS).items()},
    "8.3.1 no method": GET[1:],
    "8.3.1 no scheme": [GET[0], *GET[2:]],
    "8.3.1 no path": GET[:3],
    "8.3.1 empty path": [*GET[:3], (":path", "")],
    "8.3.1 host twice": [*GET, ("host", "a"), ("host", "b")],
    "8.3.1 host differs": [*GET, ("host", "b")],
    "8.3 path twice": [(":path", "/other"), *GET],
    "8.3 protocol and no CONNECT": [(":protocol", "websocket"), *GET],
    "8.3 custom": [*GET, (":custom", "value")],
    "8.3 status": [*GET, (":status", "200")],
    "8.5 with path": [*CONNECT, (":path", "/")],
    "8.5 with scheme": [*CONNECT, (":scheme", "https")],
    "8.5 behind host": [("host", "a:443"), *CONNECT],
    "8.5 method twice": [CONNECT[0], *CONNECT],
    "8.5 te": [*CONNECT, ("te", "gzip")],
    # RFC 8441 section 4: only whoever was told ENABLE_CONNECT_PROTOCOL may, and we never say it
    "8441 extended": WEBSOCKET,
    "8441 incomplete": WEBSOCKET[:2] + CONNECT[1:],
}
ILL_RESPONSES: dict[str, Pairs] = {
    **{name: [*OK, *fields] for name, fields in (ILL_FIELDS | ILL_IN_HEADS).items()},
    "8.3.2 no status": [("content-length", "42")],
    "8.3.2 nothing": [],
    "8.3.2 custom": [(":custom", "value")],
    "8.3.2 status twice": [*OK, *OK],
    "8.3.2 late status": [("server", "fake"), *OK],
    **{f"8.3.2 {name}": [*OK, (name, value)] for name, value in GET},
}
ILL_TRAILERS: dict[str, Pairs] = {
    **ILL_FIELDS,
    **{f"8.1 {name}": [("x-sum", "1"), (name, value)] for name, value in [*GET, *OK]},
    "8.1 first": [*OK, ("x-sum", "1")],
}


@pytest.mark.parametrize("fields", ILL_REQUESTS.values(), ids=ILL_REQUESTS)
def test_a_malformed_request_costs_its_stream(server: Seat, fields: Pairs) -> None:
    events = server.heads(server.scribe.headers(1, fields), server.scribe.headers(3, GET))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert events[1:] == [HeadReceived(3, Fields.of(GET), end=False)]


@pytest.mark.parametrize("fields", ILL_RESPONSES.values(), ids=ILL_RESPONSES)
def test_a_malformed_response_costs_its_stream(client: Seat, fields: Pairs) -> None:
    client.codec.send_head(3, Fields.of(GET), end=True)
    events = client.heads(client.scribe.headers(1, fields), client.scribe.headers(3, OK))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert events[1:] == [HeadReceived(3, Fields.of(OK), end=False)]


@pytest.mark.parametrize("fields", ILL_TRAILERS.values(), ids=ILL_TRAILERS)
def test_malformed_trailers_cost_their_stream_in_both_directions(
    server: Seat, client: Seat, fields: Pairs
) -> None:
    for seat, head in ((server, POST), (client, OK)):
        events = seat.heads(seat.scribe.headers(1, head), seat.scribe.headers(1, fields, end=True))
        assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
        assert len(events) == 2


# what we are given to send is lower-cased on the way (`Fields.of`)
def _sent(lists: dict[str, Pairs]) -> list[Pairs]:
    return [fields for name, fields in lists.items() if name != "8.2 upper case"]


@pytest.mark.parametrize("fields", _sent(ILL_REQUESTS))
def test_a_malformed_request_is_never_sent(client: Seat, fields: Pairs) -> None:
    client.codec.take_output()
    with pytest.raises(HTTP2Error):
        client.codec.send_head(3, Fields.of(fields), end=False)
    assert client.frames() == []


@pytest.mark.parametrize("fields", _sent(ILL_RESPONSES))
def test_a_malformed_response_is_never_sent(server: Seat, fields: Pairs) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    server.codec.take_output()
    with pytest.raises(HTTP2Error):
        server.codec.send_head(1, Fields.of(fields), end=False)
    assert server.frames() == []


@pytest.mark.parametrize("fields", _sent(ILL_TRAILERS))
def test_malformed_trailers_are_never_sent(server: Seat, fields: Pairs) -> None:
    server.hear(server.scribe.headers(1, GET, end=True))
    server.codec.send_head(1, Fields.of(OK), end=False)
    server.codec.take_output()
    with pytest.raises(HTTP2Error):
        server.codec.send_trailers(1, Fields.of(fields))
    assert server.frames() == []


GOOD_REQUESTS: dict[str, Pairs] = {
    "8.2.2 te": [*GET, ("te", "trailers")],
    "8.3.1 host as authority": [*GET, ("host", "a")],
    "8.5 connect": CONNECT,
    "8.5 connect with te": [*CONNECT, ("te", "trailers")],
    "8.2.1 empty value": [*GET, ("x-empty", "")],
    "8.2.1 inner space": [*GET, ("x-words", "two  words\tand tab")],
    "6.10 forty thousand octets": [*GET, *[(f"x-h{n}", "y" * 200) for n in range(180)]],
}


@pytest.mark.parametrize("fields", GOOD_REQUESTS.values(), ids=GOOD_REQUESTS)
def test_a_good_request_is_told_as_it_was_sent(name: str, fields: Pairs) -> None:
    sender = Seat(name, Role.CLIENT, WireParams())
    receiver = Seat(name, Role.SERVER, WireParams())
    sender.codec.take_output()
    sender.codec.send_head(1, Fields.of(fields), end=True)
    assert receiver.heads(sender.codec.take_output()) == [HeadReceived(1, Fields.of(fields), True)]


def test_tunnels_stand_side_by_side(server: Seat) -> None:
    events = server.heads(*[server.scribe.headers(sid, CONNECT) for sid in (1, 3)])
    assert [type(event) for event in events] == [HeadReceived] * 2


# -- content-length (RFC 9113 section 8.1.1, RFC 9110 section 8.6) ------------------------------

NO_LENGTHS = [
    *("", "twelve", "15a", "15.0", "-15", "+15", " 15", "15 ", "1e2", "0xF", "15_000", "15,000"),
    *("NaN", "\0", "0b1111", "0o17", "1" * 1500, "\u0661\u0665"),
]


@pytest.mark.parametrize("value", NO_LENGTHS)
def test_a_length_is_digits_and_nothing_else(server: Seat, value: str) -> None:
    events = server.heads(server.scribe.headers(1, [*POST, ("content-length", value)]))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (b"\1" * 15, b"\1"),  # too much, before any end
        (b"\1" * 13, b"\1"),  # too little
        (b"\1" * 14, b""),  # too little, and the last frame is empty
    ],
)
def test_a_body_of_another_length_costs_its_stream(server: Seat, first: bytes, last: bytes) -> None:
    head = server.scribe.headers(1, [*POST, ("content-length", "15")])
    events = server.heads(head, frames.data(1, first), frames.data(1, last, end=len(first) < 15))
    assert [type(event) for event in events[:2]] == [HeadReceived, DataReceived]
    assert faults(events[2:]) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert broken(events) is None


def test_a_length_said_twice_alike_is_none(server: Seat) -> None:
    """It must be made one, or be refused (RFC 9110 section 8.6); h2 lets it pass."""
    head = [*POST, ("content-length", "15"), ("content-length", "15")]
    events = server.heads(server.scribe.headers(1, head))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]


# -- responses (RFC 9110 section 15.2, RFC 9113 section 8.1) ------------------------------------

EARLY: Pairs = [(":status", "103"), ("link", "</style.css>")]
CONTINUE: Pairs = [(":status", "100"), ("x-a", "1")]


@pytest.mark.parametrize("interims", [[CONTINUE], [CONTINUE, CONTINUE], [CONTINUE, EARLY]])
@pytest.mark.parametrize("request_over", [True, False])
def test_interim_responses_are_told_one_by_one(
    name: str, interims: list[Pairs], request_over: bool
) -> None:
    client, server = Seat(name, Role.CLIENT, SMALL), Seat(name, Role.SERVER, SMALL)
    client.codec.send_head(1, Fields.of(POST), end=request_over)
    server.hear(server.scribe.headers(1, POST, end=request_over))
    server.codec.take_output()
    for fields in [*interims, OK]:
        server.codec.send_head(1, Fields.of(fields), end=False)
    server.codec.send_trailers(1, Fields.of([("x-sum", "1")]))
    assert client.heads(server.codec.take_output()) == [
        *[HeadReceived(1, Fields.of(fields), end=False) for fields in [*interims, OK]],
        TrailersReceived(1, Fields.of([("x-sum", "1")])),
    ]


@pytest.mark.parametrize(
    ("heads", "last_ends"),
    [([CONTINUE], True), ([EARLY, CONTINUE], True), ([OK, CONTINUE], False), ([OK, EARLY], True)],
    ids=["ends", "second ends", "behind final", "as trailers"],
)
def test_an_interim_response_ends_nothing_and_comes_first(
    client: Seat, heads: list[Pairs], last_ends: bool
) -> None:
    *before, last = heads
    events = client.heads(
        *[client.scribe.headers(1, fields) for fields in before],
        client.scribe.headers(1, last, end=last_ends),
    )
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert len(events) == len(heads)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200"), ("HEAD", "404"), ("GET", "204"), ("GET", "304")]
)
@pytest.mark.parametrize("ending", ["head", "data", "trailers"])
def test_a_response_without_body_ends_whatever_length_it_names(
    name: str, method: str, status: str, ending: str
) -> None:
    seat = Seat(name, Role.CLIENT, SMALL)
    seat.codec.send_head(1, Fields.of([(":method", method), *GET[1:]]), end=True)
    head = [(":status", status), ("content-length", "15")]
    octets = seat.scribe.headers(1, head, end=ending == "head")
    if ending == "data":
        octets += frames.data(1, b"", end=True)
    elif ending == "trailers":
        octets += seat.scribe.headers(1, [("x-sum", "1")], end=True)
    events = seat.heads(octets)
    assert faults(events) == []
    assert len(events) == (1 if ending == "head" else 2)


@pytest.mark.parametrize(
    ("status", "trailers", "sound"),
    [
        ("200", False, True),  # a tunnel's octets have no length (RFC 9110 section 9.3.6)
        ("200", True, False),  # nor trailers (RFC 9113 section 8.5)
        ("403", True, True),  # a refusal is a response like any other
    ],
)
def test_only_a_tunnel_that_was_granted_is_a_tunnel(
    name: str, status: str, trailers: bool, sound: bool
) -> None:
    seat = Seat(name, Role.CLIENT, SMALL)
    seat.codec.send_head(1, Fields.of(CONNECT), end=False)
    length = "9" if status == "200" else "5"
    octets = seat.scribe.headers(1, [(":status", status), ("content-length", length)])
    octets += frames.data(1, b"hello", end=not trailers)
    if trailers:
        octets += seat.scribe.headers(1, [("x-sum", "1")], end=True)
    assert (faults(seat.heads(octets)) == []) is sound


def test_a_response_may_be_one_section_or_two_without_a_body(client: Seat) -> None:
    """Trailers-only, and trailers straight behind the head (RFC 9113 section 8.1)."""
    client.codec.send_head(3, Fields.of(GET), end=True)
    status = [("grpc-status", "0")]
    events = client.heads(
        client.scribe.headers(1, [*OK, *status], end=True),
        client.scribe.headers(3, OK),
        client.scribe.headers(3, status, end=True),
    )
    assert events == [
        HeadReceived(1, Fields.of([*OK, *status]), end=True),
        HeadReceived(3, Fields.of(OK), end=False),
        TrailersReceived(3, Fields.of(status)),
    ]


def test_a_response_whose_trailers_do_not_end_it_is_malformed(client: Seat) -> None:
    events = client.heads(client.scribe.headers(1, OK), client.scribe.headers(1, [("x", "1")]))
    assert faults(events) == [(1, ErrorCode.PROTOCOL_ERROR)]
