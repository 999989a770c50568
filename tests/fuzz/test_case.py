"""A conversation as octets: any are one, and each is its own."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fuzz.case import CODECS, Case, spoil
from benchmarks.fuzz.hostile import CLIENT, HAPPENINGS, SECOND, SERVER, Step, script
from benchmarks.fuzz.spoilers import SPOILERS, frames_in
from tests.support import frames
from tests.support.frames import GET, Scribe

SAID = [Scribe().hello(), Scribe().headers(1, GET), frames.data(1, b"body"), frames.ping()]


@given(st.binary(max_size=300))
def test_any_octets_are_a_case_which_is_its_own(octets):
    case = Case.read(octets)
    assert Case.read(case.octets) == case
    assert case.codec in CODECS
    assert all(step.what in HAPPENINGS for step in case.steps)


@given(st.integers(0, 1000))
def test_what_hostile_peers_say_can_be_written_down(seed):
    octets = Case("h2", tuple(script(Random(seed), (CLIENT, SERVER)))).octets
    assert Case.read(octets).octets == octets


def test_what_is_longer_than_a_step_is_said_in_several():
    case = Case("native", (Step(CLIENT, bytes(100_000)),))
    assert [len(step.octets) for step in Case.read(case.octets).steps] == [65_535, 34_465]


def test_what_is_said_again_and_again_has_a_bound():
    case = Case("native", (Step(CLIENT, b"12", 3), Step(SECOND), Step(CLIENT, bytes(60_000), 15)))
    first, second, third = case.unfolded()
    assert first.octets == b"12" * 8
    assert second == Step(SECOND)
    assert len(third.octets) <= 1 << 21
    assert Case.read(case.octets) == case


def test_every_way_of_spoiling_changes_what_is_said():
    for change in SPOILERS:
        spoilt = [b"".join(change(Random(seed), list(SAID))) for seed in range(9)]
        assert any(octets != b"".join(SAID) for octets in spoilt), change


def test_frames_are_found_again():
    assert frames_in(b"".join(SAID)) == [SAID[0][:24], SAID[0][24:], *SAID[1:]]
    assert frames_in(b"\0\0") == [b"\0\0"]
    assert frames_in(b"") == []


def test_a_case_is_spoilt_in_its_frames_and_in_its_steps():
    case = Case("both", (*(Step(CLIENT, octets) for octets in SAID), Step(SECOND)))
    spoilt = {spoil(Random(seed), case.octets) for seed in range(200)}
    assert len(spoilt) > 100
    assert {len(Case.read(octets).steps) for octets in spoilt} == {4, 5, 6}
    assert {Case.read(octets).codec for octets in spoilt} == {"both"}


def test_a_case_without_steps_is_left_alone():
    assert spoil(Random(1), b"\2") == b"\2"
