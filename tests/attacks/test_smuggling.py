"""Smuggling: messages that those behind us would read otherwise than we do.

Where a message ends, whom it is for and what it asks must have one reading. What has two
is refused at the door, by a stream error, and the backend sees nothing of it.
"""

import pytest

from tests.support import frames
from tests.support.frames import GET, OK, POST, Pairs
from tests.support.raid import DONE, Raid
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.matching import Wanted
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.routing import Route, Router, Share
from trailproxy.core.trailers import NEVER_TRAILERS
from trailproxy.wire.errors import ErrorCode

PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
METHOD, SCHEME, AUTHORITY, PATH = GET


def to(*authority: tuple[str, str]) -> Pairs:
    """Write the head of a request to some authority, or to several."""
    return [METHOD, SCHEME, PATH, *authority]


def at(path: str, method: str = "GET") -> Pairs:
    """Write the head of a request for a path."""
    return [(":method", method), SCHEME, AUTHORITY, (":path", path)]


def sees_nothing_of(raid: Raid, fields: Pairs) -> None:
    """Send a head; check that its stream is reset, by name, and that the backend saw nothing."""
    sid, known = raid.next_sid(), len(raid.server.sections)
    octets = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    raid.client.says(raid.client.scribe.headers(sid, octets, end=True))
    assert raid.client.resets[sid] == PROTOCOL_ERROR
    assert len(raid.server.sections) == known, "the backend saw it"
    side, who, _, _, cause = raid.notes.resets[-1]
    assert (side, who, cause) == (Side.DOWNSTREAM, Initiator.PROXY, Cause.CLIENT_PROTOCOL)


def sees(raid: Raid, fields: Pairs) -> dict[bytes, bytes]:
    """Send a head that is lawful; return what the backend got."""
    _, up = raid.asks(fields)
    (head,) = raid.server.sections[up]
    return dict(head)


# -- what is asked ---------------------------------------------------------------------------


def late(name: str) -> Pairs:
    """Put one of the pseudo-fields behind a field."""
    return [f for f in GET if f[0] != name] + [("x", "1")] + [f for f in GET if f[0] == name]


HEADS: dict[str, Pairs] = {
    "nothing": [],
    "no method": [SCHEME, AUTHORITY, PATH],
    "no scheme": [METHOD, AUTHORITY, PATH],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "no authority": [METHOD, SCHEME, PATH],
    **{f"{name} twice": [*GET, (name, value)] for name, value in GET},
    **{f"{name} behind a field": late(name) for name, _ in GET},
    "status": [(":status", "200"), *GET],
    "protocol": [*GET, (":protocol", "websocket")],
    "unknown": [*GET, (":x", "1")],
    "name of a colon": [*GET, (":", "1")],
    "method of nothing": [(":method", ""), *GET[1:]],
    "method with a space": [(":method", "GET /admin HTTP/1.1"), *GET[1:]],
    "method with a line": [(":method", "GET\r\nx: y"), *GET[1:]],
    "method with a slash": [(":method", "G/T"), *GET[1:]],
    "scheme of nothing": [METHOD, (":scheme", ""), AUTHORITY, PATH],
    "scheme with a colon": [METHOD, (":scheme", "http:"), AUTHORITY, PATH],
    "scheme with a prefix": [METHOD, (":scheme", "http://evil/?"), AUTHORITY, PATH],
    "scheme with a line": [METHOD, (":scheme", "http\r\nx"), AUTHORITY, PATH],
    "scheme of digits": [METHOD, (":scheme", "80"), AUTHORITY, PATH],
    "tunnel with a scheme": [(":method", "CONNECT"), SCHEME, (":authority", "a:1")],
    "tunnel with a path": [(":method", "CONNECT"), (":authority", "a:1"), PATH],
    "tunnel to nowhere": [(":method", "CONNECT")],
    "tunnel to no port": [(":method", "CONNECT"), (":authority", "a")],
    "tunnel to port 0": [(":method", "CONNECT"), (":authority", "a:0")],
    "tunnel by host": [(":method", "CONNECT"), ("host", "a:1")],
}


@pytest.mark.parametrize("fields", HEADS.values(), ids=HEADS)
def test_a_request_says_what_it_asks_once_and_first(fields: Pairs) -> None:
    raid = Raid()
    sees_nothing_of(raid, fields)
    raid.still_serves()


