"""Exchange: one request, its response, and what becomes of both.

It is called at the beginning, at the end, and when something breaks; never per
byte. What an ending before its time means is the matrix's business. `_finish`
runs once, whatever the order of endings.
"""

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from trailproxy.core import matrix
from trailproxy.core.books import has_none
from trailproxy.core.epilogue import announce
from trailproxy.core.fault import Cause, Fault, Initiator, Side, ours
from trailproxy.core.grpc import with_timeout
from trailproxy.core.inspection import Inspection, Inspector
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.load_report import read_report, take_report
from trailproxy.core.message import Request, response_to_relay
from trailproxy.core.record import (
    REQUEST,
    RESPONSE,
    Direction,
    Outcome,
    Progress,
    Record,
)
from trailproxy.core.reply import Reply, last_hop_reply
from trailproxy.core.routing import DEFAULT_DEADLINES, Deadlines, OnFailure, Route, no_route
from trailproxy.core.stream import Stream
from trailproxy.core.summary import sum_up
from trailproxy.core.tries import Tries
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.core.watch import Watch
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection
    from trailproxy.core.proxy import Front

_UNHURRIED: Final = Watch(Deadlines(response_head=None, idle=None, total=None), 0.0)


@final
class Exchange(Tenant):
    """One request and its response, between a downstream and an upstream stream."""

    __slots__ = (
        "_inspection",
        "_upstream",
        "books",
        "down",
        "farewell",
        "finished",
        "front",
        "reads_load",
        "record",
        "request",
        "response",
        "route",
        "tries",
        "up",
        "watch",
    )

    def __init__(self, front: "Front", stream: Stream, request: Request) -> None:
        proxy = front.proxy
        self.front: Final = front
        self.down: Final = stream
        self.up: Stream | None = None
        self.request: Final = Lane(self, stream, proxy.downstream, request.grpc)
        self.response: Final = Lane(self, None, proxy.upstream, request.grpc)
        self.asked = request
        self.route: Route | None = None
        self._upstream: Upstream | None = None
        self.reads_load = False  # the upstream does
        self._inspection: Inspection | None = None  # where the route has policies
        self.tries: Tries | None = None  # where it may be tried again
        self.watch = _UNHURRIED  # before there is a route
        self.farewell: tuple[Stream, int, Cause] | None = None  # a reset behind the last part
        self.finished = False
        self.record: Final = Record(front.listener, request, proxy.now())
        self.books: Final = proxy.books
        stream.owner = self
        stream.feeds = self.request
        self.response.attach(stream)

    # -- the beginning -------------------------------------------------------------------

    def begin(self, end: bool) -> None:
        """Find the request its route and its upstream."""
        front, record = self.front, self.record
        asked = record.asked
        router = front.proxy.router
        barred = asked.dot_segments and not router.takes_dot_segments
        self.route = route = None if barred else router.match(asked)
        record.route = "" if route is None else route.name
        front.proxy.began(self)
        self.request.phase = Phase.ENDED if end else Phase.BODY
        deadlines = DEFAULT_DEADLINES if route is None else route.deadlines
        self.watch = Watch(deadlines, record.began, asked.timeout)
        if barred:
            why = "the path has a segment of dots alone"
            matrix.refuse(self, ours(Cause.DOT_SEGMENTS, why, Side.DOWNSTREAM))
            return
        if asked.stops:
            matrix.answer(self, last_hop_reply(front.proxy.date()))
            return
        if route is None:
            matrix.refuse(self, no_route())
            return
        if route.policy is not None:
            self._inspection = route.policy.inspect(self)
            if not self._inspection.begins():
                return
        if route.retry is not None:
            self.tries = Tries(self, route.retry)
        self._upstream = route.share.pick()
        self.reads_load = self._upstream.reads_load
        record.upstream = self._upstream.name
        self.request.open(asked.relayed, end)
        self.lease()

    def lease(self) -> None:
        """Ask the upstream for a stream; `attach` or `lease_failed` is its answer."""
        assert self._upstream is not None  # the route has one, and only the routed lease
        self._upstream.lease(self)

    def attach(self, connection: "Connection", endpoint: str) -> None:
        """Open a stream on this connection; it has a free slot now."""
        stream = connection.open()
        if stream is None:
            self.lease()  # its ids are used up: it will not be chosen again
            return
        self.up = stream
        stream.owner = self.request.owner  # we, or who stands in for us
        if self.tries is None:
            stream.feeds = self.response
        else:
            self.tries.attend(stream)
        self.response.source = stream
        self.record.endpoint = endpoint
        self.record.attempts += 1
        now = self.front.proxy.now()
        self.record.request_sent_at = now
        self.watch.await_moves(now)
        asked, began = self.record.asked, self.record.began
        if asked.timeout >= 0.0 and now > began:
            self.request.opened = with_timeout(asked.relayed, asked.timeout - (now - began))
        if self.response.over:
            # the client has stopped listening while it waited
            cause = self.record.dropped or Cause.STREAM_OVER
            self.farewell = (stream, ErrorCode.NO_ERROR, cause)
        self.request.attach(stream)

    def leave_upstream(self) -> None:
        """This attempt is over, and has left no trace of the response: wait for another stream."""
        up, self.up = self.up, None
        assert up is not None  # an attempt has a stream
        up.connection.reset(up, ErrorCode.CANCEL, Cause.RETRIED)
        up.release()
        self.watch.head_came()
        self.request.rewind()
        self.response.source = None
        self.avoid = self.record.endpoint

    def lease_again(self) -> None:
        """Ask for a stream after a while; by now nobody may want one."""
        if self.up is None and not self.record.answered and not self.finished:
            self.lease()

    def lease_failed(self, fault: Fault) -> None:
        """There is no connection to be had."""
        matrix.refuse(self, fault)

    # -- parts, as the lanes report them -------------------------------------------------

    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        """A response head came, interim or final."""
        if fields.interim:
            self.down.connection.send_headers(self.down.sid, fields, end=False)
            return
        if self.reads_load:
            fields = self.hear_load(fields)
        record, proxy = self.record, self.front.proxy
        record.status = fields.status
        record.response_head_at = proxy.now()
        self.watch.head_came()
        self.books.head_came(record, fields)
        head = response_to_relay(fields, proxy.date)
        if self.route is not None and self.route.on_failure == OnFailure.TRAILERS and not end:
            head = announce(record.asked, head)
        if self._inspection is not None:
            head = self._inspection.response_head(head, end)
            if lane.phase != Phase.HEAD:
                return
        lane.open(head, end)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        """Return what of the trailers may travel on."""
        assert self.route is not None  # without one, no lane takes any
        direction = self._direction(lane)
        if self.reads_load and direction is RESPONSE:
            came, fields = fields, self.hear_load(fields)
            if fields is not came:
                lane.outcome = Outcome.REWRITTEN
        limits = self.route.limits_of(direction)
        why = limits.excess(fields)
        if why:
            cut = limits.cut(fields)
            if cut is None:
                side = Side.DOWNSTREAM if direction is REQUEST else Side.UPSTREAM
                fault = ours(Cause.TRAILERS_TOO_LARGE, why, side, ErrorCode.ENHANCE_YOUR_CALM)
                self.halt_at_trailers(lane, fault)
                return fields
            lane.outcome = Outcome.REWRITTEN
            fields = cut
        kept = self.books.trailers_came(self.record, direction, fields)
        return self._close(lane, kept)

    def hear_load(self, section: Fields) -> Fields:
        """Hand the upstream, which reads it, the load report in a section; return the rest."""
        kept, report = take_report(section)
        if report is not None:
            assert self._upstream is not None  # it has said this
            self._upstream.load_told(self.record.endpoint, read_report(report))
        return kept

    def end_arrived(self, lane: Lane) -> Fields:
        """Return the trailers that a message gets which came without."""
        lane.outcome = Outcome.SYNTHESIZED
        return self._close(lane, Fields([]))

    def _close(self, lane: Lane, trailers: Fields) -> Fields:
        direction = self._direction(lane)
        if self._inspection is None or has_none(self.record, direction):
            return trailers
        return self._inspection.trailers(lane, direction, trailers)

    def halt(self, fault: Fault, reply: Reply | None = None) -> None:
        """A policy wants no more of it."""
        matrix.halt(self, fault, reply)

    def halt_at_trailers(self, lane: Lane, fault: Fault, reply: Reply | None = None) -> None:
        """A policy does not want these trailers."""
        if lane.trailers_came:
            self.books.enter(self.record, self._direction(lane), Outcome.REJECTED)
        matrix.halt(self, fault, reply)

    def trailers_lost(self, lane: Lane) -> None:
        """Trailers came, or were parked, and can reach nobody."""
        cause = self.record.dropped or Cause.STREAM_OVER
        self.books.enter(self.record, self._direction(lane), Outcome.DROPPED, cause)

    def trailers_rejected(self, stream: Stream) -> None:
        """The peer's trailers were malformed; `stream_gone` follows."""
        direction = REQUEST if stream is self.down else RESPONSE
        self.books.enter(self.record, direction, Outcome.REJECTED)

    def lane_done(self, lane: Lane) -> None:
        """The end of one message has departed."""
        # a request that may depart again is booked when all is over
        again = lane is self.request and self.tries is not None
        if not again and (lane is self.request or not self.record.answered):
            self.books.lane_done(self.record, self._direction(lane), lane)
        if lane is self.request and self.response.phase == Phase.HEAD:
            self.watch.await_head(self.front.proxy.now())
        self.say_farewell()
        self.finish_if_over()

    # -- endings before their time -------------------------------------------------------

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        """One of our streams ended before its time."""
        if self.finished:
            return
        if stream is self.down:
            matrix.downstream_gone(self, fault)
        else:
            matrix.upstream_gone(self, fault)

    def look(self, now: float) -> None:
        """See whether a deadline has passed, at `now` in clock seconds."""
        if self.tries is not None:
            self.tries.look(now)
        cause = self.watch.look(now, self.request, self.response)
        if cause is not None:
            matrix.expire(self, cause)

    # -- the end -------------------------------------------------------------------------

    def cancel_upstream(self, code: int, cause: Cause) -> None:
        """Reset the stream to the upstream, or stop waiting for one."""
        if self.up is not None:
            self.up.connection.reset(self.up, code, cause)
        elif self._upstream is not None:
            self._upstream.cancel(self)

    def say_farewell(self) -> None:
        """Reset the stream that should be, now that the last part has departed."""
        if self.farewell is None:
            return
        # it is set when one lane is cut, so the lane that is done now is the other
        stream, code, cause = self.farewell
        self.farewell = None
        stream.connection.reset(stream, code, cause)

    def finish_if_over(self) -> None:
        """Tell what happened, once both lanes are over."""
        if self.request.over and self.response.over and not self.finished:
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        record, request, response = self.record, self.request, self.response
        record.ended = self.front.proxy.now()
        sum_up(record, request, response)
        if self._inspection is not None:
            self._inspection.over(record)
            self._inspection = None
        if self.tries is not None:
            if request.phase == Phase.DONE:
                self.books.lane_done(record, REQUEST, request)
            self.tries.over()
            self.tries = None
        self.front.proxy.finished(self)
        if self._upstream is not None and self._upstream.attentive:
            self._upstream.exchange_over(record)
        _let_go(self.down)
        if self.up is not None:
            _let_go(self.up)
        request.release()
        response.release()

    # -- who looks on --------------------------------------------------------------------

    def show_to(self, inspector: Inspector) -> None:
        """Let somebody look, before all others, at what is still to come."""
        others = [] if self._inspection is None else self._inspection.inspectors
        self._inspection = Inspection(self, [inspector, *others])

    def hide_from(self, inspector: Inspector) -> None:
        """Let somebody who was shown it look no more."""
        assert self._inspection is not None  # of whoever looks
        others = [each for each in self._inspection.inspectors if each is not inspector]
        inspection = Inspection(self, others)
        self._inspection = inspection if others else None

    # -- what others ask -----------------------------------------------------------------

    def progress(self, stream: Stream) -> Progress:
        """Tell how far the response has come on this stream's side."""
        return self.response.progress(at_sink=stream is self.down)

    def reset_noted(
        self, stream: Stream, initiator: Initiator, code: i64, progress: Progress, cause: Cause
    ) -> None:
        """Keep what the access log will say of a RST_STREAM."""
        if self.record.resets is None:
            self.record.resets = []
        self.record.resets.append((stream.connection.side, initiator, code, progress, cause))

    def _direction(self, lane: Lane) -> Direction:
        return REQUEST if lane is self.request else RESPONSE


def _let_go(stream: Stream) -> None:
    if not stream.over:
        stream.connection.reset(stream, ErrorCode.INTERNAL_ERROR, Cause.INTERNAL)
    stream.release()
