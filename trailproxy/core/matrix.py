"""Matrix: what an ending on one side of an exchange means for the other.

The first fault is the one that is told. Before the response head an ending is
answered, behind it a message cut short never looks complete, and a whole one
loses nothing.
"""

from typing import TYPE_CHECKING, Final

from trailproxy.core.epilogue import epilogue
from trailproxy.core.fault import UNPROCESSED, Cause, Fault, Scope, Side, ours
from trailproxy.core.lane import Phase
from trailproxy.core.record import RESPONSE, Ending, Outcome
from trailproxy.core.reply import Reply, reply_for
from trailproxy.wire.errors import ErrorCode

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange

_ATTEMPTS: Final = 3  # leases an exchange may use up; each earlier one left no trace upstream


# -- who went ----------------------------------------------------------------------------------


def upstream_gone(exchange: "Exchange", fault: Fault) -> None:
    """The upstream's stream ended before its time."""
    request, response = exchange.request, exchange.response
    if exchange.tries is not None and exchange.tries.fault(fault):
        return
    if response.phase == Phase.HEAD:
        if not _retry(exchange, fault):
            refuse(exchange, fault)
        return
    if _conclude(exchange, fault):
        return
    if response.abort():
        break_off(exchange, fault)
        return
    # the response is whole, and nothing that happens now may take a byte of it
    stopped = fault.code == ErrorCode.NO_ERROR or fault.scope is Scope.CONNECTION
    if not stopped:
        _blame(exchange, fault)
    request.cut()
    code = ErrorCode.NO_ERROR if stopped else ErrorCode.CANCEL
    cause = Cause.UPSTREAM_DONE if stopped else fault.cause
    exchange.farewell = (exchange.down, code, cause)
    if response.over:
        exchange.say_farewell()
    exchange.finish_if_over()


def downstream_gone(exchange: "Exchange", fault: Fault) -> None:
    """The client's stream ended before its time."""
    request, response = exchange.request, exchange.response
    if response.phase != Phase.DONE:
        _blame(exchange, fault)
    if request.phase >= Phase.ENDED and request.phase != Phase.ABORTED:
        response.cut()
        if fault.code == ErrorCode.NO_ERROR:
            # the client only stopped listening: what it said still departs
            if exchange.up is not None:
                exchange.farewell = (exchange.up, ErrorCode.NO_ERROR, fault.cause)
            if request.over:
                exchange.say_farewell()
            exchange.finish_if_over()
            return
        code: int = ErrorCode.CANCEL
    else:
        code = fault.code or ErrorCode.CANCEL
        request.abort()
    if fault.scope is Scope.CONNECTION:
        code = ErrorCode.CANCEL
    exchange.cancel_upstream(code, fault.cause)
    request.cut()
    response.cut()
    exchange.finish_if_over()


def expire(exchange: "Exchange", cause: Cause) -> None:
    """A deadline has passed: answer if nothing was sent yet, else break off."""
    if exchange.finished:
        return
    response = exchange.response
    # who takes nothing of what is parked for it keeps all others waiting too
    unread = cause is Cause.IDLE_TIMEOUT and response.parked_bytes > 0
    side = Side.DOWNSTREAM if unread or cause is Cause.CLIENT_SLOW else Side.UPSTREAM
    fault = ours(cause, cause.replace("_", " "), side, ErrorCode.INTERNAL_ERROR)
    late = cause is Cause.RESPONSE_HEAD_TIMEOUT
    if late and exchange.tries is not None and exchange.tries.fault(fault):
        return
    if response.phase == Phase.HEAD:
        refuse(exchange, fault)
    elif response.phase == Phase.DONE:
        # the client has its whole response; only the rest of its request is given up
        exchange.cancel_upstream(ErrorCode.CANCEL, cause)
        exchange.farewell = (exchange.down, ErrorCode.NO_ERROR, cause)
        exchange.request.cut()
        exchange.say_farewell()
        exchange.finish_if_over()
    elif response.waits or not _conclude(exchange, fault):
        # behind octets that the client does not take, trailers would wait forever
        break_off(exchange, fault)


