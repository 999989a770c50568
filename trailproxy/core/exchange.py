"""Exchange: one request, its response, and what becomes of both.

It is called at the beginning, at the end, and when something breaks; never per
byte. `_upstream_gone` and `_downstream_gone` are the one matrix that says what
an ending on one side means for the other. The first fault is the one that is
told; `_finish` runs once, whatever the order of endings.
"""

from typing import TYPE_CHECKING, Any, Final, final

from trailproxy.core.clock import Timer
from trailproxy.core.fault import UNPROCESSED, Cause, Fault, Initiator, Scope, Side, ours
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.message import (
    is_grpc,
    request_to_relay,
    response_to_relay,
    stops_here,
    trailers_to_relay,
)
from trailproxy.core.record import Direction, Ending, Outcome, Progress, Record
from trailproxy.core.reply import Reply, last_hop_reply, reply_for
from trailproxy.core.routing import Deadlines
from trailproxy.core.stream import Stream
from trailproxy.core.upstream import Upstream
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection
    from trailproxy.core.proxy import Front

_ATTEMPTS: Final = 3  # leases an exchange may use up; each earlier one left no trace upstream
_IDLE_CHECKS: Final = 4  # looks a route's idle time is divided into


@final
class Exchange:
    """One request and its response, between a downstream and an upstream stream."""

    __slots__ = (
        "_farewell",
        "_finished",
        "_front",
        "_grpc_owed",
        "_quiet",
        "_seen",
        "_timers",
        "_upstream",
        "affinity",
        "deadlines",
        "down",
        "record",
        "request",
        "response",
        "up",
    )

    def __init__(self, front: "Front", stream: Stream, head: Fields) -> None:
        proxy = front.proxy
        self._front: Final = front
        self.down: Final = stream
        self.up: Stream | None = None
        self.request: Final = Lane(self, stream, proxy.tallies[Side.DOWNSTREAM])
        self.response: Final = Lane(self, None, proxy.tallies[Side.UPSTREAM])
        self.affinity = front.peer
        self.deadlines = Deadlines()
        self._upstream: Upstream | None = None
        self._timers: dict[str, Timer] = {}
        self._farewell: tuple[Stream, int, Cause] | None = None  # a reset behind the last part
        self._finished = False
        self._grpc_owed = False  # the response is gRPC, and no grpc-status has come yet
        self._seen = 0  # moves at the last look
        self._quiet = 0  # looks without a move
        method = head.get(b":method") or b""
        authority = head.get(b":authority") or head.get(b"host") or b""
        self.record: Final = Record(
            listener=front.listener,
            route="",
            method=method.decode("latin-1"),
            authority=authority.decode("latin-1"),
            path=(head.get(b":path") or b"").decode("latin-1"),
            peer=front.peer,
            began=proxy.wheel.time(),
            grpc=is_grpc(head),
        )
        stream.owner = self
        stream.feeds = self.request
        self.response.attach(stream)

    # -- the beginning -------------------------------------------------------------------

    def begin(self, head: Fields, end: bool) -> None:
        """Find the request its route and its upstream."""
        front, record = self._front, self.record
        path = head.get(b":path") or b""
        route = front.proxy.router.match(record.authority.encode("latin-1"), path)
        record.route = "" if route is None else route.name
        front.proxy.began(self)
        self.request.phase = Phase.ENDED if end else Phase.BODY
        if stops_here(head):
            self._answer(last_hop_reply(front.proxy.date()))
            return
        if route is None:
            self._refuse(ours(Cause.NO_ROUTE, "no route takes this request", Side.DOWNSTREAM))
            return
        self.deadlines = route.deadlines
        if self.deadlines.total is not None:
            self._arm("total", self.deadlines.total, Cause.TOTAL_TIMEOUT)
        self._upstream = route.share.pick()
        record.upstream = self._upstream.name
        self.request.open(request_to_relay(head, front.peer, front.scheme), end)
        self._upstream.lease(self)

    def attach(self, connection: "Connection", endpoint: str) -> None:
        """Open a stream on this connection; it has a free slot now."""
        stream = connection.open()
        if stream is None:
            if self._upstream is not None:
                self._upstream.lease(self)  # its ids are used up: it will not be chosen again
            return
        self.up = stream
        stream.owner = self
        stream.feeds = self.response
        self.response.source = stream
        self.record.endpoint = endpoint
        self.record.attempts += 1
        self.record.request_sent_at = self._front.proxy.wheel.time()
        if self.deadlines.idle is not None:
            self._watch_idle()
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
        record.status = int(fields.get(b":status") or b"0")
        record.response_head_at = proxy.wheel.time()
        self._disarm("response_head")
        if record.grpc:
            status = fields.get(b"grpc-status")
            self._grpc_owed = status is None
            record.grpc_status = (status or b"").decode("latin-1")
        lane.open(response_to_relay(fields, proxy.date()), end)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        """Return what of the trailers may travel on."""
        kept, removed = trailers_to_relay(fields)
        if removed:
            observer = self._front.proxy.observer
            observer.trailer_fields_removed(self._direction(lane), self.record.route, removed)
        if lane is self.response and self._ends_at_head():
            self._tell_trailers(lane, Outcome.DROPPED, Cause.NOT_ALLOWED)
            return Fields(())
        if lane is self.response:
            status = kept.get(b"grpc-status")
            if status is not None:
                self.record.grpc_status = status.decode("latin-1")
                self._grpc_owed = False
        return kept

    def trailers_lost(self, lane: Lane) -> None:
        """Trailers came, or were parked, and can reach nobody."""
        cause = self.record.dropped or Cause.STREAM_OVER
        self._tell_trailers(lane, Outcome.DROPPED, cause)

    def trailers_rejected(self, stream: Stream) -> None:
        """The peer's trailers were malformed; `stream_gone` follows."""
        self._tell_trailers(
            self.request if stream is self.down else self.response, Outcome.REJECTED
        )

    def lane_done(self, lane: Lane) -> None:
        """The end of one message has departed."""
        if lane.ending is Ending.TRAILERS:
            self._tell_trailers(lane, Outcome.RELAYED)
        elif lane.trailers_came and not (lane is self.response and self._ends_at_head()):
            self._tell_trailers(lane, Outcome.EMPTY)
        elif lane is self.response and not self.record.answered and self._trailers_owed():
            self._tell_trailers(lane, Outcome.MISSING)
        if lane is self.request and self.response.phase is Phase.HEAD:
            limit = self.deadlines.response_head
            if limit is not None:
                self._arm("response_head", limit, Cause.RESPONSE_HEAD_TIMEOUT)
        if self._farewell is not None:
            self._say_farewell()
        self._finish_if_over()

    # -- the matrix: what an ending on one side means for the other ----------------------

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        """One of our streams ended before its time."""
        if self._finished:
            return
        if stream is self.down:
            self._downstream_gone(fault)
        elif stream is self.up:
            self._upstream_gone(fault)

    def _upstream_gone(self, fault: Fault) -> None:
        request, response = self.request, self.response
        if response.phase is Phase.HEAD:
            if not self._retry(fault):
                self._refuse(fault)
            return
        if response.abort():
            self._break(fault)
            return
        # the response is whole, and nothing that happens now may take a byte of it
        if request.over:
            self._finish_if_over()
            return
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
        if response.phase is not Phase.DONE:
            self._blame(fault)
        if request.phase >= Phase.ENDED and request.phase is not Phase.ABORTED:
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
        if self._finished or self.response.phase is not Phase.HEAD:
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
            self._tell_trailers(self.response, Outcome.SYNTHESIZED)
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
        if self._upstream is None or not self.request.replayable:
            return False
        self._disarm("response_head")
        self.request.rewind()
        self.response.source = None
        self.up = None
        self._upstream.lease(self)
        return True

    # -- deadlines -----------------------------------------------------------------------

    def expire(self, cause: Cause) -> None:
        """A deadline has passed: answer if nothing was sent yet, else break off."""
        if self._finished:
            return
        fault = ours(cause, cause.replace("_", " "), code=ErrorCode.INTERNAL_ERROR)
        if self.response.phase is Phase.HEAD:
            self._refuse(fault)
        elif self.response.phase is Phase.DONE:
            # the client has its whole response; only the rest of its request is given up
            self._cancel_upstream(ErrorCode.CANCEL, cause)
            self._farewell = (self.down, ErrorCode.NO_ERROR, cause)
            self.request.cut()
            self._say_farewell()
            self._finish_if_over()
        else:
            self._break(fault)

    def _arm(self, name: str, seconds: float, cause: Cause) -> None:
        wheel = self._front.proxy.wheel
        self._timers[name] = wheel.after(seconds, lambda: self.expire(cause))

    def _disarm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _watch_idle(self) -> None:
        idle = self.deadlines.idle
        if idle is None or self._finished:
            return
        moves = self.request.moves + self.response.moves
        self._quiet = self._quiet + 1 if moves == self._seen else 0
        self._seen = moves
        if self._quiet >= _IDLE_CHECKS:
            self.expire(Cause.IDLE_TIMEOUT)
            return
        wheel = self._front.proxy.wheel
        self._disarm("idle")
        self._timers["idle"] = wheel.after(idle / _IDLE_CHECKS, self._watch_idle)

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
        stream, code, cause = self._farewell
        lane = self.response if stream is self.down else self.request
        if lane.over:
            self._farewell = None
            stream.connection.reset(stream, code, cause)

    def _finish_if_over(self) -> None:
        if self.request.over and self.response.over and not self._finished:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        record, request, response = self.record, self.request, self.response
        record.ended = self._front.proxy.wheel.time()
        record.request_ending = request.ending or Ending.CANCELLED
        record.response_ending = response.ending or Ending.CANCELLED
        record.request_bytes = request.departed
        record.response_bytes = response.departed
        record.request_trailers = request.trailers_departed
        record.response_trailers = response.trailers_departed
        self._front.proxy.finished(self)
        for stream in (self.down, self.up):
            if stream is not None:
                stream.connection.reset(stream, ErrorCode.INTERNAL_ERROR, Cause.INTERNAL)
                stream.release()
        request.release()
        response.release()

    # -- what others ask -----------------------------------------------------------------

    def progress(self, stream: Stream) -> Progress:
        """Tell how far the response has come on this stream's side."""
        lane = self.response
        here = stream is self.down
        if lane.phase is Phase.HEAD or lane.opened is None:
            return Progress.BEFORE_HEAD
        if lane.phase is Phase.DONE or (lane.phase is Phase.ENDED and not here):
            return Progress.AFTER_END
        if lane.phase is Phase.ENDED:
            return Progress.TRAILERS
        return Progress.BODY if (lane.departed if here else lane.arrived) else Progress.HEAD

    def reset_noted(
        self, stream: Stream, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """Keep what the access log will say of a RST_STREAM."""
        self.record.resets.append((stream.connection.side, initiator, code, progress, cause))

    def describe(self) -> dict[str, Any]:
        """Say where the exchange stands, in the words of the record."""
        record = self.record
        return {
            "listener": record.listener,
            "route": record.route,
            "peer": record.peer,
            "method": record.method,
            "authority": record.authority,
            "path": record.path,
            "upstream": record.upstream,
            "endpoint": record.endpoint,
            "attempts": record.attempts,
            "status": record.status,
            "age_s": round(self._front.proxy.wheel.time() - record.began, 3),
            "downstream_stream": self.down.sid,
            "upstream_stream": self.up.sid if self.up is not None else None,
            "request": _describe(self.request),
            "response": _describe(self.response),
        }

    def _ends_at_head(self) -> bool:
        """Whether the response has neither body nor trailers (RFC 9110 sections 9.3.2, 15.3.5)."""
        return self.record.method == "HEAD" or self.record.status in (204, 304)

    def _trailers_owed(self) -> bool:
        opened = self.response.opened
        announced = opened is not None and opened.get(b"trailer") is not None
        return self._grpc_owed or (announced and not self._ends_at_head())

    def _direction(self, lane: Lane) -> Direction:
        return Direction.REQUEST if lane is self.request else Direction.RESPONSE

    def _tell_trailers(self, lane: Lane, outcome: Outcome, cause: Cause | None = None) -> None:
        observer = self._front.proxy.observer
        observer.trailers(self._direction(lane), outcome, self.record.route, cause)


def _describe(lane: Lane) -> dict[str, Any]:
    return {
        "phase": lane.phase.name.lower(),
        "arrived_bytes": lane.arrived,
        "departed_bytes": lane.departed,
        "parked_bytes": lane.parked_bytes,
    }
