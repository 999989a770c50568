"""Goodbye: GOAWAY in two steps (RFC 9113 section 6.8).

The first asks for no more streams and names none, so that those on their way
are still taken. The second names the last one, when the peer has answered a
PING and everything it had sent by then is known. Who is refused hears one that
names stream 0.
"""

from typing import Final, final

from trailproxy.core.fault import Side
from trailproxy.core.record import Direction, Observer
from trailproxy.wire.codec import MAX_SID, Codec
from trailproxy.wire.errors import ErrorCode

_PING: Final = b"draining"


@final
class Goodbye:
    """How far one connection has come in taking its leave."""

    __slots__ = ("_codec", "_observer", "_side", "asked", "named")

    def __init__(self, codec: Codec, side: Side, observer: Observer) -> None:
        self._codec: Final = codec
        self._side: Final = side
        self._observer: Final = observer
        self.asked = False  # the first step is done
        self.named = False  # the second is done: streams beyond the last are ignored

    def ask(self) -> None:
        """Ask the peer to open no more streams; once."""
        if not self.asked:
            self.asked = True
            self._say(MAX_SID)
            self._codec.ping(_PING)

    def refuse(self, code: ErrorCode, why: str) -> None:
        """Take none of the peer's streams, and say why; instead of both steps."""
        self.asked = self.named = True
        self._say(0, code, why)

    def answered(self, payload: bytes) -> bool:
        """Tell whether a PING's answer is the one the second step waits for."""
        return self.asked and payload == _PING

    def name_last(self) -> bool:
        """Name the last stream that is taken; False if it is not the time, or was done."""
        if not self.asked or self.named:
            return False
        self.named = True
        self._say(self._codec.last_peer_sid)
        return True

    def _say(
        self, last_sid: int, code: ErrorCode = ErrorCode.NO_ERROR, why: str = "draining"
    ) -> None:
        self._codec.goaway(last_sid, code, why)
        self._observer.goaway(self._side, Direction.SENT, code)
