"""Floods: frames in masses that cost their sender little."""

import struct
from collections.abc import Callable, Iterator
from typing import Final

from tests.support import frames
from tests.support.frames import GET, POST, Scribe, raw, rst, settings_frame

MOST: Final = 2**31 - 1
Flood = Callable[[Scribe], Iterator[bytes]]


def settings_of(*entries: tuple[int, int]) -> bytes:
    """Write SETTINGS with any entries, in any order."""
    return raw(4, 0, 0, b"".join([struct.pack(">HI", name, value) for name, value in entries]))


def again(octets: bytes, times: int) -> Flood:
    """Say one thing over and over."""

    def say(_: Scribe) -> Iterator[bytes]:
        yield octets * times

    return say


def on_each(write: Callable[[Scribe, int], bytes], streams: int = 2000) -> Flood:
    """Say something on one new stream after the other."""

    def say(scribe: Scribe) -> Iterator[bytes]:
        for sid in range(1, 2 * streams, 2):
            yield write(scribe, sid)

    return say


#: What either peer can say of the connection.
ON_THE_CONNECTION: Final[dict[str, Flood]] = {
    "PING": again(frames.ping(), 20_000),
    "PING answers": again(raw(6, 1, 0, b"nobodyas"), 20_000),
    "SETTINGS": again(settings_frame(), 20_000),
    "SETTINGS answers": again(raw(4, 1, 0, b""), 20_000),
    "SETTINGS by the thousand": again(settings_of(*[(4, 1), (4, 65_535)] * 1365), 100),
    "SETTINGS that toggle": again(settings_of(*[(4, 1), (4, 65_535), (1, 0), (1, 4096)] * 8), 5000),
    "PRIORITY": again(frames.priority(1, 3), 50_000),
    "PRIORITY_UPDATE": again(raw(16, 0, 0, b"\0\0\0\1u=1"), 50_000),
    "ALTSVC": again(raw(10, 0, 0, b"\0\1a\0"), 50_000),
    "ORIGIN": again(raw(12, 0, 0, b"\0\1a"), 50_000),
    "unknown frames": again(raw(200, 0, 0, b""), 50_000),
    "WINDOW_UPDATE of 1": again(frames.window_update(0, 1), 50_000),
    "GOAWAY": again(frames.goaway(MOST), 20_000),
    "CONTINUATION without end": again(
        raw(1, 0, 1, b"") + raw(9, 0, 1, b"\0\1a\1b" * 100) * 20_000, 1
    ),
    "CONTINUATION of nothing": again(raw(1, 0, 1, b"") + raw(9, 0, 1, b"") * 50_000, 1),
}

_UPPER: Final = [*GET, ("Upper", "case")]
_WIDE: Final = raw(8, 0, 1, MOST.to_bytes(4, "big"))


def _oversized(scribe: Scribe, sid: int) -> bytes:
    """Write a head of 80 KB in 40 octets: twenty times what stands in the table."""
    return scribe.headers(sid, [*GET, *[("x-large", "y" * 3900)] * 20])


#: What a client can say to have the proxy reset stream after stream (made-you-reset,
#: CVE-2025-8671), with what that costs the one who resets them himself before.
ON_STREAMS: Final[dict[str, Flood]] = {
    "rapid reset": on_each(lambda s, n: s.headers(n, GET, end=True) + rst(n), 4000),
    "WINDOW_UPDATE of 0": on_each(lambda s, n: s.headers(n, POST) + frames.raw(8, 0, n, bytes(4))),
    "window overflow": on_each(lambda s, n: s.headers(n, POST) + frames.window_update(n, MOST)),
    "malformed heads": on_each(lambda s, n: s.headers(n, _UPPER, end=True)),
    "heads without end": on_each(lambda s, n: s.headers(n, POST) + s.headers(n, [("x", "1")])),
    "HEADERS behind the end": on_each(lambda s, n: s.headers(n, GET, end=True) + s.headers(n, GET)),
    "DATA behind the end": on_each(lambda s, n: s.headers(n, GET, end=True) + frames.data(n, b"x")),
    "DATA beyond the length": on_each(
        lambda s, n: s.headers(n, [*POST, ("content-length", "1")]) + frames.data(n, b"xy")
    ),
    "DATA short of the length": on_each(
        lambda s, n: s.headers(n, [*POST, ("content-length", "9")]) + frames.data(n, b"", end=True)
    ),
    "HEADERS on themselves": on_each(lambda s, n: s.headers(n, GET, depends=n)),
    "PRIORITY on themselves": on_each(lambda s, n: s.headers(n, POST) + frames.priority(n, n)),
    "sections too large": on_each(_oversized),
    "trailers malformed": on_each(
        lambda s, n: s.headers(n, POST) + s.headers(n, [("Upper", "case")], end=True)
    ),
    "streams above the limit": on_each(lambda s, n: s.headers(n, POST)),
    "ids passed over": on_each(lambda s, n: s.headers(1 + n * 2000, _UPPER, end=True)),
}
