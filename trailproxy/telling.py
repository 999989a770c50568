"""Telling: what a proxy tells of itself, as the running configuration wants it.

The access log, the meters' bounds, the spans. They move with a reload; what was not yet
written then is written.
"""

import asyncio
import time
from contextlib import ExitStack
from typing import Final, final

from trailproxy.build import BuildError, Plan
from trailproxy.ops.access_log import AccessLog
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.tracing import finish, fit


@final
class Telling:
    """The log, the meters and the spans of one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self._target = "off"

    def prepare(self, target: str, undo: ExitStack) -> AccessLog:
        """Open the access log, or the same one anew: its file may have been moved away.

        Raises:
            BuildError: it cannot be opened.
        """
        log = self._metrics.log
        try:
            if log is not None and target == self._target:
                log.reopen()
                return log
            log = AccessLog.open(target, time.time)
        except OSError as error:
            raise BuildError([f"access_log.path: {target}: {error.strerror}"]) from error
        undo.callback(log.close)
        return log

    def commit(self, plan: Plan, log: AccessLog) -> None:
        """Tell what a plan wants told, from now on, with a log that was prepared."""
        settings, metrics = plan.settings, self._metrics
        self._target = settings.access_log.path
        trailers = settings.access_log.trailers
        log.show(trailers.request, trailers.response)
        metrics.codec = settings.codec
        metrics.certificates = plan.expiries
        metrics.allow_methods(settings.metrics.grpc_methods)
        old, metrics.log = metrics.log, log
        if old is not None and old is not log:
            old.close()
            metrics.lost_lines += old.lost_lines
        meters = metrics.meters
        meters.tracer = fit(meters.tracer, settings.tracing, time.time, metrics.count_spans)

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._metrics.log is not None:
            self._metrics.log.flush()

    async def close(self) -> None:
        """Tell the last of it."""
        if self._metrics.log is not None:
            self._metrics.log.close()
        await asyncio.to_thread(finish, self._metrics.meters.tracer)
