"""Dictionary: what inputs are made of, so that no engine has to guess it octet by octet."""

from typing import Final

from benchmarks.fuzz import settings, words
from benchmarks.fuzz.spoilers import BLOCKS
from tests.support import frames
from trailproxy.core.trailers import NEVER_TRAILERS
from trailproxy.wire.codec import MAX_SID, PREFACE
from trailproxy.wire.hpack_table import STATIC

_FLAGS: Final = (0, 1, 4, 5, 8, 0x20, 0x2D)

#: Fields that somebody here asks for, beside those of HPACK's static table.
_NAMES: Final = (
    *(b"te", b"trailer", b"connection", b"grpc-status", b"grpc-message", b"grpc-timeout"),
    *(b"content-digest", b"x-amz-checksum-crc32c", b"traceparent", b"proxy-status", b"x_auth_a"),
)

_LITERALS: Final = tuple(
    bytes([0x40, len(name)]) + name + b"\x010"
    for name in sorted({*_NAMES, *NEVER_TRAILERS, *(entry.name for entry in STATIC[1:])})
)

#: HPACK: all of the static table and some of the dynamic one, sizes of tables, and literals.
HPACK: Final = (
    *(bytes([0x80 | place]) for place in range(1, 70)),
    *(b"\x20", b"\x3f\xe1\x1f"),
    *BLOCKS,
    *_LITERALS,
)

_SETTINGS: Final = (
    ("header_table_size", 0),
    ("initial_window_size", 0),
    ("initial_window_size", MAX_SID),
    ("max_frame_size", 16_384),
    ("max_concurrent_streams", 1),
)

#: HTTP/2: heads of frames, whole frames, and field blocks.
WIRE: Final = (
    PREFACE,
    *(frames.raw(kind, flags, 1, b"") for kind in range(11) for flags in _FLAGS),
    *(frames.rst(1), frames.ping(), frames.priority(1), frames.goaway(0), frames.goaway(MAX_SID)),
    *(frames.window_update(sid, size) for sid in (0, 1) for size in (0, 1, MAX_SID)),
    *(frames.settings_frame(**{name: value}) for name, value in _SETTINGS),
    *HPACK,
)

YAML: Final = tuple(
    text.encode()
    for text in (*(f"{key}: " for key in settings.all_keys()), *settings.VALUES, *settings.MARKS)
)

WORDS: Final = tuple(word for word in words.WORDS if word)


def as_file(entries: tuple[bytes, ...]) -> str:
    """Write a dictionary as libFuzzer reads it."""
    quoted = ("".join(f"\\x{octet:02x}" for octet in entry[:100]) for entry in entries if entry)
    return "".join(f'"{entry}"\n' for entry in dict.fromkeys(quoted))
