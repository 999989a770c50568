"""HPACK: the published examples, another implementation's word, and what has a bound."""

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from librt.strings import BytesWriter

from trailproxy.wire import huffman
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields
from trailproxy.wire.hpack import Decoder, Encoder, FieldBlockError, write_integer
from trailproxy.wire.hpack_table import STATIC, STATIC_SIZE

PLENTY = 1 << 20
BOUNDED = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

Pairs = list[tuple[bytes, bytes]]

REQUESTS: list[Pairs] = [
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ],
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
        (b"cache-control", b"no-cache"),
    ],
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ],
]
PUBLISHED = {  # RFC 7541 appendices C.3 and C.4
    "plain": [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
    "huffman": [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
}


def _pairs(fields: Fields) -> Pairs:
    return [(field.name, field.value) for field in fields.items]


def _code_of(block: bytes, most: int = PLENTY) -> ErrorCode:
    with pytest.raises(FieldBlockError) as refused:
        Decoder(most).decode(block)
    return refused.value.code


# -- decoding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_requests_are_decoded(blocks: list[str]) -> None:
    decoder = Decoder(PLENTY)
    assert [_pairs(decoder.decode(bytes.fromhex(block))) for block in blocks] == REQUESTS


def test_the_static_table_is_that_of_the_rfc() -> None:
    theirs = hpack.table.HeaderTable.STATIC_TABLE
    assert [(field.name, field.value) for field in STATIC[1:]] == list(theirs)
    assert len(theirs) == STATIC_SIZE


values = st.one_of(st.sampled_from([b"", b"1", b"GET", b"/", b"v" * 900]), st.binary(max_size=40))
names = st.sampled_from([b":method", b":path", b"x-a", b"x-" + b"n" * 200, b"cookie", b"te"])
lists = st.lists(st.tuples(names, values), max_size=7)
sizes = st.sampled_from([0, 60, 500, 4096])


@BOUNDED
@given(st.lists(st.tuples(lists, st.booleans(), st.none() | sizes), min_size=1, max_size=12))
def test_what_another_encoder_writes_is_read(talk: list[tuple[Pairs, bool, int | None]]) -> None:
    theirs, ours = hpack.Encoder(), Decoder(PLENTY)
    for pairs, coded, size in [*talk, *talk]:
        if size is not None:
            theirs.header_table_size = size
        assert _pairs(ours.decode(theirs.encode(pairs, huffman=coded))) == pairs


@BOUNDED
@given(st.lists(st.tuples(lists, st.none() | sizes), min_size=1, max_size=12))
def test_what_we_write_is_read_by_another_decoder(talk: list[tuple[Pairs, int | None]]) -> None:
    ours, theirs, relay = Encoder(), hpack.Decoder(max_header_list_size=PLENTY), Decoder(PLENTY)
    source = hpack.Encoder()
    for pairs, size in [*talk, *talk, *talk]:
        if size is not None:
            ours.resize(size)
            theirs.max_allowed_table_size = max(size, theirs.max_allowed_table_size)
        fields = relay.decode(source.encode(pairs))
        heard = theirs.decode(ours.encode(fields), raw=True)
        assert [(bytes(name), bytes(value)) for name, value in heard] == pairs


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # place 0
        b"\xbe",  # a place of an empty table
        b"\xff\xff\xff\xff\xff\xff",  # an integer without end
        b"\x7f",  # an integer cut short
        b"\x40",  # no name
        b"\x40\x01a",  # no value
        b"\x40\x05a",  # a name cut short
        b"\x82\x3f\xe1\x1f",  # a table size behind a field
        b"\x3f\xff\xff\x03",  # a table larger than ours
        b"\x40\x81\x00\x00",  # Huffman padding of zeros
        b"\x40\x84\xff\xff\xff\xff\x00",  # EOS
    ],
    ids=lambda block: block.hex(),
)
def test_what_is_no_field_block_is_a_compression_error(block: bytes) -> None:
    assert _code_of(block) == ErrorCode.COMPRESSION_ERROR