def test_another_scheme_is_the_backends_to_judge() -> None:
    assert sees(Raid(), [METHOD, (":scheme", "coap+tcp"), AUTHORITY, PATH])[b":scheme"] == (
        b"coap+tcp"
    )


RESPONSES: dict[str, Pairs] = {
    "nothing": [],
    "no status": [("server", "x")],
    "status twice": [*OK, *OK],
    "status behind a field": [("server", "x"), *OK],
    "a request": [*OK, *GET],
    **{f"status {status!r}": [(":status", status)] for status in ("", "20", "2000", "0200", "abc")},
    **{f"status {status!r}": [(":status", status)] for status in ("099", "101", "-20", "2 0")},
}


@pytest.mark.parametrize("fields", RESPONSES.values(), ids=RESPONSES)
def test_a_response_has_one_status_and_first(fields: Pairs) -> None:
    raid = Raid()
    is_answered_for(raid, fields)
    raid.still_serves()


def is_answered_for(raid: Raid, fields: Pairs, *, end: bool = False) -> None:
    """Answer with a head; check that the client gets our own, and that the backend is named."""
    sid, up = raid.asks()
    raid.server.says(raid.server.scribe.headers(up, fields, end=end))
    assert raid.server.resets[up] == PROTOCOL_ERROR
    (head,) = raid.client.sections[sid]
    assert head[0] == (b":status", b"502")
    assert sid in raid.client.ended
    assert raid.notes.finished[-1].dropped is Cause.UPSTREAM_PROTOCOL


# -- whom it is for ----------------------------------------------------------------------------

NOBODY = [
    *("", " ", "u@a", "user:pass@a", "@", "a@", "a/", "a/b", "a\\b", "a?b", "a#b", "a b", "a\tb"),
    *(":", ":80", "a:x", "a:80:80", "a:-1", "a:+1", "a:65536", "a:000080", "a:80 ", "a: 80"),
    *("::1", "[::1", "::1]", "[]", "[::1]80", "[::1]:x", "[a]", "[::1%25lo]"),
    *("\u00e4.example", "a\x7f", "a\0", "a\r\nx: y", "a<b", 'a"b', "a|b", "a^b", "a{b}"),
]


@pytest.mark.parametrize("authority", NOBODY)
def test_nobody_is_asked_for_in_two_ways(authority: str) -> None:
    raid = Raid()
    sees_nothing_of(raid, to((":authority", authority)))
    sees_nothing_of(raid, to(("host", authority)))
    sees_nothing_of(raid, to((":authority", "a"), ("host", authority)))
    raid.still_serves()


@pytest.mark.parametrize("hosts", [["b"], ["a:80"], ["a."], ["a", "a"], ["a", "b"], ["a, a"]])
def test_a_host_that_is_not_the_authority_is_refused(hosts: list[str]) -> None:
    """RFC 9113 section 8.3.1 lets us choose :authority; whoever is behind us may not."""
    raid = Raid()
    sees_nothing_of(raid, to((":authority", "a"), *(("host", host) for host in hosts)))
    raid.still_serves()


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b"]])
def test_two_hosts_are_refused(hosts: list[str]) -> None:
    raid = Raid()
    sees_nothing_of(raid, to(*(("host", host) for host in hosts)))
    raid.still_serves()


@pytest.mark.parametrize("authority", ["a", "A.example:8443", "a:", "[::1]:80", "127.0.0.1"])
def test_one_authority_goes_on_however_it_was_said(authority: str) -> None:
    ways = [(":authority", authority)], [("host", authority)]
    for way in (*ways, [(":authority", authority), ("host", authority.swapcase())]):
        head = sees(Raid(), to(*way))
        assert head[b":authority"] == authority.encode()
        assert b"host" not in head


# -- the path ----------------------------------------------------------------------------------

NO_PATHS = [
    *("", "x", "admin", "?x", "http://evil/", "\\admin", "*"),
    *("/a#b", "/#", "/a?b#c", "/a b", "/a\tb", "/a HTTP/1.1\r\nx: y", "/a\r\n", "/a\n", " /", "/ "),
]


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_begins_with_a_slash_and_has_no_second_reading(path: str) -> None:
    raid = Raid()
    sees_nothing_of(raid, at(path))
    raid.still_serves()


def test_no_octet_of_a_path_is_control_or_beyond_ascii() -> None:
    raid = Raid()
    for octet in [*range(0x21), *range(0x7F, 0x100)]:
        sees_nothing_of(raid, at(f"/a{chr(octet)}b"))
        sees_nothing_of(raid, at(f"/a?b{chr(octet)}c"))
    raid.still_serves()


