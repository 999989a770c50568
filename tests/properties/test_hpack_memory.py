"""What is remembered of field blocks is never seen: a decoder without memory hears the same.

Our decoder keeps blocks that left its table alone, and all decoders of the process share
fields, lists of them and what was found out about both. So one block comes here again
and again, with the table as it was, with another one, and on other connections.
"""

import itertools

import hpack
from hpack.hpack import encode_integer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trailproxy.wire import huffman
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields, Kind
from trailproxy.wire.hpack import Decoder, Encoder, FieldBlockError

MOST = 1800  # octets of a list: three large fields are a bomb
TALKS = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

Lines = list[tuple[bytes, bytes, bool]]

# few, so that they meet again; sound and unsound, small and as large as the table
NAMES = [b"x-a", b"x-b", b":path", b"cookie", b"content-length", b"connection", b"X y"]
VALUES = [b"", b"1", b"2", b"/", b" space", b"v" * 60, b"w" * 200, b"\xff\0"]
LARGE = [b"y" * 560, b"z" * 560]  # beyond what is shared
SIZES = [0, 40, 110, 250, 4096]


def _integer(value: int, bits: int, first: int) -> bytes:
    octets = encode_integer(value, bits)
    octets[0] |= first
    return bytes(octets)


def _string(text: bytes, coded: bool) -> bytes:
    octets = huffman.encode(text) if coded else text
    return _integer(len(octets), 7, 0x80 if coded else 0) + octets


def _insert(text: bytes) -> bytes:
    return _integer(0, 6, 0x40) + _string(b"x-a", False) + _string(text, True)


def _literals() -> list[bytes]:
    """Return fields that name themselves, or take their name from a table, in each form."""
    forms = [(6, 0x40), (6, 0x40), (4, 0x00), (4, 0x10)]
    names = [(0, _string(name, coded)) for name in NAMES for coded in (False, True)]
    return [
        _integer(place, bits, first) + name + _string(value, coded)
        for bits, first in forms
        for place, name in [*names, *[(place, b"") for place in (4, 28, 62, 63)]]
        for value in VALUES + LARGE
        for coded in (False, True)
    ]


PLACES = [_integer(place, 7, 0x80) for place in (2, 4, 8, 62, 62, 62, 63, 63, 64, 65)]
UPDATES = [_integer(size, 5, 0x20) for size in [*SIZES, 4097]]
JUNK = [b"\x80", b"\x40", b"\x00\x05a", b"\x7f\xff\xff", b"\x3f\xe1\x1f"]

#: What each connection begins with, so that the first places of the table are taken.
GREETING = b"".join(map(_insert, VALUES))

# blocks that leave the table alone; that add to it; that resize it; and what is none
spoken = st.lists(st.sampled_from(PLACES), min_size=1, max_size=4).map(b"".join)
mixed = st.lists(st.sampled_from(PLACES) | st.sampled_from(_literals()), max_size=5).map(b"".join)
resizing = st.tuples(
    st.lists(st.sampled_from(UPDATES), min_size=1, max_size=2).map(b"".join), spoken | mixed
).map(b"".join)
broken = st.tuples(mixed, st.sampled_from(JUNK)).map(b"".join)
blocks = st.one_of(spoken, spoken, mixed, mixed, mixed, resizing, broken)


@st.composite
def talks(draw: st.DrawFn) -> list[bytes]:
    """Draw a long talk out of a handful of blocks."""
    few = draw(st.lists(blocks, min_size=2, max_size=6))
    return draw(st.lists(st.sampled_from(few), min_size=12, max_size=40))


def _lines(fields: Fields) -> Lines:
    return [(field.name, field.value, field.never_indexed) for field in fields.items]


