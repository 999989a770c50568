"""A client that keeps asking, checks every answer, and knows what it may not lose.

It keeps RFC 9113 section 6.8: behind a GOAWAY it opens no streams, and takes a
stream above the last id for one that was never processed. Everything else that
does not come back whole is lost.
"""

import threading
from types import TracebackType
from typing import Final, Self

from tests.support.behaviours import body_of, checksum
from tests.support.scripted_peer import Address, Peer

SIZE: Final = 5000
BATCH: Final = 8
REFUSED_STREAM: Final = 0x7


class Load(threading.Thread):
    """One connection's worth of traffic, until it is stopped or refused.

    Attributes:
        served: answers that came whole.
        refused: requests that were never processed.
        lost: what happened to every other one.
        unreached: times no connection was to be had.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(name="load")
        self.served = 0
        self.refused = 0
        self.unreached = 0
        self.lost: list[str] = []
        self._address = address
        self._enough = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Finish what was asked, and no more."""
        self._enough.set()
        self.join(timeout=15)
        assert not self.is_alive(), "the load did not come to its end"

    def run(self) -> None:
        """Ask, batch by batch."""
        while not self._enough.is_set():
            try:
                client = Peer.connect(self._address)
            except (OSError, AssertionError):
                self.unreached += 1
                return
            with client:
                while not (client.goaways or client.closed or self._enough.is_set()):
                    self._batch(client)

    def _batch(self, client: Peer) -> None:
        try:
            sids = [client.request(path=f"/bytes/{SIZE}") for _ in range(BATCH)]
        except OSError as error:
            self.lost.append(f"while asking: {error}")
            client.closed = True
            return
        try:
            client.wait(
                lambda: client.closed or all(client.streams[sid].over for sid in sids), "answers"
            )
        except (AssertionError, OSError) as error:
            self.lost.append(str(error))
            client.closed = True
        last = min((sid for sid, _ in client.goaways), default=None)
        for sid in sids:
            self._judge(client, sid, last)

    def _judge(self, client: Peer, sid: int, last: int | None) -> None:
        message = client.streams.pop(sid)
        trailers = dict(message.trailers or ())
        if trailers.get("x-sha256") == WHOLE and message.body == body_of(SIZE):
            self.served += 1
        elif (last is not None and sid > last) or message.reset == REFUSED_STREAM:
            self.refused += 1
        else:
            self.lost.append(f"stream {sid}: {message}; GOAWAY {client.goaways}")


WHOLE: Final = checksum(body_of(SIZE))
