"""Durations and sizes are written with a unit, and shown in the largest that keeps them whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailproxy.ops.units import Duration, Size, decode, describe


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("250ms", 0.25), ("15s", 15), ("2m", 120), ("1h", 3600)]
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert Duration.parse(text) == seconds
    assert str(Duration(seconds)) == text


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0B", 0), ("512B", 512), ("64KiB", 65536), ("4MiB", 4 << 20), ("1GiB", 1 << 30)],
)
def test_a_size_is_read_in_octets(text, octets):
    assert Size.parse(text) == octets
    assert str(Size(octets)) == text


@given(st.integers(0, 10**9 - 1), st.sampled_from(list(Duration.MILLISECONDS)))
def test_a_duration_survives_being_written(number, unit):
    duration = Duration.parse(f"{number}{unit}")
    assert Duration.parse(str(duration)) == duration


@given(st.integers(0, 10**10 - 1), st.sampled_from(list(Size.OCTETS)))
def test_a_size_survives_being_written(number, unit):
    size = Size.parse(f"{number}{unit}")
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (15, '; not 15 (did you mean "15s"?)'),
        ("15", '; not "15" (did you mean "15s"?)'),
        ("1.5s", '; not "1.5s"'),
        ("-1s", '; not "-1s"'),
        ("15s\n", '; not "15s\\n"'),
        ("9999999999s", '; not "9999999999s"'),
        (True, "; not true"),
    ],
)
def test_what_is_no_duration_is_refused(value, end):
    why = "must be a whole number with its unit, such as 250ms, 15s, 2m or 1h"
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole text is compared
        decode(Duration, value)
    assert str(refused.value) == why + end


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (65536, '; not 65536 (did you mean "64KiB"?)'),
        (1000, '; not 1000 (did you mean "1000B"?)'),
        ("64KB", '; not "64KB"'),
    ],
)
def test_what_is_no_size_is_refused(value, end):
    why = "must be a whole number with its unit, such as 512B, 64KiB, 4MiB or 1GiB"
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole text is compared
        decode(Size, value)
    assert str(refused.value) == why + end


def test_other_types_are_not_for_this_room():
    with pytest.raises(NotImplementedError):
        decode(complex, "1")
    with pytest.raises(NotImplementedError):
        describe(complex)
