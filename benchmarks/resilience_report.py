"""What a campaign found, as a table and as a verdict. Nothing in it is typed by hand."""

from collections import Counter
from typing import Any, Final, NamedTuple

from benchmarks.crowd import ANSWERED, CANCELLED, CUT, UNREACHED, WHOLE

MEMORY_SLACK: Final = 8 * 1024 * 1024
MEMORY_GROWTH: Final = 0.10
POOL: Final = 16  # connections to backends that a full load may open and keep
_MIB: Final = 1024 * 1024

#: How a request may end in a fault, if the log says why; it never looks whole.
_EXPLAINED: Final = frozenset({ANSWERED, CUT})


class Check(NamedTuple):
    """One line of the verdict."""

    what: str
    allowed: str
    found: str
    good: bool


def sum_up(phases: dict[str, dict[str, Any]], causes: dict[str, str]) -> dict[str, Any]:
    """Look at every request that did not come whole.

    Args:
        phases: what the crowd told of each, with `odd`: how such requests ended, by name.
        causes: why requests were dropped, by name, as the access logs tell it.

    Returns:
        The phases without names; how often each cause cut or answered a request; and the
        requests that no cause explains, and that a change has cost, each with how it ended.
    """
    dropped = Counter[str]()
    unexplained, disturbed = [], []
    for phase, told in phases.items():
        for name, end in told["odd"].items():
            if end == CANCELLED or (phase == "drain" and end == UNREACHED):
                continue  # the client's own; or nobody listens any more
            cause = causes.get(name, "")
            if end in _EXPLAINED and cause not in ("", "internal"):
                dropped[cause] += 1
            else:
                unexplained.append(f"{name}: {end} {cause}".rstrip())
            if phase != "faults":
                disturbed.append(f"{name}: {end} {cause}".rstrip())
    nameless = {
        phase: {key: value for key, value in told.items() if key != "odd"}
        for phase, told in phases.items()
    }
    return {
        "phases": nameless,
        "dropped": dict(sorted(dropped.items())),
        "unexplained": unexplained,
        "disturbed": disturbed,
    }


def checks(found: dict[str, Any]) -> list[Check]:
    """Hold what was found against what is promised."""
    before, after, books = found["before"], found["after"], found["books"]
    most = round(before["memory"] * (1 + MEMORY_GROWTH)) + MEMORY_SLACK
    held = found["phases"]["changes"]
    rate = sum(held["ends"].values()) / held["seconds"]
    balance = [books[f"{name}_total"] for name in ("requests", "requests_completed")]
    balance += [books["streams_dropped_total"], books["requests_active"]]
    certificates = found["phases"]["calm"]["certificates"]
    rotations = found["done"].get("certificate rotations", 0)
    lost, cost, grpc = found["unexplained"], found["disturbed"], found["grpc"]["lost"]
    return [
        _at_least("streams a second through changes", 0.97 * found["rate"], rate),
        Check("lost without a cause", "0", _some(lost), not lost),
        Check("cost by a change", "0", _some(cost), not cost),
        Check("gRPC calls that did not come whole", "0", _some(grpc), not grpc),
        _at_least("certificates that clients were shown", 1 + rotations, certificates),
        Check(
            "memory, MiB",
            f"{most // _MIB}",
            f"{after['memory'] // _MIB}",
            after["memory"] <= most,
        ),
        Check(
            "descriptors",
            f"{before['descriptors'] + POOL}",
            f"{after['descriptors']}",
            after["descriptors"] <= before["descriptors"] + POOL,
        ),
        Check(
            "requests = completed + dropped + active",
            str(balance[0]),
            " + ".join(map(str, balance[1:])),
            balance[0] == sum(balance[1:]),
        ),
    ]


def _at_least(what: str, least: float, found: float) -> Check:
    return Check(what, f"≥ {least:,.0f}", f"{found:,.0f}", found >= least)


def _some(lost: list[str]) -> str:
    return f"{len(lost)}" + (f" ({', '.join(lost[:3])})" if lost else "")


# -- for people --------------------------------------------------------------------------------


def verdict(found: dict[str, Any]) -> str:
    """Return the verdict as aligned text."""
    lines = checks(found)
    width = max(len(check.what) for check in lines)
    return "\n".join(
        f"{check.what:<{width}}  {check.allowed:<12}  {check.found}  "
        + ("ok" if check.good else "VIOLATED")
        for check in lines
    )


def table(found: dict[str, Any]) -> str:
    """Return the table of a campaign, in Markdown."""
    phases = found["phases"]
    ends = Counter[str]()
    for told in phases.values():
        ends.update(told["ends"])
    held = phases["changes"]
    rate = sum(held["ends"].values()) / held["seconds"]
    rows: list[tuple[str, str]] = [
        ("load held, streams a second", f"{rate:,.0f}"),
        ("small requests, p50 / p99 through changes", _latency(held)),
        ("the same through faults and floods", _latency(phases["faults"])),
        *((what, f"{times:,}") for what, times in sorted(found["done"].items())),
        ("streams asked for", f"{sum(ends.values()):,}"),
        ("came whole, checksums and trailers compared", f"{ends[WHOLE]:,}"),
        ("cancelled by the client", f"{ends[CANCELLED]:,}"),
        ("turned away, as the proxy had been told to end", f"{ends[UNREACHED]:,}"),
        ("not processed, and asked again", f"{sum(told['again'] for told in phases.values()):,}"),
        ("gRPC calls that came whole, by grpcio", f"{found['grpc']['served']:,}"),
        *(
            (f"dropped, with cause `{cause}`", f"{times:,}")
            for cause, times in found["dropped"].items()
        ),
        ("**cost by a change**", f"**{len(found['disturbed'])}**"),
        ("**lost without a cause**", f"**{len(found['unexplained'])}**"),
        ("memory before and after, MiB", _pair(found, "memory", _MIB)),
        ("descriptors before and after", _pair(found, "descriptors", 1)),
    ]
    return "\n".join(["| | |", "|---|--:|", *(f"| {what} | {much} |" for what, much in rows)])


def _latency(told: dict[str, Any]) -> str:
    return f"{told['p50_ms']:.1f} / {told['p99_ms']:.1f} ms"


def _pair(found: dict[str, Any], what: str, unit: int) -> str:
    return f"{found['before'][what] // unit} → {found['after'][what] // unit}"
