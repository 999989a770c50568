"""HPACK beside another one: what ours does not do alike is found."""

import pytest

from benchmarks.fuzz import compression
from benchmarks.fuzz.target import judge
from benchmarks.fuzz.targets import TARGETS
from trailproxy.wire import huffman
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields
from trailproxy.wire.hpack import Encoder

SECRET = b"\x10\x01a\x01b"
HEAR, SEND, RESIZE, DECODE, ENCODE = b"\0", b"\4\0", b"\5\1\0", b"\6", b"\7"


def told(*pieces):
    return judge(TARGETS["hpack"], b"".join(pieces))


def heard(block):
    return HEAR + bytes([len(block)]) + block


def test_what_is_alike_is_nothing_wrong():
    coded = huffman.encode(b"hello")
    assert not told(
        *(heard(b"\x82\x40\x01a\x01b"), SEND, SEND, RESIZE, heard(b"\xbe"), SEND),
        *(heard(SECRET), SEND, heard(b"\x80"), heard(b"\xff\x80\x80\x80\x80\x00"), SEND),
        *(DECODE + bytes([len(coded)]) + coded, DECODE + b"\1\xff", ENCODE + b"\5hello", b"\0"),
    )


def test_a_field_that_is_heard_otherwise_is_found(monkeypatch):
    other = Fields([Field(b"a", b"c")])
    monkeypatch.setattr(compression, "_ours", lambda decoder, block: (other, ""))
    assert "Fields(a: c), by hpack [(b'a', b'b', False)]" in told(heard(b"\0\x01a\x01b"))


def test_a_block_that_is_refused_for_nothing_is_found(monkeypatch):
    monkeypatch.setattr(compression, "_ours", lambda decoder, block: (None, "no reason"))
    assert "refused: no reason, by hpack" in told(heard(b"\x82"))


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [(Field(b"a", b"c", never_indexed=True), "AssertionError"), (Field(b"a", b"b"), "no longer")],
)
def test_a_field_that_is_sent_otherwise_is_found(monkeypatch, sent, wrong):
    class Other:
        def encode(self, fields):
            return Encoder().encode(Fields([sent]))

    monkeypatch.setattr(compression, "Encoder", Other)
    assert wrong in told(heard(SECRET), SEND)


def test_a_huffman_code_of_our_own_is_found(monkeypatch):
    monkeypatch.setattr(compression.huffman, "encode", lambda octets: b"\x1f")
    assert "another Huffman code" in told(ENCODE + b"\1b")
    assert "a second form" in told(DECODE + b"\1\x27")
    monkeypatch.setattr(compression.huffman, "decode", lambda octets, start, end: b"?")
    assert "b'?', by hpack" in told(DECODE + b"\1\x1f")
