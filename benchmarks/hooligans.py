"""Hooligans: clients that break the rules on purpose, each on a connection of its own.

Frame by frame over real sockets. Each goes on until it is thrown out, or its time is up.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.scripted_peer import Address, Peer

_AT_IT_S: Final = 5.0  # until one gives up
_AT_ONCE: Final = 100  # frames in one write

HEAD: Final = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "hooligan.test"),
    (":path", "/bytes/200"),
]

Frames = Iterator[Frame]
Misdeed = Callable[[Peer], Frames]


def _sids() -> Iterator[int]:
    return iter(range(1, 1 << 30, 2))


def rapid_reset(peer: Peer) -> Frames:
    """Open and cancel (CVE-2023-44487)."""
    for sid in _sids():
        block = peer.encoder.encode(HEAD)
        yield HeadersFrame(sid, block, flags=["END_HEADERS", "END_STREAM"])
        yield RstStreamFrame(sid, error_code=8)


def made_you_reset(peer: Peer) -> Frames:
    """Have us cancel (CVE-2025-8671)."""
    for sid in _sids():
        block = peer.encoder.encode(HEAD)
        yield HeadersFrame(sid, block, flags=["END_HEADERS", "END_STREAM"])
        yield WindowUpdateFrame(sid, window_increment=(1 << 31) - 1)


def continuation(peer: Peer) -> Frames:
    """Never end a head."""
    yield HeadersFrame(1, peer.encoder.encode(HEAD), flags=["END_STREAM"])
    while True:
        yield ContinuationFrame(1, b"\x00\x01a\x01b")


def pings(_: Peer) -> Frames:
    """Ask for signs of life."""
    while True:
        yield PingFrame(0, b"hooligan")


def settings(_: Peer) -> Frames:
    """Change one's mind."""
    while True:
        yield SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65_535})


def empty_data(peer: Peer) -> Frames:
    """Say nothing at length."""
    block = peer.encoder.encode([(":method", "POST"), *HEAD[1:3], (":path", "/echo")])
    yield HeadersFrame(1, block, flags=["END_HEADERS"])
    while True:
        yield DataFrame(1, b"")


def priorities(_: Peer) -> Frames:
    """Rearrange what nobody arranges."""
    while True:
        yield PriorityFrame(1, depends_on=0, stream_weight=7)


MISDEEDS: Final[tuple[Misdeed, ...]] = (
    rapid_reset, made_you_reset, continuation, pings, settings, empty_data, priorities,
)  # fmt: skip


class Hooligans(threading.Thread):
    """One after the other, until told to stop.

    Attributes:
        thrown_out: how often each misdeed ended with a closed connection.
        tolerated: the misdeeds that did not.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(name="hooligans")
        self.thrown_out: Counter[str] = Counter()
        self.tolerated: Counter[str] = Counter()
        self._address = address
        self._enough = threading.Event()

    def stop(self) -> None:
        """Finish the one that is at it."""
        self._enough.set()
        self.join(timeout=2 * _AT_IT_S)

    def run(self) -> None:
        """Misbehave."""
        while not self._enough.is_set():
            for misdeed in MISDEEDS:
                if self._enough.is_set():
                    return
                ended = _commit(misdeed, self._address)
                (self.thrown_out if ended else self.tolerated)[misdeed.__name__] += 1


def _commit(misdeed: Misdeed, address: Address) -> bool:
    """Do it; return whether the connection was closed for it."""
    until = time.monotonic() + _AT_IT_S
    try:
        with Peer.connect(address) as peer:
            frames = misdeed(peer)
            while time.monotonic() < until:
                peer.say(*(next(frames) for _ in range(_AT_ONCE)))
    except OSError:
        return True  # a reset, or a closed pipe
    return False
