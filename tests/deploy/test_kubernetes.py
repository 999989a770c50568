"""The kustomization: a component that puts the proxy beside a service that knows nothing of it."""

import ast
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.manifests import Manifest, Manifests, containers, restricted, scales
from tests.support.shipped import DEPLOY, checked, tool
from trailproxy import __version__

FOLDER = DEPLOY / "kubernetes"
LABEL = {"trailproxy": "sidecar"}

# whatever it is called, and whatever it has already
BARE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "mine", "labels": {"app": "mine", **LABEL}},
    "spec": {
        "selector": {"matchLabels": {"app": "mine"}},
        "template": {
            "metadata": {"labels": {"app": "mine"}, "annotations": {"kept": "yes"}},
            "spec": {
                "terminationGracePeriodSeconds": 30,
                "initContainers": [{"name": "migrate", "image": "mine:1"}],
                "containers": [
                    {"name": "web", "image": "mine:1", "env": [{"name": "A", "value": "b"}]},
                    {"name": "helper", "image": "helper:1"},
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    },
}


def build(folder: Path) -> Manifests:
    kustomize = tool("kustomize", "kubectl", built_with="go")
    verb = "kustomize" if kustomize.endswith("kubectl") else "build"
    return Manifests(checked(kustomize, verb, str(folder)))


@pytest.fixture(scope="module")
def example() -> Manifests:
    return build(FOLDER / "example")


@pytest.fixture(scope="module")
def sidecar(example: Manifests) -> Manifest:
    (found,) = example.pod["spec"]["initContainers"]
    return found  # type: ignore[no-any-return]


def test_the_example_is_valid_and_whole(example: Manifests) -> None:
    assert example.kinds == [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    ]


def test_the_pod_is_reached_where_the_proxy_binds(example: Manifests, sidecar: Manifest) -> None:
    settings = example.settings
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    binds = {settings.listeners[0].bind, settings.admin.bind}
    assert {f"0.0.0.0:{port}" for port in ports.values()} == binds
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert ports[sidecar[probe]["httpGet"]["port"]] == 9901
    app = example.pod["spec"]["containers"][0]
    assert settings.upstreams[0].endpoints == (app["command"][-1],)
    assert example.only("Service")["spec"]["ports"][0]["port"] == ports["grpc"]
    clients, monitoring = example.only("NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in clients["ports"]] == [ports["grpc"]]
    assert [port["port"] for port in monitoring["ports"]] == [ports["admin"]]


def test_the_sidecar_starts_first_and_ends_last(example: Manifests, sidecar: Manifest) -> None:
    assert sidecar["restartPolicy"] == "Always"
    script = sidecar["lifecycle"]["preStop"]["exec"]["command"][-1]
    ast.parse(script)
    waits = int(re.findall(r"time\.sleep\((\d+)\)", script)[0])
    app_sleeps = example.pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = example.pod["spec"]["terminationGracePeriodSeconds"]
    assert waits + example.settings.drain_timeout < app_sleeps < grace


def test_the_pod_meets_the_restricted_standard(example: Manifests) -> None:
    restricted(example.pod)
    assert {each["image"] for each in containers(example.pod)} == {f"trailproxy:{__version__}"}


def test_what_scales_and_what_keeps_pods_means_this_deployment(example: Manifests) -> None:
    scales(example.only("HorizontalPodAutoscaler"), example.only("Deployment"))
    labels = example.pod["metadata"]["labels"].items()
    budget = example.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert budget.items() <= labels
    policy = example.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels


def test_the_configuration_is_the_one_that_is_mounted(
    example: Manifests, sidecar: Manifest
) -> None:
    (volume,) = example.pod["spec"]["volumes"]
    assert volume["configMap"]["name"] == example.only("ConfigMap")["metadata"]["name"]
    (mount,) = sidecar["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert sidecar["args"][-1] == f"{mount['mountPath']}/trailproxy.yaml"


def overlay(folder: Path, *components: str, resources: list[Any], **more: Any) -> Manifests:
    """Build a kustomization of somebody's own."""
    (folder / "resources.yaml").write_text(yaml.safe_dump_all(resources))
    shutil.copy(FOLDER / "example" / "trailproxy.yaml", folder)
    whole = {
        "resources": ["resources.yaml"],
        "configMapGenerator": [{"name": "trailproxy", "files": ["trailproxy.yaml"]}],
        "components": [os.path.relpath(FOLDER / each, folder) for each in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return build(folder)


def test_any_deployment_that_asks_gets_it_and_keeps_what_it_has(tmp_path: Path) -> None:
    built = overlay(tmp_path, "component", resources=[BARE])
    assert built.only("Deployment")["spec"]["selector"] == {"matchLabels": {"app": "mine"}}
    assert built.pod["metadata"]["labels"] == {"app": "mine", **LABEL}
    assert built.pod["metadata"]["annotations"]["kept"] == "yes"
    spec = built.pod["spec"]
    assert [each["name"] for each in spec["initContainers"]] == ["trailproxy", "migrate"]
    web, helper = spec["containers"]
    assert web["env"] == [{"name": "A", "value": "b"}]
    assert web["lifecycle"]["preStop"]["sleep"]["seconds"] == 31
    assert helper == {"name": "helper", "image": "helper:1"}
    assert {each["name"] for each in spec["volumes"]} == {"data", "trailproxy"}
    assert spec["terminationGracePeriodSeconds"] == 45


def test_a_deployment_that_does_not_ask_is_left_alone(tmp_path: Path) -> None:
    other = {**BARE, "metadata": {"name": "other", "labels": {"app": "mine"}}}
    built = overlay(tmp_path, "component", resources=[BARE, other])
    assert {**other} in built.some("Deployment")


def test_an_image_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    image = {"name": "trailproxy", "newName": "registry.example.com/trailproxy", "newTag": "7"}
    built = overlay(tmp_path, "component", resources=[BARE], images=[image])
    proxy = built.pod["spec"]["initContainers"][0]
    assert proxy["image"] == "registry.example.com/trailproxy:7"


def test_the_operator_of_prometheus_finds_every_sidecar_once(tmp_path: Path) -> None:
    built = overlay(tmp_path, "component", "monitoring", resources=[BARE])
    monitor = built.only("PodMonitor")["spec"]
    labels = built.pod["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in built.pod["spec"]["initContainers"][0]["ports"]}
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    assert built.pod["metadata"]["annotations"] == {"kept": "yes"}
