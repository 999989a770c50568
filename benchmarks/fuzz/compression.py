"""Compression: HPACK and Huffman codes, beside the hpack package and both ways.

Two connections hear one block after the other, as all decoders of a process share fields
and what was found out about them. What was heard is sent on by an encoder and read by a
stranger, while the size of the table between them changes.
"""

from random import Random
from typing import Final

import hpack
from hpack.huffman_table import decode_huffman

from benchmarks.fuzz.hostile import Talker
from benchmarks.fuzz.spoilers import BLOCKS
from trailproxy.wire import huffman
from trailproxy.wire.fields import Fields
from trailproxy.wire.hpack import Decoder, Encoder, FieldBlockError

_MOST: Final = 4000  # octets of a list; more is a bomb
_SIZES: Final = (0, 40, 110, 250, 4096, 4097, 70_000)  # of tables

# What an octet of the input begins; the next one is a length, or chooses a size.
_HEAR: Final = 0  # 0 to 3
_SEND: Final = 4
_RESIZE: Final = 5
_DECODE: Final = 6
_ENCODE: Final = 7
_KINDS: Final = 8

Lines = list[tuple[bytes, bytes, bool]]


class _Side:
    """One connection: two decoders of what comes, one encoder and two decoders of what goes."""

    def __init__(self) -> None:
        self.ours: Final = Decoder(_MOST)
        self.theirs: Final = hpack.Decoder(max_header_list_size=_MOST)
        self.encoder: Final = Encoder()
        self.reader: Final = hpack.Decoder()


class _Pair:
    """Two connections, and what was heard last."""

    def __init__(self) -> None:
        self._sides = [_Side(), _Side()]
        self._heard = Fields([])

    def play(self, kind: int, side: int, octets: bytes) -> None:
        """Let one thing happen."""
        if kind == _SEND:
            self._send(self._sides[side])
        elif kind == _RESIZE:
            limit = _SIZES[sum(octets) % len(_SIZES)]
            self._sides[side].encoder.resize(limit)
            self._sides[side].reader.max_allowed_table_size = limit
        elif kind == _DECODE:
            _decode(octets)
        elif kind == _ENCODE:
            assert decode_huffman(huffman.encode(octets)) == octets, "another Huffman code"
        else:
            self._hear(side, octets)

    def _hear(self, side: int, block: bytes) -> None:
        ours, why = _ours(self._sides[side].ours, block)
        theirs = _theirs(self._sides[side].theirs, block)
        if ours is None:  # the connection is over, and the next one hears the rest
            self._sides[side] = _Side()
            assert theirs is None or "integer" in why, f"refused: {why}, by hpack {theirs}"
            return
        assert _lines(ours) == theirs, f"{ours}, by hpack {theirs}"
        self._heard = ours

    def _send(self, side: _Side) -> None:
        lines = _lines(self._heard)
        read = list(side.reader.decode(side.encoder.encode(self._heard), raw=True))
        assert [(bytes(name), bytes(value)) for name, value in read] == [x[:2] for x in lines]
        marks = [not line.indexable for line in read]
        lost = [x[0] for x, mark in zip(lines, marks, strict=True) if x[2] and not mark]
        assert not lost, f"no longer marked as never to be indexed: {lost}"


def _ours(decoder: Decoder, block: bytes) -> tuple[Fields | None, str]:
    try:
        return decoder.decode(block), ""
    except FieldBlockError as error:
        return None, str(error)


def _theirs(decoder: hpack.Decoder, block: bytes) -> Lines | None:
    try:
        heard = list(decoder.decode(block, raw=True))
    except hpack.HPACKError:
        return None
    return [(bytes(line[0]), bytes(line[1]), not line.indexable) for line in heard]


def _lines(fields: Fields) -> Lines:
    return [(field.name, field.value, field.never_indexed) for field in fields.items]


def _decode(octets: bytes) -> None:
    """Decode a Huffman string; one that is lawful has one form only."""
    ours = huffman.decode(octets, 0, len(octets))
    try:
        theirs: bytes | None = decode_huffman(octets)
    except hpack.HPACKError:
        theirs = None
    assert ours == theirs, f"{ours!r}, by hpack {theirs!r}"
    assert ours is None or huffman.encode(ours) == octets, "a second form of one string"


def play(octets: bytes) -> None:
    """Play what two peers say, one piece after the other."""
    pair = _Pair()
    position = 0
    while position < len(octets):
        side, kind = divmod(octets[position], _KINDS)
        size = octets[position + 1] if position + 1 < len(octets) else 0
        piece = octets[position + 2 : position + 2 + size]
        pair.play(kind, side % 2, piece)
        position += 2 + (0 if kind == _SEND else size)


def make(chance: Random) -> bytes:
    """Make up what two peers say: blocks that come again, are sent on, and some that are none."""
    talkers = [Talker(chance, client=chance.random() < 0.5) for _ in range(2)]
    said = [[talker.block() for _ in range(4)] for talker in talkers]
    written = bytearray()
    for _ in range(chance.randrange(1, 30)):
        side = chance.randrange(2)
        kind = chance.choice((_HEAR, _HEAR, _HEAR, _SEND, _SEND, _RESIZE, _DECODE, _ENCODE))
        piece = chance.choice(said[side] if chance.random() < 0.9 else BLOCKS)[:255]
        if kind == _DECODE:
            piece = huffman.encode(piece)[:255]
        written += bytes([side * _KINDS + kind, len(piece)])
        written += b"" if kind == _SEND else piece
    return bytes(written)
