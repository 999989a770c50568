"""Lane: one direction of one exchange.

Parts go forward; only credit and aborts go back. Body octets wait here and
nowhere else, and their source is not paid for them until they depart, so the
window we advertise is the bound of what can wait. An end once received is
final: whatever happens to the source afterwards, the parked parts depart.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, final

from mypy_extensions import i64

from trailproxy.core.messages import Messages
from trailproxy.core.parking import park
from trailproxy.core.record import (
    CANCELLED,
    END,
    RELAYED,
    TRAILERS,
    Ending,
    Outcome,
    Progress,
    Tally,
)
from trailproxy.core.stream import Feed, Owner, Stream
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.inspection import Inspection

NO_QUANTUM: Final = 1 << 62


class Phase:
    """How far the message has come; the order of the values is the order of a life."""

    HEAD: Final = 0  # the final head is still to come
    BODY: Final = 1
    ENDED: Final = 2  # the source has said its end; parts may still be parked
    DONE: Final = 3  # the end has departed
    ABORTED: Final = 4  # cut short, or no longer wanted

    NAMES: Final = ("head", "body", "ended", "done", "aborted")


class Source(Protocol):
    """Who is paid when octets depart."""

    def credit(self, octets: i64) -> None:
        """Take back window octets."""
        ...


@final
class Lane(Feed):
    """One message on its way from a source to a sink."""

    __slots__ = (
        "_keep",
        "_kept",
        "_parked",
        "_tally",
        "_trailers",
        "adds_end",
        "arrived",
        "credit_owed",
        "departed",
        "ending",
        "in_line",
        "inspection",
        "messages",
        "moves",
        "opened",
        "outcome",
        "owner",
        "parked_bytes",
        "phase",
        "section",
        "sink",
        "source",
        "trailers_came",
        "trailers_departed",
    )

    def __init__(
        self, owner: Owner, source: Source | None, tally: Tally, grpc: bool = False
    ) -> None:
        self.owner: Owner | None = owner
        self.source = source
        self.sink: Stream | None = None
        self.phase: i64 = Phase.HEAD
        self.ending: Ending | None = None
        self.opened: Fields | None = None  # the final head, as it departs
        # parts that wait
        # octets, and the credit they carry; made when something waits for the first time,
        # which most bodies never do (0.3 µs)
        self._parked: deque[tuple[bytes, int]] | None = None
        self._trailers: Fields | None = None
        # that departed and may have to depart again, with the credit they carry; see `keep`
        self._kept: deque[tuple[bytes, int]] | None = None
        self._keep: i64 = 0  # octets; how many may be kept
        self.outcome = RELAYED  # what the trailers will be called, if they depart
        # set at the beginning, where a route has policies
        self.inspection: Inspection | None = None  # looks at the body
        self.adds_end = False  # trailers may be added to a message that came without
        self.parked_bytes: i64 = 0
        self.credit_owed: i64 = 0  # credit received and not yet paid
        self.in_line = False  # kept by the turns of the sink's connection
        # counters
        self.arrived: i64 = 0  # body octets
        self.departed: i64 = 0  # body octets
        self.trailers_came = False
        self.trailers_departed: i64 = 0  # fields
        self.section: Fields | None = None  # the trailers that departed, or came and were lost
        self.messages: Final = Messages() if grpc else None
        self.moves: i64 = 0  # anything that came or went
        self._tally = tally  # of the source's side

    # -- forward: from the source --------------------------------------------------------

    def head(self, fields: Fields, end: bool) -> None:
        """Take a head from the source."""
        self.moves += 1
        if self.owner is not None and self.phase == Phase.HEAD:
            self.owner.head_arrived(self, fields, end)

    def open(self, fields: Fields, end: bool) -> None:
        """Begin the message with its final head, as it is to depart."""
        self.opened = fields
        self.phase = Phase.ENDED if end else Phase.BODY
        if self.sink is not None:
            self._send_head(self.sink, fields)

    def data(self, data: bytes, credit: i64, end: bool) -> None:
        """Take a piece of body."""
        self.moves += 1
        self.credit_owed += credit
        if self.phase != Phase.BODY:
            self._pay(credit)  # nobody wants it any more
            return
        if self.messages is not None:
            self.messages.follow(data)
        if self.inspection is not None or (end and self.adds_end):
            self._show(data, credit, end)
        else:
            self._take(data, credit, end)

    def _show(self, data: bytes, credit: i64, end: bool) -> None:
        """Take a piece that somebody looks at first, or behind which our trailers follow."""
        if self.inspection is not None:
            self.inspection.data(self, data)
            if self.phase != Phase.BODY:
                return  # halted; what was owed has been paid
        self._take(data, credit, end and not self.adds_end)
        if end and self.adds_end and self.owner is not None:
            self._close(self.owner.end_arrived(self))

    def _take(self, data: bytes, credit: i64, end: bool) -> None:
        size: i64 = len(data)
        self.arrived += size
        if end:
            self.phase = Phase.ENDED
        if size == 0 and not end:
            self._pay(credit)
            return
        if self._departs_at_once(data, credit, size):
            return
        if self._parked is None:
            self._parked = deque()
        park(self._parked, data, credit)
        self.parked_bytes += size
        self._tally.parked_bytes += size
        self.pump()

    def _departs_at_once(self, data: bytes, credit: i64, size: i64) -> bool:
        """Send a piece that nothing waits before and that there is room for, without parking it."""
        sink = self.sink
        if sink is None or self._parked or sink.room() < size:
            return False
        last = self.phase == Phase.ENDED
        self.moves += 1
        self.departed += size
        self._pay_or_keep(data, credit)
        sink.connection.send_data(sink.sid, data, last)
        if last:
            self._finish(END)
        return True

    def trailers(self, fields: Fields) -> None:
        """Take the trailers; they end the message."""
        self.moves += 1
        self.section = fields
        if self.owner is None:
            return
        if self.phase != Phase.BODY:
            self.owner.trailers_lost(self)
            return
        self.trailers_came = True
        self._close(self.owner.trailers_arrived(self, fields))

    def conclude(self, trailers: Fields) -> None:
        """End the message in its source's place; what is parked departs before the trailers."""
        self.outcome = Outcome.SYNTHESIZED
        self._close(trailers)

    def _close(self, trailers: Fields) -> None:
        if self.phase != Phase.BODY:
            return  # whoever looked at the trailers wanted no more of the message
        self._trailers = trailers
        self.phase = Phase.ENDED
        self.pump()

    # -- forward: to the sink ------------------------------------------------------------

    def attach(self, sink: Stream) -> None:
        """Join the lane to its sink: what waited for it departs."""
        self.sink = sink
        sink.drains = self
        if self.opened is not None:
            self._send_head(sink, self.opened)

    def pump(self, quantum: i64 = NO_QUANTUM) -> bool:
        """Send what the sink has room for, at most `quantum` body octets.

        Returns:
            True if octets are left that wait for room.
        """
        sink = self.sink
        if sink is None or self.phase == Phase.ABORTED:
            return False
        parked = self._parked
        connection, sid = sink.connection, sink.sid
        while parked:
            data, credit = parked[0]
            size: i64 = len(data)
            room = min(sink.room(), quantum)
            if size > room:
                if room > 0:
                    # a part of the credit goes with its octets; padding goes with the last one
                    parked[0] = (data[room:], credit - room)
                    self._depart(data[:room], room, room)
                    connection.send_data(sid, data[:room], end=False)
                connection.turns.wait(self, sid, connection.writable)
                return True
            parked.popleft()
            last = not parked and self.phase == Phase.ENDED and self._trailers is None
            self._depart(data, size, credit)
            quantum -= size
            connection.send_data(sid, data, last)
            if last:
                self._finish(END)
                return False
        if self._trailers is not None:
            self._send_trailers(sink, self._trailers)
        return False

    @property
    def waits(self) -> bool:
        """Whether body octets are parked."""
        return bool(self._parked)

    @property
    def end_waits(self) -> bool:
        """Whether the end is known, and parked behind body octets."""
        return self.phase == Phase.ENDED and bool(self._parked)

    def _send_head(self, sink: Stream, head: Fields) -> None:
        self.moves += 1
        bare = self.phase == Phase.ENDED and not self._parked and self._trailers is None
        sink.connection.send_headers(sink.sid, head, bare)
        if bare:
            self._finish(END)
        else:
            self.pump()

    def _send_trailers(self, sink: Stream, trailers: Fields) -> None:
        self._trailers = None
        self.section = trailers
        self.trailers_departed = len(trailers.items)
        sink.connection.send_trailers(sink.sid, trailers)
        self._finish(TRAILERS if trailers.items else END)

    def _depart(self, data: bytes, size: i64, credit: i64) -> None:
        self.moves += 1
        self.departed += size
        self.parked_bytes -= size
        self._tally.parked_bytes -= size
        self._pay_or_keep(data, credit)

    def _finish(self, ending: Ending) -> None:
        self.phase = Phase.DONE
        self.ending = ending
        assert self.owner is not None  # a lane is released when it is over, not before
        self.owner.lane_done(self)

    # -- backward: credit and aborts -----------------------------------------------------

    def _pay(self, credit: i64) -> None:
        self.credit_owed -= credit
        source = self.source
        if isinstance(source, Stream):
            source.credit(credit)  # found in 3 ns, where a Protocol's method takes 80
            return
        if source is not None:
            source.credit(credit)

    def abort(self) -> bool:
        """The source is gone. True if that cut the message short."""
        if self.phase >= Phase.ENDED:
            return False  # what is parked still departs
        self.cut(Ending.RESET)
        return True

    def cut(self, ending: Ending = CANCELLED) -> None:
        """Nobody wants the message any more: discard what is parked, and pay for it."""
        if self.phase >= Phase.DONE:
            return
        self.phase = Phase.ABORTED
        self.ending = ending
        self._tally.parked_bytes -= self.parked_bytes
        self.parked_bytes = 0
        self._parked = None
        self._kept = None
        self._pay(self.credit_owed)
        if self._trailers is not None:
            self._trailers = None
            assert self.owner is not None  # a lane is released when it is over, not before
            self.owner.trailers_lost(self)

    # -- to another sink -----------------------------------------------------------------

    def keep(self, octets: i64) -> None:
        """Keep what departs, unpaid, for another sink; of more than `octets`, nothing is kept."""
        self._kept = deque()
        self._keep = octets

    def _pay_or_keep(self, data: bytes, credit: i64) -> None:
        if self._kept is None:
            self._pay(credit)
            return
        park(self._kept, data, credit)
        if self.departed > self._keep:
            self.let_go()

    def let_go(self) -> None:
        """What has departed will not be wanted again: pay for it."""
        kept, self._kept = self._kept, None
        if kept is not None:
            for _, credit in kept:
                self._pay(credit)

    @property
    def over(self) -> bool:
        """Whether nothing will come of this lane any more."""
        return self.phase >= Phase.DONE

    def progress(self, *, at_sink: bool) -> Progress:
        """Tell how far the message has come, on the sink's side or on the source's."""
        if self.phase == Phase.HEAD or self.opened is None:
            return Progress.BEFORE_HEAD
        if self.phase == Phase.DONE or (self.phase == Phase.ENDED and not at_sink):
            return Progress.AFTER_END
        if self.phase == Phase.ENDED:
            return Progress.TRAILERS
        return Progress.BODY if (self.departed if at_sink else self.arrived) else Progress.HEAD

    @property
    def replayable(self) -> bool:
        """Whether another sink could have it all: it is kept, or nothing but the head departed."""
        if self.phase == Phase.ABORTED or self.opened is None:
            return False
        return self._kept is not None or (self.departed == 0 and self.trailers_departed == 0)

    def rewind(self) -> None:
        """Leave a sink, and wait for the next one; what was kept waits again."""
        self.sink = None
        if self._kept:
            if self._parked is None:
                self._parked = deque()
            self._parked.extendleft(reversed(self._kept))
            self._kept.clear()
            self.parked_bytes += self.departed
            self._tally.parked_bytes += self.departed
            self.departed = 0
        if self.trailers_departed:
            self._trailers = self.section
            self.trailers_departed = 0
        if self.phase == Phase.DONE:
            self.phase = Phase.ENDED
            self.ending = None

    def release(self) -> None:
        """Forget the owner and both streams, so that no reference cycle is left."""
        self.let_go()
        self.owner = None
        self.source = None
        self.sink = None
        self.inspection = None
