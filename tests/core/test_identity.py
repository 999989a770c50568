"""Who is let in by which name, and what upstreams are told of a certificate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailproxy.core.identity import Certificate, Guests, NameKind, name_fault, tell

DNS, URI, EMAIL, ADDRESS = NameKind.DNS, NameKind.URI, NameKind.EMAIL, NameKind.ADDRESS


def named(*names: tuple[NameKind, str]) -> Certificate:
    return Certificate("ab12", (), names)


# -- who is let in -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "kind", "name"),
    [
        ("client.local", DNS, "client.local"),
        ("client.local", DNS, "CLIENT.local"),
        ("*.example.com", DNS, "a.example.com"),
        ("*.example.com", DNS, "a.b.Example.com"),
        ("spiffe://td/ns/shop/sa/cart", URI, "spiffe://td/ns/shop/sa/cart"),
        ("spiffe://td/ns/shop/*", URI, "spiffe://td/ns/shop/sa/cart"),
        ("urn:device:7", URI, "urn:device:7"),
        ("ann@example.com", EMAIL, "ann@EXAMPLE.com"),
        ("192.0.2.1", ADDRESS, "192.0.2.1"),
        ("2001:db8::1", ADDRESS, "2001:DB8:0:0:0:0:0:1"),
        ("fe80::1", ADDRESS, "FE80:0:0:0:0:0:0:1"),
    ],
)
def test_who_has_a_name_that_is_wanted_is_let_in(wanted: str, kind: NameKind, name: str) -> None:
    assert name_fault(wanted) == ""
    guests = Guests(["other.local", wanted, "spiffe://elsewhere/*"])
    assert guests.admit(named((DNS, "nobody.local"), (kind, name)))


@pytest.mark.parametrize(
    ("wanted", "kind", "name"),
    [
        ("client.local", DNS, "a.client.local"),
        ("client.local", DNS, "client.local.evil"),
        ("client.local", DNS, "client.local\0.evil"),
        ("a.example.com", DNS, "*.example.com"),  # a wildcard of theirs is no name of mine
        ("*.example.com", DNS, "example.com"),
        ("*.example.com", DNS, "badexample.com"),
        ("spiffe://td/ns/shop", URI, "spiffe://td/ns/shop/"),
        ("spiffe://td/ns/shop", URI, "SPIFFE://td/ns/shop"),
        ("spiffe://td/ns/shop/*", URI, "spiffe://td/ns/shopping/x"),
        ("ann@example.com", EMAIL, "Ann@example.com"),
        ("192.0.2.1", ADDRESS, "192.0.2.10"),
        ("192.0.2.1", ADDRESS, "<invalid>"),
        # the same text as a name of another kind
        ("client.local", URI, "client.local"),
        ("192.0.2.1", DNS, "192.0.2.1"),
        ("spiffe://td/a", DNS, "spiffe://td/a"),
        ("spiffe://td/*", EMAIL, "spiffe://td/a"),
        ("ann@example.com", DNS, "ann@example.com"),
        ("*.example.com", EMAIL, "ann@a.example.com"),
    ],
)
def test_nobody_else_is(wanted: str, kind: NameKind, name: str) -> None:
    assert not Guests([wanted]).admit(named((kind, name)))


def test_a_common_name_is_no_name() -> None:
    subject = ((("commonName", "client.local"),),)
    assert not Guests(["client.local"]).admit(Certificate("ab12", subject, ()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.",
        "a.*.example.com",
        "*.*.example.com",
        "client*",
        "spiffe://*/ns",
        "*@example.com",
        "white space",
        "-x",
        "/a/path",
    ],
)
def test_what_is_no_name_is_told(text: str) -> None:
    assert name_fault(text)


# -- what upstreams are told ---------------------------------------------------------------


def test_all_that_a_certificate_says_is_told_in_its_order() -> None:
    subject = (
        (("countryName", "DE"),),
        (("organizationName", "Shop"), ("organizationalUnitName", "Cart")),
        (("commonName", "cart"),),
        (("emailAddress", "ann@shop"),),
    )
    names = (
        (DNS, "cart.shop"),
        (URI, "spiffe://shop/cart"),
        (ADDRESS, "192.0.2.1"),
        (DNS, "*.cart.shop"),
    )
    told = tell(Certificate("ab12", subject, names), ["spiffe://shop/proxy", "urn:proxy"])
    assert told == (
        "By=spiffe://shop/proxy;By=urn:proxy;Hash=ab12;"
        'Subject="emailAddress=ann@shop,CN=cart,O=Shop+OU=Cart,C=DE";'
        "URI=spiffe://shop/cart;DNS=cart.shop;DNS=*.cart.shop"
    )


def test_a_certificate_without_names_and_subject_is_told_by_its_digest() -> None:
    assert tell(named(), []) == 'Hash=ab12;Subject=""'


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('a";URI=spiffe://td/admin;X="', r"a\22\3BURI\3Dspiffe://td/admin\3BX\3D\22"),
        ("a,By=evil", r"a\2CBy\3Devil"),
        ("a\\", r"a\5C"),
        (" both ends ", r"\20both ends\20"),
        (" ", r"\20"),
        ("#+<>", r"\23\2B\3C\3E"),
        ("ü\r\n\0", r"\C3\BC\0D\0A\00"),
    ],
)
def test_a_hostile_subject_ends_no_element(value: str, told: str) -> None:
    certificate = Certificate("ab12", ((("commonName", value),),), ())
    assert tell(certificate, []) == f'Hash=ab12;Subject="CN={told}"'


def test_a_hostile_attribute_is_a_word_at_most() -> None:
    subject = ((('RSA Data Security, Inc.";URI=x', "1"), ("1.2.3.4", "2")),)
    assert tell(Certificate("ab12", subject, ()), []) == (
        'Hash=ab12;Subject="RSADataSecurityInc.URIx=1+1.2.3.4=2"'
    )


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ('spiffe://td/a";DNS=b', '"spiffe://td/a%22;DNS=b"'),
        ("urn:a,Hash=1", '"urn:a,Hash=1"'),
        ("urn:a\\", "urn:a%5C"),
        ("urn:ü b\r\n", "urn:%C3%BC%20b%0D%0A"),
        ("http://a/?b=1", '"http://a/?b=1"'),
    ],
)
def test_a_hostile_uri_ends_no_element(uri: str, told: str) -> None:
    assert tell(named((URI, uri)), []) == f'Hash=ab12;Subject="";URI={told}'


def test_what_is_no_dns_name_is_not_told_as_one() -> None:
    hostile = ["a;URI=b", "a,Hash=c", 'a"', "a b", "a\0.evil", "", "ü.de", "a\n", "-"]
    assert tell(named(*((DNS, name) for name in hostile)), []) == 'Hash=ab12;Subject=""'


def test_what_is_told_has_a_bound_and_loses_whole_elements() -> None:
    many = named(*((DNS, f"host-{number}.example.com") for number in range(10_000)))
    told = tell(many, [])
    assert 8000 < len(told) <= 8192
    assert told.endswith(".example.com")
    huge = Certificate("ab12", ((("commonName", "x" * 10_000),),), ((DNS, "a.b"),))
    assert tell(huge, []) == "Hash=ab12"


def elements(told: str) -> list[tuple[str, str]]:
    """Read what is told; without escaped quotes in it, on which readers do not agree."""
    found, quoted, start = [], False, 0
    for place, letter in enumerate(told + ";"):
        if letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            key, _, value = told[start:place].partition("=")
            found.append((key, value.strip('"')))
            start = place + 1
    assert not quoted
    assert '\\"' not in told
    return found


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
attributes = st.tuples(st.sampled_from(["commonName", "organizationName", "x y;="]), texts)


@given(st.lists(st.lists(attributes, min_size=1)), st.lists(texts), st.lists(texts))
def test_no_value_forges_an_element(
    subject: list[list[tuple[str, str]]], uris: list[str], names: list[str]
) -> None:
    rdns = tuple(tuple(rdn) for rdn in subject)
    sans = (*((URI, uri) for uri in uris), *((DNS, name) for name in names))
    told = tell(Certificate("ab12", rdns, sans), ["urn:us"])
    assert told.isascii()
    assert told.isprintable()
    found = elements(told)
    assert found[:2] == [("By", "urn:us"), ("Hash", "ab12")]
    keys = [key for key, _ in found[2:]]
    assert keys[: 1 + len(uris)] == (["Subject"] + ["URI"] * len(uris))[: len(keys)]
    assert set(keys[1 + len(uris) :]) <= {"DNS"}
    for key, value in found[2:]:
        assert '"' not in value
        assert key != "DNS" or value in names
