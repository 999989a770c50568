"""Origin: the server that stands behind the hop under suspicion, and plays the scripts.

What is asked of it stands in a field of the request, so that any path and any route will
do. What it saw of a request it says in the head of its answer, where no hop loses it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, final

from trailproxy.core.address import Address
from trailproxy.net.tasks import spawn
from trailproxy.probe.message import Message
from trailproxy.probe.peer import GoneError, Peer
from trailproxy.probe.script import CASE, SCRIPTS, Pairs, Script
from trailproxy.wire import Role
from trailproxy.wire.errors import ErrorCode, code_name
from trailproxy.wire.fields import Fields

TOKEN: Final = "trailproxy-probe-token"
"""Names an exchange, so that a later one can ask how it ended."""

HEARD: Final = "trailproxy-probe-heard"
"""What the origin heard of the request: words that depend on the case."""

HEARD_TRAILER: Final = "trailproxy-probe-trailer-"
"""Before the name of each request trailer that it heard."""

_GRPC: Final = "application/grpc"
_MOST_ENDS: Final = 1024  # exchanges whose end is remembered
_PATIENCE_S: Final = 10.0  # with one request

_Play = Callable[[Peer, int, Fields], Awaitable[None]]


@final
class Origin:
    """The test origin."""

    def __init__(self) -> None:
        self._servers: Final[list[asyncio.Server]] = []
        self._peers: set[Peer] = set()  # that have opened a stream
        self._ends: Final[dict[str, str]] = {}  # how the exchange with a token ended
        self._ended: Final = asyncio.Event()
        self._scripts: Final = {script.name: script for script in SCRIPTS}
        self._plays: Final[dict[str, _Play]] = {
            "te-trailers": self._te,
            "request-trailers": self._hear,
            "continue": self._go_on,
            "bidirectional": self._converse,
            "early-response": self._interrupt,
            "reset-from-client": self._listen,
            "how-it-ended": self._recall,
        }

    async def start(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Serve until it is closed; return where, with its port.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()

        def peer() -> Peer:
            return Peer(Role.SERVER, self._opened)

        if address.is_unix:
            self._servers.append(await loop.create_unix_server(peer, address.path, ssl=tls))
            return address
        server = await loop.create_server(peer, address.host, address.port, ssl=tls)
        self._servers.append(server)
        return Address(address.host, server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close what listens, and every connection."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*(peer.close() for peer in self._peers))

    def _opened(self, peer: Peer, sid: int) -> None:
        self._peers = {known for known in self._peers if not known.gone} | {peer}
        spawn(self._serve(peer, sid), f"probe stream {sid}")

    async def _serve(self, peer: Peer, sid: int) -> None:
        head = peer.message(sid).head
        assert head is not None  # it opened the stream
        case = (head.get(CASE.encode()) or b"").decode("latin-1")
        script = self._scripts.get(case)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if script is not None:
                    await self._play(peer, sid, script, _is_grpc(head))
                else:
                    await self._plays.get(case, self._greet)(peer, sid, head)
        except (GoneError, TimeoutError):
            peer.reset(sid, ErrorCode.CANCEL)
        finally:
            peer.forget(sid)

    # -- scripts -------------------------------------------------------------------------

    async def _play(self, peer: Peer, sid: int, script: Script, grpc: bool) -> None:
        if script.method != "POST":
            await _request_over(peer, sid)
        for status in script.interim:
            peer.head(sid, Fields.of([(":status", str(status)), ("link", "</x>; rel=preload")]))
        broken = script.breaks is not None or script.cuts
        bare = not script.pieces and script.trailers is None and not broken
        peer.head(sid, _answer(script.name, grpc, script.fields), end=bare)
        octets = memoryview(script.body)
        for size in script.pieces:
            await peer.data(sid, bytes(octets[:size]))
            octets = octets[size:]
        ending = script.ending(grpc)
        if script.breaks is not None:
            peer.reset(sid, script.breaks)
        elif script.cuts:
            peer.cut()
        elif ending is not None:
            peer.trailers(sid, Fields.of(ending))

    # -- conversations -------------------------------------------------------------------

    async def _greet(self, peer: Peer, sid: int, head: Fields) -> None:
        """Answer whoever asks for nothing in particular."""
        await _request_over(peer, sid)
        await _say(peer, sid, "hello", _is_grpc(head))

    async def _te(self, peer: Peer, sid: int, head: Fields) -> None:
        await _request_over(peer, sid)
        te = b", ".join(head.all(b"te")) or b"nothing"
        await _say(peer, sid, "te-trailers", _is_grpc(head), ((HEARD, te),))

    async def _hear(self, peer: Peer, sid: int, head: Fields) -> None:
        """Read a request to its end and say what it was."""
        asked = await _request_over(peer, sid)
        heard = [(HEARD, f"{asked.size} {asked.digest}".encode())]
        heard += [
            (HEARD_TRAILER + field.name.decode("latin-1"), field.value)
            for field in asked.trailers or ()
        ]
        await _say(peer, sid, "request-trailers", _is_grpc(head), tuple(heard))

    async def _go_on(self, peer: Peer, sid: int, head: Fields) -> None:
        """Say 100 to whoever waits for it; a hop may have said it already."""
        if head.get(b"expect") == b"100-continue":
            peer.head(sid, Fields.of([(":status", "100")]))
        await _request_over(peer, sid)
        await _say(peer, sid, "continue", _is_grpc(head))

    async def _converse(self, peer: Peer, sid: int, head: Fields) -> None:
        """Send back as many octets as came, each time some did."""
        grpc = _is_grpc(head)
        asked = peer.message(sid)
        peer.head(sid, _answer("bidirectional", grpc))
        answered = 0
        while not asked.ended:
            await peer.grown(sid, answered + 1)
            size, answered = asked.size - answered, asked.size
            await peer.data(sid, b"x" * size)
            if asked.reset is not None:
                return
        peer.trailers(sid, Fields.of(_status(grpc)))

    async def _interrupt(self, peer: Peer, sid: int, head: Fields) -> None:
        """Say all, and then that the rest of the request is not wanted (RFC 9113 8.1)."""
        await _say(peer, sid, "early-response", _is_grpc(head))
        if not peer.message(sid).over:
            peer.reset(sid, ErrorCode.NO_ERROR)

    async def _listen(self, peer: Peer, sid: int, head: Fields) -> None:
        """Begin an answer, and remember how the client ends it."""
        token = (head.get(TOKEN.encode()) or b"").decode("latin-1")
        asked = peer.message(sid)
        peer.head(sid, _answer("reset-from-client", _is_grpc(head)))
        await peer.data(sid, b"x" * 10)
        try:
            await peer.until(lambda: asked.reset is not None)
            end = code_name(asked.reset or 0)
        except GoneError:
            end = "the connection closed"
        if len(self._ends) >= _MOST_ENDS:
            self._ends.pop(next(iter(self._ends)))
        self._ends[token] = end
        self._ended.set()

    async def _recall(self, peer: Peer, sid: int, head: Fields) -> None:
        token = (head.get(TOKEN.encode()) or b"").decode("latin-1")
        await _request_over(peer, sid)
        while token not in self._ends:
            self._ended.clear()
            await self._ended.wait()
        heard = ((HEARD, self._ends[token].encode()),)
        await _say(peer, sid, "how-it-ended", _is_grpc(head), heard)


def _is_grpc(head: Fields) -> bool:
    return (head.get(b"content-type") or b"").startswith(_GRPC.encode())


async def _request_over(peer: Peer, sid: int) -> Message:
    message = peer.message(sid)
    await peer.until(lambda: message.over)
    return message


def _answer(case: str, grpc: bool, fields: Pairs = ()) -> Fields:
    kind = _GRPC if grpc else "application/octet-stream"
    return Fields.of([(":status", "200"), ("content-type", kind), (CASE, case), *fields])


def _status(grpc: bool) -> Pairs:
    return (("grpc-status", b"0"),) if grpc else (("x-probe-end", b"yes"),)


async def _say(peer: Peer, sid: int, case: str, grpc: bool, fields: Pairs = ()) -> None:
    """Answer with a head that says something, a short body and a trailer."""
    peer.head(sid, _answer(case, grpc, fields))
    await peer.data(sid, b"\0\0\0\0\0")  # to gRPC, an empty message
    peer.trailers(sid, Fields.of(_status(grpc)))
