"""Events: equal when they tell the same, and readable when they do not."""

from trailproxy.wire.events import (
    DataReceived,
    GoAwayReceived,
    StreamFault,
    StreamReset,
    WindowOpened,
)


def test_events_that_tell_the_same_are_one() -> None:
    told = [StreamReset(1, 8), WindowOpened(1), StreamReset(1, 8), DataReceived(1, b"x", 1, True)]
    assert len(set(told)) == 3
    assert StreamReset(1, 8) != StreamReset(1, 5)
    assert WindowOpened(1) != (1,)


def test_an_event_shows_what_it_tells() -> None:
    assert repr(StreamReset(1, 8)) == "StreamReset(1, 8)"
    assert repr(GoAwayReceived(3, 0, "bye")) == "GoAwayReceived(3, 0, 'bye')"
    assert repr(StreamFault(5, 7, "why", refused=True)) == "StreamFault(5, 7, 'why', True, False)"
