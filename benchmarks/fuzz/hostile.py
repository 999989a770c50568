"""Hostile: what two peers say to a proxy when at least one of them means it no good.

Everything comes from one number: conversations as the grammar of RFC 9113 has them, then
spoilt, frame by frame, and cut into reads anywhere. Nothing here looks at the proxy, so
that a case can be told, kept and played again.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from hpack import Encoder

from benchmarks.fuzz.spoilers import INCREMENTS, SETTINGS, SPOILERS, settings_frame
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
HAPPENINGS: Final = (
    CLIENT,
    SERVER,
    ASK,
    SECOND,
    DRAIN,
    *(who + what for what in (FULL, FREE, GONE) for who in (CLIENT, SERVER)),
)

_RATES: Final = (0.0, 0.02, 0.1, 0.5)  # how much of what a peer says is spoilt
_BURSTS: Final = (6, 20, 60)  # a case, at most
#: How much a peer says: octets of a piece of body, and of a long field.
_VOICES: Final[tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]] = (
    ((0, 1, 10, 10), (1, 10)),
    ((0, 1, 10, 100), (1, 10)),
    ((0, 1, 10, 100, 3000, 16_000), (10, 200, 3000)),
)
_DIGESTS: Final = ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "YQ==")  # of nothing; none
_PATHS: Final = ("/", "/", "/lost/", "/retry/", "/verify/", "/add/", "/told/", "/rules/")

Pairs = list[tuple[str, str]]


class Step(NamedTuple):
    """One thing that happens; `octets` are what one read brings."""

    what: str
    octets: bytes = b""
    doublings: int = 0  # how often all of it is said once more

    @property
    def speaks(self) -> bool:
        """Whether somebody says something."""
        return self.what in (CLIENT, SERVER)


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
        self._sizes, self._lengths = chance.choice(_VOICES)

    def hello(self) -> bytes:
        """Return what a connection begins with."""
        return (PREFACE if self._client else b"") + self._settings()

    def burst(self) -> list[bytes]:
        """Say something: some frames."""
        return [self._frame() for _ in range(self._chance.choice((1, 1, 2, 3, 8)))]

    def block(self) -> bytes:
        """Return a field section as HPACK has it, beyond what was said before."""
        return self._encode(self._request() if self._client else self._response())

    def _encode(self, fields: Pairs) -> bytes:
        small = sum(len(value) for _, value in fields) < 400  # hpack needs squared time for more
        return self._hpack.encode(fields, huffman=small and self._chance.random() < 0.5)

    def _frame(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.3 and (self._client or self.unspoken):
            return self._head()
        if chance.random() < 0.6 and self.open:
            return self._more(chance.choice(self.open))
        if chance.random() < 0.5:
            return window_update(self._any_sid(zero=True), chance.choice(INCREMENTS[1:-1]))
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
        octets = bytes(chance.choice(self._sizes))
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
                ping if chance.random() < 0.7 else self._goaway,
            )
        )()

    def _goaway(self) -> bytes:
        return goaway(self._chance.choice((0, 1, 5, MAX_SID)), self._chance.choice((0, 0, 2)))

    def _settings(self) -> bytes:
        chance = self._chance
        names = chance.choices((1, 3, 4, 4, 5, 6, 99), k=chance.randrange(4))
        legal = {1: 4096, 3: 100, 4: 65_535, 5: 16_384, 6: 65_536, 99: 1}
        values = {name: chance.choice((legal[name], *SETTINGS[2:7])) for name in names}
        if 5 in values:
            values[5] = max(values[5], 16_384)
        return settings_frame(list(values.items()))

    def _any_sid(self, *, zero: bool = False) -> int:
        known = [*self.open[-8:], *self.over[-3:], *([0] if zero else [])]
        return self._chance.choice(known) if known else int(not zero)

    def _block(self, sid: int, fields: Pairs, *, end: bool) -> bytes:
        """Write a field section as HEADERS, padded or not, and some CONTINUATION."""
        chance = self._chance
        if chance.random() < 0.05:
            self._hpack.header_table_size = chance.choice((0, 100, 4096))
        block = self._encode(fields)
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
        path = chance.choice((*_PATHS, f"/{chance.randrange(1 << 40):x}"))
        head.append((":path", path))
        if method == "OPTIONS":
            head.append(("max-forwards", chance.choice(("0", "1"))))
        return head + self._extra()

    def _response(self) -> Pairs:
        status = self._chance.choice(("200", "200", "200", "103", "204", "304", "503"))
        return [(":status", status), *self._extra()]

    def _extra(self) -> Pairs:
        """Make up fields: some that come again and again, some that never do, some wrong."""
        chance = self._chance
        fields = [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("content-type", "application/grpc"),
            ("grpc-status", chance.choice(("0", "14", "x"))),
            ("grpc-message", "a%20b"),
            ("grpc-timeout", chance.choice(("1S", "20S", "1n"))),
            ("trailer", "x-sum"),
            ("content-digest", f"sha-256=:{chance.choice(_DIGESTS)}:"),
            ("cookie", "a=b"),
            ("authorization", f"Bearer {chance.randrange(1 << 99):x}"),
            ("traceparent", f"{chance.randrange(1 << 99):x}"),
            ("x-forwarded-for", "192.0.2.1"),
            ("host", "b"),
            ("x-long", "v" * chance.choice(self._lengths)),
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


# -- the whole conversation ---------------------------------------------------------------------


def script(chance: Random, speakers: Sequence[str]) -> list[Step]:
    """Make up a conversation, in which the `speakers` take part: CLIENT, SERVER or both."""
    rates = {who: chance.choice(_RATES) for who in speakers}
    talkers: dict[str, Talker] = {}
    steps = []
    for who in speakers:
        steps += _begin(chance, talkers, who)
    for _ in range(chance.randrange(4, chance.choice(_BURSTS))):
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
    socket = (who + FULL, who + FREE, who + FREE, who + GONE)
    what = chance.choice((*socket, SECOND, SECOND, SECOND, DRAIN))
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


def _goes_on(fields: Pairs) -> bool:
    """Tell whether a request reaches the server, if all is well."""
    return (":path", "/lost/") not in fields and ("max-forwards", "0") not in fields
