"""Windows and body: little by little, in masses, or not at all.

What is lawful is borne for as long as it lasts, at no more than honest octets cost; what
waits meanwhile weighs about what its window says.
"""

import time
from collections.abc import Callable

import pytest

from tests.support import frames
from tests.support.frames import OK, POST, Scribe
from tests.support.raid import Raid
from tests.support.scripted_peer import Origin, Peer
from tests.support.siege import Siege
from tests.support.stage import DROPS
from trailproxy.wire.errors import ErrorCode

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Opens = Callable[[int], Raid]
WAITING = 240  # streams
TINY = 120_000  # octets of body, each in a frame of its own
LIGHT = 5 * 1024 * 1024  # octets; unjoined they would weigh 64 times what they are


def all_wait_for_the_connection(waiting: int) -> Raid:
    """Let a client's connection have no window left, and so many lanes wait for it."""
    raid = Raid()
    write = raid.server.scribe.headers
    for _ in range(65 + waiting):
        _, up = raid.asks()
        raid.server.says(write(up, OK), frames.data(up, bytes(1000)))
    raid.client.says(frames.window_update(0, 1000 - 535))
    assert sum(raid.client.bodies.values()) == 66_000
    return raid


def all_wait_for_their_streams(waiting: int) -> Raid:
    """Let every stream of a client have no window, and so many lanes wait."""
    raid = Raid()
    raid.client.says(frames.settings_frame(initial_window_size=0))
    write = raid.server.scribe.headers
    for _ in range(waiting):
        _, up = raid.asks()
        raid.server.says(write(up, OK), frames.data(up, bytes(1000)))
    assert raid.client.bodies == {}
    return raid


def cost_of_drops(raid: Raid) -> float:
    """Open the client's connection by an octet, a read each time; return the CPU seconds."""
    core, octets = raid.client.core, frames.window_update(0, 1)
    began = time.process_time()
    for _ in range(300):
        core.receive(octets)
        core.codec.take_output()
    assert core.fault is None
    return time.process_time() - began


@pytest.mark.parametrize("wait", [all_wait_for_the_connection, all_wait_for_their_streams])
def test_a_drop_costs_as_much_where_hundreds_wait_as_where_a_few_do(wait: Opens) -> None:
    few = min(cost_of_drops(wait(6)) for _ in range(3))
    many = min(cost_of_drops(wait(180)) for _ in range(3))
    assert many < 6 * few


def test_a_connection_that_opens_octet_by_octet(siege: Siege) -> None:
    """Each octet lets one lane go on: hundreds wait, and need not look."""
    with siege.laid() as toll, Peer.connect(siege.proxy.address, pays=False) as client:
        sids = [client.request(path="/bytes/10000") for _ in range(WAITING)]
        heard = client.streams.values
        client.wait(lambda: sum(len(m.body) for m in heard()) == 65_535, "all that may come")
        client.settle()
        toll.octets = client.drip(0, 10_000)
        client.wait(lambda: sum(len(m.body) for m in heard()) == 75_535, "what was let in")
        for sid in sids:
            client.reset(sid)
        client.settle()


def test_a_stream_that_opens_octet_by_octet(siege: Siege) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address, window=0, pays=False) as client:
        sid = client.request(path="/bytes/10000")
        toll.octets = client.drip(sid, 10_000)
        assert len(client.response(sid).body) == 10_000


def test_a_connection_that_opens_while_all_wait_for_their_streams(siege: Siege) -> None:
    """It is a flood, as nothing comes of it; and nobody looks for room that was always there."""
    with siege.laid() as toll, Peer.connect(siege.proxy.address, window=0) as client:
        for _ in range(WAITING):
            client.request(path="/bytes/10000")
        client.settle()
        client.drip(0, 20_000)
        client.wait_closed()
    assert [code for _, code in client.goaways] == [ErrorCode.ENHANCE_YOUR_CALM]
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("downstream", "flood", "all"): WAITING}


def test_a_request_octet_by_octet_weighs_what_it_is(siege: Siege, hostile: Origin) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        toll.memory = LIGHT
        sid = client.open(path="/hostile")
        upstream = hostile.accept(window=0)
        up = upstream.next_request()
        toll.octets = client.pour(frames.data(sid, b"x") * TINY)
        client.settle()
        assert siege.proxy.metrics().total("parked_bytes", side="downstream") == TINY
        upstream.grant(up, TINY)
        upstream.grant(0, TINY)
        upstream.wait_body(up, TINY)
        client.reset(sid)
        upstream.wait_reset(up)


def test_a_response_octet_by_octet_weighs_what_it_is(siege: Siege, hostile: Origin) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address, window=0) as client:
        toll.memory = LIGHT
        sid = client.request(path="/hostile")
        upstream = hostile.accept()
        up = upstream.next_request()
        upstream.answer(up)
        toll.octets = upstream.pour(frames.data(up, b"x") * TINY)
        upstream.settle()
        assert siege.proxy.metrics().total("parked_bytes", side="upstream") == TINY
        client.grant(sid, TINY)
        client.grant(0, TINY)
        client.wait_body(sid, TINY)
        upstream.data(up, b"", end=True)
        assert client.response(sid).ended


def test_body_that_is_mostly_padding(siege: Siege) -> None:
    """One octet and 255 of padding to a frame: the window pays for both, and is paid."""
    burst, cost = frames.data(1, b"x", pad=255) * 500, 500 * 257
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        client.pour(scribe.headers(1, POST))
        for _ in range(20):
            client.wait(lambda: client.sendable(1) >= cost, "room for as much again")
            client.spend(1, cost)
            toll.octets += client.pour(burst)
        client.pour(frames.data(1, b"", end=True))
        assert b'"bytes": 10000' in client.response(1).body


def test_a_client_that_opens_no_window_is_given_up(siege: Siege, hostile: Origin) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address, window=0) as client:
        sid = client.request(path="/hostile/hasty")
        upstream = hostile.accept()
        up = upstream.next_request()
        upstream.answer(up)
        upstream.data(up, bytes(100_000), end=True)
        assert client.wait_reset(sid) == ErrorCode.INTERNAL_ERROR
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("downstream", "idle_timeout", "hasty"): 1}


def test_an_upstream_that_opens_no_window_is_given_up(siege: Siege, hostile: Origin) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        sid = client.open(path="/hostile/hasty")
        upstream = hostile.accept(window=0)
        up = upstream.next_request()
        client.data(sid, bytes(100_000))
        assert client.response(sid).status == "504"
        assert upstream.wait_reset(up) == ErrorCode.CANCEL
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "idle_timeout", "hasty"): 1}
