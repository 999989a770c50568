"""Visitors: a light load, one conversation after the other, each on a connection of its own.

What a visitor asserts holds whatever else goes on; the first who finds it broken
ends the load, and fails the test.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from itertools import cycle
from types import TracebackType
from typing import Final, Self

from tests.support.raw_peer import Message
from tests.support.scripted_peer import Peer

PACE_S: Final = 0.03
CALL: Final = (("content-type", "application/grpc"), ("te", "trailers"))

Visit = Callable[[Peer], None]


class Visitors(threading.Thread):
    """They come one after the other, until they are told to stop."""

    def __init__(self, address: tuple[str, int], visits: Sequence[Visit]) -> None:
        super().__init__(name="visitors")
        self._address = address
        self._visits = list(visits)
        self._enough = threading.Event()
        self._trouble: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enough.set()
        self.join(timeout=15)
        assert error is not None or self._trouble is None, self._trouble

    def until_nothing_is(self, left: Callable[[], Collection[str]], patience_s: float) -> None:
        """Go on until nothing is left to wait for; fail with what is, or with their trouble."""
        deadline = time.monotonic() + patience_s
        while waits := left():
            assert self._trouble is None, self._trouble
            assert time.monotonic() < deadline, f"not within {patience_s} s: {sorted(waits)}"
            time.sleep(0.25)

    def run(self) -> None:
        """Visit, round after round."""
        for visit in cycle(self._visits):
            if self._enough.wait(PACE_S):
                return
            try:
                with Peer.connect(self._address) as client:
                    visit(client)
            except (AssertionError, OSError) as trouble:
                self._trouble = f"{visit.__name__}: {trouble!r}"
                return


def fetch(client: Peer, path: str, *fields: tuple[str, str], method: str = "GET") -> Message:
    """Ask for a path, and listen to the end."""
    return client.response(client.request(*fields, path=path, method=method))
