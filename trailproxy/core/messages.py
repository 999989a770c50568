"""Messages: how many gRPC messages have passed in a lane.

Each begins with five octets: whether it is compressed, and how long it is ("gRPC
over HTTP2", Length-Prefixed-Message). Only those are read, however a sender cuts
them into DATA frames; the messages themselves are passed over by their length.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

_PREFIX: Final = 5
_LENGTH: Final = 0xFFFFFFFF  # the last four octets of the prefix
_ENDLESS: Final = 1 << 62


@mypyc_attr(acyclic=True)
@final
class Messages:
    """The messages of one body."""

    __slots__ = ("_left", "_seen", "count")

    def __init__(self) -> None:
        self.count: i64 = 0  # of those that came whole
        self._seen: i64 = 0  # octets of the prefix; all of them within a message
        self._left: i64 = 0  # octets of the message to come; before that, what its prefix says

    def follow(self, data: bytes) -> None:
        """Take note of a piece of the body."""
        at: i64 = 0
        size: i64 = len(data)
        while at < size:
            if self._seen < _PREFIX:
                octet: i64 = data[at]
                at += 1
                self._left = self._left << 8 | octet
                self._seen += 1
                if octet > 1 and self._seen == 1:
                    # neither plain nor compressed: whatever this body is, it is not gRPC
                    self._seen, self._left = _PREFIX, _ENDLESS
                elif self._seen < _PREFIX:
                    continue
                else:
                    self._left &= _LENGTH
            passed = min(self._left, size - at)
            at += passed
            self._left -= passed
            if self._left == 0:
                self.count += 1
                self._seen = 0
