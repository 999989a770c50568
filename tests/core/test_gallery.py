"""Who gets a witness, within which bounds, and what is paid when nobody looks."""

import pytest

from tests.support.parts import data, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core import gallery as room
from trailproxy.core.gallery import Gallery
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Record
from trailproxy.core.routing import Handling, Router
from trailproxy.core.timing import ServerTiming
from trailproxy.core.witness import Store, Witness


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def gallery(table: Table) -> Gallery:
    return Gallery(table.proxy)


def exchange(table: Table) -> None:
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x", end=True))


# -- nobody looks --------------------------------------------------------------------------


def test_when_nobody_looks_everything_is_as_if_nobody_could(table: Table, gallery: Gallery) -> None:
    plain = table.proxy.router
    (route,) = plain.routes
    assert route.policy is None
    table.client.opens(request())
    (flying,) = table.proxy.exchanges
    assert flying._inspection is None
    assert flying.request.owner is flying
    gallery.open(curious=True)
    assert table.proxy.router is not plain
    assert flying.request.owner is not flying
    gallery.close()
    assert table.proxy.router is plain
    assert flying._inspection is None
    assert flying.request.owner is flying
    gallery.close()  # a second time makes no difference
    assert gallery.find("x") is None


def test_a_new_router_is_looked_at_too(table: Table, gallery: Gallery) -> None:
    gallery.open(curious=True)
    table.proxy.route_by(Router(table.proxy.router.routes[:0]))
    table.client.opens(request(end=True))
    assert [witness.record.status for witness in gallery.ended.values()] == [404]
    gallery.close()
    assert table.proxy.router.match(table.record.asked) is None


# -- somebody looks ------------------------------------------------------------------------


def test_exchanges_in_flight_and_over_are_found_by_key(table: Table, gallery: Gallery) -> None:
    gallery.open(curious=True)
    table.client.opens(request(end=True))
    ((key, witness),) = gallery.flying.items()
    assert gallery.find(key) is witness
    table.server.says(head(200, end=True))
    assert gallery.flying == {}
    assert gallery.fresh == gallery.ended == {key: witness}
    assert gallery.find(key) is witness
    assert gallery.missed == 0


def test_a_request_without_a_route_is_answered_as_before_and_seen(
    table: Table, gallery: Gallery
) -> None:
    table.proxy.route_by(Router(()))
    table.client.opens(request())
    before = table.client.heard.pop(table.client.sid)
    gallery.open(curious=True)
    table.client.opens(request())
    assert table.client.heard.pop(table.client.sid) == before
    first, second = table.notes.finished
    for what in (
        "route", "upstream", "status", "answered", "dropped", "why", "attempts", "resets",
        "request_ending", "response_ending", "request_bytes", "response_bytes",
    ):  # fmt: skip
        assert getattr(first, what) == getattr(second, what), what
    assert [each.record for each in gallery.ended.values()] == [second]
    table.is_clean()


def test_policies_of_a_route_stay(gallery: Gallery) -> None:
    table = Table(handling=Handling(policy=Policy([ServerTiming()])))
    gallery = Gallery(table.proxy)
    gallery.open(curious=True)
    exchange(table)
    heard = table.client.heard[table.client.sid]
    assert [kind for kind, _ in heard[-1].fields] == ["server-timing"]  # type: ignore[union-attr]


# -- bounds --------------------------------------------------------------------------------


