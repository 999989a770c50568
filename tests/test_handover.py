"""Handover: what is handed over, what is not, and what a peer that is no heir can do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.waiting import until
from trailproxy.build import BindError
from trailproxy.core.address import Address
from trailproxy.handover import Heritage, Loan, Succession

SEAT = (Address("127.0.0.1", 8080), "")


class Estate:
    """Who holds one listening socket."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.lent: list[socket.socket] = []
        self.handed_over = False

    def lend(self) -> list[Loan]:
        self.lent.append(self.socket.dup())
        return [Loan(SEAT, self.lent[-1], shared=True)]

    async def settled(self) -> None:
        """It serves from the start."""

    def hand_over(self) -> None:
        self.handed_over = True


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "handover.sock")


@asynccontextmanager
async def offered(place: str) -> AsyncIterator[Estate]:
    """Somebody who is at the place, and holds a socket."""
    estate, succession = Estate(), Succession(place, {})
    succession.begin(estate)
    await until(Path(place).exists)
    yield estate
    succession.close()
    estate.socket.close()


async def succeed(place: str) -> Succession:
    """Come after who is there; it needs its loop meanwhile."""
    return await asyncio.to_thread(Succession, place, {})


async def test_the_socket_itself_goes_to_who_comes_after(place: str) -> None:
    async with offered(place) as estate:
        after = await succeed(place)
        loan = after.heritage.take(SEAT)
        assert loan is not None
        assert loan.shared
        assert loan.socket.getsockname() == estate.socket.getsockname()
        assert not estate.handed_over
        heir = Estate()
        after.begin(heir)
        await until(lambda: estate.handed_over)
        assert [lent.fileno() for lent in estate.lent] == [-1]  # closed: the copy is across
        loan.socket.close()
        after.close()
        heir.socket.close()


async def test_a_peer_that_is_no_heir_changes_nothing(place: str) -> None:
    async with offered(place) as estate:
        for word in (b"", b"something else", b"x" * 5000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
                stranger.connect(place)
                stranger.sendall(word)
            await until(lambda: estate.lent and estate.lent[-1].fileno() == -1)
            estate.lent.clear()
        assert not estate.handed_over


async def test_the_place_is_free_again_when_nobody_is_to_come(place: str) -> None:
    async with offered(place):
        pass
    assert not Path(place).exists()  # noqa: ASYNC240 - the place is of this test alone


async def test_who_is_there_and_hands_nothing_over_is_no_predecessor(place: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(place)
        other.listen()
        coming = asyncio.ensure_future(succeed(place))
        accepted, _ = await asyncio.to_thread(other.accept)
        accepted.close()
        with pytest.raises(BindError, match="hands no sockets over"):
            await coming


def test_a_place_in_no_folder_is_named() -> None:
    with pytest.raises(BindError, match="handover: /no/such/x: there is no such folder"):
        Succession("/no/such/x", {})


def test_descriptors_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "OTHER": "kept"}
    assert Succession(None, environ).heritage.close() == []
    assert environ == {"OTHER": "kept"}


def test_what_nobody_takes_is_closed_and_named() -> None:
    estate = Estate()
    heritage = Heritage(estate.lend())
    assert heritage.take((SEAT[0], "another")) is None
    assert heritage.close() == [SEAT[0]]
    assert estate.lent[0].fileno() == -1
    assert heritage.take(SEAT) is None
    estate.socket.close()