def test_a_block_that_unpacks_too_far_is_a_bomb() -> None:
    block = b"\x40\x01a\x64" + b"v" * 100 + b"\xbe" * 100
    assert _code_of(block, most=5000) == ErrorCode.ENHANCE_YOUR_CALM


@BOUNDED
@given(st.binary(max_size=60))
def test_junk_is_refused_or_read_as_another_decoder_reads_it(block: bytes) -> None:
    try:
        theirs = hpack.Decoder(max_header_list_size=PLENTY).decode(block, raw=True)
        expected = [(bytes(name), bytes(value)) for name, value in theirs]
    except hpack.HPACKError:
        expected = None
    try:
        heard = _pairs(Decoder(PLENTY).decode(block))
    except FieldBlockError:
        heard = None  # ours alone refuses integers beyond 2^28
    assert heard is None or heard == expected


# -- what recurs ------------------------------------------------------------------------------


def test_a_block_that_recurs_is_the_same_list_until_the_table_changes() -> None:
    decoder = Decoder(PLENTY)
    block = b"\x82\x86\x04\x02/x"
    first, second, third = (decoder.decode(block) for _ in range(3))
    assert first == second
    assert second is third
    assert second.recurring is not None
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(block) is not third
    assert decoder.decode(block) == third


def test_a_block_that_speaks_of_the_table_is_read_anew_when_it_has_changed() -> None:
    decoder = Decoder(PLENTY)
    decoder.decode(b"\x40\x01a\x011")
    assert [_pairs(decoder.decode(b"\xbe")) for _ in range(3)] == [[(b"a", b"1")]] * 3
    decoder.decode(b"\x40\x01a\x012")
    assert _pairs(decoder.decode(b"\xbe")) == [(b"a", b"2")]


def test_a_block_that_sets_the_table_size_sets_it_each_time() -> None:
    decoder = Decoder(PLENTY)
    for _ in range(3):
        assert _pairs(decoder.decode(b"\x20")) == []  # nothing fits
        decoder.decode(b"\x40\x01a\x01b")
        with pytest.raises(FieldBlockError):
            decoder.decode(b"\xbe")
        assert _pairs(decoder.decode(b"\x3f\x45")) == []  # 100 octets
        decoder.decode(b"\x40\x01a\x01b")
        assert _pairs(decoder.decode(b"\xbe")) == [(b"a", b"b")]


def test_what_is_remembered_of_blocks_has_a_bound() -> None:
    decoder = Decoder(PLENTY)
    for number in range(1000):
        decoder.decode(b"\x00\x01a\x04%04d" % number)
    assert _pairs(decoder.decode(b"\x00\x01a\x040000")) == [(b"a", b"0000")]


def test_what_is_referred_to_is_one_object_for_all_connections() -> None:
    (first,) = Decoder(PLENTY).decode(b"\x40\x05x-for\x03all").items
    assert first.recurring is None
    again = []
    for _ in range(2):
        decoder = Decoder(PLENTY)
        decoder.decode(b"\x40\x05x-for\x03all")
        again += decoder.decode(b"\xbe").items
    assert again[0] is again[1]
    assert again[0].recurring is not None


def test_an_entry_that_only_lends_its_name_does_not_recur() -> None:
    decoder = Decoder(PLENTY)
    (lender,) = decoder.decode(b"\x40\x05x-key\x03one").items
    assert _pairs(decoder.decode(b"\x7e\x03two")) == [(b"x-key", b"two")]
    assert lender.recurring is None


def test_a_list_that_recurs_is_one_object_for_all_connections() -> None:
    block = b"\x82\x86\x04\x0c/for/all/too\x41\x01a"
    kept = b"\x82\x86\x04\x0c/for/all/too\xbe"
    shared = []
    for _ in range(2):
        decoder = Decoder(PLENTY)
        decoder.decode(block)
        shared += [decoder.decode(kept) for _ in range(2)][1:]
    assert shared[0] is shared[1]


def test_a_list_with_a_field_too_large_to_share_is_each_connections_own() -> None:
    coded = huffman.encode(b"a" * 600)
    length = BytesWriter()
    write_integer(length, 0x80, 0x7F, len(coded))
    block = b"\x00\x01n" + length.getvalue() + coded
    lists = []
    for _ in range(2):
        decoder = Decoder(PLENTY)
        lists += [decoder.decode(block) for _ in range(3)][1:]
    assert lists[0] is lists[1]
    assert lists[1] == lists[2]
    assert lists[1] is not lists[2]


