"""The loop's clock, and the moment it is held for."""

import asyncio
import time

from trailproxy.net.clock import LoopClock


def test_time_stands_still_while_the_clock_is_held() -> None:
    clock = LoopClock()
    before = time.monotonic()
    clock.hold()
    held = clock.time()
    assert before <= held <= time.monotonic()
    while time.monotonic() == held:
        pass
    assert clock.time() == held
    clock.go_on()
    assert clock.time() > held


async def test_a_call_comes_later() -> None:
    called = asyncio.Event()
    LoopClock().call_later(0, called.set)
    assert not called.is_set()
    async with asyncio.timeout(5):
        await called.wait()
