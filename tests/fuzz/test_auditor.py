"""What an auditor does not let pass."""

import pytest
from hpack import Encoder

from benchmarks.fuzz.auditor import AuditError, Auditor, Line
from tests.support import frames
from tests.support.frames import OK, Scribe
from trailproxy.wire.codec import PREFACE

SETTINGS = frames.settings_frame()
HEAD = Scribe().headers(1, OK)
BLOCK = Encoder().encode(OK)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (frames.ping()[:-1], "half a frame"),
        (HEAD + HEAD, "two heads"),
        (frames.data(1, b"x"), "before the head"),
        (HEAD + frames.data(1, b"", end=True) + frames.data(1, b""), "behind the end"),
        (HEAD + frames.rst(1) + frames.data(1, b""), "behind the end"),
        (HEAD + frames.rst(1) + HEAD, "HEADERS behind the end"),
        (HEAD + frames.data(1, b"x" * 101), "1 octets beyond a window"),
        (HEAD + frames.data(1, b"x" * 16_385), "a frame of 16385 octets"),
        (Scribe().headers(1, [(":status", "103")], end=True), "an interim head ends"),
        (frames.raw(1, 0, 1, BLOCK), "not finished"),
        (frames.raw(1, 0, 1, BLOCK) + frames.ping(), "out of turn"),
        (frames.raw(9, 4, 1, BLOCK), "out of turn"),
        (frames.raw(4, 1, 0, b"") * 2, "acknowledged that nobody sent"),
        (frames.goaway(3) + frames.goaway(5), "more than the last one"),
    ],
)
def test_what_must_not_be_written_is_told(written, told):
    auditor = Auditor(from_client=False)
    auditor.peer_says(PREFACE + frames.settings_frame(initial_window_size=100))
    auditor.read(SETTINGS)
    with pytest.raises(AuditError, match=told):
        auditor.read(written)


def test_windows_and_limits_are_what_the_peer_has_said():
    auditor = Auditor(from_client=False)
    said = PREFACE + frames.settings_frame(initial_window_size=100, max_frame_size=20_000)
    said += frames.window_update(1, 40_000) + frames.goaway(0)
    for octet in said:
        auditor.peer_says(bytes([octet]))
    auditor.read(SETTINGS + frames.raw(4, 1, 0, b"") + HEAD + frames.data(1, bytes(20_000)))
    auditor.read(frames.data(1, bytes(20_000)) + frames.data(1, bytes(100)))
    with pytest.raises(AuditError, match="beyond"):
        auditor.read(frames.data(1, b"x"))


def test_what_was_written_is_told_frame_by_frame():
    auditor = Auditor(from_client=False)
    auditor.read(SETTINGS)
    first, *rest = Scribe().headers(1, OK, pieces=2), frames.data(1, b"x", end=True, pad=3)
    assert auditor.read(first + b"".join(rest) + frames.rst(3, 8) + frames.goaway(1, 2)) == [
        Line(1, 1, False, ((b":status", b"200"),)),
        Line(0, 1, True, (b"x",)),
        Line(3, 3, False, (8,)),
        Line(7, 0, False, (1, 2)),
    ]
    assert auditor.read(frames.ping()) == [], "nobody reads behind the end"


def test_a_broken_connection_is_not_audited_but_for_its_goaways():
    auditor = Auditor(from_client=True)
    auditor.read(PREFACE + SETTINGS + frames.goaway(0, 1) + frames.data(9, b"x"))
    assert auditor.errors == 1
    with pytest.raises(AuditError, match="preface"):
        Auditor(from_client=True).read(SETTINGS)
