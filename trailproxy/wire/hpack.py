"""HPACK: field sections to octets and back (RFC 7541).

Both ends share one long state, so every block is decoded, wanted or not, and
nothing is encoded that could fail half-way. What repeats is not done twice: a
block whose octets came before, with the table unchanged, is the same `Fields`;
and a `Fields` that recurs has the same octets as long as our table is.

Our encoder puts into its table what is seen to recur: a field that the source took
from its own table, or whose block came twice, and that was sent before. A value
that comes once never pushes out another. Secrets stay outside (section 7.1.3).
"""

import itertools
from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from trailproxy.wire import huffman
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import SECRET, Field, Recurring, share
from trailproxy.wire.fields import Fields, share_list
from trailproxy.wire.hpack_table import (
    STATIC,
    STATIC_SIZE,
    DynamicTable,
    name_place,
    static_place,
)

TABLE_SIZE: Final = 4096  # SETTINGS_HEADER_TABLE_SIZE, which we leave at its default
_TABLE_LIMIT: Final = 64 * 1024  # octets of table we keep for encoding, whatever a peer allows

_MOST_CONTINUED: Final = 4  # octets behind an integer's first: values below 2^28
_MOST_SIZES: Final = 2  # table sizes in a block: the least since the last one, and the last
_KEPT_BLOCK: Final = 512  # octets of a block that is worth remembering
_KEPT_BLOCKS: Final = 64
_KEPT_FORMS: Final = 256  # encoded lists of one encoder
_LARGEST_SHARE: Final = 4  # an entry may take this part of the table

_numbers: Final = itertools.count(1)  # of encoders


