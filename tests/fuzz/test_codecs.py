"""Codecs, alone and side by side: what is wrong with one of them is found."""

import pytest

from benchmarks.fuzz import codecs
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.hostile import ASK, CLIENT, DRAIN, GONE, SECOND, SERVER, Step
from benchmarks.fuzz.target import judge
from benchmarks.fuzz.targets import TARGETS
from tests.fuzz import planted
from tests.support import frames
from tests.support.frames import GET, OK, POST, Scribe

HELLO = frames.PREFACE + frames.settings_frame()


def told(role, codec, *steps):
    return judge(TARGETS[role], Case(codec, steps).octets)


@pytest.mark.parametrize("codec", ["native", "h2", "both"])
def test_what_peers_may_say_is_nothing_wrong(codec):
    scribe = Scribe()
    assert not told(
        "server",
        codec,
        Step(CLIENT, HELLO + scribe.headers(1, GET, end=True) + scribe.headers(3, POST)),
        Step(CLIENT, frames.data(3, b"x" * 100) + scribe.headers(3, [("x-a", "b")], end=True)),
        Step(SECOND),
        Step(CLIENT, frames.window_update(0, 1 << 20) + frames.window_update(3, 1 << 20)),
        Step(DRAIN),
        Step(CLIENT, b"nonsense"),
        Step(CLIENT + GONE),
        Step(CLIENT, HELLO + frames.ping()),
    )
    scribe = Scribe()
    assert not told(
        "client",
        codec,
        Step(SERVER, frames.settings_frame()),
        Step(ASK),
        Step(SERVER, scribe.headers(1, OK) + frames.data(1, b"x", end=True)),
    )


@pytest.mark.parametrize(
    ("plant", "role", "wrong"),
    [
        (planted.Raises, "server", "IndexError"),
        (planted.Stutters, "server", "benchmarks.fuzz.auditor.AuditError"),
        (planted.Overdraws, "client", "octets beyond a window"),
        (planted.BreaksTwice, "server", "not the last words"),
    ],
)
def test_what_is_planted_is_found(monkeypatch, plant, role, wrong):
    monkeypatch.setattr(codecs, "make_codec", plant)
    who, hello = (CLIENT, HELLO) if role == "server" else (SERVER, frames.settings_frame())
    steps = [Step(who, hello), Step(ASK), Step(ASK), Step(who, b"no frame" * 9999)]
    assert wrong in told(role, "native", *steps)


@pytest.mark.parametrize(
    ("plant", "wrong"),
    [
        (planted.HearsNoPongs, "is heard by native: [('PongReceived', b'12345678')], by h2: []"),
        (planted.AnswersNoPings, "is written by native: [(6, 0, False, (True, b'12345678'))]"),
    ],
)
def test_two_codecs_that_differ_are_found(monkeypatch, plant, wrong):
    monkeypatch.setattr(codecs, "make_codec", plant)
    steps = [HELLO, frames.ping(), frames.raw(6, 1, 0, b"12345678")]
    assert wrong in told("server", "both", *(Step(CLIENT, octets) for octets in steps))


def test_how_far_a_peer_may_overstep_a_window_is_a_codecs_own_choice(monkeypatch):
    monkeypatch.setattr(codecs, "make_codec", planted.HearsNoPongs)
    scribe = Scribe()
    body = frames.data(1, bytes(16_000))
    steps = [HELLO + scribe.headers(1, POST), body * 4, frames.raw(6, 1, 0, b"12345678")]
    assert not told("server", "both", *(Step(CLIENT, octets) for octets in steps))
    again = (Step(CLIENT + GONE), Step(CLIENT, HELLO), Step(CLIENT, steps[2]))
    assert "is heard" in told("server", "both", *(Step(CLIENT, o) for o in steps), *again)
