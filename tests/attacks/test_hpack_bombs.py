"""Field compression turned against its reader: sections that unpack to much, or to work.

From both sides, in heads and in trailers. What cannot be decoded, or unpacks beyond every
limit, ends the connection; what is within the limits costs no more than honest octets.
"""

import pytest

from tests.support.frames import GET, OK, POST, Scribe, Section, raw
from tests.support.scripted_peer import Origin, Peer
from tests.support.siege import Siege
from tests.support.stage import DROPS
from trailproxy.wire.errors import ErrorCode

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LARGE = ("x-large", "y" * 3900)  # as much as a table holds; an octet refers to it
PLAIN: Section = [*GET[:3], (":path", "/status/200")]
BATCH = 50  # requests at once


def block(octets: bytes, sid: int = 1) -> bytes:
    """Write a field block of any octets as HEADERS, and CONTINUATION where it is large."""
    cuts = [octets[at : at + 16_384] for at in range(0, len(octets), 16_384)]
    kinds = [1] + [9] * (len(cuts) - 1)
    flags = [1] + [0] * (len(cuts) - 1)
    flags[-1] |= 4
    return b"".join(map(raw, kinds, flags, [sid] * len(cuts), cuts))


def indexed(octets: bytes) -> bytes:
    """Write a literal of this value that enters the table."""
    size = len(octets) - 127
    return b"\x40\1x\x7f" + bytes([size & 127 | 128, size >> 7]) + octets


BOMBS = {
    "references beyond every limit": (
        block(indexed(b"y" * 3900) + b"\xbe" * 10_000),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "table sizes": (block(b"\x20" * 100_000), ErrorCode.COMPRESSION_ERROR),
    "table sizes that grow and shrink": (
        block(b"\x20\x3f\xe1\x1f" * 20_000),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "a table too large": (block(b"\x3f\xff\xff\x03"), ErrorCode.COMPRESSION_ERROR),
    "an integer without end": (block(b"\xff" * 50_000), ErrorCode.COMPRESSION_ERROR),
    "a length without end": (block(b"\0\x7f" + b"\xff" * 50_000), ErrorCode.COMPRESSION_ERROR),
    "a string longer than all": (
        block(b"\0\x7f\xff\xff\xff\x7f" + b"y" * 50_000),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "an entry that is not there": (block(b"\xbe"), ErrorCode.COMPRESSION_ERROR),
    "a code for the end": (block(b"\0\1x\x84" + b"\xff" * 4), ErrorCode.COMPRESSION_ERROR),
}


@pytest.mark.parametrize(("octets", "code"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_its_clients_connection(siege: Siege, octets: bytes, code: ErrorCode) -> None:
    with siege.laid(), Peer.connect(siege.proxy.address) as client:
        client.pour(octets)
        client.wait_closed()
    assert [code for _, code in client.goaways] == [code]


@pytest.mark.parametrize("place", ["head", "trailers"])
@pytest.mark.parametrize(("octets", "code"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_its_upstreams_connection(
    siege: Siege, hostile: Origin, octets: bytes, code: ErrorCode, place: str
) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        sid = client.request(path="/hostile")
        upstream = hostile.accept()
        upstream.next_request()
        if place == "trailers":
            upstream.pour(raw(1, 4, 1, b"\x88"))
        upstream.pour(octets)
        upstream.wait_closed()
        message = client.response(sid)
    if place == "head":
        assert (message.status, message.ended) == ("502", True)
    else:
        assert (message.status, message.reset) == ("200", ErrorCode.INTERNAL_ERROR)
    assert [code for _, code in upstream.goaways] == [code]
    cause = "flood" if code is ErrorCode.ENHANCE_YOUR_CALM else "upstream_protocol"
    assert toll.gained is not None
    assert toll.gained(*DROPS) == {("upstream", cause, "hostile"): 1}


def ask(client: Peer, heads: list[bytes]) -> int:
    """Ask in batches; return how many octets that took."""
    octets = 0
    for first in range(0, len(heads), BATCH):
        sids = [2 * at + 1 for at in range(first, min(first + BATCH, len(heads)))]
        octets += client.pour(b"".join(heads[first : first + BATCH]))
        assert [client.response(sid).status for sid in sids] == ["200"] * len(sids)
    return octets


def test_references_to_a_large_entry(siege: Siege) -> None:
    """60 KB of head for 30 octets go on as 60 KB: `max_header_list` is the bound of that."""
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        large = [*PLAIN, *[LARGE] * 15]
        heads = [scribe.headers(sid, large, end=True) for sid in range(1, 401, 2)]
        toll.octets = ask(client, heads)
        assert toll.octets < 20_000


def test_a_table_that_is_churned(siege: Siege) -> None:
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        fields = [[*PLAIN, ("x-new", f"{sid:>2000}")] for sid in range(1001, 1401, 2)]
        coded = [[*PLAIN, (f[-1][0], f[-1][1].replace(" ", "y"))] for f in fields]
        heads = [
            scribe.headers(sid, head, end=True)
            for sid, head in zip(range(1, 401, 2), coded, strict=True)
        ]
        toll.octets = ask(client, heads)


WORK = {
    "fields of nothing": b"\0\0\0" * 9000,
    "fields of almost nothing": b"\0\1x\0" * 9000,
    "a static entry by the thousand": b"\x88" * 7000,
    "an entry of its own by the thousand": b"\x40\1x\1y" + b"\xbe" * 8000,
    "Huffman codes": b"\0\1x\xff\x81\xf0\x04" + bytes(80_000),
}


@pytest.mark.parametrize("octets", WORK.values(), ids=WORK)
def test_sections_that_are_work_and_nothing_else_cost_their_streams(
    siege: Siege, octets: bytes
) -> None:
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        sids = range(1, 13, 2)
        toll.octets = client.pour(b"".join([block(octets, sid) for sid in sids]))
        for sid in sids:
            client.wait_reset(sid)
        assert client.goaways == []


def test_an_upstreams_large_sections_are_borne(siege: Siege, hostile: Origin) -> None:
    """60 KB of head and of trailers for 30 octets: read or not, they have a bound each."""
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        sids = [client.open(path="/hostile") for _ in range(40)]
        upstream = hostile.accept()
        scribe = Scribe()
        for _ in sids:
            up = upstream.next_request()
            head, trailers = [*OK, *[LARGE] * 15], [LARGE] * 15
            toll.octets += upstream.pour(scribe.headers(up, head))
            toll.octets += upstream.pour(scribe.headers(up, trailers, end=True))
        assert [len(client.response(sid).trailers or ()) for sid in sids] == [15] * len(sids)
        for sid in sids:
            client.reset(sid)
        client.settle()


def test_a_large_request_and_its_trailers_are_borne(siege: Siege, hostile: Origin) -> None:
    scribe = Scribe()
    with siege.laid() as toll, Peer.connect(siege.proxy.address) as client:
        for sid in range(1, 81, 2):
            head = [*POST[:3], (":path", "/hostile"), *[LARGE] * 15]
            toll.octets += client.pour(scribe.headers(sid, head))
            toll.octets += client.pour(scribe.headers(sid, [LARGE] * 15, end=True))
        upstream = hostile.accept()
        for sid in range(1, 81, 2):
            up = upstream.next_request()
            upstream.wait(lambda up=up: upstream.streams[up].ended, "the trailers")
            upstream.answer(up)
            upstream.data(up, b"", end=True)
            assert client.response(sid).status == "200"
