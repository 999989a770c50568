"""The wheel: never early, at most a grain late, and silent once cancelled."""

from tests.support.clock import FakeClock
from trailproxy.core.clock import DateStamp, Wheel


def test_a_deadline_is_never_early_and_at_most_a_grain_late() -> None:
    clock = FakeClock()
    wheel = Wheel(clock, grain=0.5)
    fired: list[float] = []
    wheel.after(1.2, lambda: fired.append(wheel.time()))
    clock.advance(1.2)
    assert not fired
    clock.advance(0.5)
    (at,) = fired
    assert 1001.2 <= at <= 1001.7


def test_deadlines_of_one_slot_are_one_call_in_their_order() -> None:
    clock = FakeClock()
    wheel = Wheel(clock, grain=1.0)
    fired: list[str] = []
    for name in "abc":
        wheel.after(2.0, lambda name=name: fired.append(name))  # type: ignore[misc]
    assert len(clock._due) == 1
    clock.advance(5)
    assert fired == ["a", "b", "c"]


def test_a_cancelled_deadline_never_fires() -> None:
    clock = FakeClock()
    wheel = Wheel(clock)
    fired: list[str] = []
    timer = wheel.after(1, lambda: fired.append("cancelled"))
    wheel.after(1, lambda: fired.append("kept"))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    assert fired == ["kept"]


def test_a_deadline_may_set_another_and_cancel_its_neighbour() -> None:
    clock = FakeClock()
    wheel = Wheel(clock)
    fired: list[str] = []

    def first() -> None:
        fired.append("first")
        neighbour.cancel()
        wheel.after(0, lambda: fired.append("next"))

    wheel.after(1, first)
    neighbour = wheel.after(1, lambda: fired.append("neighbour"))
    clock.advance(2)
    assert fired == ["first", "next"]


def test_the_date_is_worked_out_once_a_second() -> None:
    now = [784111777.2]
    date = DateStamp(lambda: now[0])
    first = date()
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    now[0] += 0.7
    assert date() is first
    now[0] += 0.2
    assert date() == b"Sun, 06 Nov 1994 08:49:38 GMT"
