"""Page: what a scrape reads, made of Metrics when somebody asks."""

import platform
from collections.abc import Callable, Iterator

from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector as CollectorBase
from prometheus_client.registry import CollectorRegistry

from trailproxy import __version__
from trailproxy.core.record import Direction
from trailproxy.ops.families import Counts, Histogram
from trailproxy.ops.metrics import Metrics

Renderer = Callable[[str], tuple[bytes, str]]
"""Turns an Accept header into a page and its content type."""


class Collector(CollectorBase):
    """Reads Metrics at scrape time; owns nothing."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Build every family of the page; what Metrics counts cannot be forgotten here."""
        self._metrics.take()
        for counted in vars(self._metrics).values():
            if isinstance(counted, Counts | Histogram):
                yield counted.family()
        yield from self._sides()
        yield from self._process()

    def _sides(self) -> Iterator[Metric]:
        connections = _gauge("connections_active", "Connections open now.")
        streams = _gauge("streams_active", "Streams open now.")
        parked = _gauge("parked_bytes", "Body bytes from this side that wait for the other now.")
        moved = Counts(
            "bytes_total", ("side", "direction"), "Body bytes received from and sent to this side."
        )
        stalls = Counts(
            "flow_control_stalls_total",
            ("side",),
            "Times a body towards this side had to wait for its window or its socket.",
        )
        for side, tally in self._metrics.tallies.items():
            connections.add_metric([side], tally.connections)
            streams.add_metric([side], tally.streams)
            parked.add_metric([side], tally.parked_bytes)
            moved[side, Direction.RECEIVED] = tally.bytes_received
            moved[side, Direction.SENT] = tally.bytes_sent
            stalls[side,] = tally.stalls
        yield from (connections, streams, parked, moved.family(), stalls.family())

    def _process(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield GaugeMetricFamily(
            "trailproxy_requests_active", "Requests in flight now.", metrics.in_flight
        )
        workers = GaugeMetricFamily(
            "trailproxy_workers",
            "Worker processes, by state; none where one process serves alone.",
            labels=("state",),
        )
        for state, count in metrics.workers.items():
            workers.add_metric([state], count)
        yield workers
        yield GaugeMetricFamily(
            "trailproxy_config_last_reload_successful",
            "1 when the running configuration is the last that was tried, else 0.",
            metrics.last_reload_ok,
        )
        yield GaugeMetricFamily(
            "trailproxy_config_last_reload_success_timestamp_seconds",
            "When the running configuration was loaded, in seconds since 1970.",
            metrics.loaded_at,
        )
        certificates = GaugeMetricFamily(
            "trailproxy_certificate_expiry_timestamp_seconds",
            "When the certificate of a listener, or ours towards an upstream, ends, in seconds "
            "since 1970; of a chain, the first that does.",
            labels=("kind", "name"),
        )
        for whose, end in metrics.certificates.items():
            certificates.add_metric(whose, end)
        yield certificates
        yield CounterMetricFamily(
            "trailproxy_access_log_lost_lines_total",
            "Access log lines that could not be kept or written.",
            metrics.lost_lines + (0 if metrics.log is None else metrics.log.lost_lines),
        )
        yield InfoMetricFamily(
            "trailproxy_build",
            "The version of trailproxy, the Python it runs on and the codec in use.",
            {"version": __version__, "python": platform.python_version(), "codec": metrics.codec},
        )


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trailproxy_{name}", meaning, labels=("side",))


def renderer(metrics: Metrics) -> Renderer:
    """Build the page: ours, the process's memory, CPU and descriptors, and the collector's."""
    registry = CollectorRegistry()
    registry.register(Collector(metrics))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    def render(accept: str) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version that is not made of numbers
            encode, content_type = choose_encoder("")
        return encode(registry), content_type

    return render