@pytest.mark.parametrize(
    "path",
    [
        *("//a", "/a//b", "/a\\b", "/a%2fb", "/a%00b", "/a%", "/a%zz", "/%252e%252e/b", "/a;b=c"),
        *("/http://a/b", "/a?b=../c", "/a?b=/../c", '/a?b="<>{}|^`\\', "/...", "/.well-known/x"),
    ],
)
def test_a_path_with_one_reading_for_us_is_passed_on_untouched(path: str) -> None:
    assert sees(Raid(), at(path))[b":path"] == path.encode()


def test_an_asterisk_is_for_options_alone() -> None:
    assert sees(Raid(), at("*", "OPTIONS"))[b":path"] == b"*"


WAYS_OUT = [
    *("/public/../admin", "/public/..", "/public/./../admin", "/..", "/.", "//../admin"),
    *("/public/%2e%2e/admin", "/public/.%2E/admin", "/public/..%2fadmin", "/public/%2e%2e%2Fadmin"),
    *("/public\\..\\admin", "/public/..\\admin", "/public/..%5cadmin", "/public/..;/admin"),
    *("/public/..;x=y/admin", "/public/..?x", "/public/x/../../admin"),
]


def guarded(raid: Raid) -> None:
    """Let the routes of a raid have one door to a part of what the backend serves."""
    share = Share([(raid.kitchen, 1)])
    wanted = {"public": Wanted(prefix=b"/public/"), "admin": Wanted(path=b"/guarded")}
    raid.proxy.router = Router(
        tuple(Route(name=name, share=share, wanted=each) for name, each in wanted.items())
    )


@pytest.mark.parametrize("path", WAYS_OUT)
def test_no_path_leads_out_of_its_routes_prefix(path: str) -> None:
    """What it leads to is for whoever resolves it to say, so we do not guess: 400."""
    raid = Raid()
    guarded(raid)
    sid = raid.next_sid()
    raid.client.says(raid.client.scribe.headers(sid, at(path), end=True))
    (head,) = raid.client.sections[sid]
    assert head[0] == (b":status", b"400")
    assert raid.server.sections == {}, "the backend saw it"
    (record,) = raid.notes.finished
    assert (record.dropped, record.dropped_side) == (Cause.DOT_SEGMENTS, Side.DOWNSTREAM)


@pytest.mark.parametrize("path", ["/guarded", "/%67uarded", "/%67%75arded?x", "/guarde%64"])
def test_no_spelling_of_a_path_gets_around_its_route(path: str) -> None:
    raid = Raid()
    guarded(raid)
    sid, up = raid.asks(at(path))
    raid.server.says(raid.server.scribe.headers(up, OK, end=True))
    assert raid.client.sections[sid][0][0] == (b":status", b"200")
    assert raid.notes.finished[-1].route == "admin"
    assert dict(raid.server.sections[up][0])[b":path"] == path.encode(), "it came as it was"


# -- where it ends -----------------------------------------------------------------------------

LENGTHS = [
    *([value] for value in ("", " ", "+5", "-5", " 5", "5 ", "5\t", "0x5", "5.0", "5e0", "05 ")),
    *([value] for value in ("five", "5, 5", "5,5", "5;5", "\xb2", "5\0", "5\r\n", "9" * 19)),
    *([value] for value in ("9" * 4000, "1_0", "NaN", "inf")),
    *(["5", "5"], ["5", "6"], ["5", ""], ["", "5"], ["0", "5"]),
]


@pytest.mark.parametrize("values", LENGTHS, ids=lambda values: repr(values)[:30])
def test_a_length_is_one_number_on_both_sides(values: list[str]) -> None:
    lengths = [("content-length", value) for value in values]
    raid = Raid()
    sees_nothing_of(raid, [*POST, *lengths])
    is_answered_for(raid, [*OK, *lengths])
    raid.still_serves()


