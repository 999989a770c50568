"""Connection: faults stay where they belong, and every ending is told once."""

import pytest

from tests.support.pair import Diary, Pair
from tests.support.parts import Head, Said, data, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Cause, Fault, Initiator, Scope, Side
from trailproxy.core.record import Direction, Outcome, Progress
from trailproxy.core.stream import Stream
from trailproxy.wire import WireParams
from trailproxy.wire.codec import MAX_SID
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.fields import Fields

GET = Fields.of(request("GET").fields)
OK = Fields.of([(":status", "200")])
BAD_FRAME = b"\0\0\1\6\0\0\0\0\0x"  # a PING of one octet


def _frame(kind: int, flags: int, sid: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + sid.to_bytes(4) + payload


# -- what breaks the connection -----------------------------------------------------------


@pytest.mark.parametrize("side", Side)
def test_a_broken_connection_takes_its_streams_with_it(side: Side) -> None:
    pair = Pair(side)
    stream = pair.takes(request()) if side is Side.DOWNSTREAM else pair.opens(GET)
    pair.core.receive(BAD_FRAME)
    ((sid, fault),) = pair.diary.gone
    cause = Cause.CLIENT_PROTOCOL if side is Side.DOWNSTREAM else Cause.UPSTREAM_PROTOCOL
    assert sid == stream.sid
    assert (fault.side, fault.scope, fault.cause) == (side, Scope.CONNECTION, cause)
    assert f"{side} connection broken" in fault.why
    assert pair.core.fault is fault
    assert (pair.core.closing, pair.core.away) == (True, True)
    assert (pair.tally.connections, pair.tally.streams) == (0, 0)
    assert pair.notes.goaways == [(side, Direction.SENT, ErrorCode.FRAME_SIZE_ERROR)]
    pair.settle()
    assert pair.peer.goaways[-1].code == ErrorCode.FRAME_SIZE_ERROR


def test_a_flood_is_called_a_flood() -> None:
    pair = Pair()
    pings = _frame(6, 0, 0, b"12345678") * 5000
    pair.core.receive(pings)
    assert pair.core.fault is not None
    assert pair.core.fault.cause is Cause.FLOOD
    assert pair.notes.goaways == [(Side.DOWNSTREAM, Direction.SENT, ErrorCode.ENHANCE_YOUR_CALM)]


@pytest.mark.parametrize(
    ("side", "cause"),
    [(Side.DOWNSTREAM, Cause.CLIENT_GONE), (Side.UPSTREAM, Cause.UPSTREAM_GONE)],
)
def test_a_closed_socket_is_told_once(side: Side, cause: Cause) -> None:
    pair = Pair(side)
    pair.peer.leaves()
    first = pair.core.fault
    pair.peer.leaves()
    assert first is not None
    assert first.cause is cause
    assert pair.core.fault is first
    assert pair.tally.connections == 0
    assert pair.core.open() is None


def test_a_part_that_comes_before_the_break_is_delivered() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    sid = server.sid
    server._say(sid, head(200))
    server._say(sid, data(b"x"))
    server._say(sid, trailers(x="1"))
    server.core.receive(server.codec.take_output() + BAD_FRAME)
    table.settle()
    client.hears(head(200), data(b"x"), trailers(x="1"))
    table.is_clean()
    assert table.record.dropped is None


@pytest.mark.parametrize("side", Side)
def test_a_peer_that_does_not_end_what_it_began_to_say_is_given_up(side: Side) -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(), data(b"x"))
    slow = client if side is Side.DOWNSTREAM else server
    slow.core.give_up("a head of hours")
    table.settle()
    (away,) = slow.goaways
    assert (away.code, away.why) == (ErrorCode.ENHANCE_YOUR_CALM, "a head of hours")
    assert table.notes.goaways == [(side, Direction.SENT, ErrorCode.ENHANCE_YOUR_CALM)]
    assert (table.record.dropped, table.record.dropped_side) == (Cause.HEAD_TIMEOUT, side)
    assert table.record.why == f"{side} connection given up: a head of hours"
    assert slow.core.closing


# -- what costs one stream ----------------------------------------------------------------


def test_a_malformed_message_costs_its_own_stream() -> None:
    pair = Pair()
    good = pair.takes(request())
    bad = pair.takes(request(content_length="1"))
    pair.peer.says(data(b"too long", end=True), sid=bad.sid)
    ((sid, fault),) = pair.diary.gone
    assert (sid, fault.cause, fault.scope) == (bad.sid, Cause.CLIENT_PROTOCOL, Scope.STREAM)
    assert fault.code == ErrorCode.CANCEL
    assert pair.diary.noted == [Cause.CLIENT_PROTOCOL]
    pair.peer.hears(reset(ErrorCode.PROTOCOL_ERROR), sid=bad.sid)
    pair.peer.says(data(b"fine", end=True), sid=good.sid)
    assert good.heard_end


