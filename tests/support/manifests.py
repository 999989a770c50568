"""Manifests of Kubernetes: held against the published schemas, and looked through."""

from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

from trailproxy.core.fault import Side
from trailproxy.core.record import Tally
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector
from trailproxy.ops.settings import Settings, parse
from trailproxy.ops.units import Duration

VERSIONS: Final = (
    "1.30",
    kubernetes_validate.latest_version(),
)  # the oldest that will do, the newest

#: PodMonitor belongs to the Prometheus operator, and no schema of it is published here: this
#: is what of it we use.
_POD_MONITOR: Final = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "PodMonitor"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["selector", "podMetricsEndpoints"],
            "additionalProperties": False,
            "properties": {
                "selector": {
                    "type": "object",
                    "required": ["matchLabels"],
                    "additionalProperties": False,
                    "properties": {
                        "matchLabels": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                        }
                    },
                },
                "podMetricsEndpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["port", "path"],
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"const": "/metrics"},
                            "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                            "scheme": {"enum": ["http", "https"]},
                            "tlsConfig": {"type": "object"},
                            "authorization": {"type": "object"},
                        },
                    },
                },
            },
        },
    },
}

Manifest = dict[str, Any]


class Manifests:
    """What a tool has rendered, every piece of it valid."""

    def __init__(self, text: str) -> None:
        self.all: list[Manifest] = [each for each in yaml.safe_load_all(text) if each]
        for manifest in self.all:
            _validate(manifest)

    @property
    def kinds(self) -> list[str]:
        """The kinds there are, sorted."""
        return sorted(manifest["kind"] for manifest in self.all)

    def some(self, kind: str) -> list[Manifest]:
        """Return those of one kind."""
        return [manifest for manifest in self.all if manifest["kind"] == kind]

    def only(self, kind: str) -> Manifest:
        """Return the one of a kind."""
        (found,) = self.some(kind)
        return found

    @property
    def pod(self) -> Manifest:
        """What the one Deployment makes its pods of."""
        template: Manifest = self.only("Deployment")["spec"]["template"]
        return template

    @property
    def settings(self) -> Settings:
        """What the proxy reads in the one ConfigMap."""
        text = self.only("ConfigMap")["data"]["trailproxy.yaml"]
        return parse(text, "trailproxy.yaml", {})


def _validate(manifest: Manifest) -> None:
    if manifest["kind"] == "PodMonitor":
        jsonschema.validate(manifest, _POD_MONITOR)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod's template, those that come first among them."""
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def restricted(pod: Manifest) -> None:
    """Assert what the restricted Pod Security Standard asks for, of every container."""
    shared = pod["spec"].get("securityContext", {})
    for container in containers(pod):
        own = {**shared, **container["securityContext"]}
        assert own["runAsNonRoot"] is True
        assert own["runAsUser"] > 0
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}


def outlives(pod: Manifest, drain_timeout: Duration, before_s: float) -> None:
    """Assert that a pod is given time to drain behind its preStop, of `before_s` seconds."""
    assert before_s + drain_timeout < pod["spec"]["terminationGracePeriodSeconds"]


def scales(scaler: Manifest, deployment: Manifest) -> None:
    """Assert that a scaler means this deployment, alone, and counts what the proxy exposes."""
    spec = scaler["spec"]
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "which would undo what the scaler did"
    metric = spec["metrics"][0]["pods"]["metric"]
    families = Collector(Metrics({side: Tally() for side in Side})).collect()
    assert metric["name"] in {family.name for family in families}
    assert metric["selector"]["matchLabels"]["side"] in set(Side)
