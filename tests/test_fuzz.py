"""The fuzzer: a short run finds nothing, and what is planted is found."""

import os
import subprocess
import sys
from typing import ClassVar

import pytest
from hpack import Encoder

from benchmarks import fuzz, victims
from benchmarks.auditor import AuditError, Auditor
from benchmarks.fuzz import KINDS, Case, Run, case, judge, main
from benchmarks.hostile import SPOILERS, Step
from tests.support import frames
from tests.support.frames import GET, OK, Scribe
from trailproxy.wire import CODECS, Codec, make_codec
from trailproxy.wire.codec import PREFACE

ROOT = os.path.dirname(os.path.dirname(__file__))


def ran(kept, inputs=40):
    run = Run(seed=1, first=0, seconds=120.0, inputs=inputs, kept=kept)
    run.go(lambda number: None)
    return run


# -- a run ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_short_run_finds_nothing(tmp_path):
    run = ran(tmp_path, inputs=80)
    assert run.findings == []
    assert run.tried.keys() == {f"{kind} {codec}" for kind in KINDS for codec in CODECS}


def test_a_case_is_the_same_again_and_can_be_written_down():
    tried = case(7, 3, CODECS)
    assert case(7, 3, CODECS) == tried != case(7, 4, CODECS)
    assert Case.read(tried.text) == tried


def test_every_way_of_spoiling_changes_what_is_said():
    said = [Scribe().headers(1, GET), frames.data(1, b"body"), frames.ping()]
    for spoil in SPOILERS:
        spoilt = [b"".join(spoil(fuzz.Random(seed), list(said))) for seed in range(9)]
        assert any(octets != b"".join(said) for octets in spoilt), spoil


def test_a_case_can_be_played_from_a_file(tmp_path, capsys):
    file = tmp_path / "case"
    file.write_text(case(1, 0, CODECS).text)
    assert main(["--play", str(file)]) == 0
    file.write_text("server|native\nnobody|00")
    assert main(["--play", str(file)]) == 0, "a codec alone has one peer, whatever its name"
    file.write_text("proxy|native\nnobody|00")
    assert main(["--play", str(file)]) == 1
    assert "KeyError: 'nobody'" in capsys.readouterr().out


# -- what is planted -----------------------------------------------------------------------


class Planted(Codec):
    """A codec with something wrong with it."""

    def __init__(self, name, role, params):
        self.codec = make_codec(name, role, params)

    def receive(self, data):
        return self.codec.receive(data)

    def take_output(self):
        return self.codec.take_output()

    def open_stream(self):
        return self.codec.open_stream()

    def send_head(self, sid, fields, end):
        self.codec.send_head(sid, fields, end)

    def send_data(self, sid, data, end):
        self.codec.send_data(sid, data, end)

    def send_trailers(self, sid, fields):
        self.codec.send_trailers(sid, fields)

    def reset(self, sid, code):
        self.codec.reset(sid, code)

    def sendable(self, sid):
        return self.codec.sendable(sid)

    def consumed(self, sid, credit):
        self.codec.consumed(sid, credit)

    def goaway(self, last_sid, code, why=""):
        self.codec.goaway(last_sid, code, why)

    def ping(self, payload):
        self.codec.ping(payload)

    def replenish(self):
        self.codec.replenish()

    @property
    def max_streams(self):
        return self.codec.max_streams

    @property
    def last_peer_sid(self):
        return self.codec.last_peer_sid


class Raises(Planted):
    def receive(self, data):
        return [] if len(data) < 20 else [][len(data)]


class Stutters(Planted):
    def take_output(self):
        octets = self.codec.take_output()
        return octets + octets[-13:]


class Overdraws(Planted):
    def sendable(self, sid):
        return 2_000_000


class Keeps(Planted):
    kept: ClassVar = []

    def __init__(self, name, role, params):
        super().__init__(name, role, params)
        self.kept.extend(bytes(100) for _ in range(3000))


@pytest.mark.parametrize(
    ("planted", "kind", "told"),
    [
        (Raises, "server", "IndexError"),
        (Stutters, "server", "benchmarks.auditor.AuditError"),
        (Overdraws, "client", "octets beyond a window"),
        (Keeps, "server", "leak: +"),
    ],
)
def test_what_is_planted_is_found(monkeypatch, tmp_path, planted, kind, told):
    monkeypatch.setattr(victims, "make_codec", planted)
    monkeypatch.setattr(fuzz, "KINDS", dict.fromkeys(("proxy", *KINDS), KINDS[kind]))
    monkeypatch.setattr(Keeps, "kept", [])
    (finding,) = ran(tmp_path).findings
    assert told in finding
    if "leak" not in told:
        (file,) = tmp_path.iterdir()
        assert f"--seed 1 --first 0 --inputs 1\nits octets, for --play: {file}" in finding
        assert told in judge(Case.read(file.read_text()))


def test_memory_is_not_judged_under_another_allocator(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fuzz.sys, "getallocatedblocks", lambda: 0)
    assert ran(tmp_path).findings == []
    assert "memory: not judged" in capsys.readouterr().out


def test_what_is_left_behind_is_found(monkeypatch):
    monkeypatch.setattr(victims.Connection, "lost_socket", lambda self, why: None)
    wrong = judge(Case("proxy", "native", (Step("client", Scribe().hello()),)))
    assert "(1, 0, 0) connections, streams, octets" in wrong


def test_what_takes_too_long_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, "SLOW_S", 0.0)
    (finding,) = ran(tmp_path).findings
    assert finding.startswith("slow: ")


def test_a_crash_is_found_and_can_be_tried_again(tmp_path):
    planted = f"""
import os, pathlib
from benchmarks import fuzz, victims

victims.make_codec = lambda *_: os.abort()
fuzz.watched(fuzz.Run(seed=1, first=5, seconds=60, kept=pathlib.Path({str(tmp_path)!r})))
"""
    ran = subprocess.run(
        [sys.executable, "-c", planted], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.startswith("died: SIGABRT\npython -m benchmarks.fuzz --seed 1 --first 5")
    (file,) = tmp_path.iterdir()
    assert Case.read(file.read_text()) == case(1, 5, CODECS)


# -- what the auditor does not let pass -----------------------------------------------------

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


def test_a_broken_connection_is_not_audited_but_for_its_goaways():
    auditor = Auditor(from_client=True)
    auditor.read(PREFACE + SETTINGS + frames.goaway(0, 1) + frames.data(9, b"x"))
    assert auditor.errors == 1
    with pytest.raises(AuditError, match="preface"):
        Auditor(from_client=True).read(SETTINGS)
