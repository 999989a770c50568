"""Huffman: the string coding of HPACK (RFC 7541 section 5.2 and appendix B).

The code is canonical: within one length the code words count upwards, in the
order of their symbols. So the lengths of appendix B are all that is written
down here; the code words and the decoder's table follow from them.

The decoder walks four bits at a time. A state is an inner node of the code
tree, of which there are 256, so a state fits into an octet.
"""

from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

_EOS: Final = 256
# octets, not a tuple: compiled code would build that anew at each use, 25 µs
_LENGTHS: Final = bytes((
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
))  # fmt: skip

_FAILED: Final = 1  # a transition that no code word allows
_EMITS: Final = 2  # a transition that completes a symbol


def _code_words() -> list[int]:
    """Return the code word of each symbol."""
    words = [0] * len(_LENGTHS)
    word, length = 0, 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda s: (_LENGTHS[s], s)):
        word <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        words[symbol] = word
        word += 1
    return words


def _tree(words: list[int]) -> list[list[int]]:
    """Return the inner nodes: two branches each, a node's number or ~symbol."""
    nodes = [[0, 0]]
    for symbol, length in enumerate(_LENGTHS):
        node = 0
        for place in range(length - 1, 0, -1):
            bit = words[symbol] >> place & 1
            if nodes[node][bit] == 0:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][words[symbol] & 1] = ~symbol
    return nodes


def _transitions(nodes: list[list[int]]) -> tuple[bytes, bytes, bytes]:
    """Return next state, marks and symbol for each state and each four bits."""
    states, marks, symbols = bytearray(), bytearray(), bytearray()
    for state in range(len(nodes)):
        for nibble in range(16):
            node, mark, symbol = state, 0, 0
            for place in (3, 2, 1, 0):
                node = nodes[node][nibble >> place & 1]
                if node == ~_EOS:
                    node, mark = 0, mark | _FAILED
                elif node < 0:
                    symbol, node, mark = ~node, 0, mark | _EMITS
            states.append(node)
            marks.append(mark)
            symbols.append(symbol)
    return bytes(states), bytes(marks), bytes(symbols)


def _endings(nodes: list[list[int]]) -> bytes:
    """Mark the states in which a string may end: behind at most seven 1 bits of padding."""
    marks = bytearray(len(nodes))
    node = 0
    for _ in range(8):
        marks[node] = 1
        node = nodes[node][1]
    return bytes(marks)


_WORDS: Final = _code_words()
_NODES: Final = _tree(_WORDS)
_STATE, _MARK, _SYMBOL = _transitions(_NODES)
_MAY_END: Final = _endings(_NODES)


def decode(data: bytes, start: i64, end: i64) -> bytes | None:
    """Decode the octets from `start` to `end`; None if they are no Huffman string."""
    # locals: a module's name is looked up anew at each use, 12 ns
    states, marks, symbols = _STATE, _MARK, _SYMBOL
    out = BytesWriter()
    state: i64 = 0
    position = start
    while position < end:
        octet: i64 = data[position]
        position += 1
        step = state << 4 | octet >> 4
        mark: i64 = marks[step]
        if mark:
            if mark & _FAILED:
                return None
            out.append(u8(symbols[step]))
        step = i64(states[step]) << 4 | octet & 15
        mark = marks[step]
        if mark:
            if mark & _FAILED:
                return None
            out.append(u8(symbols[step]))
        state = states[step]
    return out.getvalue() if _MAY_END[state] else None


def encode(data: bytes) -> bytes:
    """Encode a string, padded with 1 bits."""
    lengths, words = _LENGTHS, _WORDS
    out = BytesWriter()
    bits: i64 = 0
    count: i64 = 0
    position: i64 = 0
    size: i64 = len(data)
    while position < size:
        octet: i64 = data[position]
        position += 1
        length: i64 = lengths[octet]
        bits = bits << length | words[octet]
        count += length
        while count >= 8:
            count -= 8
            out.append(u8(bits >> count & 0xFF))
        bits &= (1 << count) - 1
    if count:
        out.append(u8((bits << (8 - count) | 0xFF >> count) & 0xFF))
    return out.getvalue()
