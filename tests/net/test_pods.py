"""What slices say of pods: whose turn it is, at which port, and each of them once."""

import msgspec
import pytest

from tests.support.cluster import Json, endpoint, slice_of
from trailproxy.core.address import Address, parse_endpoint
from trailproxy.net.names import Spot
from trailproxy.net.pods import Pods, Slice


def _slice(told: Json) -> Slice:
    return msgspec.convert(told, Slice)


def _pods(*slices: Json, service: str = "k8s:shop/app:grpc") -> Pods:
    pods = Pods(Spot(parse_endpoint(service), weight=3))
    pods.renew([_slice(each) for each in slices])
    return pods


def _labels(pods: Pods) -> list[str]:
    return [str(spot.address) for spot in pods.spots]


def test_a_pod_has_the_weight_of_its_service_and_goes_by_its_name() -> None:
    (spot,) = _pods(slice_of("a", [endpoint("192.0.2.1")])).spots
    assert spot == Spot(Address("192.0.2.1", 80, name="app.shop.svc"), 3)
    assert spot.address.authority == "app.shop.svc:80"


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ([{}], [0]),
        ([{"ready": True}, {"ready": False}], [0]),
        ([{"ready": True}, {"ready": False, "serving": True, "terminating": True}], [0]),
        ([{"ready": False}, {"ready": False, "serving": True, "terminating": True}], [1]),
        ([{"ready": False, "serving": False, "terminating": True}], []),
    ],
    ids=["unknown is ready", "ready", "leaving", "all leave", "gone"],
)
def test_pods_that_are_ready_are_taken_or_else_those_that_still_serve(
    conditions: list[dict[str, bool]], taken: list[int]
) -> None:
    told = [endpoint(f"192.0.2.{place}", **each) for place, each in enumerate(conditions)]
    assert _labels(_pods(slice_of("a", told))) == [f"192.0.2.{place}:80" for place in taken]


@pytest.mark.parametrize(
    ("service", "ports", "label"),
    [
        ("k8s:shop/app:grpc", [{"name": "web", "port": 1}, {"name": "grpc", "port": 2}], ["2"]),
        ("k8s:shop/app:grpc", [{"name": "grpc", "port": 2, "protocol": "UDP"}], []),
        ("k8s:shop/app:grpc", [{"name": "grpc", "port": None}], []),
        ("k8s:shop/app:grpc", None, []),
        ("k8s:shop/app:7", [{"name": "grpc", "port": 2}], ["7"]),
        ("k8s:shop/app:7", None, ["7"]),
    ],
    ids=["name", "not tcp", "any port", "no such name", "number", "number alone"],
)
def test_a_port_goes_by_its_name_or_is_a_number(
    service: str, ports: list[Json] | None, label: list[str]
) -> None:
    told = {**slice_of("a", [endpoint("192.0.2.1")]), "ports": ports}
    assert _labels(_pods(told, service=service)) == [f"192.0.2.1:{port}" for port in label]


def test_a_pod_counts_once_whichever_slices_and_families_it_stands_in() -> None:
    pods = _pods(
        slice_of("six", [endpoint("2001:db8::1", uid="p"), endpoint("2001:db8::2")], family="IPv6"),
        slice_of("four", [endpoint("192.0.2.1", uid="p", ready=True)]),
        slice_of("moved", [endpoint("192.0.2.1", uid="p", ready=False)]),
        slice_of("named", [endpoint("app.example.com")], family="FQDN"),
    )
    assert _labels(pods) == ["192.0.2.1:80", "[2001:db8::2]:80"]


def test_slices_change_one_by_one() -> None:
    pods = _pods({**slice_of("a", []), "endpoints": None})
    assert pods.spots == []
    pods.put(_slice(slice_of("b", [endpoint("192.0.2.2")])))
    pods.put(_slice(slice_of("a", [endpoint("192.0.2.1")])))
    assert _labels(pods) == ["192.0.2.1:80", "192.0.2.2:80"]
    pods.drop(_slice(slice_of("a", [])))
    pods.drop(_slice(slice_of("never there", [])))
    assert _labels(pods) == ["192.0.2.2:80"]
    pods.renew([])
    assert pods.spots == []


def test_pods_and_slices_have_a_bound() -> None:
    many = [endpoint(f"10.0.{place // 250}.{place % 250}") for place in range(1100)]
    assert len(_pods(slice_of("a", many)).spots) == 1024
    assert len(_pods(slice_of("a", many[:600]), slice_of("b", many[600:])).spots) == 1024
    slices = [slice_of(f"s{place}", []) for place in range(1025)]
    with pytest.raises(ValueError, match="there are 1025 EndpointSlices, 1024 at most"):
        _pods(*slices)
    pods = _pods(*slices[:1024])
    pods.put(_slice(slices[0]))
    with pytest.raises(ValueError, match="there are more than 1024 EndpointSlices"):
        pods.put(_slice(slices[1024]))


@pytest.mark.parametrize("addresses", [[], ["app"]])
def test_a_pod_without_an_address_is_refused(addresses: list[str]) -> None:
    with pytest.raises(ValueError, match="is no IP address"):
        _pods(slice_of("a", [{"addresses": addresses}]))
