"""Who looks on is told what is new, at a steady pace, and never holds anybody up."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.sights import row
from tests.support.waiting import until
from trailproxy.core.record import Ending
from trailproxy.ops import feed as room
from trailproxy.ops.capture import MOST_OCTETS, Capture, TapOrder
from trailproxy.ops.feed import MOST_VIEWERS, Feed, Viewer
from trailproxy.ops.sight import Message, Only, Place, Row, Sight, Tapped, Wish, together


class Scene:
    """A proxy that shows what a test gives it to show, each thing once."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.shown: list[Sight] = []
        self.told = 0

    async def now(self) -> dict[str, Any]:
        self.told += 1
        return {"told": self.told}

    async def look(self, wish: Wish) -> Sight:
        self.wishes.append(wish)
        return self.shown.pop(0) if self.shown else Sight(flying=self.flying)

    flying: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LOOK_S", 0.001)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
async def feed(scene: Scene) -> AsyncIterator[Feed]:
    feed = Feed(scene)
    yield feed
    await feed.close()


def parsed(events: bytes) -> list[tuple[str, Any]]:
    found = []
    for event in events.decode().removesuffix("\n\n").split("\n\n"):
        name, _, data = event.partition("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def rows_of(viewer: Viewer) -> dict[str, Any]:
    """Take what is told, and return what it says of rows."""
    told: dict[str, Any] = dict(parsed(await viewer.take()))["rows"]
    return told


def admitted(feed: Feed) -> Viewer:
    viewer = feed.admit()
    assert viewer is not None
    return viewer


def over(key: str, **more: Any) -> Row:
    ended = Message(ending=Ending.END)
    return row(key, duration_ms=1.0, request=ended, response=ended, **more)


# -- looking -------------------------------------------------------------------------------


async def test_the_proxy_is_asked_only_while_somebody_looks_on(feed: Feed, scene: Scene) -> None:
    assert scene.wishes == []
    viewer = admitted(feed)
    await until(lambda: len(scene.wishes) > 3)
    feed.dismiss(viewer)
    await until(lambda: scene.wishes[-1] == Wish())
    asked = len(scene.wishes)
    viewer = admitted(feed)
    await until(lambda: len(scene.wishes) > asked + 3)
    assert scene.wishes[asked] == Wish(streams=True)
    feed.dismiss(viewer)


async def test_however_many_look_on_the_proxy_is_asked_once(feed: Feed, scene: Scene) -> None:
    scene.shown = [Sight(rows=(over("k"),))]
    first, second = admitted(feed), admitted(feed)
    for viewer in (first, second):
        told: dict[str, Any] = {"rows": []}
        while not told["rows"]:
            told = await rows_of(viewer)
        assert [each["key"] for each in told["rows"]] == ["k"]


async def test_so_many_are_admitted(feed: Feed) -> None:
    viewers = [admitted(feed) for _ in range(MOST_VIEWERS)]
    assert feed.admit() is None
    feed.dismiss(viewers[0])
    assert feed.admit() is not None


async def test_who_comes_later_gets_the_whole_table(feed: Feed, scene: Scene) -> None:
    scene.shown = [Sight(rows=(over("old"),)), Sight(rows=(row("new"),), flying=("new",))]
    scene.flying = ("new",)
    admitted(feed)
    await until(lambda: len(scene.wishes) > 3)
    told = await rows_of(admitted(feed))
    assert [each["key"] for each in told["rows"]] == ["old", "new"]


async def test_one_who_came_while_we_looked_away_is_told_too(feed: Feed, scene: Scene) -> None:
    viewer = admitted(feed)
    look, late = scene.look, []

    async def look_and_let_in(wish: Wish) -> Sight:
        if wish == Wish() and not late:
            late.append(admitted(feed))
        return await look(wish)

    scene.look = look_and_let_in  # type: ignore[method-assign]
    await until(lambda: bool(scene.wishes))
    feed.dismiss(viewer)
    await until(lambda: bool(late))
    await late[0].take()
    await until(lambda: scene.wishes[-1] == Wish(streams=True))


# -- who is slow ---------------------------------------------------------------------------


async def test_whoever_is_slow_loses_what_lies_between() -> None:
    table = {"a": row("a")}
    viewer = Viewer(table, b"null")
    await viewer.take()
    for step in range(1000):
        table["a"] = row("a", attempts=step)
        viewer.offer_rows(["a"], [], 0)
        viewer.offer_now(str(step).encode())
        viewer.offer_tap(str(step).encode())
    told = parsed(await viewer.take())
    assert [name for name, _ in told] == ["rows", "now", "tap"]
    rows, now, tap = (data for _, data in told)
    assert [each["attempts"] for each in rows["rows"]] == [999]
    assert (rows["lost"], now, tap) == (999, 999, 999)


async def test_what_is_gone_by_then_is_told_as_gone() -> None:
    table = {"a": row("a"), "b": row("b")}
    viewer = Viewer(table, b"null")
    await viewer.take()
    viewer.offer_rows(["a"], [], 0)
    del table["a"]
    viewer.offer_rows(["b"], ["a"], 2)
    told = dict(parsed(await viewer.take()))["rows"]
    assert [each["key"] for each in told["rows"]] == ["b"]
    assert (told["gone"], told["missed"], told["lost"]) == (["a"], 2, 0)


async def test_nothing_new_is_not_told() -> None:
    viewer = Viewer({}, b"null")
    await viewer.take()
    viewer.offer_rows([], [], 0)
    assert not viewer._some.is_set()
    viewer.close()
    assert await viewer.take() == b""


# -- the table -----------------------------------------------------------------------------


async def test_what_nobody_sees_any_more_is_out_of_sight(feed: Feed, scene: Scene) -> None:
    scene.shown = [Sight(rows=(row("a"), row("b"), over("c")), flying=("a", "b"))]
    scene.flying = ("a",)
    viewer = admitted(feed)
    lost: set[str] = set()
    while not lost:
        told = await rows_of(viewer)
        lost |= {each["key"] for each in told["rows"] if each.get("lost")}
    assert lost == {"b"}


async def test_the_table_has_a_bound_and_keeps_what_is_in_flight(
    feed: Feed, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_ROWS", 3)
    scene.shown = [
        Sight(rows=(row("flies"), over("1"), over("2")), flying=("flies",)),
        Sight(rows=(over("3"), over("4")), flying=("flies",)),
    ]
    scene.flying = ("flies",)
    viewer = admitted(feed)
    await until(lambda: len(scene.wishes) > 3)
    told = await rows_of(viewer)
    assert sorted(each["key"] for each in told["rows"]) == ["3", "4", "flies"]
    assert sorted(told["gone"]) == ["1", "2"]


# -- a tap ---------------------------------------------------------------------------------


async def test_a_tap_alone_wants_no_rows(feed: Feed, scene: Scene) -> None:
    state = feed.tap(TapOrder(only=Only(route="x"), exchanges=2))
    assert state is not None
    await until(lambda: bool(scene.wishes))
    assert scene.wishes[0] == Wish(tap=Tapped(state["id"], Only(route="x"), 0, 2))
    scene.shown = [Sight(entries=({"n": 1},)), Sight(entries=({"n": 2}, {"n": 3}))]
    await until(lambda: scene.wishes[-1] == Wish())
    archive = feed.caught(state["id"])
    assert archive is not None
    log = json.loads(archive)["log"]
    assert log["entries"] == [{"n": 1}, {"n": 2}]
    assert log["_capture"]["ended"] == "exchanges"
    assert feed.stop_tap() is None


async def test_a_tap_ends_when_its_time_is_over(feed: Feed, scene: Scene) -> None:
    capture = Capture(TapOrder(seconds=5), now=100.0)
    assert not capture.add([{"n": 1}], 2, 104.0)
    assert capture.state(104.0)["seconds_left"] == 1.0
    assert capture.add([], 0, 105.0)
    assert not capture.add([{"n": 2}], 0, 106.0)
    state = capture.state(106.0)
    assert (state["caught"], state["ended"], state["seconds_left"]) == (1, "time", 0.0)
    assert state["lost"] == 2


def test_a_capture_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_OCTETS == 16 * 1024 * 1024
    monkeypatch.setattr("trailproxy.ops.capture.MOST_OCTETS", 30)
    capture = Capture(TapOrder(), now=0.0)
    assert capture.add([{"text": "12345"}, {"text": "12345"}], 0, 1.0)
    state = capture.state(1.0)
    assert (state["caught"], state["octets"], state["ended"]) == (1, 16, "size")


async def test_who_looks_on_is_told_how_the_tap_goes(feed: Feed, scene: Scene) -> None:
    viewer = admitted(feed)
    state = feed.tap(TapOrder())
    told: Any = None
    while not told:
        told = dict(parsed(await viewer.take())).get("tap")
    assert (told["id"], told["ended"]) == (state and state["id"], "")
    await until(lambda: bool(scene.wishes))
    feed.stop_tap()
    while not told["ended"]:
        told = dict(parsed(await viewer.take())).get("tap", told)
    assert told["ended"] == "order"
    assert scene.wishes[-1].streams


async def test_what_was_caught_is_kept_for_a_while(
    feed: Feed, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT_S", 0.01)
    state = feed.tap(TapOrder())
    assert state is not None
    feed.stop_tap()
    await until(lambda: feed.caught(state["id"]) is None)
    assert feed.tap(TapOrder()) is not None


async def test_what_was_caught_for_the_last_tap_is_not_given_to_the_next(
    feed: Feed, scene: Scene
) -> None:
    first = feed.tap(TapOrder())
    assert first is not None
    look = scene.look

    async def slow(wish: Wish) -> Sight:
        if wish.tap is not None and wish.tap.id == first["id"]:
            feed.stop_tap()
            feed.tap(TapOrder())
            await look(wish)
            return Sight(entries=({"n": 1},))
        return await look(wish)

    scene.look = slow  # type: ignore[method-assign]
    await until(lambda: len(scene.wishes) > 3)
    stopped = feed.stop_tap()
    assert stopped is not None
    assert stopped["caught"] == 0


# -- several processes ---------------------------------------------------------------------


def test_what_workers_see_is_told_together() -> None:
    one = Sight(
        rows=(row("k"),),
        flying=("k",),
        missed=1,
        entries=({"n": 1},),
        lost_entries=4,
        places=(Place("app", "a:1", "connected", 2, 3), Place("app", "a:2", "idle", 0, 0)),
    ).seen_by(1)
    two = Sight(
        rows=(row("k"),), flying=("k",), missed=2, places=(Place("app", "a:1", "sick", 1, 1),)
    ).seen_by(2)
    both = together([one, two])
    assert [(each.key, each.worker) for each in both.rows] == [("1.k", 1), ("2.k", 2)]
    assert both.flying == ("1.k", "2.k")
    assert (both.missed, both.lost_entries) == (3, 4)
    assert both.entries == ({"n": 1, "_worker": 1},)
    assert both.places == (Place("app", "a:1", "sick", 3, 4), Place("app", "a:2", "idle", 0, 0))