class FieldBlockError(Exception):
    """A block cannot be decoded, so the connection cannot go on; `code` is for GOAWAY."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code: Final = code


@final
class Decoder:
    """The receiving end."""

    __slots__ = ("_known", "_max_list", "_table")

    def __init__(self, max_list: i64) -> None:
        """Prepare; a list larger than `max_list` octets (RFC 9113 section 6.5.2) is a bomb."""
        self._max_list: Final[i64] = max_list
        self._table: Final = DynamicTable(TABLE_SIZE)
        self._known: Final[dict[bytes, Fields]] = {}  # blocks that left the table as it was

    def decode(self, block: bytes) -> Fields:
        """Decode one field block.

        Raises:
            FieldBlockError: it is no field block, or far too large; the state is lost.
        """
        # where every block changes the table nothing is known: hashing it would cost 0.3 µs
        fields = self._known.get(block) if self._known else None
        if fields is not None:
            return fields if fields.recurring is not None else self._recur(block, fields)
        table = self._table
        before = table.changes
        fields = self._read(block)
        if table.changes != before:
            self._known.clear()
        elif len(block) <= _KEPT_BLOCK:
            if len(self._known) >= _KEPT_BLOCKS:
                self._known.clear()
            self._known[block] = fields
        return fields

    def _recur(self, block: bytes, fields: Fields) -> Fields:
        """A block came a second time: its fields are worth sharing."""
        self._known[block] = shared = share_list(fields)
        return shared

    def _read(self, block: bytes) -> Fields:
        items: list[Field] = []
        total: i64 = 0
        position: i64 = 0
        sizes: i64 = 0
        size: i64 = len(block)
        while position < size:
            octet: i64 = block[position]
            if octet >= 0x80:
                place, position = read_integer(block, position, 0x7F)
                field = self._indexed(place)
            elif octet >= 0x40:
                field, position = self._literal(block, position, 0x3F, False)
                self._table.add(field)
            elif octet >= 0x20:
                sizes += 1
                if items or sizes > _MOST_SIZES:
                    raise _undecodable("a table size where there can be none")
                limit, position = read_integer(block, position, 0x1F)
                if limit > TABLE_SIZE:
                    raise _undecodable(f"a table of {limit} octets")
                self._table.resize(limit)
                continue
            else:
                field, position = self._literal(block, position, 0x0F, octet >= 0x10)
            total += field.size
            if total > self._max_list:
                why = f"a field section of more than {self._max_list} octets"
                raise FieldBlockError(ErrorCode.ENHANCE_YOUR_CALM, why)
            items.append(field)
        return Fields(items, total)

    def _entry(self, place: i64) -> Field:
        if 0 < place <= STATIC_SIZE:
            return STATIC[place]
        field = self._table.get(place - STATIC_SIZE)
        if field is None:
            raise _undecodable(f"no entry {place}")
        return field

    def _indexed(self, place: i64) -> Field:
        """Return an entry that stands for a whole field: it came before, and is shared now."""
        field = self._entry(place)
        if field.recurring is None:
            field = share(field)
            self._table.replace(place - STATIC_SIZE, field)
        return field

    def _literal(self, block: bytes, start: i64, mask: i64, never: bool) -> tuple[Field, i64]:
        place, position = read_integer(block, start, mask)
        if place:
            known = self._entry(place)
            value, position = read_string(block, position)
            field = Field(known.name, value, never, known.token, name_place(known))
        else:
            name, position = read_string(block, position)
            value, position = read_string(block, position)
            field = Field(name, value, never)
        field.static = 0  # or it would have come as an entry: there is no need to search
        return field, position


@final
class Encoder:
    """The sending end."""

    __slots__ = ("_forms", "_lowest", "_number", "_places", "_table", "_unsettled")

    def __init__(self) -> None:
        self._number: Final[i64] = next(_numbers)
        self._table: Final = DynamicTable(TABLE_SIZE)
        self._places: Final[dict[Recurring, int]] = {}  # field → how many were inserted before it
        self._forms: Final[dict[Recurring, bytes]] = {}  # valid while the table is as it is
        self._lowest: i64 = -1  # the least limit set since the last block; -1: none was
        self._unsettled = False  # the block being written will be shorter the next time

    def resize(self, limit: i64) -> None:
        """The peer allows a table of `limit` octets (section 4.2)."""
        limit = min(limit, _TABLE_LIMIT)
        if limit == self._table.limit:
            return
        self._lowest = limit if self._lowest < 0 else min(self._lowest, limit)
        self._table.resize(limit)
        self._forms.clear()

    def encode(self, fields: Fields) -> bytes:
        """Encode one field section; it cannot fail."""
        recurring = fields.recurring
        if recurring is not None:
            form = self._forms.get(recurring)
            if form is not None:
                return form
        out = BytesWriter()
        if self._lowest >= 0:
            self._say_size(out)
            recurring = None
        before = self._table.inserted
        self._unsettled = False
        for field in fields.items:
            self._put(out, field)
        form = out.getvalue()
        if self._table.inserted != before:
            self._forms.clear()
        elif recurring is not None and not self._unsettled:
            if len(self._forms) >= _KEPT_FORMS:
                self._forms.clear()
            self._forms[recurring] = form
        return form

    def _say_size(self, out: BytesWriter) -> None:
        """Section 4.2: the least limit since the last block first, then the last one."""
        if self._lowest < self._table.limit:
            write_integer(out, 0x20, 0x1F, self._lowest)
        write_integer(out, 0x20, 0x1F, self._table.limit)
        self._lowest = -1

    def _put(self, out: BytesWriter, field: Field) -> None:
        if not field.never_indexed:
            if field.static < 0:
                field.static = static_place(field)
            if field.static:
                out.append(u8(0x80 | field.static))
                return
            recurring = field.recurring
            if recurring is not None and self._put_indexed(out, field, recurring):
                return
        if not field.sent:
            field.sent = True
            _write_literal(out, field)
            return
        literal = field.literal
        if literal is None:
            form = BytesWriter()
            _write_literal(form, field)
            field.literal = literal = form.getvalue()
        out.write(literal)

    def _put_indexed(self, out: BytesWriter, field: Field, recurring: Recurring) -> bool:
        """Write a field by its place, or give it one; False if it is not to have any."""
        table = self._table
        before: i64 = recurring.place
        if recurring.encoder != self._number:  # 100 ns to look up what another one has taken over
            before = self._places.get(recurring, -1)
            recurring.encoder, recurring.place = self._number, before
        if before >= table.evicted:
            write_integer(out, 0x80, 0x7F, STATIC_SIZE + table.inserted - before)
            return True
        if field.token == SECRET or field.size * _LARGEST_SHARE > table.limit:
            return False
        if not field.sent:
            self._unsettled = True
            return False
        write_name(out, 0x40, 0x3F, field)
        write_string(out, field.value)
        self._make_room_in_places()
        self._places[recurring] = recurring.place = table.inserted
        table.add(field)
        return True

    def _make_room_in_places(self) -> None:
        """Forget the places of what was evicted, when that is most of them."""
        table, places = self._table, self._places
        if len(places) > 2 * (table.inserted - table.evicted) + 16:
            for old in [entry for entry in places if places[entry] < table.evicted]:
                del places[old]


def _undecodable(why: str) -> FieldBlockError:
    return FieldBlockError(ErrorCode.COMPRESSION_ERROR, why)


# -- primitive types (section 5) ----------------------------------------------------------


def read_integer(block: bytes, position: i64, mask: i64) -> tuple[i64, i64]:
    """Read an integer whose first octet's prefix is `mask`; return it and the next position.

    Raises:
        FieldBlockError: it is cut short, or larger than any length here may be.
    """
    value: i64 = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift: i64 = 0
    last = position + _MOST_CONTINUED
    while position < len(block) and position < last:
        octet: i64 = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
        shift += 7
    raise _undecodable("an integer without end")


def read_string(block: bytes, position: i64) -> tuple[bytes, i64]:
    """Read a string, Huffman-coded or plain; return it and the next position.

    Raises:
        FieldBlockError: it is cut short, or no Huffman code.
    """
    if position >= len(block):
        raise _undecodable("a string is missing")
    coded = block[position] >= 0x80
    length, start = read_integer(block, position, 0x7F)
    end = start + length
    if end > len(block):
        raise _undecodable("a string is cut short")
    if not coded:
        return block[start:end], end
    text = huffman.decode(block, start, end)
    if text is None:
        raise _undecodable("a string is no Huffman code")
    return text, end


def write_integer(out: BytesWriter, first: i64, mask: i64, value: i64) -> None:
    """Write an integer behind the bits `first` of its first octet."""
    if value < mask:
        out.append(u8(first | value))
        return
    out.append(u8(first | mask))
    value -= mask
    while value >= 0x80:
        out.append(u8(value & 0x7F | 0x80))
        value >>= 7
    out.append(u8(value))


def write_string(out: BytesWriter, text: bytes) -> None:
    """Write a string for a table, Huffman-coded where that is shorter: it is written once."""
    coded = huffman.encode(text)
    if len(coded) < len(text):
        write_integer(out, 0x80, 0x7F, len(coded))
        out.write(coded)
    else:
        _write_plain(out, text)


def write_name(out: BytesWriter, first: i64, mask: i64, field: Field) -> None:
    """Write a name by its place in the static table, or in full."""
    place = name_place(field)
    write_integer(out, first, mask, place)
    if not place:
        _write_plain(out, field.name)


def _write_plain(out: BytesWriter, text: bytes) -> None:
    write_integer(out, 0, 0x7F, len(text))
    out.write(text)


def _write_literal(out: BytesWriter, field: Field) -> None:
    """Write a field outside every table, without Huffman coding.

    What stands in no table is mostly read once: 1 ns an octet to code it, and as
    much for the peer to decode it, would save it nothing but octets on the way.
    """
    write_name(out, 0x10 if field.never_indexed else 0, 0x0F, field)
    _write_plain(out, field.value)
