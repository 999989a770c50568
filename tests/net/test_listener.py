"""Listeners: an address is taken or named, and a stale socket is no obstacle."""

import socket
from pathlib import Path

import pytest

from tests.support.table import Notebook
from trailproxy.core.address import Address
from trailproxy.core.record import Tally
from trailproxy.net.listener import Listener, ListenError


def _listener(address: Address) -> Listener:
    return Listener(address, Notebook(), Tally())


def test_a_free_port_is_taken_and_told() -> None:
    listener = _listener(Address("127.0.0.1", 0))
    listener.bind()
    assert listener.port > 0
    assert str(listener.bound_to) == f"127.0.0.1:{listener.port}"
    listener.close()


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ListenError, match=f"{address}: Address already in use"):
            _listener(address).bind()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80: "):
        _listener(Address("192.0.2.1", 80)).bind()


def test_a_stale_unix_socket_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    listener = _listener(Address(path=str(path)))
    listener.bind()
    listener.close()
    assert not path.exists()


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(ListenError, match=str(path)):
            _listener(Address(path=str(path))).bind()
    assert path.exists()


def test_a_plain_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(ListenError, match=str(path)):
        _listener(Address(path=str(path))).bind()
    assert path.read_text() == "mine"
