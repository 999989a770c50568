"""Addresses are read, written back, and refused with a reason."""

import pytest

from trailproxy.core.address import Address, parse_address, parse_endpoint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9901", Address("127.0.0.1", 9901)),
        ("app.example_1.com:0", Address("app.example_1.com", 0)),
        ("localhost.:65535", Address("localhost.", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("unix:/run/a:b.sock", Address(path="/run/a:b.sock")),
    ],
)
def test_an_address_is_read_and_written_back(text, address):
    assert parse_address(text) == address
    assert str(address) == text


def test_two_spellings_of_an_ipv6_address_are_one():
    assert parse_address("[0:0:0::1]:80") == parse_address("[::1]:80")


def test_only_a_path_makes_a_unix_socket():
    assert parse_address("unix:/run/app.sock").is_unix
    assert not parse_address("localhost:80").is_unix


@pytest.mark.parametrize(
    ("text", "is_ip"),
    [("127.0.0.1:80", True), ("[::1]:80", True), ("localhost:80", False), ("1.example:80", False)],
)
def test_an_ip_address_needs_no_resolving(text, is_ip):
    assert parse_address(text).is_ip is is_ip


def test_a_resolved_address_remembers_its_name():
    resolved = parse_address("app.local:80").resolved("10.0.0.7")
    assert (str(resolved), resolved.name, resolved.is_ip) == ("10.0.0.7:80", "app.local", True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the port is missing: write host:port"),
        ("localhost", "the port is missing: write host:port"),
        ("[::1]", "the port is missing: write host:port"),
        ("localhost:", "an address is host:port, [v6]:port or unix:/path"),
        ("localhost:http", "an address is host:port, [v6]:port or unix:/path"),
        ("localhost:80\n", "an address is host:port, [v6]:port or unix:/path"),
        ("http://localhost:80", "an address has no scheme: write host:port"),
        ("/run/app.sock", "a unix socket is written unix:/run/app.sock"),
        ("::1:80", "an IPv6 address stands in brackets, as in [::1]:8080"),
        ("localhost:65536", "port 65536 is above 65535"),
        (":80", "the host is missing; 0.0.0.0 means every IPv4 address, [::] every IPv6"),
        ("[::x]:80", "'::x' is not an IPv6 address"),
        ("256.0.0.1:80", "'256.0.0.1' is not an IPv4 address"),
        ("a b:80", "'a b' is not a host name"),
        ("a..b:80", "'a..b' is not a host name"),
        ("a" * 254 + ":80", f"'{'a' * 254}' is not a host name"),
        ("unix:", "the path of a unix socket must begin with /, as in unix:/run/app.sock"),
        ("unix:a.sock", "the path of a unix socket must begin with /, as in unix:/run/app.sock"),
        ("unix:/a\0", "the path of a unix socket cannot hold NUL"),
        ("unix:/" + "é" * 54, "the path of a unix socket has 107 octets at most"),
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(text, why):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole text is compared
        parse_address(text)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a.test:80", Address("a.test", 80)),
        ("unix:/run/a.sock", Address(path="/run/a.sock")),
        ("srv:_grpc._tcp.a.test", Address("_grpc._tcp.a.test", is_service=True)),
        ("k8s:shop/app:grpc", Address("app", namespace="shop", port_name="grpc")),
        ("k8s:shop/10:8080", Address("10", 8080, namespace="shop")),
    ],
)
def test_an_endpoint_is_an_address_or_a_service(text: str, address: Address) -> None:
    assert parse_endpoint(text) == address
    assert str(address) == text
    assert not address.is_ip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.test:0", "an endpoint needs a port that is not 0"),
        ("srv:", "the host is missing"),
        ("srv:a b", "'a b' is not a host name"),
        ("a.test", "the port is missing"),
        ("k8s:shop/app", "are written k8s:NAMESPACE/SERVICE:PORT, where the port is a name or"),
        ("k8s:app:grpc", "are written k8s:NAMESPACE/SERVICE:PORT"),
        ("k8s:Shop/app:grpc", "are written k8s:NAMESPACE/SERVICE:PORT"),
        ("k8s:shop/app-:grpc", "are written k8s:NAMESPACE/SERVICE:PORT"),
        (f"k8s:shop/{'a' * 64}:grpc", "are written k8s:NAMESPACE/SERVICE:PORT"),
        ("k8s:shop/app:grpc\n", "are written k8s:NAMESPACE/SERVICE:PORT"),
        ("k8s:shop/app:0", "an endpoint needs a port that is not 0"),
        ("k8s:shop/app:65536", "port 65536 is above 65535"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("address", "authority"),
    [
        (Address("192.0.2.1", 80), "192.0.2.1:80"),
        (Address("a.test", 80).resolved("2001:db8::1"), "a.test:80"),
        (Address(path="/run/a.sock"), "localhost"),
    ],
)
def test_a_request_to_an_address_names_it(address: Address, authority: str) -> None:
    assert address.authority == authority
