"""What is promised of every codec is tried with each of them, in either role."""

import pytest

from tests.support.frames import GET
from tests.support.seat import SMALL, Seat
from trailproxy.wire import CODECS, Role
from trailproxy.wire.fields import Fields


@pytest.fixture(params=CODECS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(name: str) -> Seat:
    return Seat(name, Role.SERVER, SMALL)


@pytest.fixture
def client(name: str) -> Seat:
    seat = Seat(name, Role.CLIENT, SMALL)
    seat.codec.send_head(seat.codec.open_stream(), Fields.of(GET), end=True)
    return seat
