"""Raw frames by name, for what no honest codec would write."""

from collections.abc import Sequence

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from trailproxy.wire.codec import PREFACE

Pairs = list[tuple[str, str]]
Section = Sequence[tuple[str | bytes, str | bytes]]

GET: Pairs = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
POST: Pairs = [(":method", "POST"), *GET[1:]]
OK: Pairs = [(":status", "200")]


class Scribe:
    """One end of a connection, written by hand: its HPACK state, and frames in any order."""

    def __init__(self) -> None:
        self._hpack = Encoder()

    def hello(self, *, client: bool = True, **settings: int) -> bytes:
        """Write the preface, for a client, and SETTINGS."""
        return (PREFACE if client else b"") + settings_frame(**settings)

    def headers(
        self, sid: int, fields: Section, *, end: bool = False, pieces: int = 1, depends: int = 0
    ) -> bytes:
        """Write a field block as HEADERS and as many CONTINUATION frames as wanted."""
        block = self._hpack.encode(list(fields), huffman=False)
        step = max(-(-len(block) // pieces), 1)
        cuts = [block[at : at + step] for at in range(0, len(block), step)] or [b""]
        first = HeadersFrame(sid, cuts[0])
        if end:
            first.flags.add("END_STREAM")
        if depends:
            first.flags.add("PRIORITY")
            first.depends_on = depends
        frames = [first, *(ContinuationFrame(sid, cut) for cut in cuts[1:])]
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)


def settings_frame(**settings: int) -> bytes:
    """Write SETTINGS; names as in RFC 9113 section 6.5.2, in lower case."""
    values = {getattr(SettingsFrame, name.upper()): value for name, value in settings.items()}
    return SettingsFrame(0, settings=values).serialize()


def data(sid: int, octets: bytes, *, end: bool = False, pad: int = 0) -> bytes:
    """Write DATA."""
    frame = DataFrame(sid, octets, pad_length=pad)
    if end:
        frame.flags.add("END_STREAM")
    if pad:
        frame.flags.add("PADDED")
    return frame.serialize()


def rst(sid: int, code: int = 8) -> bytes:
    """Write RST_STREAM."""
    return RstStreamFrame(sid, error_code=code).serialize()


def window_update(sid: int, increment: int) -> bytes:
    """Write WINDOW_UPDATE, with any increment."""
    return WindowUpdateFrame(sid, window_increment=increment).serialize()


def ping(payload: bytes = b"12345678") -> bytes:
    """Write PING."""
    return PingFrame(0, opaque_data=payload).serialize()


def goaway(last: int, code: int = 0) -> bytes:
    """Write GOAWAY."""
    return GoAwayFrame(0, last_stream_id=last, error_code=code).serialize()


def priority(sid: int, depends: int = 0) -> bytes:
    """Write PRIORITY."""
    return PriorityFrame(sid, depends_on=depends).serialize()


def raw(kind: int, flags: int, sid: int, payload: bytes) -> bytes:
    """Write any frame at all."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + sid.to_bytes(4, "big") + payload
