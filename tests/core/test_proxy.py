"""Proxy: what all connections share."""

from tests.support.table import Table
from trailproxy.core.message import Forwarding


def test_all_connections_of_a_client_are_one_hop() -> None:
    proxy = Table().proxy
    first = proxy.hop("192.0.2.1", "http")
    assert proxy.hop("192.0.2.1", "http") is first
    assert proxy.hop("192.0.2.1", "https") is not first
    assert proxy.hop("192.0.2.2", "http") is not first


def test_a_client_with_another_certificate_is_another_hop() -> None:
    proxy = Table().proxy
    first = proxy.hop("192.0.2.1", "https", b"Hash=1", Forwarding.SET)
    assert proxy.hop("192.0.2.1", "https", b"Hash=1", Forwarding.SET) is first
    others = [(b"Hash=2", Forwarding.SET), (b"Hash=1", Forwarding.APPEND)]
    assert all(proxy.hop("192.0.2.1", "https", *other) is not first for other in others)


def test_the_hops_of_many_clients_are_forgotten_and_found_again() -> None:
    proxy = Table().proxy
    for number in [*range(1100), 1]:
        hop = proxy.hop(f"2001:db8::{number:x}", "https")
        assert (hop.peer, hop.scheme) == (f"2001:db8::{number:x}", "https")