def _recurring(*pairs: tuple[bytes, bytes]) -> Fields:
    decoder, encoder = Decoder(PLENTY), hpack.Encoder()
    for _ in range(3):
        fields = decoder.decode(encoder.encode(list(pairs)))
    return fields


def test_only_what_recurs_takes_a_place_in_the_table() -> None:
    encoder = Encoder()
    once = Fields.of([("x-once", "1")])
    sizes = [len(encoder.encode(once)) for _ in range(3)]
    assert sizes == [len(b"\x00\x06x-once\x011")] * 3
    often = _recurring((b"x-often", b"said again and again"))
    sizes = [len(encoder.encode(often)) for _ in range(4)]
    assert sizes[-1] == 1


def test_a_place_in_one_table_is_none_in_another() -> None:
    ends = [(Encoder(), hpack.Decoder()) for _ in range(3)]
    lists = [_recurring((b"x-often", b"%d" % number), (b"x-all", b"alike")) for number in range(3)]
    for turn in range(60):
        encoder, decoder = ends[turn % 3 if turn < 30 else turn // 10 % 3]
        fields = lists[turn * 7 % 5 % 3]
        heard = decoder.decode(encoder.encode(fields), raw=True)
        assert [(bytes(n), bytes(v)) for n, v in heard] == [(f.name, f.value) for f in fields]


def test_a_secret_takes_no_place_and_never_indexed_stays_so() -> None:
    encoder, decoder = Encoder(), hpack.Decoder()
    secret = _recurring((b"authorization", b"Bearer s3cret"))
    marked = Fields([Field(b"x-key", b"s3cret", never_indexed=True)])
    for _ in range(4):
        assert b"Bearer s3cret" in encoder.encode(secret)
        assert encoder.encode(marked)[:1] == b"\x10"
        (heard,) = decoder.decode(encoder.encode(marked), raw=True)
        assert not heard.indexable


def test_a_value_as_large_as_the_table_takes_no_place() -> None:
    encoder = Encoder()
    large = _recurring((b"x-large", b"v" * 1200))
    assert {len(encoder.encode(large)) for _ in range(4)} == {
        len(b"\x00\x07x-large\x7f\xb1\x08") + 1200
    }


def test_places_that_were_evicted_are_forgotten() -> None:
    encoder, decoder = Encoder(), hpack.Decoder(max_header_list_size=PLENTY)
    for number in range(400):
        pair = (b"x-many", b"%0100d" % number)
        fields = _recurring(pair)
        for _ in range(3):
            heard = decoder.decode(encoder.encode(fields), raw=True)
            assert [(bytes(n), bytes(v)) for n, v in heard] == [pair]


def test_the_least_size_is_told_before_the_last() -> None:
    """RFC 7541 section 4.2."""
    encoder, decoder = Encoder(), hpack.Decoder()
    for size in (0, 200, 200):
        encoder.resize(size)
    block = encoder.encode(Fields.of([("x", "1")]))
    assert block.startswith(b"\x20\x3f\xa9\x01")
    decoder.decode(block)
    assert encoder.encode(Fields.of([("x", "1")])) == b"\x00\x01x\x011"


# -- Huffman ----------------------------------------------------------------------------------


@BOUNDED
@given(st.binary(max_size=300))
def test_huffman_codes_are_those_of_the_rfc(text: bytes) -> None:
    coded = huffman.encode(text)
    assert coded == HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    assert huffman.decode(coded, 0, len(coded)) == text
    assert huffman.decode(b"?" + coded + b"?", 1, 1 + len(coded)) == text


def test_huffman_padding_is_short_and_of_ones() -> None:
    assert huffman.decode(b"\x1f", 0, 1) == b"a"
    assert huffman.decode(b"\x1e", 0, 1) is None, "padded with a zero"
    assert huffman.decode(b"\x1f\xff", 0, 2) is None, "more than seven bits of padding"
