"""What one process tells of its exchanges, to whom, and for how long."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.parts import data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Ending
from trailproxy.ops.drops import Drops
from trailproxy.ops.live import LAPSE_S, Live
from trailproxy.ops.sight import Only, Row, Sight, Tapped, Wish
from trailproxy.wire.errors import ErrorCode

STREAMS = Wish(streams=True)
AHEAD = 1_700_000_000.0  # how far the time of day is ahead of the clock


class Scene(Table):
    """A table that can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.drops = Drops()
        finished = self.notes.exchange_finished

        def observe(record: Any) -> None:
            finished(record)
            if record.dropped is not None:
                self.drops.keep(record)

        self.notes.exchange_finished = observe  # type: ignore[method-assign]
        self.live = Live(self.proxy, self.drops, lambda: self.clock.now + AHEAD)

    def look(self, wish: Wish = STREAMS) -> Sight:
        return self.live.look(wish)

    def row(self) -> Row:
        """Look, and return the one row there is."""
        (row,) = self.look().rows
        return row

    def exchange(self, **how: Any) -> None:
        self.client.opens(request(end=True, **how))
        self.server.says(head(200), data(b"x"), trailers(y="1"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- rows ----------------------------------------------------------------------------------


def test_a_row_says_where_an_exchange_stands_and_then_how_it_ended(scene: Scene) -> None:
    scene.look()
    scene.client.opens(grpc_request())
    scene.client.says(data(b"ask"))
    row = scene.row()
    assert row.in_flight
    assert (row.began, row.route, row.path) == (1000.0 + AHEAD, "all", "/greet.Greeter/Hello")
    assert (row.request.phase, row.request.octets, row.response.phase) == ("body", 3, "head")
    assert scene.look().rows == ()  # nothing has moved
    assert len(scene.look().flying) == 1
    scene.advance(0.5)
    scene.client.says(data(b"", end=True))
    scene.server.says(
        grpc_head(), data(b"\0\0\0\0\1x"), trailers(grpc_status="5", grpc_message="no%20such")
    )
    row = scene.row()
    assert not row.in_flight
    assert row.duration_ms == 500.0
    assert (row.status, row.grpc_status, row.grpc_message) == (200, "NOT_FOUND", "no such")
    assert (row.request.ending, row.response.ending) == (Ending.END, Ending.TRAILERS)
    assert (row.response.octets, row.response.trailers) == (6, 2)
    assert scene.look() == Sight()


def test_a_row_of_a_drop_has_its_cause_and_its_resets(scene: Scene) -> None:
    scene.look()
    scene.client.opens(request(end=True))
    scene.server.says(head(200), reset(ErrorCode.INTERNAL_ERROR))
    row = scene.row()
    assert (row.side, row.cause) == (Side.UPSTREAM, Cause.UPSTREAM_RESET)
    assert [(each.side, each.initiator, each.code) for each in row.resets] == [
        ("upstream", "peer", "INTERNAL_ERROR"),
        ("downstream", "proxy", "INTERNAL_ERROR"),
    ]


def test_what_was_dropped_before_anybody_looked_is_told_once(scene: Scene) -> None:
    scene.client.opens(request(path="/gone", end=True))
    scene.server.says(head(200), reset(ErrorCode.INTERNAL_ERROR))
    scene.exchange(path="/well")
    row = scene.row()
    assert (row.path, row.bare, row.cause) == ("/gone", True, Cause.UPSTREAM_RESET)
    assert scene.look().rows == ()
    told = scene.live.timeline(row.key)
    assert told is not None
    assert [(part["side"], part["way"], part["what"]) for part in told["parts"]] == [
        ("downstream", "received", "head"),
        ("upstream", "sent", "head"),
        ("upstream", "received", "head"),
        ("downstream", "sent", "head"),
        ("upstream", "received", "reset"),
        ("downstream", "sent", "reset"),
    ]


def test_who_looks_anew_is_told_of_drops_again(scene: Scene) -> None:
    scene.client.opens(request(end=True))
    scene.client.says(reset())
    assert len(scene.look().rows) == 1
    scene.look(Wish())
    assert len(scene.look().rows) == 1


def test_exchanges_that_had_begun_are_told_too(scene: Scene) -> None:
    scene.client.opens(request())
    assert scene.row().late


def test_secrets_and_sizes_that_peers_choose_are_kept_out(scene: Scene) -> None:
    scene.look()
    scene.client.opens(request("M" * 300, "/" + "x" * 500, end=True))
    row = scene.row()
    assert (len(row.method), len(row.path)) == (256, 256)
    scene.client.opens(request(path="/x?token=s3cret", authorization="s3cret", end=True))
    row = scene.row()
    assert row.path == "/x?token=***"
    assert "s3cret" not in repr(scene.live.timeline(row.key))


# -- timelines -----------------------------------------------------------------------------


def test_a_timeline_has_every_part_with_its_fields(scene: Scene) -> None:
    scene.look()
    scene.client.opens(request(end=True, cookie="s3cret", accept="*/*"))
    key = scene.row().key
    scene.advance(0.25)
    scene.server.says(head(200), data(b"answer"), trailers(grpc_status="0"))
    told = scene.live.timeline(key)
    assert told is not None
    assert told["row"].duration_ms == 250.0
    first, *_, last = told["parts"]
    assert first["fields"] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "api.example.com"),
        ("cookie", "***"),
        ("accept", "*/*"),
    ]
    assert last == {
        "at": 250.0,
        "side": Side.DOWNSTREAM,
        "way": "sent",
        "what": "trailers",
        "fields": [("grpc-status", "0")],
    }
    assert {"at": 250.0, "side": "upstream", "way": "received", "what": "data", "octets": 6} in (
        told["parts"]
    )


