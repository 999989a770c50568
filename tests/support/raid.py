"""A raid: the proxy's core between two hands that write octets by themselves.

For what no codec would say. Each hand speaks frames, lawful or not, and hears the frames
the proxy writes to it; there is no socket, no loop and no time.
"""

from collections import Counter
from typing import Final

from hpack import Decoder

from tests.support import frames
from tests.support.frames import GET, OK, POST, Pairs, Scribe
from tests.support.table import Table, UpstreamHost
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.proxy import Front
from trailproxy.core.routing import Handling
from trailproxy.wire import Role, WireParams
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import ErrorCode

DONE: Final[Pairs] = [("x-sum", "1")]  # trailers that end a message well
_LIMITS: Final = WireParams()


class Hand:
    """One peer of the proxy, by hand.

    Attributes:
        sections: heads and trailers that were heard, by stream.
        bodies: octets that were heard, by stream.
        ended: streams that were heard to their end.
        resets: the code of each stream that was reset.
        goaways: codes.
    """

    def __init__(self, table: Table, core: Connection, *, client: bool) -> None:
        self.core = core
        self.scribe = Scribe()
        self.sections: dict[int, list[list[tuple[bytes, bytes]]]] = {}
        self.bodies: Counter[int] = Counter()
        self.ended: set[int] = set()
        self.resets: dict[int, ErrorCode] = {}
        self.goaways: list[ErrorCode] = []
        self._table = table
        self._hpack = Decoder(max_header_list_size=1 << 24)
        self._block = b""
        self._said = [self.scribe.hello(client=client)]

    def says(self, *octets: bytes) -> None:
        """Say something, and let the proxy and the other hand react to it."""
        self._said += octets
        self._table.settle()

    def output(self) -> list[bytes]:
        """Return what was said since the last time."""
        said, self._said = self._said, []
        return said

    def listen(self, octets: bytes) -> None:
        """Take what the proxy wrote."""
        octets = octets.removeprefix(PREFACE)
        while octets:
            end = 9 + int.from_bytes(octets[:3], "big")
            sid = int.from_bytes(octets[5:9], "big")
            self._hear(octets[3], octets[4], sid, octets[9:end])
            octets = octets[end:]

    def _hear(self, kind: int, flags: int, sid: int, payload: bytes) -> None:
        if kind in (0, 1) and flags & 1:
            self.ended.add(sid)
        if kind == 0:
            self.bodies[sid] += len(payload)
        elif kind in (1, 9):
            self._block += payload
            if flags & 4:
                fields = [(f[0], f[1]) for f in self._hpack.decode(self._block, raw=True)]
                self.sections.setdefault(sid, []).append(fields)
                self._block = b""
        elif kind == 3:
            self.resets[sid] = ErrorCode(int.from_bytes(payload, "big"))
        elif kind == 7:
            self.goaways.append(ErrorCode(int.from_bytes(payload[4:8], "big")))


class Raid(Table):
    """A client's hand, the proxy, and a server's hand."""

    client: Hand  # type: ignore[assignment]
    server: Hand  # type: ignore[assignment]

    def __init__(self, *, proxy: WireParams = _LIMITS, handling: Handling | None = None) -> None:
        super().__init__(proxy=proxy, handling=handling, connected=False)
        front = Front(self.proxy, "main", "192.0.2.7", "http")
        downstream = self._core(Role.SERVER, Side.DOWNSTREAM, front, proxy)
        upstream = self._core(Role.CLIENT, Side.UPSTREAM, UpstreamHost(), proxy)
        self.client = Hand(self, downstream, client=True)
        self.server = Hand(self, upstream, client=False)
        self._next = 1
        self.settle()
        self.connect()

    def next_sid(self) -> int:
        """Return the next id of the client's."""
        sid, self._next = self._next, self._next + 2
        return sid

    def asks(self, fields: Pairs = GET, *, end: bool = True) -> tuple[int, int]:
        """Send a good request; return its stream, and the one to the server."""
        sid = self.next_sid()
        self.client.says(self.client.scribe.headers(sid, fields, end=end))
        return sid, max(self.server.sections)

    def still_serves(self) -> None:
        """Check that the next exchange on the same connections is whole."""
        sid, up = self.asks(POST, end=False)
        self.client.says(frames.data(sid, b"x"), self.client.scribe.headers(sid, DONE, end=True))
        write = self.server.scribe.headers
        self.server.says(write(up, OK), frames.data(up, b"yz"), write(up, DONE, end=True))
        assert len(self.server.sections[up]) == len(self.client.sections[sid]) == 2
        assert (self.server.bodies[up], self.client.bodies[sid]) == (1, 2)
        assert up in self.server.ended
        assert sid in self.client.ended
        assert self.client.core.fault is None
        assert self.server.core.fault is None
