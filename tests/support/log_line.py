"""The access log's line, as whoever reads it may take it."""

import msgspec

from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Ending, Progress


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the request or the response went."""

    ending: Ending
    trailers: int  # fields that departed
    fields: dict[str, str] = {}  # those of the trailers that the settings name


class Dropped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why there was no clean end relayed both ways."""

    side: Side | None
    cause: Cause
    why: str


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One RST_STREAM of the exchange."""

    side: Side
    initiator: Initiator
    code: str
    phase: Progress
    cause: Cause


class Line(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One line of the log; what went well has neither `dropped` nor `flags` nor `resets`."""

    time: str  # when the exchange ended, ISO 8601 in UTC
    listener: str
    route: str
    peer: str
    method: str
    authority: str
    path: str
    status: int  # 0: the client got no response
    grpc_status: str
    grpc_message: str = ""  # beside a status that is not OK
    upstream: str
    endpoint: str
    attempts: int
    duration_ms: float
    response_head_ms: float | None  # request head sent upstream to response head
    request_bytes: int
    response_bytes: int
    request: Message
    response: Message
    answered: bool  # the response is our own
    dropped: Dropped | None = None
    flags: str = ""  # Envoy's, with commas between them
    reset: Reset | None = None  # the first of an exchange that was dropped
    notes: tuple[str, ...] = ()  # what policies had to say
    resets: tuple[Reset, ...] = ()
