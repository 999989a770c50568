"""Tracing: spans on their way to a collector, over OTLP.

The loop only files records; all else is done by a thread, so that no collector can make
the proxy wait. What the thread cannot keep up with is lost, and counted. Spans are made
for those exchanges alone whose client has begun a trace and samples it.

This is the door of the opentelemetry packages: they are loaded by that thread, and only
where traces are configured.
"""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from trailproxy import __version__
from trailproxy.core.record import Record
from trailproxy.ops.spans import Span, span_of
from trailproxy.ops.trace import parent_of

if TYPE_CHECKING:
    from trailproxy.ops.telemetry import TracingSettings

Export = Callable[[list[Span]], bool]
"""Sends spans; False if they did not arrive."""

EXPORTED: Final = "exported"
FAILED: Final = "failed"  # the collector could not be reached, or did not take them
OVERFLOWED: Final = "overflowed"  # they came faster than they could be sent

_PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_MOST_WAITING: Final = 2048  # records
_MOST_AT_ONCE: Final = 128  # spans
_PAUSE_S: Final = 1.0  # between batches; nothing more wakes the thread
_PATIENCE_S: Final = 5.0  # with a collector
_LAST_WORDS_S: Final = 2.0  # when the proxy stops
# The packages are plain Python, 0.2 ms a span: a loop that wants its turn gets it by then,
# and not after the 5 ms that Python lets a thread go on.
_TURN_S: Final = 0.0005

_log: Final = logging.getLogger("trailproxy")


def missing() -> str:
    """Say which packages would have to be installed; an empty string if none."""
    # PLC0415: it is large, and asked only where traces are configured
    import importlib.metadata  # noqa: PLC0415

    for package in _PACKAGES:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"{package} is not installed; pip install 'trailproxy[otlp]' brings it"
    return ""


@final
class Tracer:
    """The spans on their way to one collector."""

    def __init__(
        self,
        wanted: "TracingSettings",
        connect: Callable[[], Export],
        wall: Callable[[], float],
        count: Callable[[str, int], None],
    ) -> None:
        """Start the thread.

        Args:
            wanted: which collector.
            connect: called by the thread, at its beginning.
            wall: the time of day in seconds since 1970.
            count: told what became of how many spans, by the thread and by `note`.
        """
        self.wanted: Final = wanted
        self._connect: Final = connect
        self._wall: Final = wall
        self._count: Final = count
        self._waiting: Final[deque[tuple[Record, str, str, float]]] = deque()
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._work, name="traces", daemon=True)
        sys.setswitchinterval(_TURN_S)
        self._thread.start()

    def note(self, record: Record) -> None:
        """File a finished exchange, if its client samples the trace it belongs to."""
        parent = parent_of(record.asked.traceparent or b"")
        if parent is None or not parent[2]:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._count(OVERFLOWED, 1)
        else:
            self._waiting.append((record, parent[0], parent[1], self._wall()))

    def stop(self) -> None:
        """Let the thread send what waits, once, and end."""
        self._stopping.set()

    def join(self) -> None:
        """Wait a moment for the end."""
        self._thread.join(_LAST_WORDS_S)

    def _work(self) -> None:
        export = self._connect()
        working = True
        while not self._stopping.wait(_PAUSE_S):
            while self._waiting and not self._stopping.is_set():
                working = self._send(export, working)
        while self._waiting and working:
            working = self._send(export, working)
        if self._waiting:
            self._count(FAILED, len(self._waiting))

    def _send(self, export: Export, worked: bool) -> bool:
        """Send a batch; tell people when that begins to fail, and when it works again."""
        size = min(len(self._waiting), _MOST_AT_ONCE)
        batch = [span_of(*self._waiting.popleft()) for _ in range(size)]
        works = export(batch)
        self._count(EXPORTED if works else FAILED, size)
        if worked and not works:
            _log.warning("traces: %s does not take our spans", self.wanted.otlp)
        elif works and not worked:
            _log.info("traces: %s takes our spans again", self.wanted.otlp)
        return works


def fit(
    tracer: Tracer | None,
    wanted: "TracingSettings | None",
    wall: Callable[[], float],
    count: Callable[[str, int], None],
) -> Tracer | None:
    """Return the tracer that is wanted, the same one if it is; the arguments are Tracer's."""
    if tracer is not None:
        if tracer.wanted == wanted:
            return tracer
        tracer.stop()
    if wanted is None:
        return None
    return Tracer(wanted, partial(connect, wanted.otlp, wanted.service_name), wall, count)


def finish(tracer: Tracer | None) -> None:
    """Send what waits, and wait a moment for it."""
    if tracer is not None:
        tracer.stop()
        tracer.join()


def connect(collector: str, service: str) -> Export:
    """Load the opentelemetry packages, and return what sends spans to a collector.

    Args:
        collector: the URL under which it has `/v1/traces`.
        service: who the spans are from.
    """
    # PLC0415: they are large, and loaded only where traces are configured
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we tell it ourselves, once
    exporter = OTLPSpanExporter(f"{collector.rstrip('/')}/v1/traces", timeout=_PATIENCE_S)
    resource = Resource.create({"service.name": service, "service.version": __version__})

    def export(spans: list[Span]) -> bool:
        result = exporter.export([_readable(span, resource) for span in spans])
        return bool(result is SpanExportResult.SUCCESS)

    return export


def _readable(span: Span, resource: Any) -> Any:
    """Put a span into the words of the packages."""
    from opentelemetry.sdk.trace import Event, ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
    from opentelemetry.trace import (  # noqa: PLC0415
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
    )

    flags = TraceFlags(TraceFlags.SAMPLED)
    trace = int(span.trace_id, 16)
    ended = _nanoseconds(span.ended)
    return ReadableSpan(
        name=span.name,
        context=SpanContext(trace, RandomIdGenerator().generate_span_id(), False, flags),
        parent=SpanContext(trace, int(span.parent_id, 16), True, flags),
        resource=resource,
        attributes=_plain(span.attributes),
        events=[Event(event.name, _plain(event.attributes), ended) for event in span.events],
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(),
        start_time=_nanoseconds(span.began),
        end_time=ended,
    )


def _plain(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return attributes whose words are plain text, as the packages want them."""
    return {
        key: str(value) if isinstance(value, str) else value for key, value in attributes.items()
    }


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
