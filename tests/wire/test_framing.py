"""Octets to frames: the preface, the sizes, and field blocks that end."""

import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame

from tests.support import frames
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.hyper.framing import FrameReader, FramingError

HELLO = PREFACE + frames.settings_frame()


def _reader(*, client: bool = False, max_block: int = 1000) -> FrameReader:
    return FrameReader(client=client, max_frame_size=16_384, max_block=max_block)


def _read(reader: FrameReader, *octets: bytes) -> list[Frame]:
    return [frame for piece in octets for frame, _ in reader.feed(piece)]


def _refused(reader: FrameReader, *octets: bytes) -> ErrorCode:
    with pytest.raises(FramingError) as caught:
        _read(reader, *octets)
    return caught.value.code


@pytest.mark.parametrize("cut", range(len(HELLO) + 1))
def test_the_preface_may_come_in_pieces(cut: int) -> None:
    (frame,) = _read(_reader(), HELLO[:cut], HELLO[cut:])
    assert isinstance(frame, SettingsFrame)


@pytest.mark.parametrize("at", [0, 10, len(PREFACE) - 1])
def test_a_wrong_preface_is_refused_at_its_first_wrong_octet(at: int) -> None:
    reader = _reader()
    assert _read(reader, PREFACE[:at]) == []
    assert _refused(reader, b"\xff") == ErrorCode.PROTOCOL_ERROR


def test_a_client_expects_no_preface() -> None:
    (frame,) = _read(_reader(client=True), frames.settings_frame())
    assert isinstance(frame, SettingsFrame)


@pytest.mark.parametrize("first", [frames.ping(), frames.raw(4, 1, 0, b"")], ids=["ping", "ack"])
def test_settings_come_first(first: bytes) -> None:
    assert _refused(_reader(), PREFACE + first) == ErrorCode.PROTOCOL_ERROR


def test_a_frame_as_large_as_allowed_passes_and_one_larger_is_refused_at_its_head() -> None:
    reader = _reader()
    _read(reader, HELLO)
    (frame,) = _read(reader, frames.data(1, b"x" * 16_384))
    assert isinstance(frame, DataFrame)
    head = frames.raw(0, 0, 1, b"x" * 16_385)[:9]
    assert _refused(reader, head) == ErrorCode.FRAME_SIZE_ERROR


def test_frames_before_a_fault_are_yielded() -> None:
    read = _reader().feed(HELLO + frames.ping() + frames.raw(6, 0, 0, b"1"))
    assert [type(next(read)[0]), type(next(read)[0])] == [SettingsFrame, PingFrame]
    with pytest.raises(FramingError):
        next(read)


@pytest.mark.parametrize("pieces", [1, 2, 64])
def test_a_field_block_comes_as_one(pieces: int) -> None:
    fields = [("x-a", "b" * 200)]
    whole = frames.Scribe().headers(1, fields, end=True)[9:]
    reader = _reader()
    _read(reader, HELLO)
    (frame,) = _read(reader, frames.Scribe().headers(1, fields, end=True, pieces=pieces))
    assert isinstance(frame, HeadersFrame)
    assert frame.data == whole
    assert "END_STREAM" in frame.flags


ENDLESS = {
    "too many": frames.raw(1, 0, 1, b"") + frames.raw(9, 0, 1, b"") * 64,
    "too large": frames.raw(1, 0, 1, b"x" * 999) + frames.raw(9, 4, 1, b"xx"),
}


@pytest.mark.parametrize("octets", ENDLESS.values(), ids=ENDLESS)
def test_a_field_block_has_a_bound(octets: bytes) -> None:
    assert _refused(_reader(), HELLO, octets) == ErrorCode.ENHANCE_YOUR_CALM


OPEN = frames.raw(1, 0, 1, b"\x82")
INTERRUPTED = {
    "other frame": OPEN + frames.ping(),
    "other stream": OPEN + frames.raw(9, 4, 3, b""),
    "other block": OPEN + frames.raw(1, 4, 3, b"\x82"),
    "no block": frames.raw(9, 4, 1, b""),
}


@pytest.mark.parametrize("octets", INTERRUPTED.values(), ids=INTERRUPTED)
def test_a_field_block_is_not_interrupted(octets: bytes) -> None:
    assert _refused(_reader(), HELLO, octets) == ErrorCode.PROTOCOL_ERROR
