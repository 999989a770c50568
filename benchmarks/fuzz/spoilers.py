"""Spoilers: the ways in which what a peer says goes wrong, frame by frame.

Octets flipped or cut off; frames said twice, out of order or inside one another; wrong
lengths, types, flags and streams; field blocks that HPACK does not know; windows, settings,
floods, and blocks without end.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from tests.support.frames import ping, raw
from trailproxy.wire.codec import MAX_SID, PREFACE

SETTINGS: Final = (0, 1, 100, 4096, 16_384, 65_535, 1 << 20, MAX_SID, MAX_SID + 1)
INCREMENTS: Final = (0, 1, 100, 5000, 65_535, 1 << 20, MAX_SID)
_FLOODS: Final = (30, 300, 1200, 11_000)  # frames; flood.py allows some more, some less
BLOCKS: Final = (  # blocks that break a rule of RFC 7541, or nearly
    b"\x80",
    b"\xff\xff\xff\xff\xff\x7f",
    b"\xff\x80\x80\x80\x80\x80\x00",
    b"\x3f\xe1\x1f",
    b"\x3f\xff\xff\xff\xff\x0f",
    b"\x20\x3f\xe1\x1f\x82",
    b"\x82\x20",
    b"\x40\x7f\xff\xff\xff\x0f",
    b"\x00\x84\xff\xff\xff\xff",
    b"\x40\x01a\x85\x1f\x1f\x1f\x1f\x1f",
    b"\xbe\xbf\xc0\xfe",
)


def frames_in(octets: bytes) -> list[bytes]:
    """Cut what is said into its frames; a preface, or what is less than a frame, is one too."""
    found = [PREFACE] if octets.startswith(PREFACE) else []
    position = len(PREFACE) * len(found)
    while position < len(octets):
        end = position + 9 + int.from_bytes(octets[position : position + 3], "big")
        found.append(octets[position:end])
        position = end
    return found


def settings_frame(values: list[tuple[int, int]]) -> bytes:
    """Write SETTINGS, with any names and values."""
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values)
    return raw(4, 0, 0, payload)


def _flip(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Change some octets."""
    octets = bytearray(b"".join(frames))
    for _ in range(chance.randrange(1, 4)):
        octets[chance.randrange(len(octets))] = chance.randrange(256)
    return [bytes(octets)]


def _cut(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Leave out the end of a frame."""
    at = chance.randrange(len(frames))
    return [*frames[:at], frames[at][: chance.randrange(len(frames[at]))], *frames[at + 1 :]]


def _again(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Say a frame twice."""
    return [*frames, chance.choice(frames)]


def _reorder(chance: Random, frames: list[bytes]) -> list[bytes]:
    return chance.sample(frames, len(frames))


def _splice(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Put one frame into the middle of another."""
    outer, inner = chance.choice(frames), chance.choice(frames)
    at = chance.randrange(len(outer))
    return [*frames, outer[:at] + inner + outer[at:]]


def _wrong_head(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Change the length, type, flags or stream of a frame."""
    at = chance.randrange(len(frames))
    frame = bytearray(frames[at])
    if len(frame) >= 9:
        where, values = chance.choice(
            ((2, range(256)), (1, range(256)), (3, range(11)), (4, range(64)), (8, range(20)))
        )
        frame[where] = chance.choice(values)
    return [*frames[:at], bytes(frame), *frames[at + 1 :]]


def _junk(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Add a frame of anything."""
    junk = chance.randbytes(chance.choice((0, 1, 4, 8, 40, 300)))
    sid = chance.choice((0, 1, 3, 5, 2, MAX_SID))
    return [*frames, raw(chance.randrange(11), chance.randrange(64), sid, junk)]


def _hpack(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Add a field block that HPACK may not like, or octets that are none."""
    block = chance.choice((*BLOCKS, chance.randbytes(chance.randrange(1, 60))))
    return [*frames, raw(1, 4 | chance.randrange(2), chance.choice((1, 3, 99, 1001)), block)]


def _windows(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Open windows by nothing, or by too much."""
    sid = chance.choice((0, 0, 1, 3, 5))
    return [*frames, raw(8, 0, sid, chance.choice(INCREMENTS).to_bytes(4, "big"))]


def _wrong_settings(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Set anything to anything."""
    values = [(chance.randrange(8), chance.choice(SETTINGS)) for _ in range(chance.randrange(5))]
    return [*frames, settings_frame(values)]


def _flood(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Say a small frame very often."""
    small = [frame for frame in frames if len(frame) < 40] or [ping()]
    return [*frames, chance.choice(small) * chance.choice(_FLOODS)]


def _endless(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Begin a field block, and go on with it."""
    sid = chance.choice((1, 3, 99, 1001))
    more = raw(9, 0, sid, bytes(chance.choice((0, 1, 9000))))
    return [*frames, raw(1, 0, sid, b""), more * chance.choice((1, 5, 70))]


SPOILERS: Final[tuple[Callable[[Random, list[bytes]], list[bytes]], ...]] = (
    _flip,
    _cut,
    _again,
    _reorder,
    _splice,
    _wrong_head,
    _junk,
    _hpack,
    _windows,
    _wrong_settings,
    _flood,
    _endless,
)
