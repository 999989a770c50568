"""The chart: it renders what Kubernetes takes, whatever is switched on, and refuses the rest."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.manifests import VERSIONS, Manifests, outlives, restricted, scales
from tests.support.shipped import DEPLOY, checked, relative, tool
from trailproxy import __version__
from trailproxy.core.address import parse_address, parse_endpoint

CHART = DEPLOY / "helm" / "trailproxy"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
NEWEST = VERSIONS[-1]


def helm(*arguments: str) -> str:
    return checked(tool("helm", built_with="go"), *arguments)


def rendered(*values: Path, chart: Path = CHART) -> Manifests:
    files = [word for each in values for word in ("--values", str(each))]
    where = ("--namespace", "front", "--kube-version", NEWEST)
    return Manifests(helm("template", "edge", str(chart), *where, *files))


@pytest.mark.parametrize("values", VALUES, ids=relative)
def test_the_chart_is_in_order(values: Path) -> None:
    helm("lint", "--strict", str(CHART), "--values", str(values), "--kube-version", NEWEST)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


@pytest.fixture(scope="module")
def gateway() -> Manifests:
    return rendered(CHART / "ci" / "gateway-values.yaml")


@pytest.fixture(scope="module")
def everything() -> Manifests:
    return rendered(CHART / "ci" / "everything-values.yaml")


@pytest.fixture(scope="module")
def sidecar() -> Manifests:
    return rendered(CHART / "ci" / "sidecar-values.yaml")


def test_each_values_file_renders_what_it_names(
    gateway: Manifests, everything: Manifests, sidecar: Manifests
) -> None:
    always = ["ConfigMap", "NetworkPolicy"]
    standing = ["Deployment", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount"]
    assert gateway.kinds == sorted([*always, *standing, "Role", "RoleBinding"])
    more = ["HorizontalPodAutoscaler", "PodMonitor", *["Role", "RoleBinding"] * 2]
    assert everything.kinds == sorted([*always, *standing, *more])
    assert sidecar.kinds == sorted([*always, "PodMonitor"])


@pytest.mark.parametrize("made", ["gateway", "everything"])
def test_the_gateway_is_reached_where_it_binds(made: str, request: pytest.FixtureRequest) -> None:
    manifests = request.getfixturevalue(made)
    settings = manifests.settings
    binds = [parse_address(each.bind) for each in settings.listeners]
    ports = [address.port for address in binds if not address.is_unix]
    admin = parse_address(settings.admin.bind).port
    (container,) = manifests.pod["spec"]["containers"]
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert list(named.values()) == [*ports, admin]
    scheme = "HTTP" if settings.admin.tls is None else "HTTPS"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["scheme"], named[asked["port"]]) == (scheme, admin)
    service = manifests.only("Service")["spec"]
    assert [each["port"] for each in service["ports"]] == ports
    assert [named[each["targetPort"]] for each in service["ports"]] == ports
    secure = {each.name: each.tls is not None for each in settings.listeners}
    assert all(
        (each["appProtocol"] == "https") is secure[each["name"]] for each in service["ports"]
    )
    clients, monitoring = manifests.only("NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in clients["ports"]] == ports
    assert [each["port"] for each in monitoring["ports"]] == [admin]
    labels = manifests.pod["metadata"]["labels"].items()
    for selector in (
        service["selector"],
        manifests.only("Deployment")["spec"]["selector"]["matchLabels"],
        manifests.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        manifests.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels


@pytest.mark.parametrize("made", ["gateway", "everything"])
def test_a_gateway_may_follow_the_pods_it_is_configured_for_and_nothing_else(
    made: str, request: pytest.FixtureRequest
) -> None:
    manifests = request.getfixturevalue(made)
    followed = set()
    for upstream in manifests.settings.upstreams:
        for each in upstream.endpoints:
            text = each if isinstance(each, str) else each.address
            followed.add(parse_endpoint(text).namespace)
    roles, bindings = manifests.some("Role"), manifests.some("RoleBinding")
    account = manifests.only("ServiceAccount")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in roles} == followed - {""}
    assert {each["metadata"]["namespace"] for each in bindings} == followed - {""}
    for role in roles:
        assert role["rules"] == [
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["get", "list", "watch"],
            }
        ]
    for binding in bindings:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account, "namespace": "front"}
        ]
        assert binding["roleRef"]["name"] == roles[0]["metadata"]["name"]
    spec = manifests.pod["spec"]
    assert spec["serviceAccountName"] == account
    assert spec["automountServiceAccountToken"] is True


def test_whoever_follows_nobody_has_no_token(tmp_path: Path) -> None:
    upstream = {"name": "app", "endpoints": ["10.0.0.9:50051"]}
    manifests = rendered(_values(tmp_path, config={"upstreams": [upstream]}))
    assert manifests.some("Role") == manifests.some("RoleBinding") == []
    assert manifests.pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("made", ["gateway", "everything"])
def test_a_gateway_drains_within_its_grace_and_needs_no_privilege(
    made: str, request: pytest.FixtureRequest
) -> None:
    manifests = request.getfixturevalue(made)
    (container,) = manifests.pod["spec"]["containers"]
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    outlives(manifests.pod, manifests.settings.drain_timeout, waits)
    restricted(manifests.pod)
    restricted({"spec": manifests.only("Pod")["spec"]})


def test_what_scales_is_not_told_how_many(gateway: Manifests, everything: Manifests) -> None:
    assert gateway.only("Deployment")["spec"]["replicas"] == 2
    scales(everything.only("HorizontalPodAutoscaler"), everything.only("Deployment"))


def test_a_change_of_the_configuration_is_rolled_out(tmp_path: Path, gateway: Manifests) -> None:
    changed = rendered(
        CHART / "ci" / "gateway-values.yaml", _values(tmp_path, config={"drain_timeout": "20s"})
    )
    sums = [each.pod["metadata"]["annotations"]["checksum/config"] for each in (gateway, changed)]
    assert sums[0] != sums[1]


def _parent(folder: Path) -> Path:
    """Write a chart of somebody's own, which depends on ours."""
    chart = folder / "mine"
    shutil.copytree(CHART, chart / "charts" / "trailproxy")
    (chart / "templates").mkdir()
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: mine, version: 1.0.0}")
    (chart / "templates" / "app.yaml").write_text(PARENT)
    return chart


