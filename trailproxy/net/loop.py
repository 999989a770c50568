"""The event loop: libuv's where it is installed, else asyncio's own.

A request that is alone on its way costs two thirds of the CPU with uvloop, and a
large body half; on small requests in masses there is no difference.
"""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_LARGEST_BLOCK: Final = 1024 * 1024  # octets; more than any read


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
