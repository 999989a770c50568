"""The pods of a Service, followed over real sockets: list, watch, resume, and what goes wrong."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.net.test_origin import Backend, Dials, Guest
from tests.support.certificates import Certificates, make_certificates
from tests.support.cluster import Cluster, endpoint, slice_of
from tests.support.frames import settings_frame
from tests.support.waiting import until
from trailproxy.core.address import Address, parse_endpoint
from trailproxy.core.fault import Cause
from trailproxy.core.record import Tally
from trailproxy.net.clock import CLOCK
from trailproxy.net.names import Spot
from trailproxy.net.origin import Origin
from trailproxy.net.origin_params import OriginParams

SERVICE = parse_endpoint("k8s:shop/app:grpc")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def cluster(certificates: Certificates, tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path, certificates)
    await made.start()
    yield made
    made.stop()
    await until(lambda: made.left)


@pytest.fixture
def notes() -> Dials:
    return Dials()


class Follower:
    """An origin whose endpoints are the pods of a Service."""

    def __init__(self, cluster: Cluster, notes: Dials, *more: Address, **api: object) -> None:
        spots = tuple(map(Spot, (SERVICE, *more)))
        params = OriginParams(
            name="app",
            spots=spots,
            api=replace(cluster.params, **api),
            queue_timeout_s=5.0,
        )
        self.origin = Origin(params, notes, Tally(), CLOCK)
        self.origin.start()

    @property
    def labels(self) -> set[str]:
        return {each.label for each in self.origin.endpoints}

    async def has(self, *labels: str) -> None:
        await until(lambda: self.labels == set(labels))


@pytest.fixture
async def follower(cluster: Cluster, notes: Dials) -> AsyncIterator[Follower]:
    made = Follower(cluster, notes)
    yield made
    made.origin.close()


async def test_pods_are_listed_and_then_told(
    cluster: Cluster, notes: Dials, follower: Follower
) -> None:
    cluster.put(slice_of("a", [endpoint("127.0.0.1"), endpoint("127.0.0.2")], port=7))
    await follower.has("127.0.0.1:7", "127.0.0.2:7")
    cluster.put(slice_of("b", [endpoint("::1")], port=8, family="IPv6"))
    await follower.has("127.0.0.1:7", "127.0.0.2:7", "[::1]:8")
    cluster.put(slice_of("a", [endpoint("127.0.0.2")], port=7))
    await follower.has("127.0.0.2:7", "[::1]:8")
    cluster.drop("a")
    await follower.has("[::1]:8")
    cluster.drop("b")
    await follower.has()
    assert [path.count("watch=1") for path in cluster.asked] == [0, 1]
    assert notes.events["listed"] == 1
    assert notes.events["changed"] >= 4
    assert "watch_failed" not in notes.events


async def test_a_request_waits_until_the_pods_are_known(
    cluster: Cluster, follower: Follower, backend: Backend
) -> None:
    address = await backend.start()
    cluster.put(slice_of("a", [endpoint("127.0.0.1")], port=address.port))
    follower.origin.lease(guest := Guest())
    assert (await guest.told()).endpoint == str(address)


async def test_a_service_without_pods_is_no_endpoint(follower: Follower) -> None:
    follower.origin.lease(guest := Guest())
    fault = (await guest.told()).fault
    assert fault is not None
    assert fault.cause is Cause.NO_ENDPOINT


async def test_a_pod_that_leaves_finishes_what_it_has(
    cluster: Cluster, follower: Follower, backend: Backend
) -> None:
    address = await backend.start()
    cluster.put(slice_of("a", [endpoint("127.0.0.1")], port=address.port))
    await follower.has(str(address))
    follower.origin.lease(guest := Guest())
    connection = (await guest.told()).connection
    assert connection is not None
    cluster.put(slice_of("a", [endpoint("127.0.0.9")], port=address.port))
    await follower.has(f"127.0.0.9:{address.port}")
    assert len(connection.streams) == 1
    assert not connection.closing
    connection.reset(next(iter(connection.streams.values())), 8, Cause.CLIENT_RESET)
    assert connection.closing
    await until(lambda: follower.origin.empty)


async def test_an_api_server_that_is_away_changes_nothing_and_is_asked_from_where_it_was(
    cluster: Cluster, notes: Dials, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    await until(lambda: cluster.watches == 1)
    caplog.set_level("INFO")
    cluster.stop()
    await until(lambda: notes.events["watch_failed"] >= 2)
    assert follower.labels == {"127.0.0.1:80"}
    cluster.put(slice_of("a", [endpoint("127.0.0.2")]))  # while nobody heard
    await cluster.start()
    await follower.has("127.0.0.2:80")
    assert notes.events["listed"] == 1
    told = [record.getMessage() for record in caplog.records if "k8s:" in record.getMessage()]
    assert len(told) == 2, "one line when it went, one when it came back"
    assert told[0].startswith("upstream app: k8s:shop/app:grpc: ")
    assert told[1] == "upstream app: k8s:shop/app:grpc is followed again"


@pytest.mark.parametrize("amid", [True, False], ids=["amid a watch", "before one"])
async def test_a_version_that_is_too_old_begins_anew(
    cluster: Cluster, notes: Dials, follower: Follower, amid: bool
) -> None:
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    await until(lambda: cluster.watches == 1)
    if amid:
        cluster.expire()
    else:
        cluster.stop()
        cluster.drop("a")
        cluster.put(slice_of("b", [endpoint("127.0.0.2")]))
        cluster.forget()
        await cluster.start()
        await follower.has("127.0.0.2:80")
    await until(lambda: notes.events["listed"] == 2)
    await until(lambda: cluster.watches == 1)
    cluster.put(slice_of("c", [endpoint("127.0.0.3")]))
    await until(lambda: "127.0.0.3:80" in follower.labels)


async def test_a_bookmark_moves_the_version_and_nothing_else(
    cluster: Cluster, notes: Dials, follower: Follower
) -> None:
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    await until(lambda: cluster.watches == 1)
    cluster.bookmark()
    cluster.put(slice_of("b", [endpoint("127.0.0.2")]))  # told behind it
    await follower.has("127.0.0.1:80", "127.0.0.2:80")
    cluster.ends = True
    cluster.bookmark()  # the last word of this watch
    await until(lambda: cluster.asked[-1].endswith("resourceVersion=104"))
    assert notes.events["listed"] == 1


async def test_watches_that_end_at_once_are_not_begun_at_once(
    cluster: Cluster, notes: Dials
) -> None:
    cluster.ends = True
    follower = Follower(cluster, notes, retry_s=0.05, most_retry_s=60.0)
    await until(lambda: len(cluster.asked) >= 4)  # a list, and watches 25 to 50, 50 to 100 ms on
    began = CLOCK.time()
    await until(lambda: len(cluster.asked) >= 5)
    assert CLOCK.time() - began > 0.05
    follower.origin.close()


async def test_an_api_server_that_fell_silent_is_left(cluster: Cluster, notes: Dials) -> None:
    cluster.silent = True
    follower = Follower(cluster, notes, watch_s=0.05)
    await until(lambda: notes.events["watch_failed"] == 1)
    cluster.silent = False
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    follower.origin.close()


async def test_a_token_is_read_anew_when_it_was_replaced(
    cluster: Cluster, notes: Dials, follower: Follower
) -> None:
    await until(lambda: cluster.watches == 1)
    cluster.give_token("second")
    cluster.stop()
    await cluster.start()
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")


async def test_who_may_not_look_is_told_so_once(
    cluster: Cluster, notes: Dials, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.refuses = 403
    follower = Follower(cluster, notes)
    follower.origin.lease(guest := Guest())
    fault = (await guest.told()).fault
    assert fault is not None
    assert fault.cause is Cause.NO_ENDPOINT
    await until(lambda: notes.events["watch_failed"] >= 3)
    assert caplog.messages == [
        "upstream app: k8s:shop/app:grpc: the API server says 403: 'not for you'"
    ]
    cluster.refuses = 0
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    follower.origin.close()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"no JSON\n", "JSON is malformed"),
        (b'{"type": "ADDED", "object": {"metadata": 7}}\n', "Expected `object`"),
        (b"x" * (2 * 1024 * 1024 + 1), "a change of more than 2097152 octets"),
    ],
    ids=["no json", "no slice", "no end"],
)
async def test_what_no_api_server_says_costs_the_watch_and_no_pod(
    cluster: Cluster,
    notes: Dials,
    follower: Follower,
    line: bytes,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.1:80")
    await until(lambda: cluster.watches == 1)
    cluster.says(line)
    await until(lambda: notes.events["watch_failed"] == 1)
    assert why in caplog.text
    assert follower.labels == {"127.0.0.1:80"}
    cluster.put(slice_of("b", [endpoint("127.0.0.2")]))
    await follower.has("127.0.0.1:80", "127.0.0.2:80")
    assert notes.events["listed"] == 1


async def test_pods_stand_beside_endpoints_that_are_known(cluster: Cluster, notes: Dials) -> None:
    follower = Follower(cluster, notes, Address("127.0.0.9", 9))
    assert follower.labels == {"127.0.0.9:9"}
    cluster.put(slice_of("a", [endpoint("127.0.0.1")]))
    await follower.has("127.0.0.9:9", "127.0.0.1:80")
    follower.origin.close()


async def test_a_retired_origin_follows_nobody(cluster: Cluster, follower: Follower) -> None:
    await until(lambda: cluster.watches == 1)
    follower.origin.retire()
    await until(lambda: cluster.watches == 0)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend(settings_frame())
    yield made
    made.stop()
