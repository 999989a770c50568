"""Retry settings: what a route tries again, in Envoy's words."""

from typing import Annotated, Final, Literal

from trailproxy.core.fault import Cause
from trailproxy.core.retry import Budget, RetryPolicy
from trailproxy.ops.section import Section, count, default, doc
from trailproxy.ops.units import Duration, Size

_Word = Literal[
    "5xx",
    "gateway-error",
    "reset",
    "retriable-4xx",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
    "connect-failure",
    "refused-stream",
]

#: What is tried again whether a route says so or not: no upstream has touched it.
ALWAYS: Final = frozenset({"connect-failure", "refused-stream"})
_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})
_STATUSES: Final[dict[str, frozenset[int]]] = {
    "5xx": frozenset(range(500, 600)),
    "gateway-error": _GATEWAY_ERRORS,
    "retriable-4xx": frozenset({409}),
}
_GRPC: Final = {
    "cancelled": b"1",
    "deadline-exceeded": b"4",
    "resource-exhausted": b"8",
    "internal": b"13",
    "unavailable": b"14",
}
_RESETS: Final = frozenset(
    {
        Cause.UPSTREAM_RESET,
        Cause.UPSTREAM_GONE,
        Cause.UPSTREAM_PROTOCOL,
        Cause.FIELDS_TOO_LARGE,
        Cause.HEAD_TIMEOUT,
    }
)
_LATE: Final = frozenset({Cause.RESPONSE_HEAD_TIMEOUT})
_CAUSES: Final[dict[str, frozenset[Cause]]] = {
    "5xx": _RESETS | _LATE,
    "gateway-error": _RESETS | _LATE,
    "reset": _RESETS,
}


class RetrySettings(Section, frozen=True, kw_only=True):
    """What is tried again; the upstream may have done its work already."""

    on: Annotated[
        tuple[_Word, ...],
        doc(
            "5xx, gateway-error (502, 503, 504), reset, retriable-4xx (409), or a grpc-status, "
            "wherever it stands: cancelled, deadline-exceeded, internal, resource-exhausted, "
            "unavailable. connect-failure and refused-stream may stand here, and always hold.",
            ["gateway-error", "unavailable"],
        ),
    ] = ()
    status_codes: Annotated[
        tuple[Annotated[int, count("A status.", 400, 599)], ...], doc("Statuses besides.", [429])
    ] = ()
    idempotent: Annotated[
        bool,
        doc("That a request does no more twice than once. Nothing else is tried without it."),
    ] = False
    attempts: Annotated[int, count("Attempts in all.", 2, 10)] = 2
    per_try_timeout: Annotated[
        Duration, doc("From the departure of an attempt to its response head. 0s: none of its own.")
    ] = default(Duration(0))
    backoff: Annotated[
        Duration, doc("Before the second attempt, or less; doubled for each one after it.")
    ] = default(Duration(0.025))
    max_backoff: Annotated[Duration, doc("Before any attempt at most.")] = default(Duration(0.25))
    budget: Annotated[
        int, count("Per cent of the route's requests in flight that may be retries.", 0, 100)
    ] = 20
    min_retries: Annotated[
        int, count("Retries that may be in flight whatever the budget says.", 0, 1000)
    ] = 3
    peek: Annotated[
        Size, doc("How much of a response is held until its trailers tell the grpc-status.")
    ] = default(Size(8 * 1024))
    replay: Annotated[
        Size, doc("How much of a request is kept to be sent again; a larger one is sent once.")
    ] = default(Size(64 * 1024))


def retry_policy(settings: RetrySettings | None) -> RetryPolicy | None:
    """Compile what a route tries again; None where it tries nothing."""
    if settings is None or not settings.idempotent:
        return None
    statuses: frozenset[int] = frozenset(settings.status_codes)
    causes: frozenset[Cause] = frozenset()
    for word in settings.on:
        statuses |= _STATUSES.get(word, frozenset())
        causes |= _CAUSES.get(word, frozenset())
    grpc = frozenset(_GRPC[word] for word in settings.on if word in _GRPC)
    return RetryPolicy(
        statuses=statuses,
        grpc_statuses=grpc,
        causes=causes,
        attempts=settings.attempts,
        backoff_s=float(settings.backoff),
        max_backoff_s=float(settings.max_backoff),
        # without a status to wait for, a head that is good passes at once
        peek=int(settings.peek) if grpc else 0,
        replay=int(settings.replay),
        budget=Budget(settings.budget / 100, settings.min_retries),
    )