def test_a_timeline_of_one_in_flight_is_of_this_moment(scene: Scene) -> None:
    scene.look()
    scene.client.opens(request())
    key = scene.row().key
    told = scene.live.timeline(key)
    assert told is not None
    assert [part["what"] for part in told["parts"]] == ["head", "head"]
    assert told["row"].in_flight


def test_chunks_that_are_told_together_say_how_many(scene: Scene) -> None:
    scene.look()
    scene.client.opens(request())
    for _ in range(60):
        scene.advance(0.01)
        scene.client.says(data(b"x"))
    told = scene.live.timeline(scene.row().key)
    assert told is not None
    (sum_of_them,) = [
        part for part in told["parts"] if part["side"] == "downstream" and "chunks" in part
    ]
    assert (sum_of_them["chunks"], sum_of_them["octets"]) == (12, 12)
    assert sum_of_them["until"] > sum_of_them["at"]


def test_nobody_is_told_of_keys_that_never_were(scene: Scene) -> None:
    scene.look()
    scene.exchange()
    key = scene.row().key
    token = key.partition("-")[0]
    for other in ("", "x", f"{token}-99", f"{key}x", "-1", scene.live._token + "-1"):
        assert scene.live.timeline(other) is None


# -- for how long --------------------------------------------------------------------------


def test_who_does_not_look_for_a_while_is_gone(scene: Scene) -> None:
    plain = scene.proxy.router
    scene.live.tick()
    scene.look()
    assert scene.proxy.router is not plain
    scene.advance(LAPSE_S - 0.1)
    scene.live.tick()
    assert scene.proxy.router is not plain
    scene.advance(0.1)
    scene.live.tick()
    assert scene.proxy.router is plain


def test_who_wishes_nothing_is_gone_at_once(scene: Scene) -> None:
    plain = scene.proxy.router
    scene.look()
    assert scene.look(Wish()) == Sight()
    assert scene.proxy.router is plain


