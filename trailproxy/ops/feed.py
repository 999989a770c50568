"""Feed: what is looked at is looked at once, and told to all who look on.

The proxy is asked at a steady pace while somebody looks on or a capture is under way, and
never otherwise. Whoever takes what he is told slowly loses what lies between: for each
there is at most one sample and one set of changed rows that wait, however long he takes.
"""

import asyncio
import logging
from typing import Any, Final, Protocol, final

import msgspec

from trailproxy.ops.capture import KEPT_S, Capture, TapOrder
from trailproxy.ops.sight import Row, Sight, Wish

log = logging.getLogger("trailproxy.admin")

MOST_VIEWERS: Final = 8
MOST_ROWS: Final = 800
_LOOK_S: Final = 0.5
_NOW_EVERY: Final = 2  # looks


class Scene(Protocol):
    """What is looked at."""

    async def now(self) -> dict[str, Any]:
        """Tell how the proxy is, in numbers."""
        ...

    async def look(self, wish: Wish) -> Sight:
        """Tell what there was to be seen since the last look, and look on as wished."""
        ...


@final
class Viewer:
    """One who looks on, and what waits for him."""

    def __init__(self, table: dict[str, Row], tap: bytes) -> None:
        """Begin with all rows there are."""
        self._closed = False
        self._table: Final = table
        self._changed: dict[str, None] = dict.fromkeys(table)
        self._gone: dict[str, None] = {}
        self._now: bytes | None = None
        self._tap: bytes | None = tap
        self._lost = 0  # samples that he was too slow for
        self._missed = 0  # exchanges that are not among the rows
        self._some: Final = asyncio.Event()
        self._some.set()

    def offer_rows(self, changed: list[str], gone: list[str], missed: int) -> None:
        """Tell which rows are other than before, and which are no more."""
        self._changed |= dict.fromkeys(changed)
        self._gone |= dict.fromkeys(gone)
        self._missed += missed
        if changed or gone or missed:
            self._some.set()

    def offer_now(self, sample: bytes) -> None:
        """Tell how it is; what still waits is out of date."""
        self._lost += self._now is not None
        self._now = sample
        self._some.set()

    def offer_tap(self, state: bytes) -> None:
        """Tell how a capture goes."""
        self._tap = state
        self._some.set()

    def close(self) -> None:
        """Tell that there will be no more."""
        self._closed = True
        self._some.set()

    async def take(self) -> bytes:
        """Wait for something to tell, and return it as server-sent events; nothing at the end."""
        await self._some.wait()
        self._some.clear()
        if self._closed:
            return b""
        events = [self._take_rows()]
        if self._now is not None:
            events.append(_event("now", self._now))
        if self._tap is not None:
            events.append(_event("tap", self._tap))
        self._now = self._tap = None
        return b"".join(events)

    def _take_rows(self) -> bytes:
        rows = [self._table[key] for key in self._changed if key in self._table]
        gone = [key for key in self._gone if key not in self._table]
        told = {"rows": rows, "gone": gone, "missed": self._missed, "lost": self._lost}
        self._changed, self._gone = {}, {}
        return _event("rows", msgspec.json.encode(told))


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


