"""Exchange: one request, its response, and what becomes of both.

It is called at the beginning, at the end, and when something breaks; never per
byte. `_upstream_gone` and `_downstream_gone` are the one matrix that says what
an ending on one side means for the other. The first fault is the one that is
told; `_finish` runs once, whatever the order of endings.
"""

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from trailproxy.core.fault import UNPROCESSED, Cause, Fault, Initiator, Scope, Side, ours
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.message import Request, response_to_relay
from trailproxy.core.record import (
    CANCELLED,
    REQUEST,
    RESPONSE,
    Direction,
    Ending,
    Outcome,
    Progress,
    Record,
)
from trailproxy.core.reply import Reply, last_hop_reply, reply_for
from trailproxy.core.routing import Deadlines
from trailproxy.core.stream import Stream
from trailproxy.core.upstream import Tenant, Upstream
from trailproxy.core.watch import Watch
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection
    from trailproxy.core.proxy import Front

_UNHURRIED: Final = Watch(Deadlines(response_head=None, idle=None, total=None), 0.0)
_ATTEMPTS: Final = 3  # leases an exchange may use up; each earlier one left no trace upstream


@final
class Exchange(Tenant):
    """One request and its response, between a downstream and an upstream stream."""

    __slots__ = (
        "_books",
        "_farewell",
        "_finished",
        "_front",
        "_upstream",
        "_watch",
        "down",
        "record",
        "request",
        "response",
        "up",
    )

    def __init__(self, front: "Front", stream: Stream, request: Request) -> None:
        proxy = front.proxy
        self._front: Final = front
        self.down: Final = stream
        self.up: Stream | None = None
        self.request: Final = Lane(self, stream, proxy.downstream)
        self.response: Final = Lane(self, None, proxy.upstream)
        self.affinity = request.hop.peer
        self._upstream: Upstream | None = None
        self._watch = _UNHURRIED  # before there is a route
        self._farewell: tuple[Stream, int, Cause] | None = None  # a reset behind the last part
        self._finished = False
        self.record: Final = Record(front.listener, request, proxy.now())
        self._books: Final = proxy.books
        stream.owner = self
        stream.feeds = self.request
        self.response.attach(stream)

    # -- the beginning -------------------------------------------------------------------

    def begin(self, end: bool) -> None:
        """Find the request its route and its upstream."""
        front, record = self._front, self.record
        asked = record.asked
        route = front.proxy.router.match(asked.authority, asked.path)
        record.route = "" if route is None else route.name
        front.proxy.began(self)
        self.request.phase = Phase.ENDED if end else Phase.BODY
        if asked.stops:
            self._answer(last_hop_reply(front.proxy.date()))
            return
        if route is None:
            self._refuse(ours(Cause.NO_ROUTE, "no route takes this request", Side.DOWNSTREAM))
            return
        self._watch = Watch(route.deadlines, record.began)
        self._upstream = route.share.pick()
        record.upstream = self._upstream.name
        self.request.open(asked.relayed, end)
        self._lease()

    def _lease(self) -> None:
        assert self._upstream is not None  # the route has one, and only the routed lease
        self._upstream.lease(self)

    def attach(self, connection: "Connection", endpoint: str) -> None:
        """Open a stream on this connection; it has a free slot now."""
        stream = connection.open()
        if stream is None:
            self._lease()  # its ids are used up: it will not be chosen again
            return
        self.up = stream
        stream.owner = self
        stream.feeds = self.response
        self.response.source = stream
        self.record.endpoint = endpoint
        self.record.attempts += 1
        now = self._front.proxy.now()
        self.record.request_sent_at = now
        self._watch.await_moves(now)
        if self.response.over:
            # the client has stopped listening while it waited
            cause = self.record.dropped or Cause.STREAM_OVER
            self._farewell = (stream, ErrorCode.NO_ERROR, cause)
        self.request.attach(stream)

    def lease_failed(self, fault: Fault) -> None:
        """There is no connection to be had."""
        self._refuse(fault)

    # -- parts, as the lanes report them -------------------------------------------------

    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        """A response head came, interim or final."""
        if fields.interim:
            self.down.connection.send_headers(self.down.sid, fields, end=False)
            return
        record, proxy = self.record, self._front.proxy
        record.status = fields.status
        record.response_head_at = proxy.now()
        self._watch.head_came()
        self._books.head_came(record, fields)
        lane.open(response_to_relay(fields, proxy.date), end)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        """Return what of the trailers may travel on."""
        return self._books.trailers_came(self.record, self._direction(lane), fields)

    def trailers_lost(self, lane: Lane) -> None:
        """Trailers came, or were parked, and can reach nobody."""
        cause = self.record.dropped or Cause.STREAM_OVER
        self._books.enter(self.record, self._direction(lane), Outcome.DROPPED, cause)

    def trailers_rejected(self, stream: Stream) -> None:
        """The peer's trailers were malformed; `stream_gone` follows."""
        direction = REQUEST if stream is self.down else RESPONSE
        self._books.enter(self.record, direction, Outcome.REJECTED)

    def lane_done(self, lane: Lane) -> None:
        """The end of one message has departed."""
        if lane is self.request or not self.record.answered:
            self._books.lane_done(self.record, self._direction(lane), lane)
        if lane is self.request and self.response.phase == Phase.HEAD:
            self._watch.await_head(self._front.proxy.now())
        self._say_farewell()
        self._finish_if_over()

    # -- the matrix: what an ending on one side means for the other ----------------------

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        """One of our streams ended before its time."""
        if self._finished:
            return
        if stream is self.down:
            self._downstream_gone(fault)
        else:
            self._upstream_gone(fault)

    def _upstream_gone(self, fault: Fault) -> None:
        request, response = self.request, self.response
        if response.phase == Phase.HEAD:
            if not self._retry(fault):
                self._refuse(fault)
            return
        if response.abort():
            self._break(fault)
            return
        # the response is whole, and nothing that happens now may take a byte of it
        stopped = fault.code == ErrorCode.NO_ERROR or fault.scope is Scope.CONNECTION
        if not stopped:
            self._blame(fault)
        request.cut()
        code = ErrorCode.NO_ERROR if stopped else ErrorCode.CANCEL
        cause = Cause.UPSTREAM_DONE if stopped else fault.cause
        self._farewell = (self.down, code, cause)
        if response.over:
            self._say_farewell()
        self._finish_if_over()

    def _downstream_gone(self, fault: Fault) -> None:
        request, response = self.request, self.response
        if response.phase != Phase.DONE:
            self._blame(fault)
        if request.phase >= Phase.ENDED and request.phase != Phase.ABORTED:
            response.cut()
            if fault.code == ErrorCode.NO_ERROR:
                # the client only stopped listening: what it said still departs
                if self.up is not None:
                    self._farewell = (self.up, ErrorCode.NO_ERROR, fault.cause)
                if request.over:
                    self._say_farewell()
                self._finish_if_over()
                return
            code: int = ErrorCode.CANCEL
        else:
            code = fault.code or ErrorCode.CANCEL
            request.abort()
        if fault.scope is Scope.CONNECTION:
            code = ErrorCode.CANCEL
        self._cancel_upstream(code, fault.cause)
        request.cut()
        response.cut()
        self._finish_if_over()

    def _break(self, fault: Fault) -> None:
        """The response was cut short behind its head: it must not look complete."""
        self._blame(fault)
        code = fault.code or ErrorCode.INTERNAL_ERROR
        if code == ErrorCode.REFUSED_STREAM:
            # to the client it would mean "not processed, try again" (RFC 9113 section 8.7)
            code = ErrorCode.INTERNAL_ERROR
        self.down.connection.reset(self.down, code, fault.cause)
        self._cancel_upstream(ErrorCode.CANCEL, fault.cause)
        self.response.cut(Ending.RESET)
        self.request.cut()
        self._finish_if_over()

    def _refuse(self, fault: Fault) -> None:
        """No response head has come, and none will: answer in the upstream's place."""
        if self.response.phase != Phase.HEAD:
            # nobody waits for an answer any more
            self.request.cut()
            self._finish_if_over()
            return
        if fault.cause is not Cause.NO_ROUTE:
            self._blame(fault)
        self.record.why = fault.why
        self._cancel_upstream(ErrorCode.CANCEL, fault.cause)
        date = self._front.proxy.date()
        self._answer(reply_for(fault, grpc=self.record.grpc, date=date))

    def _answer(self, reply: Reply) -> None:
        record = self.record
        record.answered = True
        record.status = reply.status
        record.grpc_status = reply.grpc_status
        if reply.grpc_status:
            self._books.enter(record, RESPONSE, Outcome.SYNTHESIZED)
        self.request.cut()
        self._farewell = (self.down, ErrorCode.NO_ERROR, Cause.ANSWERED)
        bare = not reply.body or record.method == "HEAD"
        self.response.source = None
        self.response.open(reply.head, bare)
        if not bare:
            self.response.data(reply.body, 0, end=True)

    def _retry(self, fault: Fault) -> bool:
        """Lease again, if the upstream cannot have touched the request (RFC 9113 8.7)."""
        if fault.cause not in UNPROCESSED or self.record.attempts >= _ATTEMPTS:
            return False
        if not self.request.replayable:
            return False
        self._watch.head_came()
        self.request.rewind()
        self.response.source = None
        self.up = None
        self._lease()
        return True

    # -- deadlines -----------------------------------------------------------------------

    def expire(self, cause: Cause) -> None:
        """A deadline has passed: answer if nothing was sent yet, else break off."""
        if self._finished:
            return
        fault = ours(cause, cause.replace("_", " "), code=ErrorCode.INTERNAL_ERROR)
        if self.response.phase == Phase.HEAD:
            self._refuse(fault)
        elif self.response.phase == Phase.DONE:
            # the client has its whole response; only the rest of its request is given up
            self._cancel_upstream(ErrorCode.CANCEL, cause)
            self._farewell = (self.down, ErrorCode.NO_ERROR, cause)
            self.request.cut()
            self._say_farewell()
            self._finish_if_over()
        else:
            self._break(fault)

    def look(self, now: float) -> None:
        """See whether a deadline has passed, at `now` in clock seconds."""
        cause = self._watch.look(now, self.request.moves + self.response.moves)
        if cause is not None:
            self.expire(cause)

    # -- the end -------------------------------------------------------------------------

    def _blame(self, fault: Fault) -> None:
        record = self.record
        if record.dropped is None:
            record.dropped = fault.cause
            record.dropped_side = fault.side
            record.why = fault.why

    def _cancel_upstream(self, code: int, cause: Cause) -> None:
        if self.up is not None:
            self.up.connection.reset(self.up, code, cause)
        elif self._upstream is not None:
            self._upstream.cancel(self)

    def _say_farewell(self) -> None:
        if self._farewell is None:
            return
        # it is set when one lane is cut, so the lane that is done now is the other
        stream, code, cause = self._farewell
        self._farewell = None
        stream.connection.reset(stream, code, cause)

    def _finish_if_over(self) -> None:
        if self.request.over and self.response.over and not self._finished:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        record, request, response = self.record, self.request, self.response
        record.ended = self._front.proxy.now()
        record.request_ending = request.ending or CANCELLED
        record.response_ending = response.ending or CANCELLED
        record.request_bytes = request.departed
        record.response_bytes = response.departed
        record.request_trailers = request.trailers_departed
        record.response_trailers = response.trailers_departed
        self._front.proxy.finished(self)
        _let_go(self.down)
        if self.up is not None:
            _let_go(self.up)
        request.release()
        response.release()

    # -- what others ask -----------------------------------------------------------------

    def progress(self, stream: Stream) -> Progress:
        """Tell how far the response has come on this stream's side."""
        lane = self.response
        here = stream is self.down
        if lane.phase == Phase.HEAD or lane.opened is None:
            return Progress.BEFORE_HEAD
        if lane.phase == Phase.DONE or (lane.phase == Phase.ENDED and not here):
            return Progress.AFTER_END
        if lane.phase == Phase.ENDED:
            return Progress.TRAILERS
        return Progress.BODY if (lane.departed if here else lane.arrived) else Progress.HEAD

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
