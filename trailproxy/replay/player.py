"""Player: sends captured requests one after the other, and hears what comes of each."""

import asyncio
from typing import Final, final

from trailproxy.probe.client import Client, Target, Way
from trailproxy.probe.peer import GoneError, Peer
from trailproxy.replay.archive import Captured
from trailproxy.replay.outcome import Outcome
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.fields import Fields, Kind


@final
class Player:
    """Asks on one way."""

    def __init__(self, way: Way, target: Target, timeout_s: float) -> None:
        """Prepare; nothing is dialled yet."""
        self._client: Final = Client(way, target, grpc=False, timeout_s=timeout_s)
        self._target: Final = target
        self._timeout_s: Final = timeout_s

    async def play(self, captured: Captured) -> Outcome:
        """Send a request, and return what came of it.

        Raises:
            UnreachableError, NoHttp2Error, GoneError: there is nobody to be asked.
        """
        try:
            head = self._head(captured)
            trailers = Fields.of(captured.trailers)
            why = head.fault(Kind.REQUEST) or trailers.fault(Kind.TRAILERS)
        except HTTP2Error as error:
            why = str(error)
        else:
            if not why:
                return await self._send(captured, head, trailers)
        return Outcome(0, "", "not sent", detail=f"cannot be sent: {why}")

    def _head(self, captured: Captured) -> Fields:
        target = self._target
        pseudo = [
            (":method", captured.method),
            (":scheme", target.scheme),
            (":authority", target.authority),
            (":path", captured.path),
        ]
        return Fields.of([*pseudo, *captured.head])

    async def _send(self, captured: Captured, head: Fields, trailers: Fields) -> Outcome:
        peer = await self._client.peer()
        sid = peer.open(head, end=not captured.body and not trailers.items)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._say(peer, sid, captured.body, trailers)
                return Outcome.of(await peer.heard(sid))
        except TimeoutError:
            peer.reset(sid, ErrorCode.CANCEL)
            return Outcome(0, "", "no end", detail=f"no end within {self._timeout_s:g} s")
        except GoneError as error:
            return Outcome(0, "", "lost", detail=f"the connection was lost: {error}")
        finally:
            peer.forget(sid)

    @staticmethod
    async def _say(peer: Peer, sid: int, body: bytes, trailers: Fields) -> None:
        if body:
            await peer.data(sid, body, end=not trailers.items)
        if trailers.items:
            peer.trailers(sid, trailers)

    async def close(self) -> None:
        """Leave."""
        await self._client.close()