def test_it_is_told_how_many_were_too_many(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trailproxy.core.gallery.MOST_A_SECOND", 1)
    scene.look()
    for _ in range(3):
        scene.exchange()
    assert scene.look().missed == 2
    assert scene.look().missed == 0


# -- a tap ---------------------------------------------------------------------------------


def tapped(*, exchanges: int = 10, body_octets: int = 0, name: str = "t", **only: Any) -> Wish:
    return Wish(tap=Tapped(name, Only(**only), body_octets, exchanges))


def talks(scene: Scene) -> dict[str, Callable[[], object]]:
    """Return exchanges of all kinds, by their paths."""

    def ends_badly() -> None:
        scene.client.opens(grpc_request("/bad", end=True))
        scene.server.says(grpc_head(), trailers(grpc_status="14"))

    def breaks() -> None:
        scene.client.opens(request(path="/broken", end=True))
        scene.server.says(head(500), reset(ErrorCode.CANCEL))

    return {
        "/well": lambda: scene.exchange(path="/well"),
        "/bad": ends_badly,
        "/broken": breaks,
    }


@pytest.mark.parametrize(
    ("only", "caught"),
    [
        ({}, ["/well", "/bad", "/broken"]),
        ({"route": "all"}, ["/well", "/bad", "/broken"]),
        ({"route": "other"}, []),
        ({"method": "POST", "authority": "api.example.com"}, ["/well", "/bad", "/broken"]),
        ({"method": "GET"}, []),
        ({"authority": "b"}, []),
        ({"path_prefix": "/b"}, ["/bad", "/broken"]),
        ({"status": 500}, ["/broken"]),
        ({"grpc_status": "UNAVAILABLE"}, ["/bad"]),
        ({"ending": "trailers"}, ["/well", "/bad"]),
        ({"cause": "upstream_reset"}, ["/broken"]),
        ({"dropped": True}, ["/broken"]),
        ({"dropped": True, "status": 200}, []),
    ],
)
def test_a_tap_takes_what_is_meant(scene: Scene, only: dict[str, Any], caught: list[str]) -> None:
    wish = tapped(**only)
    assert scene.look(wish) == Sight()
    for talk in talks(scene).values():
        talk()
    entries = scene.look(wish).entries
    assert [entry["request"]["url"] for entry in entries] == [
        f"http://api.example.com{path}" for path in caught
    ]
    assert scene.look(wish).entries == ()


def test_a_tap_takes_no_more_than_it_should(scene: Scene) -> None:
    scene.look(tapped(exchanges=2))
    for _ in range(4):
        scene.exchange()
    assert len(scene.look(tapped(exchanges=2)).entries) == 2
    scene.exchange()
    assert len(scene.look(tapped(exchanges=0)).entries) == 1
    scene.exchange()
    assert scene.look(tapped(exchanges=0)).entries == ()


def test_another_tap_begins_anew(scene: Scene) -> None:
    scene.look(tapped(name="one"))
    scene.exchange()
    assert scene.look(tapped(name="two")).entries == ()
    scene.exchange()
    assert len(scene.look(tapped(name="two")).entries) == 1


def test_what_is_tapped_is_seen_as_well(scene: Scene) -> None:
    wish = Wish(streams=True, tap=Tapped("t", Only(path_prefix="/well"), 0, 10))
    scene.look(wish)
    scene.exchange(path="/well")
    scene.exchange(path="/other")
    sight = scene.look(wish)
    assert {row.path: row.tapped for row in sight.rows} == {"/well": True, "/other": False}
    assert len(sight.entries) == 1


def test_entries_are_told_by_and_by(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trailproxy.ops.tap._AT_ONCE", 2)
    scene.look(tapped())
    for _ in range(3):
        scene.exchange()
    assert [len(scene.look(tapped()).entries) for _ in range(3)] == [2, 1, 0]


def test_bodies_have_a_bound_together(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trailproxy.ops.tap._BODIES", 5)
    wish = tapped(body_octets=100)
    scene.look(wish)
    scene.client.opens(request(end=True))
    scene.server.says(head(200), data(b"123456", end=True))
    scene.client.opens(request(end=True))
    scene.server.says(head(200), data(b"7", end=True))
    first, second = (entry["response"]["content"] for entry in scene.look(wish).entries)
    assert (first["text"], first["_whole"]) == ("12345", False)
    assert (second["text"], second["_whole"]) == ("", False)
    scene.client.opens(request(end=True))
    scene.server.says(head(200), data(b"12345", end=True))
    (third,) = (entry["response"]["content"] for entry in scene.look(wish).entries)
    assert third["_whole"]  # those that were fetched have made room


def test_heads_and_trailers_that_wait_have_a_bound_together(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trailproxy.ops.tap._WEIGHT", 2000)
    scene.look(tapped())
    for _ in range(5):
        scene.exchange(x_large="x" * 500)
    sight = scene.look(tapped())
    assert 0 < len(sight.entries) < 5
    assert len(sight.entries) + sight.lost_entries == 5
    scene.exchange()
    sight = scene.look(tapped())
    assert (len(sight.entries), sight.lost_entries) == (1, 0)


def test_what_is_not_meant_gives_its_room_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trailproxy.ops.tap._BODIES", 6)
    wish = tapped(body_octets=100, dropped=True)
    scene.look(wish)
    scene.client.opens(request(end=True))
    scene.server.says(head(200), data(b"123456", end=True))
    scene.client.opens(request(end=True))
    scene.server.says(head(200), data(b"654321"), reset())
    (entry,) = scene.look(wish).entries
    assert entry["response"]["content"]["text"] == "654321"
