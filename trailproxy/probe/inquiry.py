"""Inquiry: every case on every way, and the first hop at which a promise breaks."""

import asyncio
from dataclasses import dataclass
from typing import Final, final

from trailproxy.probe.cases import CASES, Case
from trailproxy.probe.client import Client, NoHttp2Error, Target, UnreachableError, Way
from trailproxy.probe.peer import GoneError
from trailproxy.probe.script import CASE
from trailproxy.probe.verdict import Finding, Judgement, Verdict, broken

_NEEDS_ORIGIN: Final = "needs `trailproxy probe --serve` behind it"
_LOST: Final = "there is no HTTP/2"
_MOST_TOLD: Final = 200  # characters of what a stranger said


@final
@dataclass(frozen=True, slots=True)
class Column:
    """What was found on one way."""

    way: str
    origin: bool  # whether our origin answers there
    findings: tuple[Finding, ...]
    unreachable: str = ""  # why there are none


@final
@dataclass(frozen=True, slots=True)
class Guilt:
    """Where promises break that are kept on the way before."""

    way: str
    cases: tuple[str, ...]


async def inquire(target: Target, ways: list[Way], *, grpc: bool, timeout_s: float) -> list[Column]:
    """Try every case on every way, one after the other; `timeout_s` is for each case."""
    return [
        await _column(way.name, Client(way, target, grpc=grpc, timeout_s=timeout_s), timeout_s)
        for way in ways
    ]


def guilt(columns: list[Column]) -> list[Guilt]:
    """Name the ways on which promises break that no way before has broken."""
    known: set[str] = set()
    found = []
    for column in columns:
        new = [
            f.case for f in column.findings if f.verdict is Verdict.BROKEN and f.case not in known
        ]
        known.update(new)
        if new:
            found.append(Guilt(column.way, tuple(new)))
    return found


async def _column(way: str, client: Client, timeout_s: float) -> Column:
    try:
        origin = await _is_origin(client, timeout_s)
        return Column(way, origin, await _find_all(client, origin, timeout_s))
    except UnreachableError as error:
        return Column(way, False, (), str(error))
    finally:
        await client.close()


async def _find_all(client: Client, origin: bool, timeout_s: float) -> tuple[Finding, ...]:
    """Try every case; where HTTP/2 is lost one is broken by that, and the rest not tried.

    A hop may be lost by what it was sent: then that is what was found out about it.
    """
    findings: list[Finding] = []
    lost = False
    for case in CASES:
        try:
            found = _skip(case, _LOST) if lost else await _find(case, client, origin, timeout_s)
        except NoHttp2Error as error:
            lost, found = True, _finding(case, "nothing", broken(str(error)))
        except UnreachableError as error:
            why = f"nobody is there any more: {error}"
            lost, found = True, _finding(case, "nothing", broken(why))
        findings.append(found)
    return tuple(findings)


async def _is_origin(client: Client, timeout_s: float) -> bool:
    try:
        await client.peer()
        async with asyncio.timeout(timeout_s):
            return (await client.hear("hello")).header(CASE) == "hello"
    except (GoneError, NoHttp2Error, TimeoutError):
        return False


async def _find(case: Case, client: Client, origin: bool, timeout_s: float) -> Finding:
    run = case.run if origin else case.alone
    if case.grpc is not None and case.grpc is not client.grpc:
        return _skip(case, "for gRPC: --grpc" if case.grpc else "not for gRPC")
    if run is None:
        return _skip(case, _NEEDS_ORIGIN)
    came, judgement = "nothing", broken("")
    try:
        await client.peer()  # has a limit of its own
        async with asyncio.timeout(timeout_s):
            came, judgement = await run(client)
    except TimeoutError:
        judgement = broken(f"not over within {timeout_s:g} s")
        await client.close()  # the next case is not to be tried behind this one
    except GoneError as error:
        judgement = broken(f"the connection went: {error}")
    return _finding(case, came, judgement)


def _finding(case: Case, came: str, judgement: Judgement) -> Finding:
    verdict, why = judgement
    return Finding(
        case=case.name,
        section=case.section,
        sent=case.sends,
        came=came[:_MOST_TOLD],
        verdict=verdict,
        why=why[:_MOST_TOLD],
    )


def _skip(case: Case, why: str) -> Finding:
    return _finding(case, "", (Verdict.SKIPPED, why))