def test_a_malformed_head_never_becomes_a_stream() -> None:
    pair = Pair()
    sid = pair.peer.codec.open_stream()
    # :method GET, :path / and no :scheme (RFC 7541 appendix A)
    pair.core.receive(_frame(1, 5, sid, b"\x82\x84"))
    assert not pair.diary.opened
    assert pair.notes.resets == [
        (
            Side.DOWNSTREAM,
            Initiator.PROXY,
            ErrorCode.PROTOCOL_ERROR,
            Progress.BEFORE_HEAD,
            Cause.CLIENT_PROTOCOL,
        )
    ]


def test_malformed_trailers_are_rejected_and_counted() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    server.says(head(200), data(b"x"))
    # a literal field without indexing whose name is in capitals
    server.core.receive(_frame(1, 5, server.sid, b"\0\1X\1v"))
    table.settle()
    client.hears(head(200), data(b"x"), reset(ErrorCode.INTERNAL_ERROR))
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REJECTED] == 1
    assert table.record.dropped is Cause.UPSTREAM_PROTOCOL
    table.is_clean()


FEW = WireParams(max_header_fields=8)


@pytest.mark.parametrize("side", Side)
def test_a_section_beyond_the_limits_has_a_name_of_its_own(side: Side) -> None:
    table = Table(proxy=FEW)
    client, server = table.client, table.server
    client.opens(request(), data(b"x"))
    server.says(head(200))
    speaker = client if side is Side.DOWNSTREAM else server
    speaker.says(trailers(*[("x", "1")] * 9))
    assert (table.record.dropped, table.record.dropped_side) == (Cause.FIELDS_TOO_LARGE, side)
    assert "9 fields in a section, the limit is 8" in table.record.why
    direction = Direction.REQUEST if side is Side.DOWNSTREAM else Direction.RESPONSE
    assert table.notes.trailer_outcomes[direction, Outcome.REJECTED] == 1
    table.is_clean()


def test_a_response_head_beyond_the_limits_is_a_502_of_ours() -> None:
    table = Table(proxy=FEW)
    table.client.opens(request(end=True))
    table.server.says(head(200, **{f"x{number}": "1" for number in range(8)}))
    answer = table.client.heard.pop(table.client.sid)[0]
    assert isinstance(answer, Head)
    fields = dict(answer.fields)
    assert fields[":status"] == "502"
    assert "error=http_response_header_section_size" in fields["proxy-status"]
    table.is_clean()


def test_malformed_request_trailers_are_rejected_and_counted() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(), data(b"x"))
    client.core.receive(_frame(1, 5, client.sid, b"\0\1X\1v"))
    table.settle()
    server.hears(request(), data(b"x"), reset(ErrorCode.CANCEL))
    assert table.notes.trailer_outcomes[Direction.REQUEST, Outcome.REJECTED] == 1
    assert table.record.dropped is Cause.CLIENT_PROTOCOL
    table.is_clean()


def test_a_stream_above_the_limit_is_refused_at_no_other_cost() -> None:
    table = Table(proxy=WireParams(max_concurrent_streams=2))
    client, server = table.client, table.server
    first, second = (client.opens(request(end=True)) for _ in range(2))
    # GET http://a/, and none of it remembered; this client would not say it
    client.core.receive(_frame(1, 5, second + 2, b"\x82\x84\x86\x01\1a"))
    refusal = _frame(3, 0, second + 2, int(ErrorCode.REFUSED_STREAM).to_bytes(4))
    assert client.core.codec.take_output() == refusal
    assert table.notes.resets[-1][4] is Cause.STREAM_LIMIT
    assert table.proxy.active == 2
    for sid in (first, second):
        server.says(head(200, end=True), sid=sid)
        client.hears(head(200, end=True), sid=sid)
    table.is_clean()


def test_parts_behind_a_reset_are_counted_as_behind_the_end() -> None:
    pair = Pair()
    stream = pair.takes(request(end=True))
    pair.core.receive(_frame(0, 0, stream.sid, b"more"))
    assert pair.notes.resets[-1][:3] == (
        Side.DOWNSTREAM,
        Initiator.PROXY,
        ErrorCode.STREAM_CLOSED,
    )


