"""An HTTP/2 peer that says exactly what a test tells it, on a real socket.

The test's own thread drives both ends of the proxy: it speaks as the client,
then as the backend, then listens as the client again, so a test reads as the
conversation it is.
"""

import socket
import ssl
from typing import Final, Self

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.support.raw_peer import DEFAULT_WINDOW, PATIENCE_S, Message, Pairs, RawPeer

MAX_FRAME: Final = 16_384

Address = tuple[str, int] | str


class Peer(RawPeer):
    """A client or a server, as the test plays it."""

    def __init__(
        self, sock: socket.socket, *, client: bool, window: int = DEFAULT_WINDOW, pays: bool = True
    ) -> None:
        self._next_sid = 1
        self._taken: set[int] = set()
        super().__init__(sock, client=client, window=window, pays=pays)

    @classmethod
    def connect(
        cls,
        address: Address,
        *,
        window: int = DEFAULT_WINDOW,
        pays: bool = True,
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
    ) -> Self:
        """Dial `address` (a host and port, or the path of a unix socket) as a client."""
        sock = dial(address)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
        try:
            return cls(sock, client=True, window=window, pays=pays)
        except BaseException:
            sock.close()
            raise

    # what the test says

    def request(self, *extra: tuple[str, str], path: str = "/", method: str = "GET") -> int:
        """Send a whole request head and end; return its stream id."""
        return self.open(*extra, path=path, method=method, end=True)

    def open(
        self, *extra: tuple[str, str], path: str = "/", method: str = "POST", end: bool = False
    ) -> int:
        """Send a request head; return its stream id."""
        sid, self._next_sid = self._next_sid, self._next_sid + 2
        pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
        ]
        self.head(sid, [*pseudo, *extra], end=end)
        return sid

    def head(self, sid: int, fields: Pairs, *, end: bool = False) -> None:
        """Send any field block, lawful or not; split over CONTINUATION when it is large."""
        block = self.encoder.encode(fields)
        first, rest = block[:MAX_FRAME], block[MAX_FRAME:]
        frames: list[Frame] = [HeadersFrame(sid, first)]
        if end:
            frames[0].flags.add("END_STREAM")
        while rest:
            frames.append(ContinuationFrame(sid, rest[:MAX_FRAME]))
            rest = rest[MAX_FRAME:]
        frames[-1].flags.add("END_HEADERS")
        self.say(*frames)

    def answer(self, sid: int, *extra: tuple[str, str], status: int = 200) -> None:
        """Send a response head."""
        self.head(sid, [(":status", str(status)), *extra])

    def data(self, sid: int, body: bytes, *, end: bool = False, pad: int = 0) -> None:
        """Send body bytes as the other side's windows admit them."""
        cost = 1 + pad if pad else 0  # padding and its length octet (RFC 9113 section 6.1)
        while True:
            room = self._room(sid, cost, cost + (1 if body else 0))
            piece, body = body[:room], body[room:]
            frame = DataFrame(sid, piece, pad_length=pad, flags=["PADDED"] if pad else [])
            if end and not body:
                frame.flags.add("END_STREAM")
            self.spend(sid, len(piece) + cost)
            self.say(frame)
            if not body:
                return

    def trailers(self, sid: int, fields: Pairs) -> None:
        """Send trailers; they end the stream."""
        self.head(sid, fields, end=True)

    def reset(self, sid: int, code: int = 0x8) -> None:
        """Send RST_STREAM."""
        self.say(RstStreamFrame(sid, error_code=code))

    def goaway(self, last_sid: int, code: int = 0) -> None:
        """Send GOAWAY."""
        self.say(GoAwayFrame(0, last_stream_id=last_sid, error_code=code))

    def allow(self, streams: int) -> None:
        """Let the other side have so many streams open at once."""
        limit = {SettingsFrame.MAX_CONCURRENT_STREAMS: streams}
        self.say(SettingsFrame(0, settings=limit))

    # what the test hears

    def response(self, sid: int) -> Message:
        """Listen until stream `sid` is over; return what it brought."""
        self.wait(lambda: self.streams[sid].over, f"the end of stream {sid}")
        return self.streams[sid]

    def next_request(self) -> int:
        """Listen for the head of a request that was not returned before; return its id."""
        self.wait(lambda: bool(self._untaken()), "a request")
        sid = self._untaken()[0]
        self._taken.add(sid)
        return sid

    def wait_reset(self, sid: int) -> int:
        """Listen until stream `sid` is reset; return the code."""
        self.wait(lambda: self.streams[sid].reset is not None, f"RST_STREAM on stream {sid}")
        return self.streams[sid].reset or 0

    def wait_body(self, sid: int, size: int) -> None:
        """Listen until stream `sid` has brought `size` octets of body."""
        self.wait(lambda: len(self.streams[sid].body) >= size, f"{size} octets on stream {sid}")

    def _room(self, sid: int, cost: int, least: int) -> int:
        self.wait(lambda: self.sendable(sid) >= least, "room to send")
        return max(min(MAX_FRAME, self.sendable(sid)) - cost, 0)

    def _untaken(self) -> list[int]:
        return [
            sid for sid, m in self.streams.items() if m.head is not None and sid not in self._taken
        ]


class Origin:
    """A listening socket whose connections the test plays by hand."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._socket.settimeout(PATIENCE_S)
        self._peers: list[Peer] = []

    @property
    def endpoint(self) -> str:
        """The address as the configuration writes it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def accept(self, *, window: int = DEFAULT_WINDOW, pays: bool = True) -> Peer:
        """Take up the proxy's next connection."""
        sock, _ = self._socket.accept()
        peer = Peer(sock, client=False, window=window, pays=pays)
        self._peers.append(peer)
        return peer

    def hang_up(self) -> None:
        """Close every connection; new ones are still taken."""
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._socket.close()
        self.hang_up()


def dial(address: Address) -> socket.socket:
    """Open a plain socket to a host and port, or to the path of a unix socket."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE_S)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
