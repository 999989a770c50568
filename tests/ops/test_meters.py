"""Meters: what is kept in runs must add up to what was told."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trailproxy.ops.counting import BUCKETS, Durations, Pairs, Responses

seconds = st.one_of(st.sampled_from([0.0, *BUCKETS, 61.0]), st.floats(0, 120))


@given(st.lists(st.tuples(seconds, st.integers(1, 3), st.booleans())))
def test_every_duration_is_in_its_bucket(told: list[tuple[float, int, bool]]) -> None:
    durations = Durations()
    naive = [0] * (len(BUCKETS) + 1)
    for length, times, read in told:
        for _ in range(times):
            durations.observe(length)
            naive[sum(bound < length for bound in BUCKETS)] += 1
        if read:
            assert durations.buckets == naive
    assert durations.buckets == naive


words = st.sampled_from(["GET", "POST", "other"])


@given(st.lists(st.tuples(words, words)))
def test_every_pair_is_counted(told: list[tuple[str, str]]) -> None:
    pairs = Pairs()
    for first, second in told:
        pairs.count(first, second)
    assert pairs.all() == Counter(told)


@given(st.lists(st.tuples(st.sampled_from([200, 503]), st.sampled_from(["", "0", "14"]))))
def test_every_response_is_counted(told: list[tuple[int, str]]) -> None:
    responses = Responses()
    for status, grpc in told:
        responses.count(status, grpc)
    assert responses.all() == Counter(told)


def test_a_grpc_status_that_is_no_code_is_one_word() -> None:
    responses = Responses()
    for grpc in ("17", "x", "", "16"):
        responses.count(200, grpc)
    assert responses.all() == {(200, "invalid"): 2, (200, ""): 1, (200, "16"): 1}