def halt(exchange: "Exchange", fault: Fault, reply: Reply | None) -> None:
    """A policy of the route wants no more of it: answer while that is possible, else break off."""
    if exchange.response.phase == Phase.HEAD and reply is not None:
        exchange.cancel_upstream(ErrorCode.CANCEL, fault.cause)
        answer(exchange, reply)
    elif exchange.response.phase == Phase.HEAD and fault.cause is not Cause.HOOK:
        refuse(exchange, fault)
    else:
        break_off(exchange, fault)


# -- what becomes of the rest ------------------------------------------------------------------


def _conclude(exchange: "Exchange", fault: Fault) -> bool:
    """The response was cut short behind its head: tell why in trailers, if they can."""
    response, record = exchange.response, exchange.record
    if response.phase != Phase.BODY or response.opened is None or exchange.route is None:
        return False
    end = epilogue(fault, record.asked, response.opened, exchange.route.on_failure)
    if end is None:
        return False
    _blame(exchange, fault)
    record.grpc_status = end.grpc_status or record.grpc_status
    exchange.cancel_upstream(ErrorCode.CANCEL, fault.cause)
    exchange.request.cut()
    exchange.farewell = (exchange.down, ErrorCode.NO_ERROR, fault.cause)
    response.conclude(end.trailers)
    exchange.finish_if_over()
    return True


def break_off(exchange: "Exchange", fault: Fault) -> None:
    """The response was cut short behind its head: it must not look complete."""
    _blame(exchange, fault)
    code = fault.code or ErrorCode.INTERNAL_ERROR
    if code == ErrorCode.REFUSED_STREAM:
        # to the client it would mean "not processed, try again" (RFC 9113 section 8.7)
        code = ErrorCode.INTERNAL_ERROR
    exchange.down.connection.reset(exchange.down, code, fault.cause)
    exchange.cancel_upstream(ErrorCode.CANCEL, fault.cause)
    exchange.response.cut(Ending.RESET)
    exchange.request.cut()
    exchange.finish_if_over()


def refuse(exchange: "Exchange", fault: Fault) -> None:
    """No response head has come, and none will: answer in the upstream's place."""
    if exchange.response.phase != Phase.HEAD:
        # nobody waits for an answer any more
        exchange.request.cut()
        exchange.finish_if_over()
        return
    if fault.cause is not Cause.NO_ROUTE:
        _blame(exchange, fault)
    exchange.record.why = fault.why
    exchange.cancel_upstream(ErrorCode.CANCEL, fault.cause)
    date = exchange.front.proxy.date()
    answer(exchange, reply_for(fault, speaks_grpc=exchange.record.grpc, date=date))


def answer(exchange: "Exchange", reply: Reply) -> None:
    """Answer ourselves; the rest of the request is not wanted."""
    record, response = exchange.record, exchange.response
    record.answered = True
    record.status = reply.status
    record.grpc_status = reply.grpc_status
    if reply.grpc_status:
        exchange.books.enter(record, RESPONSE, Outcome.SYNTHESIZED)
    exchange.request.cut()
    exchange.farewell = (exchange.down, ErrorCode.NO_ERROR, Cause.ANSWERED)
    bare = not reply.body or record.method == "HEAD"
    response.source = None
    response.inspection, response.adds_end = None, False  # policies look at what was relayed
    response.open(reply.head, bare)
    if not bare:
        response.data(reply.body, 0, end=True)


def _retry(exchange: "Exchange", fault: Fault) -> bool:
    """Lease again, if the upstream cannot have touched the request (RFC 9113 8.7)."""
    if fault.cause not in UNPROCESSED or exchange.record.attempts >= _ATTEMPTS:
        return False
    if not exchange.request.replayable:
        return False
    exchange.leave_upstream()
    exchange.lease()
    return True


def _blame(exchange: "Exchange", fault: Fault) -> None:
    record = exchange.record
    if record.dropped is None:
        record.dropped = fault.cause
        record.dropped_side = fault.side
        record.why = fault.why
