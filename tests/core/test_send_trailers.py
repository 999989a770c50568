"""The one door: what `send_trailers` takes, what it refuses, and what a refusal costs.

Law: all or nothing. A refused list has sent nothing, and the connection is as
good as it was before.
"""

from typing import Any

import pytest

from tests.support.pair import Pair
from tests.support.parts import data, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.trailers import NEVER_TRAILERS
from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

OK = Fields.of([(":status", "200"), ("x-first", "seen")])

REFUSED: dict[str, tuple[Any, str]] = {
    "a pseudo-header": ([("x-a", "1"), (":status", "200")], ":status"),
    "an unknown pseudo-header": ([(":made-up", "1")], ":made-up"),
    "an empty name": ([("x-a", "1"), ("", "v")], "''"),
    "a space in the name": ([("x bad", "v")], "x bad"),
    "a colon in the name": ([("x:bad", "v")], "x:bad"),
    "a control character in the name": ([("x\n", "v")], "x"),
    "a name beyond ASCII": ([("x-\xe9", "v")], "x-"),
    "CR LF in the value": ([("x-a", "a\r\nb: c")], "x-a"),
    "LF in the value": ([("x-a", "a\nb")], "x-a"),
    "CR in the value": ([("x-a", "a\rb")], "x-a"),
    "NUL in the value": ([("x-a", "a\0b")], "x-a"),
    "a space before the value": ([("x-a", " v")], "x-a"),
    "a tab behind the value": ([("x-a", "v\t")], "x-a"),
    "no value": ([("x-a", "1"), ("x-none", None)], "x-none"),
    "a number for a value": ([("grpc-status", 0)], "grpc-status"),
    "no name": ([(None, "v")], "None"),
    "te": ([("x-a", "1"), ("te", "gzip")], "te"),
    "te in capitals": ([("TE", "trailers")], "te"),
    "a ready list with a bad name": (Fields([Field(b"Upper", b"v")]), "Upper"),
}
for name in sorted(NEVER_TRAILERS):
    REFUSED[name.decode()] = ([("x-a", "1"), (name, b"5")], name.decode())


def _begun(**kwargs: Any) -> Pair:
    """A response whose head and some body have been sent."""
    pair = Pair(**kwargs)
    stream = pair.takes(request(end=True))
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_data(stream.sid, b"body", end=False)
    pair.settle()
    pair.peer.hears(head(200, x_first="seen"), data(b"body"))
    return pair


@pytest.mark.parametrize(("given", "named"), REFUSED.values(), ids=REFUSED)
def test_a_refused_list_sends_nothing_and_leaves_no_mark(given: Any, named: str) -> None:
    pair = _begun()
    sid = pair.peer.sid
    with pytest.raises(HTTP2Error) as refusal:
        pair.core.send_trailers(sid, given)
    assert named in str(refusal.value)
    assert pair.core.codec.take_output() == b""
    assert pair.core.send_trailers(sid, [("x-first", "seen"), ("grpc-status", "0")])
    pair.settle()
    pair.peer.hears(trailers(("x-first", "seen"), ("grpc-status", "0")))
    assert not pair.core.streams


@pytest.mark.parametrize(("given", "named"), REFUSED.values(), ids=REFUSED)
def test_the_next_response_on_the_connection_is_decodable(given: Any, named: str) -> None:
    pair = _begun()
    broken = pair.peer.sid
    with pytest.raises(HTTP2Error):
        pair.core.send_trailers(broken, given)
    stream = pair.takes(request(end=True))
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_trailers(stream.sid, [("x-a", "1"), ("x-first", "seen")])
    pair.settle()
    pair.peer.hears(head(200, x_first="seen"), trailers(("x-a", "1"), ("x-first", "seen")))
    pair.peer.hears_nothing(sid=broken)
    assert pair.core.fault is None
    assert not pair.notes.resets


@pytest.mark.parametrize(
    "given",
    [
        [("X-A", "1"), ("Details-Bin", "AAEC/+8=")],
        [(b"x-a", b"1"), (b"details-bin", b"AAEC/+8=")],
        [("x-a", b"1"), (b"DETAILS-BIN", "AAEC/+8=")],
        Fields.of([("x-a", "1"), ("details-bin", "AAEC/+8=")]),
        iter([("x-a", "1"), ("details-bin", "AAEC/+8=")]),
    ],
    ids=["str", "bytes", "mixed", "fields", "iterator"],
)
def test_names_and_values_may_be_str_or_bytes(given: Any) -> None:
    pair = _begun()
    assert pair.core.send_trailers(pair.peer.sid, given)
    pair.settle()
    pair.peer.hears(trailers(("x-a", "1"), ("details-bin", "AAEC/+8=")))


def test_order_and_duplicates_are_kept() -> None:
    pair = _begun()
    pairs = (("x-a", "1"), ("x-b", ""), ("x-a", "2"), ("x-a", "1"))
    assert pair.core.send_trailers(pair.peer.sid, pairs)
    pair.settle()
    pair.peer.hears(trailers(*pairs))


def test_an_empty_list_ends_the_stream_with_an_empty_data_frame() -> None:
    pair = _begun()
    assert pair.core.send_trailers(pair.peer.sid, [])
    pair.settle()
    pair.peer.hears(data(b"", end=True))
    assert not pair.core.streams


