"""Hostile: what two peers say to a proxy when at least one of them means it no good.

Everything comes from one number: conversations as the grammar of RFC 9113 has them, then
spoilt in one of the ways below, frame by frame, and cut into reads anywhere. Nothing here
looks at the proxy, so that a case can be told, kept and played again.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from hpack import Encoder

from tests.support.frames import data, goaway, ping, priority, raw, rst, window_update
from trailproxy.wire.codec import MAX_SID, PREFACE

CLIENT: Final = "client"  # who speaks
SERVER: Final = "server"
GONE: Final = " gone"  # behind who: its socket closed
FULL: Final = " full"  # its socket takes no more
FREE: Final = " free"  # it does again
SECOND: Final = "second"  # a second passes
DRAIN: Final = "drain"  # we take our leave of the client
ASK: Final = "ask"  # where there is no client: the codec sends a request

_RATES: Final = (0.0, 0.02, 0.1, 0.5)  # how much of what a peer says is spoilt
_LONGEST: Final = 60  # bursts a case
_SETTINGS: Final = (0, 1, 100, 4096, 16_384, 65_535, 1 << 20, MAX_SID, MAX_SID + 1)
_INCREMENTS: Final = (0, 1, 100, 5000, 65_535, 1 << 20, MAX_SID)
_FLOODS: Final = (30, 300, 1200, 11_000)  # frames; flood.py allows some more, some less
_HPACK: Final = (  # blocks that break a rule of RFC 7541, or nearly
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

Pairs = list[tuple[str, str]]


class Step(NamedTuple):
    """One thing that happens; `octets` are what one read brings."""

    what: str
    octets: bytes = b""


class Talker:
    """One peer: frames that may well follow from those before."""

    def __init__(self, chance: Random, *, client: bool) -> None:
        self.unspoken: list[int] = []  # streams on which no head was said
        self.open: list[int] = []  # streams whose head was said, and no end
        self.over: list[int] = []
        self._chance = chance
        self._client = client
        self.next = 1  # the client's next stream
        self.fresh = 0  # requests that the server does not know of
        self._hpack = Encoder()

    def hello(self) -> bytes:
        """Return what a connection begins with."""
        return (PREFACE if self._client else b"") + self._settings()

    def burst(self) -> list[bytes]:
        """Say something: some frames."""
        return [self._frame() for _ in range(self._chance.choice((1, 1, 2, 3, 8)))]

    def _frame(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.3 and (self._client or self.unspoken):
            return self._head()
        if chance.random() < 0.6 and self.open:
            return self._more(chance.choice(self.open))
        if chance.random() < 0.5:
            return window_update(self._any_sid(zero=True), chance.choice(_INCREMENTS[1:-1]))
        return self._control()

    def _head(self) -> bytes:
        chance = self._chance
        if self._client:
            fields, sid = self._request(), self.next
            self.next += 2
            self.fresh += _goes_on(fields)
        else:
            fields = self._response()
            sid = self.unspoken.pop(chance.randrange(len(self.unspoken)))
        end = chance.random() < 0.4
        if fields[0] == (":status", "103"):
            end = False
            self.unspoken.append(sid)
        else:
            (self.over if end else self.open).append(sid)
        return self._block(sid, fields, end=end)

    def _more(self, sid: int) -> bytes:
        chance = self._chance
        end = chance.random() < 0.3
        if end:
            self.open.remove(sid)
            self.over.append(sid)
        if end and chance.random() < 0.6:
            return self._block(sid, self._extra(), end=True)
        if not end and chance.random() < 0.05:
            self.open.remove(sid)
            return rst(sid, chance.randrange(14))
        octets = bytes(chance.choice((0, 1, 10, 100, 3000, 16_000)))
        return data(sid, octets, end=end, pad=chance.choice((0, 0, 0, 1, 200)))

    def _control(self) -> bytes:
        chance = self._chance
        sid = self._any_sid()
        return chance.choice(
            (
                ping,
                self._settings,
                lambda: raw(4, 1, 0, b""),
                lambda: raw(6, 1, 0, b"draining"),
                lambda: priority(sid, sid + 2),
                lambda: rst(sid),
                lambda: raw(chance.randrange(10, 256), chance.randrange(256), sid, b"unknown"),
                lambda: goaway(chance.choice((0, 1, 5, MAX_SID)), chance.choice((0, 0, 2))),
            )
        )()

    def _settings(self) -> bytes:
        chance = self._chance
        names = chance.choices((1, 3, 4, 4, 5, 6, 99), k=chance.randrange(4))
        legal = {1: 4096, 3: 100, 4: 65_535, 5: 16_384, 6: 65_536, 99: 1}
        values = {name: chance.choice((legal[name], *_SETTINGS[2:7])) for name in names}
        if 5 in values:
            values[5] = max(values[5], 16_384)
        return _settings_frame(list(values.items()))

    def _any_sid(self, *, zero: bool = False) -> int:
        known = [*self.open[-8:], *self.over[-3:], *([0] if zero else [])]
        return self._chance.choice(known) if known else int(not zero)

    def _block(self, sid: int, fields: Pairs, *, end: bool) -> bytes:
        """Write a field section as HEADERS, padded or not, and some CONTINUATION."""
        chance = self._chance
        if chance.random() < 0.05:
            self._hpack.header_table_size = chance.choice((0, 100, 4096))
        small = sum(len(value) for _, value in fields) < 400  # hpack needs squared time for more
        block = self._hpack.encode(fields, huffman=small and chance.random() < 0.5)
        step = max(1, min(16_000, len(block) // chance.choice((1, 1, 1, 2, 5))))
        cuts = [block[at : at + step] for at in range(0, len(block), step)] or [b""]
        flags, first = int(end), cuts[0]
        if chance.random() < 0.1:
            flags, first = flags | 8, b"\x03" + first + bytes(3)
        kinds = [raw(1, flags | (0 if cuts[1:] else 4), sid, first)]
        for at, cut in enumerate(cuts[1:], 2):
            kinds.append(raw(9, 4 if at == len(cuts) else 0, sid, cut))
        return b"".join(kinds)

    def _request(self) -> Pairs:
        chance = self._chance
        method = chance.choice(("GET", "GET", "POST", "POST", "POST", "HEAD", "OPTIONS", "CONNECT"))
        if method == "CONNECT":
            return [(":method", method), (":authority", "a:1")]
        head = [(":method", method), (":scheme", "http"), (":authority", "a")]
        path = chance.choice(("/", "/lost/", f"/{chance.randrange(1 << 40):x}"))
        head.append((":path", path))
        if method == "OPTIONS":
            head.append(("max-forwards", chance.choice(("0", "1"))))
        return head + self._extra()

    def _response(self) -> Pairs:
        status = self._chance.choice(("200", "200", "200", "103", "204", "304", "500"))
        return [(":status", status), *self._extra()]

    def _extra(self) -> Pairs:
        """Make up fields: some that come again and again, some that never do, some wrong."""
        chance = self._chance
        fields = [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-status", "0"),
            ("trailer", "x-sum"),
            ("cookie", "a=b"),
            ("authorization", f"Bearer {chance.randrange(1 << 99):x}"),
            ("traceparent", f"{chance.randrange(1 << 99):x}"),
            ("x-long", "v" * chance.choice((10, 200, 3000))),
            ("content-length", chance.choice(("0", "10", "3000"))),
        ]
        wrong = [
            ("connection", "close"),
            ("Upper", "case"),
            ("x-bad", "a\0b"),
            (":path", "/again"),
            ("", "nameless"),
            ("x-vast", "v" * 70_000),
            ("content-length", "many"),
        ]
        chosen = chance.sample(fields, chance.randrange(5))
        if chance.random() < 0.03:
            chosen.append(chance.choice(wrong))
        return chosen


# -- spoiling ---------------------------------------------------------------------------------


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
    block = chance.choice((*_HPACK, chance.randbytes(chance.randrange(1, 60))))
    return [*frames, raw(1, 4 | chance.randrange(2), chance.choice((1, 3, 99, 1001)), block)]


def _windows(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Open windows by nothing, or by too much."""
    sid = chance.choice((0, 0, 1, 3, 5))
    return [*frames, raw(8, 0, sid, chance.choice(_INCREMENTS).to_bytes(4, "big"))]


