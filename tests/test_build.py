"""Build: what settings ask for is built, or refused with its place."""

import pytest

from trailproxy.build import BuildError, make_plan
from trailproxy.core.address import Address
from trailproxy.ops.settings import parse

FILE = """
listeners: [{name: main, bind: "127.0.0.1:8080"}]
upstreams:
  - {name: fixed, endpoints: ["127.0.0.1:1"]}
  - {name: app, endpoints: ["127.0.0.1:1", {address: "k8s:shop/app:grpc", weight: 2}]}
routes: [{name: all, match: {}, upstream: app}]
"""
SETTINGS = parse(FILE, "trailproxy.yaml", {})


def test_pods_are_followed_at_the_api_server_of_our_own_pod(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    origins = make_plan(SETTINGS).origins
    api = origins["app"].params.api
    assert api is not None
    assert api.address == Address("10.96.0.1", 443)
    assert origins["fixed"].params.api is None


def test_what_is_no_pod_can_follow_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BuildError) as refused:
        make_plan(SETTINGS)
    assert refused.value.problems == (
        "upstreams[1].endpoints: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: "
        "no pod; k8s: endpoints are for pods, elsewhere give host:port",
    )
