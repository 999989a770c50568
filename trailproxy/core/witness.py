"""Witness: writes down what passes in one exchange, on both sides, while somebody wants to know.

It stands where others stand already: as an inspector it sees the octets that come, and
by its stand-ins (`stand_ins`) it hears what the owner of lanes and streams is told, and
what their sources are paid. So the way of the parts has no branch for it, and an exchange
without a witness costs what it always did.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from trailproxy.core.fault import Cause, Side
from trailproxy.core.inspection import Inspector, Interest
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.message import request_that_came
from trailproxy.core.record import REQUEST, RESPONSE, TRAILERS, Direction, Record
from trailproxy.core.stand_ins import OwnerStandIn, SourceStandIn
from trailproxy.core.stream import Stream
from trailproxy.core.timeline import Kind, Part, Timeline
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange
    from trailproxy.core.gallery import Net

_FROM: Final = {REQUEST: Side.DOWNSTREAM, RESPONSE: Side.UPSTREAM}
_TO: Final = {REQUEST: Side.UPSTREAM, RESPONSE: Side.DOWNSTREAM}
_RECEIVED: Final = Direction.RECEIVED
_SENT: Final = Direction.SENT


class Store:
    """How many octets of bodies all witnesses together may keep."""

    def __init__(self, octets: int) -> None:
        self.left = octets

    def take(self, octets: int) -> int:
        """Return how many of these may be kept."""
        taken = min(octets, self.left)
        self.left -= taken
        return taken


class Body:
    """The beginning of a body.

    Attributes:
        octets: what is kept.
        whole: whether nothing is missing behind them.
    """

    def __init__(self, most: int, store: Store) -> None:
        """Prepare to keep `most` octets, as far as the store has room."""
        self.octets = bytearray()
        self.whole = True
        self._most: Final = most
        self._store: Final = store

    def add(self, octets: bytes) -> None:
        """Keep what fits; behind a gap, nothing."""
        if self.whole:
            room = self._store.take(min(len(octets), self._most - len(self.octets)))
            self.octets += octets[:room]
            self.whole = room == len(octets)

    def give_back(self) -> None:
        """Nobody wants it any more."""
        self._store.left += len(self.octets)
        self.octets.clear()
        self.whole = False


class Witness(Inspector):
    """The witness of one exchange.

    Attributes:
        key: what it goes by.
        record: of the exchange.
        timeline: what passed.
        exchange: None when it is over, or nobody looks any more.
        late: when we came, in clock seconds, to an exchange that had begun before.
        net: who asked for this one in particular.
        bodies: by direction, where they are wanted.
    """

    def __init__(self, key: str, exchange: "Exchange", over: Callable[["Witness"], None]) -> None:
        """Prepare; `over` is told when the exchange is."""
        self.key: Final = key
        self.record: Final = exchange.record
        self.timeline: Final = Timeline()
        self.exchange: Exchange | None = exchange
        self.late: float | None = None
        self.net: Net | None = None
        self.bodies: dict[Direction, Body] = {}
        self._now: Final = exchange.front.proxy.now
        self._tell_over: Final = over
        self._departed: Final[dict[Direction, int]] = {REQUEST: 0, RESPONSE: 0}  # octets, as noted
        self._ended: Final[dict[Direction, float]] = {}  # when ends came that are not noted yet
        self._asked: float | None = None  # when the last request head went out that is noted
        self._answered = False  # the response head that went out is noted

    def keep_bodies(self, most: int, store: Store) -> None:
        """Keep the first `most` octets of each body, as far as the store has room."""
        self.bodies = {REQUEST: Body(most, store), RESPONSE: Body(most, store)}

    # -- to come and to leave ------------------------------------------------------------

    def begin(self) -> None:
        """Stand in an exchange that begins."""
        exchange, record = self._present, self.record
        self._stand_in(exchange)
        self._note_request()
        if exchange.request.phase == Phase.ENDED:
            self._ended[REQUEST] = record.began

    def join(self) -> None:
        """Stand in an exchange that began unseen, and note what is known of it."""
        exchange, record, now = self._present, self.record, self._now()
        self.late = now
        self._stand_in(exchange)
        exchange.show_to(self)
        self._note_request()
        self._note_request_sent()
        head_at = record.response_head_at
        if head_at is not None and not record.answered:
            self._mark(Side.UPSTREAM, _RECEIVED, Kind.HEAD, head_at, exchange.response.opened)
        self._note_response_sent(now if head_at is None else head_at)
        self._recall(REQUEST, exchange.request, record.began)
        self._recall(RESPONSE, exchange.response, now if head_at is None else head_at)

    def _note_request(self) -> None:
        record = self.record
        head = request_that_came(record.asked)
        self._mark(Side.DOWNSTREAM, _RECEIVED, Kind.HEAD, record.began, head)

    def _recall(self, direction: Direction, lane: Lane, began: float) -> None:
        now = self._now()
        ours = direction is RESPONSE and self.record.answered
        for side, way, size in (
            (_FROM[direction], _RECEIVED, 0 if ours else lane.arrived),
            (_TO[direction], _SENT, lane.departed),
        ):
            if size:
                part = Part(at=began, side=side, way=way, kind=Kind.DATA, size=size, until=now)
                self.timeline.chunk(part)
        self._departed[direction] = lane.departed
        if lane.trailers_came:
            self._mark(_FROM[direction], _RECEIVED, Kind.TRAILERS, now, lane.section)
        elif not ours and Phase.ENDED <= lane.phase <= Phase.DONE:
            self._mark(_FROM[direction], _RECEIVED, Kind.END, now)
        if lane.phase == Phase.DONE:
            self.done(lane)

    def leave(self) -> None:
        """Let the exchange go on as if nobody had looked."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        exchange.hide_from(self)
        for lane in (exchange.request, exchange.response):
            lane.owner = exchange
            if isinstance(lane.source, SourceStandIn):
                lane.source = lane.source.stream
        for stream in (exchange.down, exchange.up):
            if stream is not None:
                stream.owner = exchange

    def _stand_in(self, exchange: "Exchange") -> None:
        owner = OwnerStandIn(self, exchange)
        for lane in (exchange.request, exchange.response):
            lane.owner = owner
            self._attend(lane)
        for stream in (exchange.down, exchange.up):
            if stream is not None:
                stream.owner = owner

    def _attend(self, lane: Lane) -> None:
        if isinstance(lane.source, Stream):
            lane.source = SourceStandIn(self, lane, lane.source)

    # -- Inspector -----------------------------------------------------------------------

    def interests(self) -> int:
        """All octets."""
        return Interest.REQUEST_DATA | Interest.RESPONSE_DATA

    def data(self, direction: Direction, octets: bytes) -> None:
        """Note a chunk that came; an empty one may bring the end."""
        exchange, now = self._present, self._now()
        self._catch_up(now)
        if octets:
            self._chunk(_FROM[direction], _RECEIVED, now, len(octets))
        if direction in self.bodies:
            self.bodies[direction].add(octets)
        stream = exchange.down if direction is REQUEST else exchange.up
        if stream is not None and stream.heard_end:
            self._ended[direction] = now

    def over(self, record: Record) -> None:
        """Note that nothing more will come."""
        for lane in (self._present.request, self._present.response):
            self.departed(lane)  # nobody is paid for an answer of ours
        self.exchange = None
        self._tell_over(self)

    # -- what the stand-ins hear ---------------------------------------------------------

    def look(self) -> None:
        """Note what has happened without a word to us: heads that left, ends that came."""
        self._catch_up(self._now())

    def head_came(self, lane: Lane, fields: Fields, end: bool) -> None:
        """Note a response head; an interim one goes on as it is."""
        now = self._now()
        self._catch_up(now)
        if fields.interim:
            self._mark(Side.UPSTREAM, _RECEIVED, Kind.INTERIM, now, fields)
            self._mark(Side.DOWNSTREAM, _SENT, Kind.INTERIM, now, fields)
            return
        self._attend(lane)
        self._mark(Side.UPSTREAM, _RECEIVED, Kind.HEAD, now, fields)
        if end:
            self._ended[RESPONSE] = now

    def departed(self, lane: Lane) -> None:
        """Note the octets that have departed since the last time.

        Those of a request that may have to depart again are paid for late: they are noted
        when their attempt counts, or not at all.
        """
        if self.exchange is None:
            return
        now = self._now()
        self._catch_up(now)
        direction = self._direction(lane)
        before, self._departed[direction] = self._departed[direction], lane.departed
        if lane.departed > before:
            self._chunk(_TO[direction], _SENT, now, lane.departed - before)

    def trailers_came(self, lane: Lane, fields: Fields) -> None:
        """Note trailers."""
        now = self._now()
        self._catch_up(now)
        direction = self._direction(lane)
        self._ended.pop(direction, None)  # it came with them
        self._mark(_FROM[direction], _RECEIVED, Kind.TRAILERS, now, fields)

    def trailers_lost(self, lane: Lane) -> None:
        """Note trailers that will reach nobody."""
        side = _FROM[self._direction(lane)]
        self._mark(side, _RECEIVED, Kind.DROPPED, self._now(), lane.section)

    def done(self, lane: Lane) -> None:
        """Note that the end of a message has departed."""
        self.departed(lane)
        now, side = self._now(), _TO[self._direction(lane)]
        if lane.ending is TRAILERS:
            self._mark(side, _SENT, Kind.TRAILERS, now, lane.section)
        else:
            self._mark(side, _SENT, Kind.END, now)

    def broke(
        self,
        stream: Stream,
        way: Direction,
        kind: Kind,
        *,
        cause: Cause,
        code: int | None = None,
        note: str = "",
    ) -> None:
        """Note what became of a stream before its time."""
        now = self._now()
        self._catch_up(now)
        self.timeline.mark(
            Part(at=now, side=stream.connection.side, way=way, kind=kind, code=code, cause=cause,
                 note=note)
        )  # fmt: skip

    # -- to write it down ----------------------------------------------------------------

    def _catch_up(self, now: float) -> None:
        if self.exchange is None:
            return
        for direction, at in list(self._ended.items()):
            if self._lane(direction).phase >= Phase.ENDED:
                del self._ended[direction]
                self._mark(_FROM[direction], _RECEIVED, Kind.END, at)
        self._note_request_sent()
        self._note_response_sent(now)

    def _note_request_sent(self) -> None:
        """Note that the head went upstream; each attempt sends it."""
        record = self.record
        sent = record.request_sent_at
        if sent is not None and sent != self._asked:
            self._asked = sent
            self._departed[REQUEST] = 0
            head = self._present.request.opened
            self._mark(Side.UPSTREAM, _SENT, Kind.HEAD, sent, head, record.endpoint)

    def _note_response_sent(self, at: float) -> None:
        head = self._present.response.opened
        if head is not None and not self._answered:
            self._answered = True
            self._mark(Side.DOWNSTREAM, _SENT, Kind.HEAD, at, head)

    @property
    def _present(self) -> "Exchange":
        assert self.exchange is not None  # who is over, or was left, tells us nothing any more
        return self.exchange

    def _lane(self, direction: Direction) -> Lane:
        return self._present.request if direction is REQUEST else self._present.response

    def _direction(self, lane: Lane) -> Direction:
        return REQUEST if lane is self._present.request else RESPONSE

    def _chunk(self, side: Side, way: Direction, at: float, size: int) -> None:
        part = Part(at=at, side=side, way=way, kind=Kind.DATA, size=size, chunks=1, until=at)
        self.timeline.chunk(part)

    def _mark(
        self,
        side: Side,
        way: Direction,
        kind: Kind,
        at: float,
        fields: Fields | None = None,
        note: str = "",
    ) -> None:
        part = Part(at=at, side=side, way=way, kind=kind, fields=fields, note=note)
        self.timeline.mark(part)
