"""A codec, and the hand of its peer: for what is promised of every codec."""

from tests.support.frames import Scribe
from trailproxy.wire import Codec, Role, WireParams, make_codec
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.events import (
    ConnectionFault,
    Event,
    PeerSettings,
    StreamFault,
    WindowOpened,
)

SMALL = WireParams(
    max_concurrent_streams=2,
    stream_window=1000,
    connection_window=65_535,
    max_header_list=2048,
)


class Seat:
    """A codec, and a hand that writes its peer's frames."""

    def __init__(self, name: str, role: Role, params: WireParams) -> None:
        self.codec: Codec = make_codec(name, role, params)
        self.scribe = Scribe()
        self.hear(self.scribe.hello(client=role is Role.SERVER))

    def hear(self, *octets: bytes) -> list[Event]:
        """Give the codec these octets in one read."""
        return self.codec.receive(b"".join(octets))

    def heads(self, *octets: bytes) -> list[Event]:
        """The same, without what only tells of windows and settings."""
        quiet = WindowOpened | PeerSettings
        return [event for event in self.hear(*octets) if not isinstance(event, quiet)]

    def written(self, kind: int) -> list[bytes]:
        """Return the payloads of the frames of a type that the codec has written."""
        return [payload for k, _, payload in self.frames() if k == kind]

    def frames(self) -> list[tuple[int, int, bytes]]:
        """Return type, stream and payload of every frame the codec has written."""
        octets = self.codec.take_output().removeprefix(PREFACE)
        found = []
        while octets:
            size = int.from_bytes(octets[:3], "big")
            sid = int.from_bytes(octets[5:9], "big")
            found.append((octets[3], sid, octets[9 : 9 + size]))
            octets = octets[9 + size :]
        return found

    def resets(self) -> list[tuple[int, int]]:
        """Return stream and code of each RST_STREAM the codec has written."""
        return [(sid, int.from_bytes(p, "big")) for kind, sid, p in self.frames() if kind == 3]


def faults(events: list[Event]) -> list[tuple[int, int]]:
    """Return stream and code of each stream that was reset for what its peer did."""
    return [(e.sid, e.code) for e in events if isinstance(e, StreamFault)]


def broken(events: list[Event]) -> int | None:
    """Return the code the connection ended with, or None."""
    codes = [event.code for event in events if isinstance(event, ConnectionFault)]
    assert len(codes) <= 1, "a connection breaks once"
    return codes[0] if codes else None
