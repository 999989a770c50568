"""Message: what a peer has said on one stream. Bodies are counted and hashed, not kept."""

import hashlib
from typing import TYPE_CHECKING, Final, final

from trailproxy.wire.errors import code_name
from trailproxy.wire.events import (
    DataReceived,
    Event,
    HeadReceived,
    StreamFault,
    StreamReset,
    TrailersReceived,
)

if TYPE_CHECKING:
    from trailproxy.wire.fields import Fields

_MOST_INTERIM: Final = 16  # heads


@final
class Message:
    """One message on its way in, or all of it."""

    def __init__(self) -> None:
        self.interim: Final[list[Fields]] = []
        self.head: Fields | None = None
        self.size = 0  # octets of body
        self.trailers: Fields | None = None
        self.ended = False  # as HTTP/2 ends a message
        self.reset: int | None = None  # the code, where the peer broke off
        self.fault = ""  # what made it malformed, by our codec's verdict
        self._hash: Final = hashlib.sha256()

    def take(self, event: Event) -> None:
        """Take up what came on the stream."""
        if isinstance(event, HeadReceived):
            if event.fields.interim:
                if len(self.interim) < _MOST_INTERIM:
                    self.interim.append(event.fields)
                return
            self.head = event.fields
            self.ended = event.end
        elif isinstance(event, DataReceived):
            self.size += len(event.data)
            self._hash.update(event.data)
            self.ended = event.end
        elif isinstance(event, TrailersReceived):
            self.trailers = event.fields
            self.ended = True
        elif isinstance(event, StreamReset):
            self.reset = event.code
        elif isinstance(event, StreamFault):
            self.fault = event.why

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None or bool(self.fault)

    @property
    def digest(self) -> str:
        """SHA-256 of the body so far, in hexadecimal."""
        return self._hash.hexdigest()

    def header(self, name: str) -> str:
        """Return a field of the head; empty if it is not there."""
        value = self.head.get(name.encode()) if self.head is not None else None
        return "" if value is None else value.decode("latin-1")

    def trailer(self, name: str) -> str:
        """Return a trailer; empty if it is not there."""
        value = self.trailers.get(name.encode()) if self.trailers is not None else None
        return "" if value is None else value.decode("latin-1")

    def tell(self) -> str:
        """Say in one line what came."""
        said = [str(interim.status) for interim in self.interim]
        said.append("nothing" if self.head is None else str(self.head.status))
        if self.size:
            said.append(f"{self.size:,} octets")
        if self.trailers is not None:
            count = len(self.trailers.items)
            said.append(f"{count} trailer{'s' * (count != 1)}")
        if self.reset is not None:
            said.append(f"RST_STREAM {code_name(self.reset)}")
        elif self.fault:
            said.append(f"malformed: {self.fault}")
        elif self.ended:
            said.append("END_STREAM" if self.trailers is None else "end")
        else:
            said.append("no end")
        return ", ".join(said)