@pytest.mark.parametrize("ending", ["head", "data", "trailers"])
@pytest.mark.parametrize("length", ["1", "4", "6", "999999999999999999"])
def test_a_request_is_as_long_as_it_says(length: str, ending: str) -> None:
    raid = Raid()
    write = raid.client.scribe.headers
    sid, head = raid.next_sid(), [*POST, ("content-length", length)]
    if ending == "head":
        raid.client.says(write(sid, head, end=True))
        assert raid.server.sections == {}, "the backend saw it"
    else:
        raid.client.says(write(sid, head), frames.data(sid, b"five!", end=ending == "data"))
        if ending == "trailers":
            raid.client.says(write(sid, DONE, end=True))
        assert [len(heard) for heard in raid.server.sections.values()] == [1]
        assert raid.server.ended == set(), "a request of another length looked whole"
        assert raid.server.resets == {1: ErrorCode.CANCEL}
        assert raid.notes.finished[-1].dropped is Cause.CLIENT_PROTOCOL
    assert raid.client.resets == {sid: PROTOCOL_ERROR}
    raid.still_serves()


@pytest.mark.parametrize("ending", ["data", "trailers"])
@pytest.mark.parametrize("length", ["1", "4", "6", "999999999999999999"])
def test_a_response_is_as_long_as_it_says(length: str, ending: str) -> None:
    raid = Raid()
    sid, up = raid.asks()
    write = raid.server.scribe.headers
    raid.server.says(write(up, [*OK, ("content-length", length)]))
    raid.server.says(frames.data(up, b"five!", end=ending == "data"))
    if ending == "trailers":
        raid.server.says(write(up, DONE, end=True))
    assert raid.server.resets == {up: PROTOCOL_ERROR}
    assert raid.client.resets == {sid: ErrorCode.INTERNAL_ERROR}
    assert raid.client.ended == set(), "a response of another length looked whole"
    assert raid.notes.finished[-1].dropped is Cause.UPSTREAM_PROTOCOL
    raid.still_serves()


def test_a_response_of_a_length_ends_with_its_body() -> None:
    raid = Raid()
    is_answered_for(raid, [*OK, ("content-length", "5")], end=True)
    raid.still_serves()


# -- what belongs to one connection --------------------------------------------------------------

HOP_BY_HOP: Pairs = [
    ("connection", "close"),
    ("connection", "x-secret"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("transfer-encoding", ""),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("te", "trailers, gzip"),
    ("te", "trailers;q=0"),
    ("te", ""),
]


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=lambda field: f"{field[0]} {field[1]}")
def test_what_belongs_to_one_connection_stands_in_no_head(field: tuple[str, str]) -> None:
    raid = Raid()
    sees_nothing_of(raid, [*POST, field])
    is_answered_for(raid, [*OK, field])
    is_answered_for(raid, [(":status", "103"), field])
    raid.still_serves()


def test_te_trailers_is_a_requests_alone() -> None:
    raid = Raid()
    assert sees(raid, [*POST, ("te", "trailers")])[b"te"] == b"trailers"
    is_answered_for(raid, [*OK, ("te", "trailers")])


# -- trailers ------------------------------------------------------------------------------------

FORBIDDEN = [
    *sorted(name.decode() for name in NEVER_TRAILERS),
    *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-client-cert"),
    *("x-auth-user", "x-auth-request-email"),
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_frames_routes_or_names_a_sender_is_left_out_of_trailers(name: str) -> None:
    spellings = [name, name.replace("-", "_")]
    said = [("x-sum", "1"), *((spelling, "smuggled") for spelling in spellings), ("x-more", "2")]
    raid = Raid()
    sid, up = raid.asks(POST, end=False)
    raid.client.says(raid.client.scribe.headers(sid, said, end=True))
    write = raid.server.scribe.headers
    raid.server.says(write(up, OK), write(up, said, end=True))
    for heard in (raid.server.sections[up], raid.client.sections[sid]):
        assert heard[1] == [(b"x-sum", b"1"), (b"x-more", b"2")]
    assert raid.notes.fields_removed == 4
    assert raid.notes.trailer_outcomes == {
        (Direction.REQUEST, Outcome.RELAYED): 1,
        (Direction.RESPONSE, Outcome.RELAYED): 1,
    }


def test_trailers_of_nothing_else_end_a_message_without_any() -> None:
    raid = Raid()
    said = [("transfer-encoding", "chunked"), ("content-length", "5"), ("host", "evil")]
    sid, up = raid.asks(POST, end=False)
    raid.client.says(raid.client.scribe.headers(sid, said, end=True))
    write = raid.server.scribe.headers
    raid.server.says(write(up, OK), write(up, said, end=True))
    assert (len(raid.server.sections[up]), len(raid.client.sections[sid])) == (1, 1)
    assert up in raid.server.ended
    assert sid in raid.client.ended