def test_so_many_get_a_witness_in_a_second(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_A_SECOND", 2)
    gallery.open(curious=True)
    for _ in range(3):
        exchange(table)
    assert (len(gallery.ended), gallery.missed) == (2, 1)
    table.advance(1.0)
    exchange(table)
    assert (len(gallery.ended), gallery.missed) == (3, 1)
    table.is_clean()


def test_in_flight_a_new_one_takes_the_place_of_the_oldest(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_FLYING", 2)
    gallery.open(curious=True)
    sids = [table.client.opens(request(end=True)) for _ in range(3)]
    first, *others = table.proxy.exchanges
    assert first.request.owner is first
    assert [each.exchange for each in gallery.flying.values()] == others
    assert gallery.missed == 1
    assert len(sids) == 3


def test_of_those_that_are_over_the_last_are_remembered(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_ENDED", 2)
    gallery.open(curious=True)
    for _ in range(2):
        exchange(table)
    gallery.fresh.clear()  # somebody was told
    for _ in range(3):
        exchange(table)
    assert len(gallery.ended) == 2
    assert list(gallery.fresh) == list(gallery.ended)
    assert gallery.missed == 1  # of three, one was forgotten before anybody was told


def test_what_is_remembered_has_a_weight(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_WEIGHT", 4000)
    gallery.open(curious=True)
    for _ in range(5):
        table.client.opens(request(end=True, x_large="x" * 1000))
        table.server.says(head(200, end=True))
    assert len(gallery.ended) == 2
    assert gallery.missed == 3
    table.client.opens(request(end=True, x_large="x" * 5000))
    table.server.says(head(200, end=True))
    assert gallery.ended == {}
    exchange(table)
    assert len(gallery.ended) == 1


def test_who_began_before_anybody_looked_comes_by_and_by(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "AT_ONCE", 2)
    for _ in range(5):
        table.client.opens(request(end=True))
    gallery.open(curious=True)
    assert len(gallery.flying) == 2
    table.server.says(head(200, end=True), sid=table.proxy.exchanges[2].up.sid)  # type: ignore[union-attr]
    gallery.open(curious=True)
    assert len(gallery.flying) == 3  # one was over by then
    gallery.open(curious=True)
    assert len(gallery.flying) == 4
    assert all(witness.late is not None for witness in gallery.flying.values())


# -- a net ---------------------------------------------------------------------------------


class Catch:
    """Wants what is asked for at a path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.caught: list[Witness] = []

    def wants(self, record: Record) -> bool:
        return record.path == self.path

    def cast(self, witness: Witness) -> None:
        witness.keep_bodies(100, Store(100))

    def haul(self, witness: Witness) -> None:
        self.caught.append(witness)


def test_a_net_has_what_it_wants_and_nobody_else_is_witnessed(
    table: Table, gallery: Gallery
) -> None:
    gallery.net = net = Catch("/wanted")
    gallery.open(curious=False)
    for path in ("/wanted", "/other"):
        table.client.opens(request(path=path, end=True))
        table.server.says(head(200), data(b"x"), trailers(y="1"))
    assert [witness.record.path for witness in net.caught] == ["/wanted"]
    assert (gallery.ended, gallery.missed) == ({}, 0)
    table.is_clean()


def test_a_net_has_what_it_wants_however_busy_it_is(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_A_SECOND", 0)
    gallery.net = net = Catch("/wanted")
    gallery.open(curious=True)
    for path in ("/wanted", "/other"):
        table.client.opens(request(path=path, end=True))
        table.client.says(reset())
    assert [witness.record.path for witness in net.caught] == ["/wanted"]
    assert list(gallery.ended.values()) == net.caught
    assert gallery.missed == 1


def test_what_a_net_holds_makes_room_for_nobody(
    table: Table, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_FLYING", 1)
    gallery.net = Catch("/wanted")
    gallery.open(curious=True)
    for _ in range(2):
        table.client.opens(request(path="/wanted", end=True))
    assert len(gallery.flying) == 1
    assert gallery.missed == 1


def test_what_is_netted_stays_when_nobody_is_curious_any_more(
    table: Table, gallery: Gallery
) -> None:
    gallery.net = net = Catch("/wanted")
    gallery.open(curious=True)
    sids = [table.client.opens(request(path=path, end=True)) for path in ("/wanted", "/other")]
    gallery.open(curious=False)
    assert [witness.record.path for witness in gallery.flying.values()] == ["/wanted"]
    for sid in sids:
        table.client.says(reset(), sid=sid)
    assert [witness.record.path for witness in net.caught] == ["/wanted"]
    assert gallery.ended == {}