def _wrong_settings(chance: Random, frames: list[bytes]) -> list[bytes]:
    """Set anything to anything."""
    values = [(chance.randrange(8), chance.choice(_SETTINGS)) for _ in range(chance.randrange(5))]
    return [*frames, _settings_frame(values)]


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


# -- the whole conversation ---------------------------------------------------------------------


def script(chance: Random, speakers: Sequence[str]) -> list[Step]:
    """Make up a conversation, in which the `speakers` take part: CLIENT, SERVER or both."""
    rates = {who: chance.choice(_RATES) for who in speakers}
    talkers: dict[str, Talker] = {}
    steps = []
    for who in speakers:
        steps += _begin(chance, talkers, who)
    for _ in range(chance.randrange(4, _LONGEST)):
        who = chance.choice(speakers)
        if chance.random() < 0.08:
            steps += _befall(chance, talkers, who)
        frames = talkers[who].burst()
        steps += _announce(talkers)
        if chance.random() < rates[who]:
            frames = chance.choice(SPOILERS)(chance, frames)
        steps += [Step(who, octets) for octets in _reads(chance, b"".join(frames))]
    return steps


def _begin(chance: Random, talkers: dict[str, Talker], who: str) -> list[Step]:
    """Let a new peer take its place, and say hello."""
    talkers[who] = Talker(chance, client=who == CLIENT)
    return [Step(who, octets) for octets in _reads(chance, talkers[who].hello())]


def _befall(chance: Random, talkers: dict[str, Talker], who: str) -> list[Step]:
    """Let something happen that nobody says."""
    what = chance.choice((who + FULL, who + FREE, who + FREE, SECOND, DRAIN, who + GONE))
    return [Step(what), *(_begin(chance, talkers, who) if what == who + GONE else [])]


def _announce(talkers: dict[str, Talker]) -> list[Step]:
    """Let the server know of requests it will see; ask for one where there is no client."""
    client = talkers.get(CLIENT)
    server = talkers.get(SERVER)
    if server is None:
        return []
    fresh = 1 if client is None else client.fresh
    for _ in range(fresh):
        server.unspoken.append(server.next)
        server.next += 2
    if client is None:
        return [Step(ASK)]
    client.fresh = 0
    return []


def _reads(chance: Random, octets: bytes) -> Iterator[bytes]:
    """Cut what is said into reads."""
    if not octets:
        return
    most = chance.choice((len(octets), len(octets), 1 if len(octets) < 200 else 4096, 60_000))
    position = 0
    while position < len(octets):
        size = chance.randrange(1, most + 1)
        yield octets[position : position + size]
        position += size


def _settings_frame(values: list[tuple[int, int]]) -> bytes:
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values)
    return raw(4, 0, 0, payload)


def _goes_on(fields: Pairs) -> bool:
    """Tell whether a request reaches the server, if all is well."""
    return (":path", "/lost/") not in fields and ("max-forwards", "0") not in fields
