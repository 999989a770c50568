"""Remedies: what is said behind the reason why an address cannot be had."""

import errno
import os
import socket

import pytest

from trailproxy.core.address import Address, parse_address
from trailproxy.net.remedy import remedy

HTTP = parse_address("127.0.0.1:80")
HIGH = parse_address("127.0.0.1:8080")
PATH = parse_address("unix:/run/app.sock")


@pytest.mark.parametrize(
    ("address", "number", "said"),
    [
        (HIGH, errno.EADDRINUSE, "ss -ltnp"),
        (HIGH, errno.EADDRNOTAVAIL, "0.0.0.0"),
        (HTTP, errno.EACCES, "CAP_NET_BIND_SERVICE"),
        (PATH, errno.EADDRINUSE, "another path"),
        (PATH, errno.ENOENT, "make the folder first"),
        (PATH, errno.EACCES, "write to"),
    ],
)
def test_what_can_be_done_is_said(address: Address, number: int, said: str) -> None:
    told = remedy(address, OSError(number, os.strerror(number)))
    assert told.startswith("; ")
    assert said in told
    assert "\n" not in told


def test_a_name_that_nobody_knows_is_no_address() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "look up" in remedy(parse_address("nowhere.invalid:80"), error)


@pytest.mark.parametrize(
    ("address", "number"), [(HIGH, errno.EACCES), (HIGH, errno.EIO), (PATH, errno.EIO)]
)
def test_where_there_is_nothing_to_say_nothing_is_said(address: Address, number: int) -> None:
    assert remedy(address, OSError(number, "")) == ""
