"""Cases: the promises, in the order in which they are tried.

Most are scripts. The rest are conversations, in which the client has a part too. Of a
server that is not our origin only what needs no help from it can be asked.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from trailproxy.probe.client import Client
from trailproxy.probe.origin import HEARD, HEARD_TRAILER, TOKEN
from trailproxy.probe.peer import WINDOW, Peer
from trailproxy.probe.script import SCRIPTS, Script, body
from trailproxy.probe.verdict import KEPT, Judgement, broken, changed, judge, judge_answer, unclear
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

Told = tuple[str, Judgement]
"""What came, for people, and what that means."""

Run = Callable[[Client], Awaitable[Told]]

_CONTINUE_S: Final = 1.0  # that a client waits for a 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One promise and how it is tried."""

    name: str
    sends: str
    section: str
    run: Run
    alone: Run | None = None  # where the server is not our origin; None: it cannot be tried
    grpc: bool | None = None  # for gRPC only, or never; None: for both


def _script(script: Script) -> Run:
    async def run(client: Client) -> Told:
        peer, sid = await client.ask(script.name, script.method, hold=script.slow)
        if script.slow:
            await _fill(peer, sid)
        came = await peer.heard(sid)
        return came.tell(), judge(script, came)

    return run


async def _fill(peer: Peer, sid: int) -> None:
    """Wait until the window is full or nothing more comes, then open it."""
    await peer.grown(sid, WINDOW)
    peer.release(sid)


# -- conversations with the origin -----------------------------------------------------------


async def _te(client: Client) -> Told:
    came = await client.hear("te-trailers")
    whose = judge_answer("te-trailers", came)
    heard = came.header(HEARD)
    lost = KEPT if heard == "trailers" else broken("the origin did not hear te: trailers")
    return f"the origin heard te: {heard}" if whose is None else came.tell(), whose or lost


async def _request_trailers(client: Client) -> Told:
    peer = await client.peer()
    octets = body(1000)
    sid = peer.open(
        client.head("request-trailers", "POST", (("trailer", "x-probe-sum"),)), end=False
    )
    await peer.data(sid, octets)
    peer.trailers(sid, Fields.of([("x-probe-sum", "0f343b09"), ("x-probe-bin", "AAEC/v8=")]))
    came = await peer.heard(sid)
    whose = judge_answer("request-trailers", came)
    if whose is not None:
        return came.tell(), whose
    if came.header(HEARD) != f"{len(octets)} {hashlib.sha256(octets).hexdigest()}":
        return came.tell(), broken("the origin heard another body")
    for name, value in (("x-probe-sum", "0f343b09"), ("x-probe-bin", "AAEC/v8=")):
        if came.header(HEARD_TRAILER + name) != value:
            return "the origin heard the body", broken(f"the trailer {name} did not arrive")
    return "the origin heard the body and 2 trailers", KEPT


async def _continue(client: Client) -> Told:
    peer = await client.peer()
    sid = peer.open(client.head("continue", "POST", (("expect", "100-continue"),)), end=False)
    came = peer.message(sid)
    # without an answer, a client goes on in the end (RFC 9110 section 10.1.1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONTINUE_S):
            await peer.until(lambda: came.interim or came.over)
    went_on = [head.status for head in came.interim] == [100]
    await peer.data(sid, body(100), end=True)
    await peer.heard(sid)
    whose = judge_answer("continue", came)
    late = broken(f"no 100 came within {_CONTINUE_S:g} s")
    return came.tell(), whose or (KEPT if went_on else late)


async def _bidirectional(client: Client) -> Told:
    peer = await client.peer()
    sid = peer.open(client.head("bidirectional", "POST"), end=False)
    came = peer.message(sid)
    said = 0
    for size in (5, 5, 5):  # to gRPC, empty messages
        await peer.data(sid, bytes(size))
        said += size
        if (await peer.grown(sid, said)).over:
            return came.tell(), judge_answer("bidirectional", came) or broken("it ended too soon")
    await peer.data(sid, b"", end=True)
    await peer.heard(sid)
    whose = judge_answer("bidirectional", came)
    whole = came.ended and came.size == said and came.trailers is not None
    return came.tell(), whose or (KEPT if whole else broken("the end is not what was sent"))


