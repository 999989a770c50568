"""Metric tables: every metric there is and what its labels may say, from the page itself."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from docs.site.marked import code, prose, table
from trailproxy.core.fault import Initiator, Refusal, Side
from trailproxy.core.record import Direction, Outcome, Progress, Tally
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector
from trailproxy.post import State

_TITLES: Final = "metric | type | labels | meaning"
_ENDINGS: Final = {"counter": "_total", "info": "_info"}

_MESSAGE: Final = (Direction.REQUEST, Direction.RESPONSE)
_WAY: Final = (Direction.RECEIVED, Direction.SENT)

Values = type[StrEnum] | Iterable[str]
#: What a label may say, by itself or on one metric; where it is anybody's choice, in words.
VALUES: Final[Mapping[str, Values | str]] = {
    "cause": "one of [Causes](endings.md#causes)",
    "connections_refused.cause": Refusal,
    "code": "a name of RFC 9113 section 7, or `UNKNOWN`",
    "responses.code": "an HTTP status",
    "codec": ("native", "h2"),
    "config_reloads.outcome": ("ok", "failed"),
    "digests.outcome": ("verified", "mismatch", "unverified", "added"),
    "direction": _MESSAGE,
    "bytes.direction": _WAY,
    "goaways.direction": _WAY,
    "endpoint_events.event": (
        "check_passed", "check_failed", "ejected", "returned", "relieved", "listed", "changed",
        "watch_failed",
    ),
    "endpoints.state": ("healthy", "sick", "ejected"),
    "grpc_code": "a gRPC status by its name, `invalid` or nothing",
    "grpc_method": "a method, or `other`",
    "grpc_service": "a service, or `other`",
    "grpc_status": "a gRPC status by its name, `invalid` or nothing",
    "hook": "what `hooks` of the route says",
    "initiator": Initiator,
    "kind": ("listener", "upstream"),
    "listener": "the name of a listener",
    "load_reports.outcome": ("read", "incomplete", "malformed"),
    "method": "a method of HTTP, or `other`",
    "name": "the name of a listener or an upstream",
    "phase": Progress,
    "python": "its version",
    "reason": "a word of `retry.on`, or a status",
    "retries.outcome": ("tried", "succeeded", "exhausted", "over_budget", "not_kept"),
    "route": "the name of a route, or `none`",
    "side": (Side.DOWNSTREAM, Side.UPSTREAM),
    "trace_spans.outcome": ("exported", "failed", "overflowed"),
    "trailers.outcome": Outcome,
    "upstream": "the name of an upstream",
    "upstream_connects.outcome": "one of [Upstreams](#upstreams)",
    "upstream_requests.code": "an HTTP status, or nothing",
    "upstream_requests.outcome": ("completed", "dropped"),
    "version": "its version",
    "workers.state": State,
}  # fmt: skip


def metrics(*names: str) -> str:
    """Return the table of some metrics, named without `trailproxy_` and `_total`."""
    known = {family.name.removeprefix("trailproxy_"): family for family in families()}
    return table(_TITLES, [_row(known[name]) for name in names])


def labels() -> str:
    """Return the table of what labels say: on most metrics, and where they say something else."""
    rows: dict[tuple[str, str], list[str]] = {}
    for key, values in VALUES.items():
        metric, _, label = key.rpartition(".")
        rows.setdefault((label, _words(values)), []).append(metric)
    named = [label for label, _ in rows]
    told = [
        (code(label), _of(metrics, "all others" if named.count(label) > 1 else "all"), words)
        for (label, words), metrics in sorted(rows.items())
    ]
    return table("label | of | values", told)


def families() -> list[Any]:
    """Return every family of the page, without a sample."""
    return list(Collector(Metrics({side: Tally() for side in Side})).collect())


def labels_of(family: Any) -> tuple[str, ...]:
    """Return the names of a family's labels."""
    if family.type == "info":
        return tuple(family.samples[0].labels)
    return tuple(family._labelnames)  # noqa: SLF001 - nothing else of it has them


def _row(family: Any) -> tuple[str, ...]:
    named = ", ".join(code(label) for label in labels_of(family)) or "–"
    return _name(family), family.type, named, prose(family.documentation)


def _of(metrics: list[str], without: str) -> str:
    whole = {family.name.removeprefix("trailproxy_"): _name(family) for family in families()}
    return ", ".join(whole[metric] for metric in metrics if metric) or without


def _name(family: Any) -> str:
    return code(f"{family.name}{_ENDINGS.get(family.type, '')}")


def _words(values: Values | str) -> str:
    if isinstance(values, str):
        return values
    return ", ".join(code(str(value)) for value in values)
