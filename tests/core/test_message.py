"""What changes in a message on its way, and what must not."""

import pytest

from trailproxy.core.clock import DateStamp
from trailproxy.core.message import (
    Forwarding,
    Hop,
    request_that_came,
    request_to_relay,
    response_to_relay,
    stops_here,
    understand,
)
from trailproxy.wire.field import Field, Recurring
from trailproxy.wire.fields import Fields, Kind

VIA = (b"via", b"2.0 trailproxy")
TODAY = DateStamp(lambda: 784111777.0)


def _request(*extra: tuple[str, str], method: str = "GET", authority: str = "a.example") -> Fields:
    pseudo = [(":method", method), (":scheme", "https"), (":path", "/x")]
    if authority:
        pseudo.append((":authority", authority))
    return Fields.of([*pseudo, *extra])


def _relayed(*extra: tuple[str, str], **kwargs: str) -> list[tuple[bytes, bytes]]:
    fields = request_to_relay(_request(*extra, **kwargs), Hop("192.0.2.7", "http"))
    return [(field.name, field.value) for field in fields]


def test_a_request_grows_by_this_hop_and_by_nothing_else() -> None:
    assert _relayed(("accept", "*/*")) == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/x"),
        (b":authority", b"a.example"),
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"192.0.2.7"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"a.example"),
        VIA,
    ]


@pytest.mark.parametrize(
    "extra",
    [
        (),
        (("accept", "*/*"), ("via", "1.1 edge")),
        (("x-forwarded-for", "198.51.100.1, 198.51.100.2"), ("x-forwarded-proto", "http")),
        (("x-forwarded-host", "www.example"),),
        (("x-forwarded-for", "198.51.100.1"), ("x-forwarded-host", "a.example")),
    ],
)
def test_what_this_hop_added_can_be_taken_away(extra: tuple[tuple[str, str], ...]) -> None:
    head = _request(*extra)
    came = request_that_came(understand(head, Hop("192.0.2.7", "http")))
    # of what client and hop may both have said, nobody knows who did
    either = {"x-forwarded-proto: http", "x-forwarded-host: a.example"}
    assert set(map(repr, head)) ^ set(map(repr, came)) <= either


def test_host_becomes_authority() -> None:
    relayed = _relayed(("host", "b.example"), authority="")
    assert (b":authority", b"b.example") in relayed
    assert (b"x-forwarded-host", b"b.example") in relayed
    assert b"host" not in dict(relayed)


