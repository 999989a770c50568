"""Floods by a client: its connection ends, by name, at a bounded cost and nobody else's."""

import pytest

from tests.support import frames
from tests.support.floods import ON_STREAMS, ON_THE_CONNECTION, Flood
from tests.support.frames import POST, Scribe, raw
from tests.support.scripted_peer import Peer
from tests.support.siege import Siege
from tests.support.stage import DROPS
from trailproxy.wire.errors import ErrorCode

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CALM = ErrorCode.ENHANCE_YOUR_CALM
GOAWAYS = ("goaways_total", "side", "direction", "code")
RESETS = ("stream_resets_total", "side", "initiator", "cause")
OPEN = 200  # streams


@pytest.mark.parametrize("flood", ON_THE_CONNECTION.values(), ids=ON_THE_CONNECTION)
def test_a_flood_of_frames_ends_its_connection_and_names_itself(siege: Siege, flood: Flood) -> None:
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        sids = range(1001, 1001 + 2 * OPEN, 2)  # each is one more to be looked at
        client.pour(b"".join([scribe.headers(sid, POST) for sid in sids]))
        client.settle()
        client.pour(b"".join(flood(scribe)))
        client.wait_closed()
    assert [code for _, code in client.goaways] == [CALM]
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("downstream", "flood", "all"): OPEN}
    assert toll.gained(*GOAWAYS)["downstream", "sent", CALM.name] == 1


@pytest.mark.parametrize("flood", ON_STREAMS.values(), ids=ON_STREAMS)
def test_a_flood_of_streams_ends_its_connection(siege: Siege, flood: Flood) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        client.pour(b"".join(flood(Scribe())))
        client.wait_closed()
    assert [code for _, code in client.goaways] == [CALM]
    assert toll.gained is not None
    assert toll.gained(*GOAWAYS) == {("downstream", "sent", CALM.name): 1}


def test_a_field_block_goes_on_with_its_own_frames(siege: Siege) -> None:
    with siege.laid(), Peer.connect(siege.proxy.address) as client:
        client.pour(raw(1, 0, 1, b"\x82") + raw(1, 0, 3, b"\x82") + raw(9, 4, 1, b"\x84"))
        client.wait_closed()
    assert [code for _, code in client.goaways] == [ErrorCode.PROTOCOL_ERROR]


def test_a_broken_connection_is_named_as_well(siege: Siege) -> None:
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        client.pour(scribe.headers(1, POST) + frames.window_update(0, 2**31 - 1))
        client.wait_closed()
    assert [code for _, code in client.goaways] == [ErrorCode.FLOW_CONTROL_ERROR]
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("downstream", "client_protocol", "all"): 1}


def test_what_provokes_resets_is_named(siege: Siege) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        client.pour(b"".join(ON_STREAMS["malformed heads"](Scribe())))
        client.wait_closed()
    assert toll.gained is not None
    assert toll.gained(*RESETS) == {("downstream", "proxy", "client_protocol"): 501}
