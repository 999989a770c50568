"""Sight: what somebody who looks on wishes to see, and what a process then tells, as plain data.

One look is one question and one answer. What nobody asks for in time is forgotten and
counted, so that who looks on slowly costs nothing but his own sight.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Ending, Progress

_STATES: Final = ("idle", "connected", "unreachable", "ejected", "sick")


class Only(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which exchanges are meant; what is empty means all."""

    # known when the request head has come
    route: str = ""
    method: str = ""
    authority: str = ""
    path_prefix: str = ""
    # known when all is over
    status: int = 0
    grpc_status: str = ""  # a name, such as UNAVAILABLE
    ending: str = ""  # of the response
    cause: str = ""
    dropped: bool = False


class Tapped(msgspec.Struct, frozen=True):
    """What a tap still takes."""

    id: str
    only: Only
    body_octets: int  # of each body; 0: none
    exchanges: int


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be looked at until the next look; nothing: look away."""

    streams: bool = False
    tap: Tapped | None = None


class Reset(msgspec.Struct, frozen=True):
    """One RST_STREAM."""

    side: Side
    initiator: Initiator
    code: str
    phase: Progress
    cause: Cause


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a request or a response stands, or how it ended."""

    phase: str = ""  # while it is in flight
    ending: Ending | None = None
    octets: int = 0  # of body that departed
    parked: int = 0  # that wait to
    trailers: int = 0  # fields that departed


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One exchange, in the words of the access log."""

    key: str
    began: float  # seconds since 1970
    duration_ms: float | None = None  # None: in flight
    worker: int = 0
    listener: str
    route: str
    peer: str
    method: str
    authority: str
    path: str
    grpc: bool = False
    upstream: str = ""
    endpoint: str = ""
    attempts: int = 0
    status: int = 0
    grpc_status: str = ""
    grpc_message: str = ""
    request: Message
    response: Message
    answered: bool = False
    side: Side | None = None
    cause: Cause | None = None
    why: str = ""
    resets: tuple[Reset, ...] = ()
    lost: bool = False  # it is out of sight, and how it ended is not known
    late: bool = False  # it had begun before anybody looked
    bare: bool = False  # nobody looked: there is a record, and no timeline
    tapped: bool = False

    @property
    def in_flight(self) -> bool:
        """Whether there is more to come of it."""
        return self.duration_ms is None and not self.lost


class Place(msgspec.Struct, frozen=True):
    """An endpoint of an upstream, as one process sees it."""

    upstream: str
    endpoint: str
    state: str  # one of _STATES
    connections: int
    streams: int

    def beside(self, other: "Place") -> "Place":
        """Return what two processes see of it together: what is worse is what counts."""
        state = max(self.state, other.state, key=_STATES.index)
        return Place(
            self.upstream,
            self.endpoint,
            state,
            self.connections + other.connections,
            self.streams + other.streams,
        )


class Sight(msgspec.Struct, frozen=True, omit_defaults=True):
    """What there was to be seen since the last look."""

    rows: tuple[Row, ...] = ()  # that are new, or other than before
    flying: tuple[str, ...] = ()  # keys of all that are in flight
    missed: int = 0  # exchanges that are not, and will not be, among the rows
    entries: tuple[dict[str, Any], ...] = ()  # what the tap has caught
    lost_entries: int = 0  # what it wanted, and could not keep
    places: tuple[Place, ...] = ()

    def seen_by(self, worker: int) -> "Sight":
        """Return the same, with the worker told in each row and before each key."""
        replace = msgspec.structs.replace
        return Sight(
            tuple(replace(row, key=f"{worker}.{row.key}", worker=worker) for row in self.rows),
            tuple(f"{worker}.{key}" for key in self.flying),
            self.missed,
            tuple({**entry, "_worker": worker} for entry in self.entries),
            self.lost_entries,
            self.places,
        )


def together(sights: Iterable[Sight]) -> Sight:
    """Add up what several processes tell."""
    rows: list[Row] = []
    flying: list[str] = []
    entries: list[dict[str, Any]] = []
    places: dict[tuple[str, str], Place] = {}
    missed = lost_entries = 0
    for sight in sights:
        rows += sight.rows
        flying += sight.flying
        entries += sight.entries
        missed += sight.missed
        lost_entries += sight.lost_entries
        for place in sight.places:
            known = places.get((place.upstream, place.endpoint))
            places[place.upstream, place.endpoint] = place if known is None else known.beside(place)
    return Sight(
        tuple(rows), tuple(flying), missed, tuple(entries), lost_entries, tuple(places.values())
    )