def test_what_earlier_proxies_said_is_kept() -> None:
    relayed = _relayed(
        ("x-forwarded-for", "198.51.100.1"),
        ("via", "1.1 edge"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example"),
    )
    assert relayed[4:] == [
        (b"via", b"1.1 edge"),
        (b"x-forwarded-for", b"198.51.100.1, 198.51.100.2, 192.0.2.7"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"www.example"),
        VIA,
    ]


@pytest.mark.parametrize(
    "head",
    [
        _request(),
        _request(("te", "trailers"), ("content-length", "3"), method="POST"),
        _request(("host", "b.example:8443"), authority=""),
        _request(("host", "A.EXAMPLE"), ("x-forwarded-for", "::1"), ("max-forwards", "9")),
        _request(("max-forwards", "9"), method="OPTIONS"),
        Fields.of([(":method", "CONNECT"), (":authority", "a.example:443"), ("x", "y")]),
    ],
    ids=repr,
)
def test_what_is_vouched_for_would_stand_the_test(head: Fields) -> None:
    assert head.fault(Kind.REQUEST) == ""
    relayed = request_to_relay(head, Hop("192.0.2.7", "http"))
    assert Fields(relayed.items).fault(Kind.REQUEST) == ""


@pytest.mark.parametrize("extra", [(), (("date", "today"),), (("via", "1.1 edge"),)])
def test_a_response_is_vouched_for_likewise(extra: tuple[tuple[str, str], ...]) -> None:
    relayed = response_to_relay(Fields.of([(":status", "200"), *extra]), TODAY)
    assert Fields(relayed.items).fault(Kind.RESPONSE) == ""


def test_what_a_recurring_head_says_is_worked_out_once_for_each_client() -> None:
    head = _request()
    head.recurring = Recurring()
    hops = [Hop(f"192.0.2.{number}", "http") for number in range(40)]
    for hop in [*hops, *hops]:
        asked = understand(head, hop)
        assert asked.hop is hop
        assert understand(head, hop) is asked
        assert (b"x-forwarded-for", hop.peer.encode()) in [(f.name, f.value) for f in asked.relayed]


def test_a_head_that_does_not_recur_is_not_kept() -> None:
    head, hop = _request(), Hop("192.0.2.7", "http")
    assert understand(head, hop) is not understand(head, hop)


def test_cookies_order_and_never_indexed_marks_are_kept() -> None:
    secret = Field(b"authorization", b"s3cret", never_indexed=True)
    head = Fields([*_request(("cookie", "a=1"), ("x-b", "2"), ("cookie", "c=3")), secret])
    relayed = list(request_to_relay(head, Hop("p", "http")))
    assert [f.name for f in relayed[4:8]] == [b"cookie", b"x-b", b"cookie", b"authorization"]
    assert relayed[7].never_indexed


@pytest.mark.parametrize(
    ("method", "hops", "left"),
    [
        ("OPTIONS", "3", b"2"),
        ("TRACE", "1", b"0"),
        ("OPTIONS", "many", b"many"),
        ("OPTIONS", "9" * 400, b"999999998"),
        ("GET", "3", b"3"),
    ],
)
def test_max_forwards_is_counted_down_where_it_counts(method: str, hops: str, left: bytes) -> None:
    assert dict(_relayed(("max-forwards", hops), method=method))[b"max-forwards"] == left


@pytest.mark.parametrize(
    ("method", "hops", "stops"),
    [("OPTIONS", "0", True), ("TRACE", "0", True), ("TRACE", "1", False), ("GET", "0", False)],
)
def test_where_a_request_stops(method: str, hops: str, stops: bool) -> None:
    assert stops_here(_request(("max-forwards", hops), method=method)) is stops


def test_a_response_gets_a_date_only_where_it_has_none() -> None:
    bare = response_to_relay(Fields.of([(":status", "200")]), TODAY)
    assert [(f.name, f.value) for f in bare] == [(b":status", b"200"), (b"date", TODAY()), VIA]
    dated = response_to_relay(Fields.of([(":status", "200"), ("date", "then")]), TODAY)
    assert dated.all(b"date") == [b"then"]
    assert dated.all(b"via") == [b"2.0 trailproxy"]


def test_a_request_that_recurs_is_rewritten_once_for_each_hop() -> None:
    head, once = _request(), _request(("x-once", "1"))
    head.recurring = Recurring()
    one, other = Hop("192.0.2.7", "http"), Hop("198.51.100.1", "http")
    first = understand(head, one)
    assert understand(head, one) is first
    assert understand(head, other).relayed.get(b"x-forwarded-for") == b"198.51.100.1"
    assert understand(head, one).relayed == first.relayed
    assert understand(once, one) is not understand(once, one)


# -- x-forwarded-client-cert -----------------------------------------------------------------

NAME = "x-forwarded-client-cert"
OURS = b'Hash=ours;Subject="CN=a"'
SPELLINGS = [
    f"x{one}forwarded{two}client{three}cert" for one in "-_" for two in "-_" for three in "-_"
]


def _said(*came: str, forwarding: Forwarding, certificate: bytes = OURS) -> list[bytes]:
    hop = Hop("192.0.2.7", "https", certificate, forwarding)
    relayed = request_to_relay(_request(*((NAME, value) for value in came)), hop)
    assert Fields(relayed.items).fault(Kind.REQUEST) == ""
    return relayed.all(NAME.encode())


@pytest.mark.parametrize(
    ("forwarding", "alone", "behind_others", "without_certificate"),
    [
        (Forwarding.SANITIZE, [], [], []),
        (Forwarding.SET, [OURS], [OURS], []),
        (Forwarding.APPEND, [OURS], [b"Hash=1,Hash=2," + OURS], []),
        (Forwarding.FORWARD, [], [b"Hash=1", b"Hash=2"], [b"Hash=1", b"Hash=2"]),
    ],
)
def test_a_listener_decides_who_speaks_of_a_certificate(
    forwarding: Forwarding,
    alone: list[bytes],
    behind_others: list[bytes],
    without_certificate: list[bytes],
) -> None:
    assert _said(forwarding=forwarding) == alone
    assert _said("Hash=1", "Hash=2", forwarding=forwarding) == behind_others
    nothing = {"forwarding": forwarding, "certificate": b""}
    assert _said("Hash=1", "Hash=2", **nothing) == without_certificate
    assert _said(**nothing) == []


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("forwarding", Forwarding)
def test_what_a_client_says_of_a_certificate_is_taken_away_in_every_spelling(
    spelling: str, forwarding: Forwarding
) -> None:
    hop = Hop("192.0.2.7", "https", OURS, forwarding)
    relayed = request_to_relay(_request((spelling, "Hash=forged"), ("x-other", "1")), hop)
    told = b"".join(field.value for field in relayed if field.name.decode() in SPELLINGS)
    trusted = spelling == NAME and forwarding in (Forwarding.APPEND, Forwarding.FORWARD)
    assert (b"forged" in told) is trusted
    assert relayed.get(b"x-other") == b"1"


@pytest.mark.parametrize(
    "opened",
    ['Hash=1;Subject="', 'Hash=1;Subject="a\\"', 'Subject="a\\\\\\"', 'Subject="a\\\\"b"', '"'],
)
def test_an_open_quote_does_not_swallow_what_we_say(opened: str) -> None:
    assert _said(opened, forwarding=Forwarding.APPEND) == [OURS]
    assert _said("Hash=1", opened, forwarding=Forwarding.APPEND) == [OURS]


@pytest.mark.parametrize("closed", ['Subject="a,b;c"', 'Subject="say \\"a\\""', 'Subject="a\\\\b"'])
def test_quotes_that_are_closed_are_no_obstacle(closed: str) -> None:
    assert _said(closed, forwarding=Forwarding.APPEND) == [closed.encode() + b"," + OURS]


@pytest.mark.parametrize("forwarding", [Forwarding.SET, Forwarding.FORWARD])
def test_what_is_said_of_a_certificate_costs_a_head_nothing(forwarding: Forwarding) -> None:
    """It is behind the head as it came, as all that a hop adds."""
    hop = Hop("192.0.2.7", "https", OURS, forwarding)
    came = [(NAME, "Hash=1")] if forwarding is Forwarding.FORWARD else []
    head = _request(*came)
    relayed = request_to_relay(head, hop)
    assert relayed.items[: len(head)] == head.items
    added = relayed.items[len(head) :]
    assert added == hop.added(b"a.example").items
    assert all(one is other for one, other in zip(added, hop.added(b"a.example"), strict=True))
