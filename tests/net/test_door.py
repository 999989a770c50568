"""The door: who counts as one client, and how many may be inside."""

import asyncio
import errno
import socket

import pytest

from tests.support.waiting import until
from trailproxy.core.fault import Refusal
from trailproxy.net.door import Crowd, CrowdLimits, Door, client_of

ONE, OTHER = b"\xc0\0\2\1", b"\xc0\0\2\2"


# -- the crowd -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("192.0.2.1", 1), ("192.0.2.1", 2), True),
        (("192.0.2.1", 1), ("192.0.2.2", 1), False),
        (("2001:db8::1", 1, 0, 0), ("2001:db8::ffff:0:1", 1, 0, 0), True),
        (("2001:db8::1", 1, 0, 0), ("2001:db8:0:1::1", 1, 0, 0), False),
        (("::ffff:192.0.2.1", 1, 0, 0), ("192.0.2.1", 1), True),
        (("::ffff:192.0.2.1", 1, 0, 0), ("::ffff:192.0.2.2", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), ("fe80::2", 1, 0, 3), True),
        ("", "/run/client.sock", True),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(
    one: object, other: object, same: bool
) -> None:
    assert (client_of(one) == client_of(other)) is same


def test_one_address_has_its_share_and_leaves_the_rest_to_others() -> None:
    crowd, limits = Crowd(), CrowdLimits(most=3, most_of_one=2)
    for client in (ONE, ONE):
        assert crowd.refusal(client, limits) is None
        crowd.enters(client)
    assert crowd.refusal(ONE, limits) is Refusal.ADDRESS_LIMIT
    assert crowd.refusal(OTHER, limits) is None
    crowd.enters(OTHER)
    assert crowd.refusal(OTHER, limits) is Refusal.CONNECTION_LIMIT
    crowd.leaves(ONE)
    assert crowd.refusal(ONE, limits) is None


def test_who_has_no_address_counts_among_all_alone() -> None:
    crowd, limits = Crowd(), CrowdLimits(most=5, most_of_one=1)
    for _ in range(5):
        assert crowd.refusal(b"", limits) is None
        crowd.enters(b"")
    assert crowd.refusal(b"", limits) is Refusal.CONNECTION_LIMIT


def test_nothing_is_kept_of_who_is_gone() -> None:
    crowd = Crowd()
    for number in range(1000):
        client = number.to_bytes(4)
        crowd.enters(client)
        crowd.enters(client)
        crowd.leaves(client)
        assert len(crowd) == 1
        crowd.leaves(client)
    assert len(crowd) == 0


def test_any_number_may_be_let_in() -> None:
    crowd, limits = Crowd(), CrowdLimits(most=0, most_of_one=0)
    for _ in range(100_000):
        crowd.enters(ONE)
    assert crowd.refusal(ONE, limits) is None


# -- the door --------------------------------------------------------------------------------


class Street:
    """A listening socket, those who wait before it, and those who were let in."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.listening.setblocking(False)
        self.met: list[socket.socket] = []
        self.waiting: list[socket.socket] = []
        self.door = Door(self.listening, "here", lambda accepted, _: self.met.append(accepted))

    def comes(self, count: int) -> None:
        address = self.listening.getsockname()
        self.waiting += [socket.create_connection(address) for _ in range(count)]

    def close(self) -> None:
        self.door.close()
        for each in (self.listening, *self.met, *self.waiting):
            each.close()


async def test_a_crowd_is_let_in_a_part_at_a_time() -> None:
    street = Street()
    street.comes(100)
    street.door.let_in()
    assert len(street.met) == 64
    street.door.open()
    street.door.open()
    await until(lambda: len(street.met) == 100)
    street.close()


async def test_nobody_is_let_in_by_a_closed_door() -> None:
    street = Street()
    street.door.open()
    street.door.close()
    street.door.close()
    street.comes(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert street.met == []
    street.door.let_all_in()
    assert len(street.met) == 1
    street.close()


class Exhausted(socket.socket):
    """A socket of a process that has no descriptors left."""

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "Too many open files")


async def test_without_descriptors_the_door_is_closed_until_it_is_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    street = Street()
    poor = Exhausted(fileno=street.listening.fileno())
    door = Door(poor, "here", lambda accepted, _: street.met.append(accepted))
    street.comes(1)
    door.open()
    await until(lambda: bool(caplog.records))
    for _ in range(10):
        await asyncio.sleep(0)
    assert caplog.messages == ["listener here cannot accept: Too many open files"]
    door.open()
    await until(lambda: len(caplog.records) == 2)
    poor.detach()
    street.door.open()
    await until(lambda: len(street.met) == 1)
    street.close()
