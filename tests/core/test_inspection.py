"""Those who look at the messages of an exchange, and their order."""

from tests.support.parts import data, head, request, trailers
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
