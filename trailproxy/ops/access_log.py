"""AccessLog: the lines of finished exchanges on their way to one file or pipe.

What a line says is AccessLine's business. The log never makes the proxy wait and
never breaks it: lines gather in memory, `flush` hands over only what the sink takes
at once, and a line that cannot be kept is counted in `lost_lines`. Whoever owns the
log calls `flush` now and then, a few times a second.
"""

import contextlib
import os
import select
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from trailproxy.core.record import Record
from trailproxy.ops.access_line import LineWriter

_STDOUT: Final = 1
_MODE: Final = 0o640  # paths may hold what only operators should see

# poll() tells that a pipe takes PIPE_BUF octets at once, and such a write is not
# mixed with those of other processes that log to the same pipe.
_PIPE_CHUNK: Final = select.PIPE_BUF
_FILE_CHUNK: Final = 64 * 1024  # octets; a file takes what it is given
_FLUSH_AT: Final = 64 * 1024  # octets; more of them would not stay in the processor's cache
_MAX_BUFFERED: Final = 1024 * 1024  # octets kept for a sink that takes nothing


@final
class AccessLog:
    """The lines on their way to one file or pipe.

    Attributes:
        lost_lines: lines that could not be kept or written.
    """

    def __init__(self, target: str, fd: int, wall: Callable[[], float]) -> None:
        # set once
        self._target: Final = target
        self._wall: Final = wall
        self._line = LineWriter()  # replaced by show
        # the sink; replaced by reopen
        self._fd = fd
        self._poll = _poll_for(fd)
        self._chunk = _chunk_for(fd)
        # written by write and flush
        self.lost_lines = 0
        self._lines: Final = BytesWriter()  # since the last flush
        self._unsent: Final = bytearray()  # whole lines, the first perhaps without its beginning
        self._torn = False  # that beginning has been written
        self._millisecond: i64 = -1  # since 1970
        self._second = b""  # the same in words, up to the point
        self._time = b""  # and the whole of it

    @property
    def on(self) -> bool:
        """Whether lines go anywhere."""
        return self._fd >= 0

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

    def show(self, request: tuple[str, ...], response: tuple[str, ...]) -> None:
        """Let later lines have the trailers of these lower-case names."""
        self._line = LineWriter(request, response)

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
        self._fd, self._poll, self._chunk = fd, _poll_for(fd), _chunk_for(fd)

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
        lines = self._lines
        before: i64 = len(lines)
        if before >= _FLUSH_AT or before + len(self._unsent) > _MAX_BUFFERED:
            self.flush()
            before = 0
            if len(self._unsent) > _MAX_BUFFERED:
                self.lost_lines += 1
                return
        try:
            self._line.write(lines, record, self._now())
        except UnicodeEncodeError:  # a name from the configuration with half a surrogate pair
            lines.truncate(before)
            self.lost_lines += 1

    def flush(self) -> None:
        """Hand over whole lines for as long as the sink takes them without making us wait."""
        unsent = self._unsent
        unsent += self._lines.getvalue()
        self._lines.truncate(0)
        try:
            while unsent and self._poll.poll(0):
                cut = unsent.rfind(b"\n", 0, self._chunk) + 1 or self._chunk
                sent = os.write(self._fd, unsent[:cut])
                self._torn = unsent[sent - 1] != ord("\n")
                del unsent[:sent]
        except BlockingIOError:
            return  # a busy reader; the lines wait for the next flush
        except OSError:
            self._discard(torn_too=False)

    def _discard(self, *, torn_too: bool) -> None:
        """Lose the lines that wait; a line half written is kept for the same sink to finish."""
        kept = self._unsent.find(b"\n") + 1 if self._torn and not torn_too else 0
        self.lost_lines += self._unsent.count(b"\n", kept)
        del self._unsent[kept:]
        self._torn = kept > 0

    def _now(self) -> bytes:
        millisecond = i64(self._wall() * 1000 + 0.5)
        if millisecond != self._millisecond:
            if millisecond // 1000 != self._millisecond // 1000 or not self._second:
                second = datetime.fromtimestamp(int(millisecond // 1000), UTC)
                self._second = second.strftime("%Y-%m-%dT%H:%M:%S.").encode()
            self._millisecond = millisecond
            self._time = b"%s%03dZ" % (self._second, int(millisecond % 1000))
        return self._time


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


def _chunk_for(fd: int) -> int:
    return _FILE_CHUNK if fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode) else _PIPE_CHUNK


def _poll_for(fd: int) -> "select.poll":
    poll = select.poll()
    if fd >= 0:
        poll.register(fd, select.POLLOUT)
    return poll
