"""Access log: one exchange, one JSON line, in the same words as the metrics.

The log never makes the proxy wait and never breaks it: lines gather in memory,
`flush` hands over only what the sink takes at once, and a line that cannot be
kept is counted in `lost_lines`. Whoever owns the log calls `flush` now and then,
once a turn of the event loop or a few times a second.
"""

import contextlib
import os
import select
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Ending, Progress, Record
from trailproxy.wire.errors import code_name

_STDOUT: Final = 1
_MODE: Final = 0o640  # paths may hold what only operators should see

# poll() tells that a pipe takes PIPE_BUF octets at once, and such a write is not
# mixed with those of other processes that log to the same pipe.
_CHUNK: Final = select.PIPE_BUF
_MAX_BUFFERED: Final = 1024 * 1024  # octets kept for a sink that takes nothing

# Characters kept of what peers choose, so that a line keeps below one chunk.
_MAX_METHOD: Final = 32
_MAX_AUTHORITY: Final = 256
_MAX_PATH: Final = 2048
_MAX_WHY: Final = 256

_GRPC_NAMES: Final = {
    str(number): name
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
} | {"": ""}


def grpc_name(status: str) -> str:
    """Name a grpc-status: its canonical name, `invalid`, or an empty string when there is none."""
    return _GRPC_NAMES.get(status, "invalid")


def route_name(route: str) -> str:
    """Name a route; requests that matched none share `none`."""
    return route or "none"


class Message(msgspec.Struct, frozen=True):
    """How the request or the response went."""

    ending: Ending
    trailers: int  # fields that departed


class Dropped(msgspec.Struct, frozen=True):
    """Why there was no clean end relayed both ways."""

    side: Side | None
    cause: Cause
    why: str


class Reset(msgspec.Struct, frozen=True):
    """One RST_STREAM of the exchange."""

    side: Side
    initiator: Initiator
    code: str
    phase: Progress
    cause: Cause


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the log; what went well has neither `dropped` nor `resets`."""

    time: str  # when the exchange ended, ISO 8601 in UTC
    listener: str
    route: str
    peer: str
    method: str
    authority: str
    path: str
    status: int  # 0: the client got no response
    grpc_status: str
    upstream: str
    endpoint: str
    attempts: int
    duration_ms: float
    response_head_ms: float | None  # request head sent upstream to response head
    request_bytes: int
    response_bytes: int
    request: Message
    response: Message
    answered: bool  # the response is our own
    dropped: Dropped | None = None
    resets: tuple[Reset, ...] = ()


class AccessLog:
    """The lines on their way to one file or pipe.

    Attributes:
        lost_lines: lines that could not be kept or written.
    """

    def __init__(self, target: str, fd: int, wall: Callable[[], float]) -> None:
        # set once
        self._target = target
        self._wall = wall
        self._encode = msgspec.json.Encoder().encode
        # the sink; replaced by reopen
        self._fd = fd
        self._poll = _poll_for(fd)
        # written by write and flush
        self.lost_lines = 0
        self._buffer = bytearray()
        self._torn = False  # the last write ended inside a line
        self._second = -1
        self._stamp = ""

    @classmethod
    def open(cls, target: str, wall: Callable[[], float]) -> "AccessLog":
        """Open the log at `target`: `off`, `stdout` or a path.

        Args:
            target: where the lines go.
            wall: the time of day in seconds since 1970, in UTC.

        Raises:
            OSError: the file cannot be opened; the error names it.
        """
        return cls(target, _open(target), wall)

    def reopen(self) -> None:
        """Open the path anew, for whoever moved the old file away.

        Raises:
            OSError: the file cannot be opened; the old one stays in use.
        """
        if self._fd < 0:
            return
        fd = _open(self._target)
        self.flush()
        self._discard(torn_too=True)
        os.close(self._fd)
        self._fd, self._poll = fd, _poll_for(fd)

    def close(self) -> None:
        """Write what the sink takes at once, and let go of it; later lines go nowhere."""
        if self._fd < 0:
            return
        self.flush()
        self._discard(torn_too=True)
        os.close(self._fd)
        self._fd = -1

    def write(self, record: Record) -> None:
        """Add the line of a finished exchange; `flush` sends it."""
        if self._fd < 0:
            return
        if len(self._buffer) > _MAX_BUFFERED:
            self.flush()
            if len(self._buffer) > _MAX_BUFFERED:
                self.lost_lines += 1
                return
        try:
            line = self._encode(_line(record, self._now()))
        except UnicodeEncodeError:  # a name from the configuration with half a surrogate pair
            self.lost_lines += 1
            return
        self._buffer += line
        self._buffer += b"\n"

    def flush(self) -> None:
        """Hand over whole lines for as long as the sink takes them without making us wait."""
        buffer = self._buffer
        try:
            while buffer and self._poll.poll(0):
                cut = buffer.rfind(b"\n", 0, _CHUNK) + 1 or _CHUNK
                sent = os.write(self._fd, buffer[:cut])
                self._torn = buffer[sent - 1] != ord("\n")
                del buffer[:sent]
        except BlockingIOError:
            return  # a busy reader; the lines wait for the next flush
        except OSError:
            self._discard(torn_too=False)

    def _discard(self, *, torn_too: bool) -> None:
        """Lose the lines that wait; a line half written is kept for the same sink to finish."""
        kept = self._buffer.find(b"\n") + 1 if self._torn and not torn_too else 0
        self.lost_lines += self._buffer.count(b"\n", kept)
        del self._buffer[kept:]
        self._torn = kept > 0

    def _now(self) -> str:
        second, millisecond = divmod(round(self._wall() * 1000), 1000)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{millisecond:03d}Z"


def _open(target: str) -> int:
    if target == "off":
        return -1
    if target == "stdout":
        return _open_stdout()
    # O_NONBLOCK: a path may be a pipe, and one that nobody reads must not hold us up.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(target, flags, _MODE)


def _open_stdout() -> int:
    """Open a pipe anew, as O_NONBLOCK is not for us to set where others write too.

    Between our poll and our write another process may have filled it.
    """
    if stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK
        with contextlib.suppress(OSError):  # it may be another user's
            return os.open(f"/proc/self/fd/{_STDOUT}", flags)
    return os.dup(_STDOUT)


def _poll_for(fd: int) -> "select.poll":
    poll = select.poll()
    if fd >= 0:
        poll.register(fd, select.POLLOUT)
    return poll


def _line(record: Record, time: str) -> Line:
    head = record.response_head_seconds
    return Line(
        time=time,
        listener=record.listener,
        route=route_name(record.route),
        peer=record.peer,
        method=record.method[:_MAX_METHOD],
        authority=record.authority[:_MAX_AUTHORITY],
        path=record.path[:_MAX_PATH],
        status=record.status,
        grpc_status=grpc_name(record.grpc_status),
        upstream=record.upstream,
        endpoint=record.endpoint,
        attempts=record.attempts,
        duration_ms=round(record.duration * 1000, 3),
        response_head_ms=None if head is None else round(head * 1000, 3),
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        request=Message(record.request_ending, record.request_trailers),
        response=Message(record.response_ending, record.response_trailers),
        answered=record.answered,
        dropped=_dropped(record),
        resets=_resets(record),
    )


def _dropped(record: Record) -> Dropped | None:
    if record.dropped is None:
        return None
    return Dropped(record.dropped_side, record.dropped, record.why[:_MAX_WHY])


def _resets(record: Record) -> tuple[Reset, ...]:
    return tuple(
        [
            Reset(side, initiator, code_name(code), phase, cause)
            for side, initiator, code, phase, cause in record.resets or ()
        ]
    )
