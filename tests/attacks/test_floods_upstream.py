"""Floods by an upstream: its connection ends, its clients are told, and nobody else feels it."""

import pytest

from tests.support import frames
from tests.support.floods import ON_THE_CONNECTION, Flood, again
from tests.support.frames import OK, Scribe, raw, rst
from tests.support.scripted_peer import Origin, Peer
from tests.support.siege import Siege
from tests.support.stage import DROPS
from trailproxy.wire.errors import ErrorCode

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CALM = ErrorCode.ENHANCE_YOUR_CALM
WAITING = 20  # requests without an answer


class Scene:
    """Clients of the hostile upstream, and the upstream."""

    def __init__(self, siege: Siege, hostile: Origin, waiting: int = WAITING) -> None:
        self.client = Peer.connect(siege.proxy.address)
        self.sids = [self.client.request(path="/hostile") for _ in range(waiting)]
        self.upstream = hostile.accept()
        self.taken = [self.upstream.next_request() for _ in range(waiting)]
        self.scribe = Scribe()

    def answers(self, up: int, *, end: bool) -> None:
        """Begin a response, or give all of it."""
        self.upstream.pour(self.scribe.headers(up, OK, end=end))
        self.upstream.settle()

    def all_hear_themselves(self) -> None:
        """Check that each client that waits gets the upstream's answer."""
        for sid in self.sids:
            message = self.client.response(sid)
            assert (message.status, message.ended) == ("200", True)
        self.client.close()

    def all_hear(self, status: str) -> None:
        """Check that each client that waits gets an answer of ours, which says who failed."""
        for sid in self.sids:
            message = self.client.response(sid)
            assert (message.status, message.ended) == (status, True)
            assert (message.field("proxy-status") or "").startswith("trailproxy; error=")
        self.client.close()


def is_served_again(siege: Siege, hostile: Origin) -> None:
    """Check that the upstream is dialled anew, and may do better."""
    scene = Scene(siege, hostile, waiting=1)
    scene.answers(scene.taken[0], end=True)
    assert scene.client.response(scene.sids[0]).status == "200"
    scene.client.close()


@pytest.mark.parametrize("flood", ON_THE_CONNECTION.values(), ids=ON_THE_CONNECTION)
def test_a_flood_of_frames_ends_its_connection_and_is_answered_for(
    siege: Siege, hostile: Origin, flood: Flood
) -> None:
    with siege.laid() as toll:
        scene = Scene(siege, hostile)
        scene.upstream.pour(b"".join(flood(scene.scribe)))
        scene.upstream.wait_closed()
        scene.all_hear("502")
    assert [code for _, code in scene.upstream.goaways] == [CALM]
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "flood", "hostile"): WAITING}
    is_served_again(siege, hostile)


def late(octets: bytes) -> Flood:
    """Say something of stream 1 over and over."""
    return again(octets, 5000)


BEHIND_THE_END = {
    "DATA": late(frames.data(1, b"x")),
    "empty DATA": late(frames.data(1, b"")),
    "trailers": late(raw(1, 5, 1, b"\0\1a\1b")),
    "RST_STREAM": late(rst(1)),
    "WINDOW_UPDATE": late(frames.window_update(1, 1) * 10),
}


@pytest.mark.parametrize("flood", BEHIND_THE_END.values(), ids=BEHIND_THE_END)
def test_a_flood_behind_a_whole_response_takes_nothing_from_it(
    siege: Siege, hostile: Origin, flood: Flood
) -> None:
    with siege.laid() as toll:
        scene = Scene(siege, hostile)
        scene.answers(scene.taken[0], end=True)
        scene.upstream.pour(b"".join(flood(scene.scribe)))
        scene.upstream.wait_closed()
        whole = scene.client.response(scene.sids.pop(0))
        assert (whole.status, whole.ended) == ("200", True)
        scene.all_hear("502")
    assert [code for _, code in scene.upstream.goaways] == [CALM]
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "flood", "hostile"): WAITING - 1}
    is_served_again(siege, hostile)


def test_empty_data_in_a_response_is_a_flood(siege: Siege, hostile: Origin) -> None:
    with siege.laid() as toll:
        scene = Scene(siege, hostile)
        scene.answers(scene.taken[0], end=False)
        scene.upstream.pour(frames.data(1, b"") * 5000)
        scene.upstream.wait_closed()
        cut = scene.client.response(scene.sids.pop(0))
        assert (cut.status, cut.ended, cut.reset) == ("200", False, ErrorCode.INTERNAL_ERROR)
        scene.all_hear("502")
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "flood", "hostile"): WAITING}


@pytest.mark.parametrize(("count", "size"), [(100, 10), (32, 3900)], ids=["many", "large"])
def test_interim_heads_in_masses_cost_their_stream(
    siege: Siege, hostile: Origin, count: int, size: int
) -> None:
    """Each is passed on, so they have a bound, in number and in octets."""
    early = [(":status", "103"), *[("link", "x" * size)] * 4]
    with siege.laid() as toll:
        scene = Scene(siege, hostile)
        write = scene.scribe.headers
        scene.upstream.pour(b"".join([write(scene.taken[0], early) for _ in range(count)]))
        message = scene.client.response(scene.sids.pop(0))
        assert (message.status, message.ended) == ("502", True)
        assert len(message.interim) <= 32
        assert sum(len(value) for head in message.interim for _, value in head) < 1 << 16
        for up in scene.taken[1:]:
            scene.answers(up, end=True)
        scene.all_hear_themselves()
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "upstream_protocol", "hostile"): 1}


BROKEN = {
    "a push": raw(5, 4, 1, b"\0\0\0\2\x82"),
    "an answer to nothing": raw(1, 5, 999, b"\x88"),
    "DATA on nothing": frames.data(999, b"x"),
    "a reset of nothing": rst(999),
    "HEADERS on an even stream": raw(1, 5, 2, b"\x88"),
    "window overflow": frames.window_update(0, 2**31 - 1),
    "a block on two streams": raw(1, 0, 1, b"\x88") + raw(9, 4, 3, b""),
    "an undecodable block": raw(1, 5, 1, b"\xff\xff\xff\xff\xff"),
    "a frame too large": raw(0, 0, 1, bytes(16_385)),
}


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN)
def test_a_broken_connection_is_answered_for_and_named(
    siege: Siege, hostile: Origin, octets: bytes
) -> None:
    with siege.laid() as toll:
        scene = Scene(siege, hostile)
        scene.upstream.pour(octets)
        scene.upstream.wait_closed()
        scene.all_hear("502")
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", "upstream_protocol", "hostile"): WAITING}
    is_served_again(siege, hostile)