@final
class Feed:
    """All who look on, the rows they see, and the capture."""

    def __init__(self, scene: Scene) -> None:
        """Prepare; nobody looks on."""
        self._scene: Final = scene
        self._viewers: Final[list[Viewer]] = []
        self._table: Final[dict[str, Row]] = {}
        self._capture: Capture | None = None
        self._looking: asyncio.Task[None] | None = None

    # -- viewers -------------------------------------------------------------------------

    def admit(self) -> Viewer | None:
        """Let one more look on; None when there are too many."""
        if len(self._viewers) >= MOST_VIEWERS:
            return None
        viewer = Viewer(self._table, self._tap_state())
        self._viewers.append(viewer)
        self._go_on()
        return viewer

    def dismiss(self, viewer: Viewer) -> None:
        """He looks on no more."""
        self._viewers.remove(viewer)

    async def close(self) -> None:
        """Nobody looks on any more."""
        for viewer in self._viewers:
            viewer.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
            await self._scene.look(Wish())

    # -- the capture ---------------------------------------------------------------------

    def tap(self, order: TapOrder) -> dict[str, Any] | None:
        """Begin a capture, and say how it goes; None while another is under way."""
        if self._capture is not None and not self._capture.ended:
            return None
        now = self._now()
        self._capture = Capture(order, now)
        self._go_on()
        self._tell_tap()
        return self._capture.state(now)

    def stop_tap(self) -> dict[str, Any] | None:
        """End the capture, and say how it went; None when none is under way."""
        capture = self._capture
        if capture is None or capture.ended:
            return None
        capture.end("order")
        self._keep_for_a_while(capture)
        self._tell_tap()
        return capture.state(self._now())

    def caught(self, capture_id: str) -> bytes | None:
        """Return what a capture has caught so far; None when there is no such capture."""
        capture = self._capture
        if capture is None or capture.id != capture_id:
            return None
        return capture.archive(self._now())

    def _keep_for_a_while(self, capture: Capture) -> None:
        asyncio.get_running_loop().call_later(KEPT_S, self._forget, capture)

    def _forget(self, capture: Capture) -> None:
        if self._capture is capture:
            self._capture = None
            self._tell_tap()

    def _tap_state(self) -> bytes:
        capture = self._capture
        return msgspec.json.encode(None if capture is None else capture.state(self._now()))

    def _tell_tap(self) -> None:
        state = self._tap_state()
        for viewer in self._viewers:
            viewer.offer_tap(state)

    # -- to look -------------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _wish(self) -> Wish:
        capture = self._capture
        under_way = capture is not None and not capture.ended
        tap = capture.wish() if capture is not None and under_way else None
        return Wish(streams=bool(self._viewers), tap=tap)

    def _go_on(self) -> None:
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.create_task(self._keep_looking(), name="live")
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("looking on has failed", exc_info=task.exception())
            for viewer in self._viewers:
                viewer.close()
        elif self._wish() != Wish():
            self._go_on()  # somebody came while we looked away

    async def _keep_looking(self) -> None:
        looks = 0
        while (wish := self._wish()) != Wish():
            await self._look(wish, with_numbers=looks % _NOW_EVERY == 0)
            looks += 1
            await asyncio.sleep(_LOOK_S)
        self._table.clear()
        await self._scene.look(wish)

    async def _look(self, wish: Wish, *, with_numbers: bool) -> None:
        sight = await self._scene.look(wish)
        capture = self._capture
        if capture is not None and wish.tap is not None and wish.tap.id == capture.id:
            if capture.add(sight.entries, sight.lost_entries, self._now()):
                self._keep_for_a_while(capture)
            self._tell_tap()
        self._take_rows(sight)
        if with_numbers and self._viewers:
            numbers = {**await self._scene.now(), "places": sight.places}
            sample = msgspec.json.encode(numbers)
            for viewer in self._viewers:
                viewer.offer_now(sample)

    def _take_rows(self, sight: Sight) -> None:
        """Renew the table; what is in flight nowhere, and has no end, is out of sight."""
        table = self._table
        changed = [row.key for row in sight.rows]
        for row in sight.rows:
            table.pop(row.key, None)
            table[row.key] = row
        flying = {*sight.flying, *changed}
        for key, row in list(table.items()):
            if row.in_flight and key not in flying:
                table[key] = msgspec.structs.replace(row, lost=True)
                changed.append(key)
        gone = _dispensable(table)[: max(len(table) - MOST_ROWS, 0)]
        for key in gone:
            del table[key]
        for viewer in self._viewers:
            viewer.offer_rows(changed, gone, sight.missed)


def _dispensable(table: dict[str, Row]) -> list[str]:
    """Return all keys, those first that are missed least: of what is over, the oldest."""
    over = [key for key, row in table.items() if not row.in_flight]
    return over + [key for key, row in table.items() if row.in_flight]
