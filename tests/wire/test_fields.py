"""Field lists: what they are built from, what they know, and that they do not change."""

import pytest

from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.field import Field
from trailproxy.wire.fields import BAD_LENGTH, NO_LENGTH, Fields, Kind

REQUEST = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]


def test_names_and_values_are_str_or_bytes_and_names_are_lower_cased() -> None:
    fields = Fields.of([("X-A", "1"), (b"X-B", b"2"), ("x-c", b"\xff"), (b"x-d", "ü")])
    assert list(fields) == [
        Field(b"x-a", b"1"),
        Field(b"x-b", b"2"),
        Field(b"x-c", b"\xff"),
        Field(b"x-d", "ü".encode()),
    ]


@pytest.mark.parametrize(
    ("pair", "named"),
    [(("x-a", None), "value of field 'x-a'"), ((None, "1"), "field name"), (("x", 1), "'x'")],
)
def test_anything_else_is_refused_by_name(pair: tuple[str, str], named: str) -> None:
    with pytest.raises(HTTP2Error, match=named):
        Fields.of([pair])


@pytest.mark.parametrize("item", ["x-a", ("x-a",), ("x-a", "1", "2"), {"x-a": "1"}, None])
def test_what_is_no_pair_is_refused(item: object) -> None:
    with pytest.raises(HTTP2Error, match="a field is a name and a value"):
        Fields.of([item])  # type: ignore[list-item]


def test_a_field_passes_as_it_is() -> None:
    field = Field(b"authorization", b"x", never_indexed=True)
    (kept,) = Fields.of([field])
    assert kept is field


def test_get_is_the_first_and_all_is_every_value() -> None:
    fields = Fields.of([("a", "1"), ("b", "2"), ("a", "3")])
    assert fields.get(b"a") == b"1"
    assert fields.all(b"a") == [b"1", b"3"]
    assert fields.get(b"c") is None


def test_get_does_not_take_one_spelling_for_another() -> None:
    fields = Fields.of([("x_forwarded_client_cert", "1"), ("x-forwarded_client-cert", "2")])
    assert fields.get(b"x-forwarded_client-cert") == b"2"
    assert fields.get(b"x-forwarded-client-cert") is None


def test_lists_are_equal_by_content_and_can_be_keys() -> None:
    one, other = Fields.of([("a", "1")]), Fields.of([("A", "1")])
    assert one == other
    assert {one: 1}[other] == 1
    assert one != Fields.of([("a", "2")])
    assert one != [Field(b"a", b"1")]


def test_size_is_counted_as_the_rfc_counts_it() -> None:
    assert Fields.of([("ab", "cde"), ("f", "")]).size == 2 + 3 + 32 + 1 + 32


def test_secrets_do_not_show() -> None:
    shown = repr(Fields([Field(b"a", b"1"), Field(b"cookie", b"secret", never_indexed=True)]))
    assert shown == "Fields(a: 1, cookie: ***)"


@pytest.mark.parametrize(
    ("values", "length"),
    [
        ([], NO_LENGTH),
        (["0"], 0),
        (["17"], 17),
        (["17", "17"], BAD_LENGTH),
        (["17", "18"], BAD_LENGTH),
        (["-1"], BAD_LENGTH),
        (["+1"], BAD_LENGTH),
        ([""], BAD_LENGTH),
        (["1, 1"], BAD_LENGTH),
        (["9" * 20], BAD_LENGTH),
    ],
)
def test_content_length(values: list[str], length: int) -> None:
    assert Fields.of([("content-length", value) for value in values]).content_length == length


@pytest.mark.parametrize(
    "fields",
    [
        REQUEST,
        [*REQUEST, ("te", "trailers"), ("te", "Trailers"), ("x", "")],
        [*REQUEST[:2], REQUEST[3], ("host", "a")],
        [*REQUEST, ("host", "A")],
        [(":method", "OPTIONS"), *REQUEST[1:3], (":path", "*")],
        [(":method", "CONNECT"), (":authority", "a:443")],
        [(":method", "CONNECT"), (":authority", "[::1]:443")],
    ],
)
def test_good_requests(fields: list[tuple[str, str]]) -> None:
    assert Fields.of(fields).fault(Kind.REQUEST) == ""


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "GET"), *REQUEST[1:3], (":path", "*")],
        [(":method", "G T"), *REQUEST[1:]],
        [(":method", "CONNECT")],
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a")],
        [(":method", "CONNECT"), (":authority", "a/b:1")],
        [(":method", "CONNECT"), (":authority", "a")],
        [(":method", "CONNECT"), (":authority", "1234")],
        [(":method", "CONNECT"), (":authority", "a:")],
        [(":method", "CONNECT"), (":authority", "a:000")],
        [(":method", "CONNECT"), (":authority", "[::1]")],
        [REQUEST[0], (":scheme", "1http"), *REQUEST[2:]],
        [*REQUEST, ("host", "a"), ("host", "a")],
        [*REQUEST[:2], (":authority", ""), REQUEST[3]],
        [*REQUEST[:2], (":authority", "a/b"), REQUEST[3]],
    ],
)
def test_bad_requests(fields: list[tuple[str, str]]) -> None:
    assert Fields.of(fields).fault(Kind.REQUEST)


