"""Inspection: those who look at the messages of one exchange on their way.

What a route does beyond relaying is done by inspectors, in a fixed order: who checks
what came stands before who changes it, who adds to it stands last. A route without
policies has none of this. An inspector that wants no more of an exchange raises
`Halt`; anything else it raises is a failure of its own, and costs that exchange alone.
"""

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64, mypyc_attr

from trailproxy.core.fault import Fault
from trailproxy.core.record import RELAYED, REQUEST, RESPONSE, Direction, Outcome, Record
from trailproxy.core.reply import Reply
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange
    from trailproxy.core.lane import Lane


class Halt(Exception):  # noqa: N818 - a wish, not an error
    """No more of this exchange: it is answered, if that is still possible, else broken off."""

    def __init__(self, fault: Fault, reply: Reply | None = None) -> None:
        super().__init__(fault.why)
        self.fault: Final = fault
        self.reply: Final = reply  # None: the answer that the fault has in the table


class Interest:
    """What an inspector wants beyond heads and trailers; to be added up."""

    NONE: Final = 0
    REQUEST_DATA: Final = 1
    RESPONSE_DATA: Final = 2
    REQUEST_END: Final = 4  # trailers may be added to a request that came with a body only
    RESPONSE_END: Final = 8


@mypyc_attr(allow_interpreted_subclasses=True)
class Inspector:
    """Who looks at exchanges; each may raise Halt from all but `over`."""

    def look_at(self, exchange: "Exchange") -> "Inspector":
        """Return who looks at this exchange; itself, if it keeps nothing of any."""
        return self

    def interests(self) -> int:
        """Return what it wants to see, see `Interest`; asked once for each exchange."""
        return Interest.NONE

    def begins(self) -> None:
        """The request head is here; the upstream has heard nothing yet."""

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Return the final response head as it should depart; `end` if nothing follows."""
        return head

    def data(self, direction: Direction, octets: bytes) -> None:
        """Body octets have come."""

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Return the trailers as they should depart."""
        return trailers

    def over(self, record: Record) -> None:
        """The exchange is over."""


@final
class Inspection:
    """The inspectors of one exchange."""

    __slots__ = ("_exchange", "inspectors")

    def __init__(self, exchange: "Exchange", inspectors: list[Inspector]) -> None:
        self._exchange: Final = exchange
        self.inspectors: Final = inspectors
        wanted: i64 = 0
        for inspector in inspectors:
            wanted |= inspector.interests()
        exchange.request.inspection = self if wanted & Interest.REQUEST_DATA else None
        exchange.response.inspection = self if wanted & Interest.RESPONSE_DATA else None
        exchange.request.adds_end = wanted & Interest.REQUEST_END != 0
        exchange.response.adds_end = wanted & Interest.RESPONSE_END != 0

    def begins(self) -> bool:
        """Show the request head; False if that was the end of it."""
        try:
            for inspector in self.inspectors:
                inspector.begins()
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)
            return False
        return True

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Return the response head as it should depart; the exchange may be halted."""
        try:
            for inspector in self.inspectors:
                head = inspector.response_head(head, end)
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)
        return head

    def data(self, lane: "Lane", octets: bytes) -> None:
        """Show body octets; the exchange may be halted."""
        request = lane is self._exchange.request
        direction = REQUEST if request else RESPONSE
        wanted = Interest.REQUEST_DATA if request else Interest.RESPONSE_DATA
        try:
            for inspector in self.inspectors:
                if inspector.interests() & wanted:
                    inspector.data(direction, octets)
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)

    def trailers(self, lane: "Lane", direction: Direction, trailers: Fields) -> Fields:
        """Return the trailers as they should depart; the exchange may be halted."""
        record = self._exchange.record
        kept = trailers
        try:
            for inspector in self.inspectors:
                kept = inspector.trailers(record, direction, kept)
        except Halt as halt:
            self._exchange.halt_at_trailers(lane, halt.fault, halt.reply)
            return trailers
        if kept is not trailers and lane.outcome is RELAYED:
            lane.outcome = Outcome.REWRITTEN
        return kept

    def over(self, record: Record) -> None:
        """Tell everybody that the exchange is over."""
        for inspector in self.inspectors:
            inspector.over(record)


@final
class Policy:
    """What a route does beyond relaying."""

    def __init__(self, inspectors: list[Inspector]) -> None:
        self._inspectors: Final = inspectors

    def behind(self, inspector: Inspector) -> "Policy":
        """Return the same, behind somebody who looks first."""
        return Policy([inspector, *self._inspectors])

    def inspect(self, exchange: "Exchange") -> Inspection:
        """Begin to look at an exchange."""
        return Inspection(exchange, [each.look_at(exchange) for each in self._inspectors])
