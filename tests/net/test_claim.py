"""Claims: an address that is shared among ourselves, and with nobody else."""

import socket
from pathlib import Path

import pytest

from trailproxy.core.address import Address
from trailproxy.net.claim import Claim
from trailproxy.net.listener import ListenError


def dial(address: Address) -> socket.socket:
    """Connect as a client."""
    if address.is_unix:
        client = socket.socket(socket.AF_UNIX)
        client.connect(address.path)
        return client
    return socket.create_connection((address.host, address.port))


def test_sockets_of_one_claim_share_a_port() -> None:
    claim = Claim(Address("127.0.0.1", 0))
    with claim.listening() as one, claim.listening() as other:
        assert one.getsockname() == other.getsockname()
        with dial(claim.address):
            pass
    claim.close()


def test_a_claim_without_listening_sockets_keeps_the_port_and_takes_nobody() -> None:
    claim = Claim(Address("127.0.0.1", 0))
    with pytest.raises(ConnectionRefusedError):
        dial(claim.address)
    where = (claim.address.host, claim.address.port)
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(where)
        claim.close()
        other.bind(where)


def test_a_port_that_another_would_share_is_in_use_all_the_same() -> None:
    other = Claim(Address("127.0.0.1", 0))
    with other.listening(), pytest.raises(ListenError, match=f"{other.address}: .* in use"):
        Claim(other.address)
    other.close()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80: "):
        Claim(Address("192.0.2.1", 80))


def test_a_unix_path_has_one_socket_for_all_and_is_removed_at_the_end(tmp_path: Path) -> None:
    address = Address(path=str(tmp_path / "app.sock"))
    claim = Claim(address)
    with claim.listening() as one:
        one.close()
        with dial(address), claim.listening() as other:
            other.accept()[0].close()
    with pytest.raises(ListenError, match="in use"):
        Claim(address)
    claim.close()
    assert not (tmp_path / "app.sock").exists()
