"""GrpcMeters: what is counted for every gRPC method, under a bound.

A path is of its client's choice. So a method gets series of its own when an upstream
has answered a call to it with anything but "unimplemented", and while there is room;
all other calls are counted together, as `other`.
"""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.core.record import Record
from trailproxy.ops.counting import Durations, Responses
from trailproxy.wire.field import consists_of, octet_set

OTHER: Final = "other"
DEFAULT_METHODS: Final = 200

_LONGEST: Final = 256  # octets of a path
_UNIMPLEMENTED: Final = "12"
_NAMES: Final = octet_set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")


@final
class MethodCounts:
    """The counts of one method since they were last taken."""

    __slots__ = ("duration", "handled", "request_messages", "response_messages", "started")

    def __init__(self) -> None:
        self.started: i64 = 0
        self.handled: Final = Responses()
        self.duration: Final = Durations()
        self.request_messages: i64 = 0
        self.response_messages: i64 = 0


@final
class MethodMeter:
    """One method, or all that have no meter of their own."""

    __slots__ = ("counts", "method", "service")

    def __init__(self, service: str, method: str) -> None:
        self.service: Final = service
        self.method: Final = method
        self.counts = MethodCounts()


@final
class GrpcMeters:
    """The meters of all methods.

    Attributes:
        limit: how many methods may have one; those that are there stay when it shrinks.
    """

    __slots__ = ("_latest", "_latest_path", "_meters", "_other", "limit")

    def __init__(self) -> None:
        self.limit: i64 = DEFAULT_METHODS
        self._meters: Final[dict[bytes, MethodMeter]] = {}
        self._other: Final = MethodMeter(OTHER, OTHER)
        self._latest_path = b""
        self._latest = self._other  # of that path; mostly it is asked for next

    def began(self, record: Record) -> None:
        """Note a call; one to an unknown method is counted when it is over."""
        meter = self._find(record.asked.path)
        if meter is not None:
            meter.counts.started += 1
            record.meter = meter

    def finished(self, record: Record) -> None:
        """Note that a call is over."""
        meter = record.meter
        if not isinstance(meter, MethodMeter):
            meter = self._find(record.asked.path) or self._admit(record)
            meter.counts.started += 1
        counts = meter.counts
        counts.handled.count(record.status, record.grpc_status)
        counts.duration.observe(record.ended - record.began)
        counts.request_messages += record.request_messages
        counts.response_messages += record.response_messages

    def take(self) -> list[tuple[str, str, MethodCounts]]:
        """Return service, method and counts since the last time, and begin anew."""
        taken = []
        for meter in [*self._meters.values(), self._other]:
            counts = meter.counts
            if counts.started or counts.handled.all():
                taken.append((meter.service, meter.method, counts))
                meter.counts = MethodCounts()
        return taken

    def _find(self, path: bytes) -> MethodMeter | None:
        if path is self._latest_path:
            return self._latest
        meter = self._meters.get(path)
        if meter is not None:
            self._latest_path, self._latest = path, meter
        return meter

    def _admit(self, record: Record) -> MethodMeter:
        """Give a method a meter of its own, if an upstream has it and there is room."""
        path = record.asked.path
        if record.answered or record.status != 200 or record.grpc_status == _UNIMPLEMENTED:
            return self._other
        if len(self._meters) >= self.limit or len(path) > _LONGEST:
            return self._other
        if path[:1] != b"/" or not consists_of(path, _NAMES):
            return self._other
        service, _, method = path[1:].decode("ascii").rpartition("/")
        if not service or not method:
            return self._other
        self._meters[path] = meter = MethodMeter(service, method)
        return meter
