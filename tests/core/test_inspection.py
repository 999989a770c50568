"""Those who look at the messages of an exchange, and their order."""

import pytest

from tests.support.parts import Head, Said, data, head, request, trailers
from tests.support.table import Table
from trailproxy.core.inspection import Inspector, Interest, Policy
from trailproxy.core.record import Direction, Record
from trailproxy.core.routing import Handling
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields


class Signs(Inspector):
    """Adds its name to response trailers."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        if direction is Direction.REQUEST:
            return trailers
        return Fields([*trailers.items, Field(b"signed", self.name)])


def test_inspectors_look_in_the_order_of_the_policy() -> None:
    policy = Policy([Signs(b"first"), Inspector(), Signs(b"last")])
    table = Table(handling=Handling(policy=policy))
    table.client.opens(request(), data(b"x"), trailers(x="1"))
    table.server.says(head(200), data(b"y"), trailers(y="2"))
    table.server.hears(request(), data(b"x"), trailers(x="1"))
    signed = (("y", "2"), ("signed", "first"), ("signed", "last"))
    table.client.hears(head(200), data(b"y"), trailers(*signed))
    table.is_clean()


def test_one_that_only_looks_at_trailers_does_not_hold_an_end_back() -> None:
    table = Table(handling=Handling(policy=Policy([Signs(b"nobody")])))
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"y", end=True))
    table.client.hears(head(200), data(b"y", end=True))
    table.is_clean()


class Adds(Inspector):
    """Adds trailers to every message, whether it came with some or not."""

    def interests(self) -> int:
        return Interest.REQUEST_END | Interest.RESPONSE_END

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        return Fields([*trailers.items, Field(b"added", b"1")])


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)], ids=["HEAD", "204", "304"]
)
@pytest.mark.parametrize("end", [data(b"", end=True), trailers(x="1")], ids=["data", "trailers"])
def test_nothing_is_added_to_a_response_that_has_no_trailers(
    method: str, status: int, end: Said
) -> None:
    table = Table(handling=Handling(policy=Policy([Adds()])))
    table.client.opens(request(method, end=True))
    table.server.says(head(status), end)
    table.client.hears(head(status), data(b"", end=True))
    table.is_clean()


CONNECT = Head(((":method", "CONNECT"), (":authority", "a:1")))


def test_nothing_is_added_to_a_tunnel() -> None:
    table = Table(handling=Handling(policy=Policy([Adds()])))
    table.client.opens(CONNECT, data(b"x", end=True))
    table.server.hears(CONNECT, data(b"x"), data(b"", end=True))
    table.server.says(head(200), data(b"y", end=True))
    table.client.hears(head(200), data(b"y"), data(b"", end=True))
    table.is_clean()


def test_a_tunnel_that_was_refused_ends_as_any_response() -> None:
    table = Table(handling=Handling(policy=Policy([Adds()])))
    table.client.opens(CONNECT)
    table.server.says(head(503), data(b"no", end=True))
    table.client.hears(head(503), data(b"no"), trailers(added="1"))


class Weighs(Inspector):
    """Adds up response bodies."""

    def __init__(self) -> None:
        self.octets = 0

    def interests(self) -> int:
        return Interest.RESPONSE_DATA

    def data(self, direction: Direction, octets: bytes) -> None:
        assert direction is Direction.RESPONSE
        self.octets += len(octets)


def test_a_body_is_shown_to_those_alone_who_asked_for_it() -> None:
    class Averse(Inspector):
        def data(self, direction: Direction, octets: bytes) -> None:
            raise AssertionError

    scales = Weighs()
    table = Table(handling=Handling(policy=Policy([Averse(), scales])))
    table.client.opens(request(), data(b"question", end=True))
    table.server.says(head(200), data(b"answer", end=True))
    table.client.hears(head(200), data(b"answer", end=True))
    assert scales.octets == len(b"answer")
    table.is_clean()