AUTHORITIES = {
    **dict.fromkeys(["a", "A.example", "a_b", "127.0.0.1", "a.", "%2Frun%2Fapp.sock", "a,b"], True),
    **dict.fromkeys(["a:", "a:0", "a:80", "a:65535", "[::1]", "[::1]:8443", "[::]"], True),
    **dict.fromkeys(["u@a", "u:p@a", "@a", "a/b", "a?b", "a#b", "a\\b", "a b", "a\tb"], False),
    **dict.fromkeys([":", ":80", "a:65536", "a:000080", "a:x", "a:80:90", "a:+80", "a:-1"], False),
    **dict.fromkeys(["::1", "[::1", "::1]", "[]", "[a", "[x]", "[::1]x", "[::1]:x"], False),
    **dict.fromkeys(["[::1%25eth0]", "\xe4.example", "a\0", "a\r\n", "a<b", 'a"b', "a|b"], False),
}


@pytest.mark.parametrize(("authority", "good"), AUTHORITIES.items())
def test_authorities_are_hosts_with_or_without_a_port(authority: str, good: bool) -> None:
    rest = [*REQUEST[:2], REQUEST[3]]
    octets = authority.encode("latin-1")
    for name in (b":authority", b"host"):
        head = [(name, octets), *rest] if name == b":authority" else [*rest, (name, octets)]
        fault = Fields.of(head).fault(Kind.REQUEST)
        assert (fault == "") is good, fault


@pytest.mark.parametrize("octet", sorted({*range(0x20), 0x7F} - {0x09}))
def test_control_octets_stand_in_no_value(octet: int) -> None:
    value = b"a%cb" % octet
    assert "illegal value" in Fields.of([("x", value)]).fault(Kind.TRAILERS)


def test_what_is_no_control_octet_may_stand_in_a_value() -> None:
    value = bytes([0x61, 0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
    assert Fields.of([("x", value)]).fault(Kind.TRAILERS) == ""


def test_a_reason_quotes_no_more_than_a_little_of_what_a_peer_made_up() -> None:
    fault = Fields.of([("x" * 60_000 + "\0", "1")]).fault(Kind.TRAILERS)
    assert fault == f"illegal field name '{'x' * 64}'..."


def test_each_kind_has_its_own_verdict() -> None:
    fields = Fields.of([("x", "1")])
    assert fields.fault(Kind.TRAILERS) == ""
    assert "':status'" not in fields.fault(Kind.TRAILERS)
    assert fields.fault(Kind.RESPONSE) == "unusable :status ''"
    assert fields.fault(Kind.REQUEST) == "unusable :method ''"
    assert fields.fault(Kind.RESPONSE) is fields.fault(Kind.RESPONSE)


def test_connection_specific_fields_are_malformed_in_heads_alone() -> None:
    fields = Fields.of([(":status", "200"), ("connection", "close")])
    assert "'connection'" in fields.fault(Kind.RESPONSE)
    assert Fields.of([("connection", "close")]).fault(Kind.TRAILERS) == ""


@pytest.mark.parametrize(("status", "interim"), [("100", True), ("103", True), ("200", False)])
def test_interim_heads(status: str, interim: bool) -> None:
    assert Fields.of([(":status", status)]).interim is interim


@pytest.mark.parametrize("field", [("X y", "1"), ("x", "a\nb"), (":path", "/"), ("", "1")])
def test_an_illegal_field_is_named(field: tuple[str, str]) -> None:
    assert Fields.of([("good", "1"), field]).illegal_field()
    assert Fields.of([("good", "1")]).illegal_field() == ""
