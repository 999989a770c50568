"""Health: what endpoints answer, and what becomes of those that answer wrongly."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.net.test_origin import Dials, Guest
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.core.record import Tally
from trailproxy.net.clock import CLOCK
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.health import HealthParams
from trailproxy.net.local import serve
from trailproxy.net.names import Spot
from trailproxy.net.origin import Origin
from trailproxy.net.origin_params import OriginParams
from trailproxy.wire.events import HeadReceived
from trailproxy.wire.fields import Fields

QUICK = HealthParams(path="/healthz", interval_s=0.02, timeout_s=0.2, unhealthy_threshold=2)
SERVING = b"\0\0\0\0\x02\x08\x01"
NOT_SERVING = b"\0\0\0\0\x02\x08\x02"


class Patient:
    """A backend whose health a test decides."""

    def __init__(self) -> None:
        self.answer: tuple[str, bytes, str] | None = ("200", b"", "")
        self.heard: list[str] = []
        self.asked = b""
        self._server: asyncio.Server

    async def start(self) -> Address:
        self._server = await serve(Address("127.0.0.1", 0), self._handle)
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        self._server.close()

    async def _handle(self, connection: AsyncConnection, sid: int, head: Fields, end: bool) -> None:
        names = (b":method", b":authority", b":path", b"te")
        self.heard = [(head.get(name) or b"").decode() for name in names]
        self.asked = b""
        while not end:
            part = await connection.receive(sid)
            assert not isinstance(part, HeadReceived)
            self.asked += getattr(part, "data", b"")
            end = getattr(part, "end", True)
        if self.answer is None:
            return
        status, body, grpc_status = self.answer
        await connection.send_headers(sid, [(":status", status)], end=not body)
        if body:
            await connection.send_data(sid, body)
            await connection.send_trailers(sid, [("grpc-status", grpc_status)])


@pytest.fixture
async def patients() -> AsyncIterator[list[Patient]]:
    made = [Patient(), Patient()]
    yield made
    for patient in made:
        patient.stop()


async def _origin(notes: Dials, patients: list[Patient], health: HealthParams) -> Origin:
    spots = tuple([Spot(await patient.start()) for patient in patients])
    origin = Origin(OriginParams(name="app", spots=spots, health=health), notes, Tally(), CLOCK)
    origin.start()
    return origin


async def _end(origin: Origin) -> None:
    origin.close()
    await asyncio.sleep(0)  # the checks are told


async def test_who_answers_wrongly_gets_no_streams_until_it_is_well(
    patients: list[Patient],
) -> None:
    notes = Dials()
    origin = await _origin(notes, patients, QUICK)
    await until(lambda: notes.events["check_passed"] >= 2)
    assert patients[0].heard == ["GET", origin.endpoints[0].label, "/healthz", ""]
    patients[0].answer = ("503", b"", "")
    await until(lambda: notes.states == (1, 1, 0))
    assert notes.events["check_failed"] >= 2
    for _ in range(6):
        origin.lease(guest := Guest())
        assert (await guest.told()).endpoint == origin.endpoints[1].label
    patients[0].answer = ("204", b"", "")
    await until(lambda: notes.states == (2, 0, 0))
    await _end(origin)


async def test_silence_is_no_health(patients: list[Patient]) -> None:
    notes = Dials()
    patients[1].answer = None
    origin = await _origin(notes, patients, replace(QUICK, timeout_s=0.05))
    await until(lambda: notes.states == (1, 1, 0))
    await _end(origin)


async def test_nobody_there_is_no_health(patients: list[Patient]) -> None:
    notes = Dials()
    origin = await _origin(notes, patients, QUICK)
    patients[1].stop()
    gone = Spot(Address("127.0.0.1", 1))
    origin.set_spots([Spot(origin.endpoints[0].address), gone])
    await until(lambda: notes.states == (1, 1, 0))
    await _end(origin)


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        (("200", SERVING, "0"), True),
        (("200", NOT_SERVING, "0"), False),
        (("200", SERVING, "13"), False),
        (("200", b"x" * 70_000, "0"), False),
        (("404", b"", ""), False),
    ],
)
async def test_grpc_says_it_in_a_message_and_in_trailers(
    patients: list[Patient], answer: tuple[str, bytes, str], healthy: bool
) -> None:
    notes = Dials()
    asks = replace(QUICK, path="", service="greet.Greeter", unhealthy_threshold=1)
    patients[0].answer = answer
    patients[1].answer = ("200", SERVING, "0")
    origin = await _origin(notes, patients, asks)
    await until(lambda: notes.events["check_passed"] + notes.events["check_failed"] >= 2)
    await until(lambda: notes.states == ((2, 0, 0) if healthy else (1, 1, 0)))
    assert patients[0].heard[2:] == ["/grpc.health.v1.Health/Check", "trailers"]
    assert patients[0].asked == b"\0\0\0\0\x0f\x0a\x0dgreet.Greeter"
    await _end(origin)


async def test_the_whole_server_is_asked_for_without_a_name(patients: list[Patient]) -> None:
    notes = Dials()
    for patient in patients:
        patient.answer = ("200", SERVING, "0")
    asks = replace(QUICK, path="", authority="app.test")
    origin = await _origin(notes, patients, asks)
    await until(lambda: notes.events["check_passed"] >= 2)
    assert patients[0].asked == bytes(5)
    assert patients[0].heard[1] == "app.test"
    await _end(origin)


async def test_a_name_may_be_long(patients: list[Patient]) -> None:
    notes = Dials()
    for patient in patients:
        patient.answer = ("200", SERVING, "0")
    origin = await _origin(notes, patients, replace(QUICK, path="", service="s" * 200))
    await until(lambda: notes.events["check_passed"] >= 2)
    assert patients[0].asked[5:] == b"\x0a\xc8\x01" + b"s" * 200
    await _end(origin)
