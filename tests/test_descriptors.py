"""Descriptors: what the limits ask for is taken, and what is lacking is said."""

import resource

import pytest

from trailproxy import descriptors
from trailproxy.ops.settings import parse

SETTINGS = parse(
    """
listeners: [{name: one, bind: "127.0.0.1:0"}, {name: two, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:1", "127.0.0.1:2"], max_connections: 3}]
routes: [{name: all, match: {}, upstream: app}]
limits: {max_connections: 100}
""",
    "trailproxy.yaml",
    {},
)
WANTED = 64 + 2 * 100 + 2 * 3


class Machine:
    """What a process may open: now, and at most."""

    def __init__(self, now: int, most: int) -> None:
        self.limits = (now, most)

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.limits

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        assert limits[0] > self.limits[0]
        self.limits = limits


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Machine:
    made = Machine(*request.param)
    monkeypatch.setattr(resource, "getrlimit", made.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", made.setrlimit)
    return made


@pytest.mark.parametrize(
    ("machine", "then"),
    [
        ((50, 5000), (WANTED, 5000)),
        ((50, resource.RLIM_INFINITY), (WANTED, resource.RLIM_INFINITY)),
        ((1000, 5000), (1000, 5000)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (-1, -1)),
    ],
    indirect=["machine"],
)
def test_what_may_be_had_is_taken_and_no_more(machine: Machine, then: tuple[int, int]) -> None:
    assert descriptors.make_room(SETTINGS) == ""
    assert machine.limits == then


@pytest.mark.parametrize("machine", [(50, 100)], indirect=True)
def test_what_is_lacking_is_said_with_what_to_do(machine: Machine) -> None:
    told = descriptors.make_room(SETTINGS)
    assert told.startswith(f"this process may open 100 files, and its limits ask for {WANTED}: ")
    assert all(word in told for word in ("ulimit -n", "LimitNOFILE=", "limits.max_connections"))
    assert machine.limits == (100, 100)
    assert descriptors.too_few() == ""


@pytest.mark.parametrize("machine", [(12, 12)], indirect=True)
def test_too_few_for_anything_is_an_end(machine: Machine) -> None:
    assert descriptors.too_few().startswith("this process may open 12 files, and needs 64 ")


@pytest.mark.parametrize("machine", [(12, 64)], indirect=True)
def test_enough_for_a_beginning_is_taken(machine: Machine) -> None:
    assert descriptors.too_few() == ""
    assert machine.limits == (64, 64)