def test_data_for_a_stream_we_have_reset_still_opens_the_connection_window() -> None:
    pair = Pair()
    for _ in range(20):  # a mebibyte each: together more than the connection window
        stream = pair.takes(request())
        pair.core.reset(stream, ErrorCode.CANCEL, Cause.IDLE_TIMEOUT)
        held = pair.core.codec.take_output()
        for _ in range(64):
            pair.peer._say(stream.sid, data(b"x" * 16_384))
            pair.core.receive(pair.peer.codec.take_output())
        pair.peer.listen(held)
        pair.settle()
        pair.peer.hears(reset())
    assert pair.core.owed == 0


def test_a_reset_of_a_stream_that_is_over_is_not_sent() -> None:
    pair = Pair()
    stream = pair.takes(request())
    pair.core.reset(stream, ErrorCode.CANCEL, Cause.IDLE_TIMEOUT)
    pair.core.reset(stream, ErrorCode.CANCEL, Cause.IDLE_TIMEOUT)
    pair.settle()
    pair.peer.hears(reset())
    assert len(pair.notes.resets) == 1


def test_a_peer_that_resets_what_is_over_is_not_told() -> None:
    pair = Pair()
    stream = pair.takes(request(end=True))
    pair.core.reset(stream, ErrorCode.CANCEL, Cause.IDLE_TIMEOUT)
    pair.core.receive(_frame(3, 0, stream.sid, b"\0\0\0\x08"))
    assert not pair.diary.gone


# -- REFUSED_STREAM and GOAWAY -------------------------------------------------------------


def test_a_refusal_of_an_upstream_has_its_own_name() -> None:
    pair = Pair(Side.UPSTREAM)
    stream = pair.opens(GET)
    pair.peer.says(reset(ErrorCode.REFUSED_STREAM), sid=stream.sid)
    ((_, fault),) = pair.diary.gone
    assert (fault.cause, fault.code) == (Cause.UPSTREAM_REFUSED, ErrorCode.REFUSED_STREAM)


def test_a_refusal_by_a_client_is_a_reset_like_any_other() -> None:
    pair = Pair()
    stream = pair.takes(request())
    pair.peer.says(reset(ErrorCode.REFUSED_STREAM), sid=stream.sid)
    ((_, fault),) = pair.diary.gone
    assert fault.cause is Cause.CLIENT_RESET


def test_goaway_takes_the_streams_above_and_leaves_those_below() -> None:
    pair = Pair(Side.UPSTREAM)
    below, above = pair.opens(GET), pair.opens(GET)
    pair.peer.goes_away(below.sid)
    ((sid, fault),) = pair.diary.gone
    assert (sid, fault.cause, fault.scope) == (above.sid, Cause.UPSTREAM_GOAWAY, Scope.STREAM)
    assert pair.core.away
    assert not pair.core.closing
    assert pair.core.open() is None
    pair.peer.says(head(200, end=True), sid=below.sid)
    assert len(pair.diary.fed) == 1
    pair.core.reset(below, ErrorCode.CANCEL, Cause.ANSWERED)
    assert pair.core.closing
    assert pair.notes.goaways == [(Side.UPSTREAM, Direction.RECEIVED, ErrorCode.NO_ERROR)]


def test_an_idle_upstream_connection_closes_at_goaway() -> None:
    pair = Pair(Side.UPSTREAM)
    before = pair.diary.changes
    pair.peer.goes_away(MAX_SID)
    assert pair.core.away
    assert pair.diary.changes > before


def test_the_reason_of_a_goaway_is_kept() -> None:
    pair = Pair(Side.UPSTREAM)
    pair.opens(GET)
    pair.peer.codec.goaway(0, ErrorCode.ENHANCE_YOUR_CALM, "too many pings")
    pair.settle()
    ((_, fault),) = pair.diary.gone
    assert fault.why == "upstream went away: too many pings"


def test_a_client_that_goes_away_keeps_its_streams() -> None:
    table = Table()
    client, server = table.client, table.server
    client.opens(request(end=True))
    client.goes_away(0)
    server.says(head(200), trailers(x="1"))
    client.hears(head(200), trailers(x="1"))
    assert table.notes.goaways == [(Side.DOWNSTREAM, Direction.RECEIVED, ErrorCode.NO_ERROR)]
    table.is_clean()


# -- what the sending side refuses ---------------------------------------------------------


def test_sending_on_a_stream_that_cannot_take_it_is_false() -> None:
    pair = Pair()
    assert not pair.core.send_headers(1, OK, end=False)
    assert not pair.core.send_data(1, b"x", end=False)
    stream = pair.takes(request())
    assert not pair.core.send_data(stream.sid, b"x", end=False)
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert not pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_data(stream.sid, b"x", end=True)
    assert not pair.core.send_data(stream.sid, b"y", end=True)
    pair.settle()
    pair.peer.hears(head(200), data(b"x", end=True))


