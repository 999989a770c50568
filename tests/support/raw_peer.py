"""One end of an HTTP/2 connection, frame by frame: reads, answers, keeps the books.

Frames come from hyperframe and hpack alone: nothing here refuses to say what a
proxy must survive. SETTINGS and PING are answered while listening; a peer that
sends beyond what it was granted fails the test.
"""

import select
import socket
import ssl
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW: Final = 65_535
PATIENCE_S: Final = 30.0  # for what takes no time; a full machine is no failure

Pairs = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Message:
    """What one stream has brought so far."""

    interim: list[list[tuple[str, str]]] = field(default_factory=list)
    head: list[tuple[str, str]] | None = None
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] | None = None
    ended: bool = False  # END_STREAM was seen
    reset: int | None = None  # the code of RST_STREAM

    @property
    def over(self) -> bool:
        """Whether nothing more can come."""
        return self.ended or self.reset is not None

    @property
    def status(self) -> str:
        """The final status; an empty string before it came."""
        return dict(self.head or ()).get(":status", "")

    def field(self, name: str) -> str | None:
        """Return the first head field called `name`."""
        return next((value for key, value in self.head or () if key == name), None)


class RawPeer:
    """A socket, what was heard on it, and the windows of both sides.

    Attributes:
        streams: what every stream brought, by id.
        goaways: (last stream id, code) of every GOAWAY heard, in order.
        closed: the other side closed its socket.
        pays: give credit back as body arrives.
    """

    def __init__(
        self, sock: socket.socket, *, client: bool, window: int = DEFAULT_WINDOW, pays: bool = True
    ) -> None:
        self.socket = sock
        self.pays = pays
        self.streams: defaultdict[int, Message] = defaultdict(Message)
        self.goaways: list[tuple[int, int]] = []
        self.closed = False
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 1 << 20
        self._inbox = bytearray()
        self._block: HeadersFrame | None = None
        self._greeted = False  # their SETTINGS came
        self._pongs: set[bytes] = set()
        # credit the other side gave us, and credit it has of ours
        self._their_window = DEFAULT_WINDOW
        self._send_windows: dict[int, int] = {0: DEFAULT_WINDOW}
        self._our_window = window
        self._receive_windows: dict[int, int] = {0: DEFAULT_WINDOW}
        self._greet(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, *frames: Frame) -> None:
        """Write frames as they are, in one piece."""
        self.raw(b"".join(frame.serialize() for frame in frames))

    def raw(self, octets: bytes) -> None:
        """Write bytes as they are."""
        self.socket.sendall(octets)

    def pour(self, octets: bytes) -> int:
        """Write in masses, listening meanwhile; return how much the other side took."""
        left = memoryview(octets)
        deadline = time.monotonic() + 2 * PATIENCE_S
        while left and not self.closed:
            assert time.monotonic() < deadline, "the other side neither reads nor closes"
            ready, free, _ = select.select([self.socket], [self.socket], [], PATIENCE_S)
            try:
                if free:
                    left = left[self.socket.send(left[: 1 << 16]) :]
                if ready:
                    self._listen(deadline)
            except OSError:
                self.closed = True
        return len(octets) - len(left)

    def close(self) -> None:
        """Close the socket; what was written before still arrives."""
        self.socket.close()

    def vanish(self) -> None:
        """Drop the connection with a TCP reset, as a crashed process does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def grant(self, sid: int, octets: int) -> None:
        """Let the other side send `octets` more on a stream, or on the connection (0)."""
        before = self._receive_windows.get(sid, self._our_window)
        self._receive_windows[sid] = before + octets
        self.say(WindowUpdateFrame(sid, window_increment=octets))

    def drip(self, sid: int, octets: int) -> int:
        """Let the other side send `octets` more, one by one; return what that took to say."""
        before = self._receive_windows.get(sid, self._our_window)
        self._receive_windows[sid] = before + octets
        return self.pour(WindowUpdateFrame(sid, window_increment=1).serialize() * octets)

    def sendable(self, sid: int) -> int:
        """Return how many body octets the other side takes now."""
        return min(self._send_windows[0], self._window_of(sid))

    def spend(self, sid: int, octets: int) -> None:
        """Note that `octets` of the other side's windows are used up."""
        self._send_windows[0] -= octets
        self._send_windows[sid] = self._window_of(sid) - octets

    def wait(self, heard: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Listen until `heard()`; fail when it takes too long.

        Raises:
            ConnectionError: the other side closed first.
        """
        deadline = time.monotonic() + patience_s
        while not heard():
            if self.closed:
                raise ConnectionError(f"the connection closed before: {what}")
            assert self._listen(deadline), f"not heard within {patience_s} s: {what}"

    def settle(self) -> None:
        """Go there and back with a PING: what was said to us before is now heard."""
        payload = struct.pack(">Q", len(self._pongs) + 1)
        self.say(PingFrame(0, payload))
        self.wait(lambda: payload in self._pongs, "the answer to a PING")

    def wait_closed(self) -> None:
        """Listen until the other side closes its socket."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.closed:
            assert self._listen(deadline), "the connection was not closed"

    def _greet(self, client: bool) -> None:
        """Exchange prefaces and SETTINGS, so that the other side's windows are known."""
        self.socket.settimeout(PATIENCE_S)
        settings = SettingsFrame(
            0,
            settings={
                SettingsFrame.INITIAL_WINDOW_SIZE: self._our_window,
                SettingsFrame.MAX_HEADER_LIST_SIZE: 1 << 20,
            },
        )
        if client:
            self.raw(PREFACE)
        else:
            preface = b""
            while len(preface) < len(PREFACE):
                octets = self.socket.recv(len(PREFACE) - len(preface))
                assert octets, "the connection closed before its preface"
                preface += octets
            assert preface == PREFACE, preface
        self.say(settings)
        self.wait(lambda: self._greeted, "SETTINGS")

    def _window_of(self, sid: int) -> int:
        return self._send_windows.get(sid, self._their_window)

    def _listen(self, deadline: float) -> bool:
        """Read once and take what came; False when nothing came before the deadline."""
        tls = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        left = deadline - time.monotonic()
        if not tls and not (left > 0 and select.select([self.socket], [], [], left)[0]):
            return False
        try:
            octets = self.socket.recv(1 << 16)
        except ConnectionResetError:
            octets = b""
        self.closed = not octets
        self._inbox += octets
        self._digest()
        return True

    def _digest(self) -> None:
        while len(self._inbox) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._inbox)[:9])
            if len(self._inbox) < 9 + length:
                return
            frame.parse_body(memoryview(bytes(self._inbox[9 : 9 + length])))
            del self._inbox[: 9 + length]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        match frame:
            case DataFrame():
                self._take_data(frame)
            case HeadersFrame() | ContinuationFrame():
                self._take_block(frame)
            case RstStreamFrame():
                self.streams[frame.stream_id].reset = frame.error_code
            case SettingsFrame():
                self._take_settings(frame)
            case WindowUpdateFrame():
                sid = frame.stream_id
                self._send_windows[sid] = self._window_of(sid) + frame.window_increment
            case PingFrame():
                self._take_ping(frame)
            case GoAwayFrame():
                self.goaways.append((frame.last_stream_id, frame.error_code))
            case _:
                pass  # PRIORITY and unknown frames tell nothing

    def _take_ping(self, frame: PingFrame) -> None:
        if "ACK" in frame.flags:
            self._pongs.add(frame.opaque_data)
        else:
            self.say(PingFrame(0, frame.opaque_data, flags=["ACK"]))

    def _take_settings(self, frame: SettingsFrame) -> None:
        if "ACK" in frame.flags:
            return
        self._greeted = True
        window = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self._their_window)
        for sid in self._send_windows.keys() - {0}:
            self._send_windows[sid] += window - self._their_window
        self._their_window = window
        self.say(SettingsFrame(0, flags=["ACK"]))

    def _take_data(self, frame: DataFrame) -> None:
        sid, cost = frame.stream_id, frame.flow_controlled_length
        message = self.streams[sid]
        for owner in (0, sid):
            left = self._receive_windows.get(owner, self._our_window) - cost
            assert left >= 0, f"stream {sid}: more body than the window of {owner} admits"
            self._receive_windows[owner] = left
        message.body += frame.data
        message.ended = "END_STREAM" in frame.flags
        if self.pays and cost:
            self.grant(0, cost)
            if not message.ended:
                self.grant(sid, cost)

    def _take_block(self, frame: HeadersFrame | ContinuationFrame) -> None:
        if isinstance(frame, HeadersFrame):
            self._block = frame
        else:
            assert self._block is not None, "CONTINUATION without HEADERS"
            self._block.data += frame.data
        if "END_HEADERS" not in frame.flags:
            return
        block, self._block = self._block, None
        fields = [(str(name), str(value)) for name, value in self._decoder.decode(block.data)]
        message = self.streams[block.stream_id]
        assert not message.ended, f"stream {block.stream_id}: fields behind the end"
        if message.head is not None:
            message.trailers = fields
        elif dict(fields).get(":status", "").startswith("1"):
            message.interim.append(fields)
        else:
            message.head = fields
        message.ended = "END_STREAM" in block.flags