async def _early_response(client: Client) -> Told:
    peer = await client.peer()
    sid = peer.open(client.head("early-response", "POST"), end=False)
    await peer.data(sid, body(100))
    came = await peer.heard(sid)
    peer.reset(sid, ErrorCode.CANCEL)
    whose = judge_answer("early-response", came)
    whole = came.ended and came.trailers is not None
    return came.tell(), whose or (KEPT if whole else broken("the answer did not come whole"))


async def _reset_from_client(client: Client) -> Told:
    peer = await client.peer()
    token = (TOKEN, secrets.token_hex(8))
    sid = peer.open(client.head("reset-from-client", "POST", (token,)), end=False)
    came = peer.message(sid)
    await peer.grown(sid, 1)
    whose = judge_answer("reset-from-client", came)
    if whose is not None or came.over:
        return came.tell(), whose or broken("it ended too soon")
    peer.reset(sid, ErrorCode.CANCEL)
    told = await client.hear("how-it-ended", extra=(token,))
    heard = told.header(HEARD)
    verdict = KEPT if heard == "CANCEL" else changed(f"the origin heard {heard}")
    return f"the origin heard {heard}", judge_answer("how-it-ended", told) or verdict


# -- what any server can be asked ------------------------------------------------------------


async def _negotiated(client: Client) -> Told:
    await client.peer()
    return "SETTINGS", KEPT


async def _accepts_te(client: Client) -> Told:
    came = await client.hear("hello")
    return came.tell(), KEPT if came.ended else broken("no whole answer to te: trailers")


async def _has_trailers(client: Client) -> Told:
    came = await client.hear("hello")
    if not came.ended:
        return came.tell(), broken("the answer did not come whole")
    if client.grpc:
        status = came.trailer("grpc-status") or came.header("grpc-status")
        return came.tell(), KEPT if status else broken("no grpc-status came, in trailers or head")
    if came.trailers is None:
        return came.tell(), unclear("no trailers came; perhaps none were sent")
    return came.tell(), KEPT


async def _reads_slowly(client: Client) -> Told:
    peer, sid = await client.ask("hello", hold=True)
    await _fill(peer, sid)
    came = await peer.heard(sid)
    if not came.ended:
        return came.tell(), broken("the answer did not come whole")
    if came.size < WINDOW:
        return came.tell(), unclear(f"the answer has less than {WINDOW:,} octets")
    return came.tell(), KEPT


async def _cancels(client: Client) -> Told:
    peer, sid = await client.ask("hello")
    peer.reset(sid, ErrorCode.CANCEL)
    other, sid = await client.ask("hello")
    again = await other.heard(sid)
    if other is not peer or peer.going:
        return again.tell(), broken("a CANCEL cost the connection")
    return again.tell(), KEPT if again.ended else broken("after a CANCEL no whole answer came")


_ALONE: Final[dict[str, Run]] = {
    "trailers-present": _has_trailers,
    "slow-reader": _reads_slowly,
}

CASES: Final[tuple[Case, ...]] = (
    Case(
        name="negotiated",
        sends="TLS with ALPN h2, or h2c, and SETTINGS",
        section="RFC 9113 3.2",
        run=_negotiated,
        alone=_negotiated,
    ),
    Case(
        name="te-trailers",
        sends="a request with te: trailers",
        section="RFC 9110 10.1.4",
        run=_te,
        alone=_accepts_te,
    ),
    *(
        Case(
            name=script.name,
            sends=script.sends,
            section=script.section,
            run=_script(script),
            alone=_ALONE.get(script.name),
            grpc=script.grpc,
        )
        for script in SCRIPTS
    ),
    Case(
        name="request-trailers",
        sends="a request with a body and 2 trailers",
        section="RFC 9110 6.5",
        run=_request_trailers,
    ),
    Case(
        name="continue",
        sends="expect: 100-continue, and the body behind the 100",
        section="RFC 9110 10.1.1",
        run=_continue,
    ),
    Case(
        name="bidirectional",
        sends="three rounds, in which each side waits for the other",
        section="RFC 9113 8.1",
        run=_bidirectional,
    ),
    Case(
        name="early-response",
        sends="a whole answer while the request goes on",
        section="RFC 9113 8.1",
        run=_early_response,
    ),
    Case(
        name="reset-from-client",
        sends="RST_STREAM CANCEL in the middle of an answer",
        section="RFC 9113 5.4.2",
        run=_reset_from_client,
        alone=_cancels,
    ),
)
