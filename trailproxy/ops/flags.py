"""Flags: Envoy's response flags for our causes, for tools that read its access log."""

from typing import Final

from trailproxy.core.fault import PROTOCOL, UNPROCESSED, Cause, Side
from trailproxy.core.record import Record

_ELSE: Final = "LR"  # what we ended ourselves, for a reason Envoy does not have
_RETRIED: Final = "URX"

#: What a peer of either side can do; Envoy has a word for each side.
BY_SIDE: Final = frozenset({Cause.FIELDS_TOO_LARGE, Cause.FLOOD, Cause.HEAD_TIMEOUT})
#: The flag of each cause that a peer or a limit gives; what both sides can do is told by side.
FLAGS: Final[dict[Cause, str]] = {
    Cause.CLIENT_RESET: "DR",
    Cause.CLIENT_GONE: "DC",
    Cause.CLIENT_PROTOCOL: "DPE",
    Cause.UPSTREAM_RESET: "UR",
    Cause.UPSTREAM_REFUSED: "UR",
    Cause.UPSTREAM_GONE: "UC",
    Cause.UPSTREAM_GOAWAY: "UC",
    Cause.UPSTREAM_PROTOCOL: "UPE",
    Cause.CONNECT_FAILED: "UF",
    Cause.NO_ENDPOINT: "UH",
    Cause.QUEUE_FULL: "UO",
    Cause.QUEUE_TIMEOUT: "UO",
    Cause.RESPONSE_HEAD_TIMEOUT: "UT",
    Cause.IDLE_TIMEOUT: "SI",
    Cause.CLIENT_SLOW: "SI",
    Cause.UPSTREAM_SLOW: "UT",
    Cause.TOTAL_TIMEOUT: "UT",
    Cause.DEADLINE_EXCEEDED: "UT",
    Cause.NO_ROUTE: "NR",
    Cause.DOT_SEGMENTS: "DPE",
}


def flags_of(record: Record) -> str:
    """Return the flags of an exchange, with commas between them; nothing when it went well."""
    cause = record.dropped
    if cause is None:
        # who is refused and not dropped had no route
        return FLAGS[Cause.NO_ROUTE] if record.answered and record.why else ""
    if cause in BY_SIDE:
        cause = PROTOCOL[record.dropped_side or Side.DOWNSTREAM]
    flag = FLAGS.get(cause, _ELSE)
    return f"{flag},{_RETRIED}" if record.attempts > 1 and cause in UNPROCESSED else flag
