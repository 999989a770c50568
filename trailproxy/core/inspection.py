"""Inspection: those who look at the messages of one exchange on their way.

What a route does beyond relaying is done by inspectors, in a fixed order: who checks
what came stands before who changes it, who adds to it stands last. A route without
policies has none of this. An inspector that wants no more of an exchange raises
`Halt`; anything else it raises is a failure of its own, and costs that exchange alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

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


@mypyc_attr(allow_interpreted_subclasses=True)
class Inspector:
    """Who looks at one exchange; each may raise Halt from any of the first four."""

    def begins(self) -> None:
        """The request head is here; the upstream has heard nothing yet."""

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Return the final response head as it should depart; `end` if nothing follows."""
        return head

    def data(self, direction: Direction, octets: bytes) -> None:
        """Body octets have come; asked for by `wants_data`."""

    def trailers(self, direction: Direction, trailers: Fields) -> Fields:
        """Return the trailers as they should depart.

        Only where `adds_end` says so it is called for messages that came without, too.
        """
        return trailers

    def over(self, record: Record) -> None:
        """The exchange is over."""

    def wants_data(self, direction: Direction) -> bool:
        """Tell whether `data` is to be called."""
        return False

    def adds_end(self, direction: Direction) -> bool:
        """Tell whether a message that came without trailers may get some."""
        return False


@final
class Inspection:
    """The inspectors of one exchange."""

    __slots__ = ("_exchange", "_inspectors", "_request_taps", "_response_taps")

    def __init__(
        self, exchange: "Exchange", inspectors: list[Inspector], request: "Lane", response: "Lane"
    ) -> None:
        self._exchange: Final = exchange
        self._inspectors: Final = inspectors
        self._request_taps: Final = [each for each in inspectors if each.wants_data(REQUEST)]
        self._response_taps: Final = [each for each in inspectors if each.wants_data(RESPONSE)]
        if self._request_taps:
            request.inspection = self
        if self._response_taps:
            response.inspection = self
        request.adds_end = any(each.adds_end(REQUEST) for each in inspectors)
        response.adds_end = any(each.adds_end(RESPONSE) for each in inspectors)

    def begins(self) -> bool:
        """Show the request head; False if that was the end of it."""
        try:
            for inspector in self._inspectors:
                inspector.begins()
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)
            return False
        return True

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Return the response head as it should depart; the exchange may be halted."""
        try:
            for inspector in self._inspectors:
                head = inspector.response_head(head, end)
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)
        return head

    def data(self, lane: "Lane", octets: bytes) -> None:
        """Show body octets; the exchange may be halted."""
        direction = REQUEST if lane is self._exchange.request else RESPONSE
        taps = self._request_taps if direction is REQUEST else self._response_taps
        try:
            for inspector in taps:
                inspector.data(direction, octets)
        except Halt as halt:
            self._exchange.halt(halt.fault, halt.reply)

    def trailers(self, lane: "Lane", direction: Direction, trailers: Fields) -> Fields:
        """Return the trailers as they should depart; the exchange may be halted."""
        kept = trailers
        try:
            for inspector in self._inspectors:
                kept = inspector.trailers(direction, kept)
        except Halt as halt:
            self._exchange.halt_at_trailers(lane, halt.fault, halt.reply)
            return trailers
        if kept is not trailers and lane.outcome is RELAYED and kept != trailers:
            lane.outcome = Outcome.REWRITTEN
        return kept

    def over(self, record: Record) -> None:
        """Tell everybody that the exchange is over."""
        for inspector in self._inspectors:
            inspector.over(record)


#: Makes an inspector for one exchange.
Maker = Callable[["Exchange"], Inspector]


@final
class Policy:
    """What a route does beyond relaying: who makes its inspectors, in their order."""

    def __init__(self, makers: "list[Maker]") -> None:
        self._makers: Final = makers

    def inspect(self, exchange: "Exchange") -> Inspection:
        """Begin to look at an exchange."""
        inspectors = [maker(exchange) for maker in self._makers]
        return Inspection(exchange, inspectors, exchange.request, exchange.response)
