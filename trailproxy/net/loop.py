"""The event loop: libuv's where it is installed, else asyncio's own.

A request that is alone on its way costs two thirds of the CPU with uvloop, and a
large body half; on small requests in masses there is no difference.
"""

import asyncio
import gc
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_LARGEST_BLOCK: Final = 1024 * 1024  # octets; more than any read
_COLLECT: Final = (50_000, 20, 50)  # young objects, and how seldom the older ones are searched


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` on a new loop to its end, as `asyncio.run` does."""
    _keep_heap()
    factory = None
    if find_spec("uvloop") is not None:
        import uvloop  # noqa: PLC0415  # not on every platform

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _keep_heap() -> None:
    """Let glibc keep what large reads leave free, instead of giving it back each time.

    Its limits for that follow the largest block that was ever freed (mallopt(3),
    M_MMAP_THRESHOLD). Without this a 10 MB body costs 30 brk(2) and all their page faults.
    """
    bytes(_LARGEST_BLOCK)


def spare_the_collector() -> None:
    """Leave what was made so far out of every search for cycles, and search seldom.

    What comes and goes with an exchange has no cycles: at the default of 700 objects the
    searches found nothing and took 40 % of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
