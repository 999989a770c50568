"""Injection: octets that end a line, a name or a message for somebody behind us.

Wherever they stand, in heads or trailers, of requests or responses: the stream is reset,
its peer is named, nothing of it is passed on, and the connections go on.
"""

from collections.abc import Iterator

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Pairs, Section
from tests.support.raid import Raid
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.wire.errors import ErrorCode

PLACES = ("request head", "request trailers", "interim head", "response head", "response trailers")
TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"


def smuggle(raid: Raid, place: str, said: Pairs) -> None:
    """Have one peer say these fields in one place of an exchange; check that they stay out."""
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said]
    before = len(raid.notes.resets)
    if place == "request head":
        _in_a_request_head(raid, [*GET, *fields])
    elif place == "request trailers":
        _in_request_trailers(raid, fields)
    elif place == "response trailers":
        _in_response_trailers(raid, fields)
    else:
        status = b"103" if place == "interim head" else b"200"
        _in_a_response_head(raid, [(b":status", status), *fields])
    side = Side.DOWNSTREAM if "request" in place else Side.UPSTREAM
    cause = Cause.CLIENT_PROTOCOL if side is Side.DOWNSTREAM else Cause.UPSTREAM_PROTOCOL
    noted = [(by, who, code, why) for by, who, code, _, why in raid.notes.resets[before:]]
    assert (side, Initiator.PROXY, ErrorCode.PROTOCOL_ERROR, cause) in noted


def _in_a_request_head(raid: Raid, fields: Section) -> None:
    sid, known = raid.next_sid(), len(raid.server.sections)
    raid.client.says(raid.client.scribe.headers(sid, fields, end=True))
    assert raid.client.resets[sid] == ErrorCode.PROTOCOL_ERROR
    assert len(raid.server.sections) == known, "the backend saw it"


def _in_request_trailers(raid: Raid, fields: Section) -> None:
    sid, up = raid.asks(POST, end=False)
    raid.client.says(frames.data(sid, b"x"), raid.client.scribe.headers(sid, fields, end=True))
    assert raid.client.resets[sid] == ErrorCode.PROTOCOL_ERROR
    assert raid.server.resets[up] == ErrorCode.CANCEL
    assert len(raid.server.sections[up]) == 1
    assert up not in raid.server.ended, "a request cut short looked whole"


def _in_a_response_head(raid: Raid, fields: Section) -> None:
    sid, up = raid.asks()
    raid.server.says(raid.server.scribe.headers(up, fields))
    assert raid.server.resets[up] == ErrorCode.PROTOCOL_ERROR
    (head,) = raid.client.sections[sid]
    assert head[0] == (b":status", b"502")
    assert b"http_protocol_error" in dict(head)[b"proxy-status"]
    assert not [value for _, value in head if b"smuggled" in value]


def _in_response_trailers(raid: Raid, fields: Section) -> None:
    sid, up = raid.asks()
    write = raid.server.scribe.headers
    raid.server.says(write(up, OK), frames.data(up, b"x"), write(up, fields, end=True))
    assert raid.server.resets[up] == ErrorCode.PROTOCOL_ERROR
    assert raid.client.resets[sid] == ErrorCode.INTERNAL_ERROR
    assert len(raid.client.sections[sid]) == 1
    assert sid not in raid.client.ended, "a response cut short looked whole"


def names() -> Iterator[str]:
    """Yield a name for each octet that may not stand in one, in its middle and at its ends."""
    for octet in range(256):
        if chr(octet) not in TOKEN:
            yield f"x{chr(octet)}y"
    yield from ("", " x", "x ", "x:", "X", "x-Up", "x\r\nhost", "x\0", "\u00e4")


@pytest.mark.parametrize("place", PLACES)
def test_no_name_ends_a_line_or_hides_another(place: str) -> None:
    raid = Raid()
    for name in names():
        smuggle(raid, place, [("x-before", "1"), (name, "smuggled")])
    raid.still_serves()


@pytest.mark.parametrize("place", PLACES)
def test_no_value_ends_a_line_or_hides_another(place: str) -> None:
    raid = Raid()
    controls = [chr(octet) for octet in range(0x20) if octet != 0x09]
    for octet in [*controls, "\x7f"]:
        for value in (f"smuggled{octet}x: y", f"{octet}smuggled", f"smuggled{octet}"):
            smuggle(raid, place, [("x-value", value)])
    for value in (" smuggled", "smuggled ", "\tsmuggled", "smuggled\t", " ", "\t"):
        smuggle(raid, place, [("x-value", value)])
    raid.still_serves()


@pytest.mark.parametrize("place", PLACES)
def test_a_line_too_many_is_no_request_of_its_own(place: str) -> None:
    raid = Raid()
    for value in (
        "a\r\nhost: evil",
        "a\nx-admin: 1",
        "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n",
        "a\0b",
    ):
        smuggle(raid, place, [("x-value", value)])
        smuggle(raid, place, [(value, "x")])
    raid.still_serves()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "name", [":method", ":path", ":authority", ":scheme", ":status", ":protocol", ":x", ":"]
)
def test_no_pseudo_field_stands_where_it_should_not(place: str, name: str) -> None:
    raid = Raid()
    smuggle(raid, place, [("x-before", "1"), (name, "smuggled")])
    smuggle(raid, place, [(name, "smuggled")])
    raid.still_serves()


def test_what_is_lawful_is_passed_on_as_it_came() -> None:
    raid = Raid()
    value = bytes([0x61, 0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]).decode("latin-1")
    lawful: Pairs = [(TOKEN, value), ("x-empty", ""), ("x-words", "two  words\tand a tab")]
    octets = [(name.encode(), text.encode("latin-1")) for name, text in lawful]
    sid, up = raid.next_sid(), 1
    write = raid.client.scribe.headers
    raid.client.says(write(sid, [*POST, *octets]), write(sid, octets, end=True))
    write = raid.server.scribe.headers
    raid.server.says(write(up, [*OK, *octets]), write(up, octets, end=True))
    for hand, stream in ((raid.server, up), (raid.client, sid)):
        head, trailers = hand.sections[stream]
        assert trailers == octets
        assert [field for field in head if field in octets] == octets
