"""The control channel: whole lines in their order, descriptors with them, and an end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.support.waiting import until
from trailproxy import control
from trailproxy.control import Answer, Channel, Ends, Order, Verb, make_ends
from trailproxy.net.loop import run


class End:
    """One side of a channel, and what it heard."""

    def __init__(self, ends: Ends) -> None:
        self.heard: list[bytes] = []
        self.lost = 0
        self.channel = Channel(ends, self.heard.append, self._lose)

    def _lose(self) -> None:
        self.lost += 1

    def orders(self) -> list[Order]:
        return [msgspec.json.decode(line, type=Order) for line in self.heard]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[End, End]]:
    """Both sides; all descriptors they held are gone behind them."""
    before = len(os.listdir("/proc/self/fd"))
    one, other = (End(ends) for ends in make_ends())
    yield one, other
    other.channel.close()
    one.channel.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_lines_come_whole_and_in_their_order(pair: tuple[End, End]) -> None:
    boss, worker = pair
    sent = [Order(number, Verb.READ) for number in range(100)]
    for order in sent:
        boss.channel.send(order)
    await until(lambda: len(worker.heard) == 100)
    assert worker.orders() == sent


async def test_a_line_larger_than_any_buffer_arrives_while_others_wait_behind_it(
    pair: tuple[End, End],
) -> None:
    boss, worker = pair
    large = Order(1, Verb.APPLY, settings={"text": "x" * 5_000_000})
    boss.channel.send(large)
    boss.channel.send(Order(2, Verb.READ))
    await until(lambda: len(worker.heard) == 2)
    assert worker.orders() == [large, Order(2, Verb.READ)]


async def test_a_descriptor_is_there_with_its_line(pair: tuple[End, End]) -> None:
    boss, worker = pair
    boss.channel.send(Order(1, Verb.APPLY, settings="x" * 5_000_000))  # the socket is full
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        names = [one.getsockname(), other.getsockname()]
        for listening in (one, other):
            boss.channel.send(Order(2, Verb.LISTEN), listening.fileno())
    await until(lambda: len(worker.heard) == 3)  # and the boss has closed his own by now
    for name in names:
        with socket.socket(fileno=worker.channel.take_descriptor()) as listening:
            assert listening.getsockname() == name


async def test_descriptors_that_nobody_took_or_sent_are_closed(pair: tuple[End, End]) -> None:
    boss, worker = pair
    boss.channel.send(Order(1, Verb.LISTEN), 0)
    await until(lambda: len(worker.heard) == 1)
    worker.channel.close()
    boss.channel.send(Order(2, Verb.LISTEN), 0)  # the fixture counts


async def test_the_last_words_are_heard_before_the_end(pair: tuple[End, End]) -> None:
    boss, worker = pair
    last = Answer(0, problems=("x" * 100_000,))
    worker.channel.send(last)
    worker.channel.close()
    await until(lambda: boss.lost == 1)
    assert [msgspec.json.decode(line, type=Answer) for line in boss.heard] == [last]
    worker.channel.send(last)  # to nobody
    boss.channel.send(Order(1, Verb.READ))
    await asyncio.sleep(0)
    assert boss.lost == 1


async def test_a_line_without_end_is_the_end_of_the_channel(
    pair: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, worker = pair
    monkeypatch.setattr(control, "_MAX_LINE", 100_000)
    boss.channel.send(Order(1, Verb.APPLY, settings="x" * 1_000_000))
    await until(lambda: worker.lost == 1)
    assert worker.heard == []


def test_a_side_that_goes_with_orders_unread_is_missed_on_the_loop_that_serves() -> None:
    async def part() -> None:
        ours, theirs = make_ends()
        boss = End(ours)
        boss.channel.send(Order(1, Verb.DRAIN))  # too late: it ends by itself
        theirs.saying.send(b"last words\n")
        theirs.close()
        await until(lambda: boss.lost == 1)
        assert boss.heard == [b"last words"]
        boss.channel.close()

    run(part())
