"""Tasks that nobody awaits: a reference is kept, and a death is told."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

_log: Final = logging.getLogger("trailproxy.net")
_running: Final[set[asyncio.Task[None]]] = set()


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run `work` beside the caller; an exception in it is logged under `name`."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_over)
    return task


def _over(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s died", task.get_name(), exc_info=task.exception())