def test_a_section_too_large_for_one_frame_goes_on_in_continuation() -> None:
    pair = _begun()
    assert pair.core.send_trailers(pair.peer.sid, [("x-large", "v" * 50_000)])
    pair.settle()
    pair.peer.hears(trailers(x_large="v" * 50_000))


def test_trailers_behind_a_head_alone_are_a_whole_message() -> None:
    pair = Pair()
    stream = pair.takes(grpc_request(end=True))
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_trailers(stream.sid, [("grpc-status", "0")])
    pair.settle()
    pair.peer.hears(head(200, x_first="seen"), trailers(grpc_status="0"))


def test_trailers_before_the_request_has_ended_leave_the_stream_half_open() -> None:
    pair = Pair()
    stream = pair.takes(request())
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_trailers(stream.sid, [("x-a", "1")])
    pair.settle()
    assert pair.core.streams
    pair.peer.says(data(b"late", end=True))
    assert not pair.core.streams


# -- False: nothing sent, and the loss has a name ---------------------------------------------


def _is_lost(pair: Pair, sid: int, direction: Direction = Direction.RESPONSE) -> None:
    pair.settle()
    before = pair.notes.trailer_outcomes[direction, Outcome.DROPPED]
    assert not pair.core.send_trailers(sid, [("x-a", "1")])
    assert pair.core.codec.take_output() == b""
    assert pair.notes.trailer_outcomes[direction, Outcome.DROPPED] == before + 1
    assert set(pair.notes.trailer_losses) == {Cause.STREAM_OVER}


def test_an_unknown_stream() -> None:
    _is_lost(Pair(), 7)


def test_a_stream_without_a_head() -> None:
    pair = Pair()
    stream = pair.takes(request(end=True))
    _is_lost(pair, stream.sid)
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_trailers(stream.sid, [("x-a", "1")])


def test_an_interim_head_is_not_a_head() -> None:
    pair = Pair()
    stream = pair.takes(request(end=True))
    assert pair.core.send_headers(stream.sid, Fields.of([(":status", "103")]), end=False)
    _is_lost(pair, stream.sid)


def test_a_second_time() -> None:
    pair = _begun()
    assert pair.core.send_trailers(pair.peer.sid, [("x-a", "1")])
    _is_lost(pair, pair.peer.sid)


def test_a_stream_that_has_ended_while_the_request_goes_on() -> None:
    pair = Pair()
    stream = pair.takes(request())
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_data(stream.sid, b"all", end=True)
    _is_lost(pair, stream.sid)


def test_a_stream_that_the_peer_has_reset() -> None:
    pair = _begun()
    pair.peer.says(reset())
    _is_lost(pair, pair.peer.sid)


def test_a_stream_that_we_have_reset() -> None:
    pair = _begun()
    sid = pair.peer.sid
    pair.core.reset(pair.core.streams[sid], 8, Cause.IDLE_TIMEOUT)
    _is_lost(pair, sid)


def test_a_connection_that_is_lost() -> None:
    pair = _begun()
    pair.peer.leaves()
    _is_lost(pair, pair.peer.sid)


def test_a_loss_towards_an_upstream_is_one_of_the_request() -> None:
    _is_lost(Pair(Side.UPSTREAM), 1, Direction.REQUEST)


def test_a_bad_list_is_refused_even_where_there_is_no_stream() -> None:
    pair = Pair()
    with pytest.raises(HTTP2Error, match="pseudo-header"):
        pair.core.send_trailers(1, [(":status", "200")])
    assert not pair.notes.trailer_losses


# -- behind parked octets -----------------------------------------------------------------


def test_trailers_wait_behind_parked_octets() -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    server.says(head(200), data(b"whole"))
    assert client.core.send_trailers(client.sid, [("x-a", "1")])
    table.settle()
    client.hears(head(200), data(b"who"))
    client.grants(10)
    client.hears(data(b"le"), trailers(x_a="1"))
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.RELAYED] == 1
    assert table.record.response_trailers == 1


@pytest.mark.parametrize("first", ["trailers", "end"])
def test_behind_a_parked_end_there_is_no_room_for_trailers(first: str) -> None:
    table = Table(client_window=3)
    client, server = table.client, table.server
    client.holds = True
    client.opens(request(end=True))
    if first == "trailers":
        server.says(head(200), data(b"whole"), trailers(x_first="1"))
    else:
        server.says(head(200), data(b"whole", end=True))
    assert not client.core.send_trailers(client.sid, [("x-second", "2")])
    assert table.notes.trailer_losses == [Cause.STREAM_OVER]
    client.grants(10)
    last = (
        [data(b"whole"), trailers(x_first="1")]
        if first == "trailers"
        else [data(b"whole", end=True)]
    )
    client.hears(head(200), *last)
    table.is_clean()


@pytest.mark.parametrize("name", sorted(NEVER_TRAILERS))
def test_relayed_trailers_lose_what_may_not_travel(name: bytes) -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x"), trailers((name.decode(), "5"), ("x-a", "1")))
    table.client.hears(head(200), data(b"x"), trailers(x_a="1"))
    assert table.notes.fields_removed == 1
    table.is_clean()