def test_a_head_that_must_not_reach_the_wire_is_refused_by_name() -> None:
    pair = Pair()
    stream = pair.takes(request())
    with pytest.raises(HTTP2Error, match="'x y'"):
        pair.core.send_headers(stream.sid, Fields.of([*OK, ("x y", "1")]), end=True)
    assert pair.core.send_headers(stream.sid, OK, end=True)
    pair.settle()
    pair.peer.hears(head(200, end=True))


def test_there_is_no_room_while_the_socket_is_full() -> None:
    pair = Pair()
    stream = pair.takes(request())
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.room(stream.sid) > 0
    pair.core.writable = False
    assert pair.core.room(stream.sid) == 0


def test_body_octets_are_counted() -> None:
    pair = Pair()
    stream = pair.takes(request(), data(b"four"))
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_data(stream.sid, b"seven77", end=True)
    assert (pair.tally.bytes_received, pair.tally.bytes_sent) == (4, 7)
    assert pair.core.owed == 4
    stream.credit(4)
    assert pair.core.owed == 0


def test_the_peer_s_settings_make_it_ready() -> None:
    pair = Pair(Side.UPSTREAM)
    assert pair.core.ready


def test_the_rim_is_woken_once_until_it_has_flushed() -> None:
    pair = Pair()
    woken: list[bool] = []
    pair.core.wake = lambda: woken.append(True)
    stream = pair.takes(request())
    assert woken == [], "it was told before, and has not flushed since"
    pair.core.woken = False
    assert pair.core.send_headers(stream.sid, OK, end=False)
    assert pair.core.send_data(stream.sid, b"x", end=False)
    assert woken == [True]


class Stranger(Diary):
    """A host that takes no stream up."""

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        self.opened.append(stream.sid)


def test_a_stream_that_nobody_took_up_is_paid_for_and_ends() -> None:
    stranger = Stranger()
    pair = Pair(diary=stranger)
    pair.peer.opens(request(), data(b"x" * 100, end=True))
    pair.peer.opens(request(), trailers(x="1"))
    assert stranger.opened == [1, 3]
    assert all(stream.heard_end for stream in pair.core.streams.values())
    assert pair.core.owed == 0
    pair.peer.opens(request(), reset())
    assert pair.notes.resets[-1][3] is Progress.BEFORE_HEAD
    assert list(pair.core.streams) == [1, 3]


class Hasty(Diary):
    """A host that has enough at the first octet, and lets go of all streams when one goes."""

    core: Connection

    def data(self, data: bytes, credit: int, end: bool) -> None:
        super().data(data, credit, end)
        for stream in list(self.core.streams.values()):
            self.core.reset(stream, ErrorCode.CANCEL, Cause.INTERNAL)

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        super().stream_gone(stream, fault)
        for other in list(self.core.streams.values()):
            self.core.reset(other, ErrorCode.CANCEL, Cause.INTERNAL)


@pytest.mark.parametrize(
    "rest", [(data(b"y"), reset()), (trailers(x="1"),), (data(b"y", end=True),)], ids=repr
)
def test_what_the_same_read_says_of_a_stream_we_reset_is_dropped(rest: tuple[Said, ...]) -> None:
    hasty = Hasty()
    pair = Pair(diary=hasty)
    hasty.core = pair.core
    peer = pair.peer
    peer.sid = peer.codec.open_stream()
    for part in (request(), data(b"x"), *rest):
        peer._say(peer.sid, part)
    pair.settle()
    assert hasty.fed == [b"x"]
    assert hasty.gone == []
    assert not pair.core.streams


def test_an_owner_may_let_go_of_other_streams_when_one_goes() -> None:
    hasty = Hasty()
    pair = Pair(diary=hasty)
    hasty.core = pair.core
    for _ in range(3):
        pair.peer.opens(request())
    pair.core.lost_socket("gone")
    assert [sid for sid, _ in hasty.gone] == [1]
    assert not pair.core.streams


def test_an_answer_to_a_stray_ping_begins_no_second_step() -> None:
    pair = Pair()
    pair.core.codec.ping(b"whatever")
    pair.settle()
    assert pair.peer.goaways == []


def test_a_response_nobody_waits_for_ends_its_stream() -> None:
    pair = Pair(Side.UPSTREAM)
    stream = pair.core.open()
    assert stream is not None
    pair.core.send_headers(stream.sid, GET, end=True)
    pair.settle()
    pair.peer.says(head(200, end=True))
    assert stream.over
    assert not pair.core.streams