def test_another_chart_takes_the_sidecar_from_this_one(tmp_path: Path) -> None:
    parent = _parent(tmp_path)
    values = yaml.safe_load((CHART / "ci" / "sidecar-values.yaml").read_text())
    manifests = rendered(_values(tmp_path, trailproxy=values), chart=parent)
    assert manifests.kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "PodMonitor"]
    restricted(manifests.pod)
    (proxy,) = manifests.pod["spec"]["initContainers"]
    assert proxy["restartPolicy"] == "Always"
    assert "9901" in proxy["lifecycle"]["preStop"]["exec"]["command"][-1]
    (volume,) = manifests.pod["spec"]["volumes"]
    assert volume["configMap"]["name"] == manifests.only("ConfigMap")["metadata"]["name"]
    monitored = manifests.only("PodMonitor")["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= manifests.pod["metadata"]["labels"].items()
    outlives(manifests.pod, manifests.settings.drain_timeout, 5)


@pytest.mark.parametrize("key", ["token", "token_file", "tls"])
def test_a_sidecar_must_be_drained_without_a_word(tmp_path: Path, key: str) -> None:
    parent = _parent(tmp_path)
    config = {"admin": {"bind": "0.0.0.0:9901", key: "x"}}
    values = _values(tmp_path, trailproxy={"mode": "sidecar", "config": config})
    with pytest.raises(AssertionError, match="neither a token nor TLS to drain it with"):
        rendered(values, chart=parent)


PARENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: mine}
spec:
  selector: {matchLabels: {app: mine}}
  template:
    metadata: {labels: {app: mine, trailproxy: sidecar}}
    spec:
      terminationGracePeriodSeconds: 45
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        - {{- include "trailproxy.sidecar" .Subcharts.trailproxy | nindent 10 }}
      containers:
        - name: app
          image: mine:1
          lifecycle: {preStop: {sleep: {seconds: 31}}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
      volumes:
        {{- include "trailproxy.volumes" .Subcharts.trailproxy | nindent 8 }}
"""


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "both"},
        {"replica": 2},
        {"replicas": 0},
        {"config": {"listeners": []}},
        {"config": {"listeners": [{"name": "Main", "bind": "0.0.0.0:1"}]}},
        {"config": {"listeners": [{"name": "main", "bind": "0.0.0.0"}]}},
        {"config": {"admin": {"bind": "127.0.0.1:9901"}}},
        {"service": {"type": "Headless"}},
        {"autoscaling": {"streams": "many"}},
        {"podMonitor": {"interval": "15"}},
    ],
    ids=json.dumps,
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="values don't meet the specifications"):
        rendered(_values(tmp_path, **values))


def test_every_value_is_in_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
    for name, inner in schema["properties"].items():
        if inner.get("additionalProperties") is False:
            assert values[name].keys() == inner["properties"].keys(), name


# helm shows notes when it installs, which takes a cluster
NOTES = """\
apiVersion: v1
kind: Secret
metadata: {name: notes}
stringData:
  notes: {{ tpl (.Files.Get "notes.txt") . | toJson }}
"""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("gateway", "http://edge-trailproxy.front.svc:8080   (main, HTTP/2 with prior knowledge)"),
        ("gateway", "It follows the EndpointSlices of: shop"),
        ("everything", "https://edge-trailproxy.front.svc:8443   (tls, HTTP/2)"),
        ("everything", "deployment/edge-trailproxy 9901"),
        ("sidecar", '- {{- include "trailproxy.sidecar" .Subcharts.trailproxy | nindent 6 }}'),
    ],
)
def test_the_notes_say_where_it_is(tmp_path: Path, values: str, words: str) -> None:
    chart = tmp_path / "trailproxy"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(NOTES)
    manifests = rendered(CHART / "ci" / f"{values}-values.yaml", chart=chart)
    assert words in manifests.only("Secret")["stringData"]["notes"]


def _values(folder: Path, **values: Any) -> Path:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return file
