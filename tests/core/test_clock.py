"""The pulse: it looks as long as there is something to look at; and the date of a response."""

from tests.support.clock import FakeClock
from trailproxy.core.clock import DateStamp, Pulse


def test_a_pulse_looks_until_there_is_nothing_to_look_at() -> None:
    clock = FakeClock()
    looks: list[float] = []
    pulse = Pulse(clock, lambda now: looks.append(now) or len(looks) < 3)  # type: ignore[func-returns-value]
    clock.advance(1)
    assert not looks, "nobody has started it"
    pulse.start()
    pulse.start()
    clock.advance(1)
    assert [round(look - 1001, 2) for look in looks] == [0.05, 0.1, 0.15]


def test_a_pulse_can_be_started_again() -> None:
    clock = FakeClock()
    looks: list[float] = []

    def look(now: float) -> bool:
        looks.append(now)
        return False

    pulse = Pulse(clock, look)
    for count in (1, 2):
        pulse.start()
        clock.advance(1)
        assert len(looks) == count


def test_the_date_is_worked_out_once_a_second() -> None:
    now = [784111777.2]
    date = DateStamp(lambda: now[0])
    first = date()
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    now[0] += 0.7
    assert date() is first
    now[0] += 0.2
    assert date() == b"Sun, 06 Nov 1994 08:49:38 GMT"
