"""Turns: nobody is forgotten, and a large body keeps no small one waiting."""

from tests.support.codec import CODEC
from tests.support.frames import settings_frame, window_update
from tests.support.parts import data, head, request, reset
from tests.support.table import WIDE, Table
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.lane import Lane
from trailproxy.core.record import Tally
from trailproxy.core.stream import Owner
from trailproxy.core.turns import QUANTUM, Turns
from trailproxy.wire import Role, make_codec
from trailproxy.wire.events import DataReceived
from trailproxy.wire.fields import Fields


def _departures(connection: Connection, table: Table) -> list[tuple[int, int]]:
    """Give every lane its turn; return who sent how much, frame by frame."""
    connection.writable = True
    connection.take_turns()
    octets = connection.codec.take_output()
    events = table.client.codec.receive(octets)
    return [(e.sid, len(e.data)) for e in events if isinstance(e, DataReceived)]


def _answers(connection: Connection, octets: bytes) -> list[tuple[int, int]]:
    """Let the peer say something; return what body departs for it, frame by frame."""
    connection.receive(octets)
    octets, found = connection.codec.take_output(), []
    while octets:
        size = int.from_bytes(octets[:3], "big")
        if octets[3] == 0:
            found.append((int.from_bytes(octets[5:9], "big"), size))
        octets = octets[9 + size :]
    return found


def test_a_small_body_does_not_wait_for_a_large_one() -> None:
    table = Table()
    client, server = table.client, table.server
    large = client.opens(request(end=True))
    small = client.opens(request(end=True))
    client.core.writable = False
    server.says(head(200), data(b"L" * 200_000), sid=large)
    server.says(head(200), data(b"s" * 10, end=True), sid=small)
    departed = _departures(client.core, table)
    before = sum(size for _, size in departed[: departed.index((small, 10))])
    assert before == QUANTUM
    assert sum(size for sid, size in departed if sid == large) == 200_000


def test_large_bodies_take_turns() -> None:
    table = Table()
    client, server = table.client, table.server
    sids = [client.opens(request(end=True)) for _ in range(3)]
    client.core.writable = False
    for sid in sids:
        server.says(head(200), data(b"x" * 3 * QUANTUM, end=True), sid=sid)
    departed = _departures(client.core, table)
    assert departed == [(sid, QUANTUM) for _ in range(3) for sid in sids]


def test_a_stalled_lane_is_counted_once_and_goes_on_when_its_window_opens() -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    server.says(head(200), data(b"abcdef"), data(b"ghi", end=True))
    assert table.tallies[Side.DOWNSTREAM].stalls == 1
    client.grants(3)
    client.grants(3)
    client.hears(head(200), data(b"abcdefghi", end=True))
    table.is_clean()


def test_who_waits_for_its_own_window_is_served_when_settings_open_it() -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    sid = client.opens(request(end=True))
    server.says(head(200), data(b"abcdef", end=True))
    assert _answers(client.core, settings_frame(initial_window_size=5)) == [(sid, 2)]
    assert _answers(client.core, settings_frame(initial_window_size=6)) == [(sid, 1)]


def test_who_waited_for_its_own_window_waits_for_the_connections_next() -> None:
    table = Table(client_window=65_535, client_connection_window=65_535)
    client, server = table.client, table.server
    client.holds = True
    first, second = client.opens(request(end=True)), client.opens(request(end=True))
    server.says(head(200), data(b"a" * 65_000), sid=first)
    client.core.receive(settings_frame(initial_window_size=65_000))
    server.says(data(b"a" * 10), sid=first)
    server.says(head(200), data(b"b" * 536, end=True), sid=second)
    assert _answers(client.core, window_update(first, 9)) == []
    assert _answers(client.core, window_update(0, 20)) == [(second, 1), (first, 9)]
    assert _answers(client.core, window_update(first, 1)) == [(first, 1)]


def test_who_finds_the_connection_used_up_has_the_next_turn() -> None:
    table = Table(client_window=65_535, client_connection_window=65_535)
    client, server = table.client, table.server
    client.holds = True
    sids = [client.opens(request(end=True)) for _ in range(3)]
    server.says(head(200), data(b"a" * 65_535, end=True), sid=sids[0])
    for sid in sids[1:]:
        server.says(head(200), data(b"b" * 1000, end=True), sid=sid)
    assert _answers(client.core, window_update(0, 100)) == [(sids[1], 100)]
    assert _answers(client.core, window_update(0, 200)) == [(sids[2], 200)]


def test_a_socket_that_is_full_keeps_everybody_waiting() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    client.core.writable = False
    server.says(head(200), data(b"x", end=True))
    client.core.take_turns()
    table.settle()
    client.hears(head(200))
    client.core.writable = True
    client.core.take_turns()
    table.settle()
    client.hears(data(b"x", end=True))


def test_a_stream_that_is_over_leaves_the_line() -> None:
    table = Table()
    client, server = table.client, table.server
    first, second = client.opens(request(end=True)), client.opens(request(end=True))
    client.core.writable = False
    for sid in (first, second):
        server.says(head(200), data(b"x", end=True), sid=sid)
    client.says(reset(), sid=first)
    client.core.writable = True
    client.core.take_turns()
    table.settle()
    client.hears(head(200), sid=first)
    client.hears(head(200), data(b"x", end=True), sid=second)
    table.is_clean()


def test_leaving_and_calling_are_no_error_for_those_who_do_not_stand_in_line() -> None:
    turns, lane = _turns(Tally()), Lane(_Nobody(), None, Tally())
    turns.leave(None)
    turns.leave(lane)
    turns.call(None)
    turns.call(lane)
    turns.go_round()


def test_standing_in_line_twice_is_one_stall() -> None:
    tally = Tally()
    turns, lane = _turns(tally), Lane(_Nobody(), None, Tally())
    turns.wait(lane, 1, writable=False)
    turns.wait(lane, 1, writable=True)
    assert tally.stalls == 1
    turns.clear()
    turns.wait(lane, 1, writable=False)
    assert tally.stalls == 2


def _turns(tally: Tally) -> Turns:
    return Turns(tally, make_codec(CODEC, Role.SERVER, WIDE))


class _Nobody(Owner):
    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        raise AssertionError("no part comes here")

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        raise AssertionError("no part comes here")

    def trailers_lost(self, lane: Lane) -> None:
        raise AssertionError("no part comes here")

    def lane_done(self, lane: Lane) -> None:
        raise AssertionError("no part comes here")