class Reference:
    """Another decoder, without a memory but its table."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MOST)
        self._decoder.decode(GREETING, raw=True)

    def decode(self, block: bytes) -> Lines | None:
        """Return the lines, or None if that is no block."""
        try:
            heard = self._decoder.decode(block, raw=True)
        except hpack.HPACKError:
            return None
        return [(bytes(line[0]), bytes(line[1]), not line.indexable) for line in heard]


def _greeted() -> Decoder:
    decoder = Decoder(MOST)
    decoder.decode(GREETING)
    return decoder


def _anew(fields: Fields) -> Fields:
    """Return the same list, of which nobody knows anything yet."""
    return Fields([Field(*line) for line in _lines(fields)])


def _hear(decoder: Decoder, block: bytes) -> Fields | None:
    try:
        return decoder.decode(block)
    except FieldBlockError:
        return None


@TALKS
@given(talks())
@example([b"\x10\x03x-a\x011"] * 3 + [b"\x00\x03x-a\x011"] * 3)  # a secret, and none
@example([block for text in LARGE for block in [_insert(text)] * 2 + [b"\xbe"] * 6])
def test_a_decoder_that_heard_it_all_before_hears_what_another_does(talk: list[bytes]) -> None:
    sides = [(_greeted(), Reference()), (_greeted(), Reference())]  # who say the same
    for turn, block in enumerate(talk):
        ours, theirs = sides[turn % 2]
        heard, expected = _hear(ours, block), theirs.decode(block)
        assert (None if heard is None else _lines(heard)) == expected
        if heard is None:  # the connection is over, and the next one hears the rest
            sides[turn % 2] = _greeted(), Reference()


@TALKS
@given(talks(), st.permutations([Kind.REQUEST, Kind.RESPONSE, Kind.TRAILERS]))
def test_what_was_found_out_about_a_list_holds_for_the_next(
    talk: list[bytes], kinds: list[int]
) -> None:
    decoder = _greeted()
    for block in talk:
        heard = _hear(decoder, block)
        if heard is None:
            decoder = _greeted()
            continue
        for kind in kinds:
            assert heard.fault(kind) == _anew(heard).fault(kind)
        fresh = _anew(heard)
        assert heard.content_length == fresh.content_length
        assert heard.size == fresh.size
        assert heard.illegal_field() == fresh.illegal_field()


@TALKS
@given(talks(), st.lists(st.none() | st.sampled_from(SIZES), min_size=1, max_size=12))
def test_what_was_heard_is_passed_on_whatever_was_sent_before(
    talk: list[bytes], sizes: list[int | None]
) -> None:
    heard_by = _greeted()
    sides = [(Encoder(), hpack.Decoder()), (Encoder(), hpack.Decoder())]
    for turn, (block, size) in enumerate(zip(talk, itertools.cycle(sizes), strict=False)):
        sent_by, read_by = sides[turn // 2 % 2]
        if size is not None:
            sent_by.resize(size)
        heard = _hear(heard_by, block)
        if heard is None:
            heard_by = _greeted()
            continue
        read = read_by.decode(sent_by.encode(heard), raw=True)
        lines = _lines(heard)
        assert [(bytes(name), bytes(value)) for name, value in read] == [x[:2] for x in lines]
        marked = [not line.indexable for line in read]
        assert all(kept for kept, (_, _, never) in zip(marked, lines, strict=True) if never)


def test_a_pool_that_is_full_is_forgotten_and_filled_again() -> None:
    ours, theirs = _greeted(), Reference()
    for number in [*range(4500), *range(100)]:
        block = b"\x40\x05x-num\x04%04d" % number + b"\xbe\xbf" * (number > 0)
        assert _lines(ours.decode(block)) == theirs.decode(block)


def test_lists_and_their_forms_are_forgotten_when_there_are_too_many() -> None:
    """Lists that recur, none of which takes a place in a table."""
    heard_by, sent_by, read_by = Decoder(MOST), Encoder(), hpack.Decoder()
    for number in [*range(600), *range(10)]:
        block = b"\x10\x05x-num\x04%04d" % number
        for _ in range(3):
            heard = heard_by.decode(block)
            assert _lines(heard) == [(b"x-num", b"%04d" % number, True)]
            (read,) = read_by.decode(sent_by.encode(heard), raw=True)
            assert bytes(read[1]) == b"%04d" % number
