"""Channel: a stream whose other end is this program.

It stands where an exchange stands in the proxy: what is sent waits in a lane
like any other body, and what arrives waits here until it is taken, unpaid.
"""

import asyncio
from collections import deque
from typing import Final, final

from trailproxy.core.fault import Cause, Fault, Initiator
from trailproxy.core.lane import Lane, Phase
from trailproxy.core.record import Progress, Tally
from trailproxy.core.stream import Feed, Owner, Stream
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived, TrailersReceived
from trailproxy.wire.fields import Fields

Part = HeadReceived | DataReceived | TrailersReceived


class StreamGoneError(HTTP2Error):
    """The stream ended before its message did."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.why)
        self.fault: Final = fault
        self.reset_code: Final = fault.code


@final
class Inbox(Feed):
    """Parts the peer has sent, until this program takes them."""

    def __init__(self, sid: int, changed: asyncio.Event) -> None:
        self.parts: Final[deque[Part]] = deque()
        self._sid: Final = sid
        self._changed: Final = changed

    def head(self, fields: Fields, end: bool) -> None:
        """Take a head."""
        self._take(HeadReceived(self._sid, fields, end))

    def data(self, data: bytes, credit: int, end: bool) -> None:
        """Take a piece of body."""
        self._take(DataReceived(self._sid, data, credit, end))

    def trailers(self, fields: Fields) -> None:
        """Take the trailers."""
        self._take(TrailersReceived(self._sid, fields))

    def _take(self, part: Part) -> None:
        self.parts.append(part)
        self._changed.set()


@final
class Channel(Owner):
    """The owner, both ends of the lanes, and the reader of one local stream."""

    def __init__(self, stream: Stream, tally: Tally) -> None:
        self.stream: Final = stream
        self._lane: Final = Lane(self, self, tally)  # what this program sends
        self._changed: asyncio.Event = asyncio.Event()
        self._inbox: Final = Inbox(stream.sid, self._changed)
        self._fault: Fault | None = None
        stream.owner = self
        stream.feeds = self._inbox
        self._lane.phase = Phase.BODY
        self._lane.attach(stream)

    # -- what this program does ----------------------------------------------------------

    async def receive(self) -> Part:
        """Return the next part the peer sent, and pay for it.

        Raises:
            StreamGoneError: the stream was reset, or its connection lost, and no part is left.
        """
        while not self._inbox.parts:
            if self._fault is not None:
                raise StreamGoneError(self._fault)
            await self._wait()
        part = self._inbox.parts.popleft()
        if isinstance(part, DataReceived):
            self.stream.credit(part.credit)
        return part

    async def send_data(self, data: bytes, end: bool) -> bool:
        """Send body octets; return when they have departed, False if they cannot."""
        stream = self.stream
        if stream.over or stream.ended or not stream.head_sent:
            return False
        if self._lane.phase != Phase.BODY:
            return False
        self._lane.data(data, len(data), end)
        return await self.departed()

    async def departed(self) -> bool:
        """Return when everything sent so far has departed; False if it never will."""
        while self._lane.waits or self._lane.phase == Phase.ENDED:
            await self._wait()
        return self._lane.phase != Phase.ABORTED

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # -- the owner of the lane, and its source --------------------------------------------

    def credit(self, octets: int) -> None:
        """Octets have departed."""
        if octets:
            self._changed.set()

    def head_arrived(self, lane: Lane, fields: Fields, end: bool) -> None:
        """Heads of our own go straight to the connection, never through the lane."""
        raise HTTP2Error("a head in a local lane", ErrorCode.INTERNAL_ERROR)

    def trailers_arrived(self, lane: Lane, fields: Fields) -> Fields:
        """Let them pass: the connection has vetted them."""
        return fields

    def trailers_lost(self, lane: Lane) -> None:
        """Wake the sender; `departed` tells it."""
        self._changed.set()

    def lane_done(self, lane: Lane) -> None:
        """Everything has departed."""
        self._changed.set()

    # -- the owner of the stream ---------------------------------------------------------

    def stream_gone(self, stream: Stream, fault: Fault) -> None:
        """The stream ended before its time; parts that came before that can still be read."""
        self._fault = fault
        self._lane.cut()
        self._changed.set()

    def trailers_rejected(self, stream: Stream) -> None:
        """`stream_gone` follows, and says why."""

    def progress(self, stream: Stream) -> Progress:
        """Tell how far what this program sends has come."""
        return Progress.BODY if self._lane.departed else Progress.HEAD

    def reset_noted(
        self, stream: Stream, initiator: Initiator, code: int, progress: Progress, cause: Cause
    ) -> None:
        """`stream_gone` tells the reader all it needs."""
