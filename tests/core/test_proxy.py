"""Proxy: what all connections share."""

from tests.support.table import Table


def test_all_connections_of_a_client_are_one_hop() -> None:
    proxy = Table().proxy
    first = proxy.hop("192.0.2.1", "http")
    assert proxy.hop("192.0.2.1", "http") is first
    assert proxy.hop("192.0.2.1", "https") is not first
    assert proxy.hop("192.0.2.2", "http") is not first


def test_the_hops_of_many_clients_are_forgotten_and_found_again() -> None:
    proxy = Table().proxy
    for number in [*range(1100), 1]:
        hop = proxy.hop(f"2001:db8::{number:x}", "https")
        assert (hop.peer, hop.scheme) == (f"2001:db8::{number:x}", "https")
