"""What is shipped beside the package: it loads, and names only what exists."""

import ast
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trailproxy import __version__
from trailproxy.core.fault import Cause, Initiator, Refusal, Side
from trailproxy.core.record import Direction, Outcome, Progress, Tally
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.page import Collector
from trailproxy.ops.settings import Settings, parse
from trailproxy.ops.units import Duration
from trailproxy.wire.errors import ErrorCode

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "trailproxy.yaml"
RULE_TESTS = DEPLOY / "prometheus" / "trailproxy_test.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
YAML_FILES = sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")])
LOCKS = [ROOT / f"requirements{purpose}.lock" for purpose in ("", "-build", "-sbom", "-dev")]


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", YAML_FILES, ids=relative)
def test_yaml_parses(path: Path) -> None:
    assert all(document for document in documents(path))


# -- Prometheus and Grafana ---------------------------------------------------------------


def expressions(path: Path) -> Iterator[str]:
    if path == RULES:
        for group in documents(path)[0]["groups"]:
            yield from (rule["expr"] for rule in group["rules"])
    elif path == RULE_TESTS:
        for test in documents(path)[0]["tests"]:
            yield from (series["series"] for series in test["input_series"])
    else:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        yield from (each["query"]["query"] for each in dashboard["templating"]["list"][1:])
        for panel in dashboard["panels"]:
            yield from (target["expr"] for target in panel.get("targets", []))


def exposed() -> dict[str, set[str]]:
    """Name every sample that the metrics page can have, with its labels."""
    samples: dict[str, set[str]] = {}
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for family in Collector(Metrics({side: Tally() for side in Side})).collect():
        labels = set(family._labelnames) | {"job", "instance", "le", "version"}
        for ending in endings.get(family.type, ("_info",) if family.type == "info" else ("",)):
            samples[family.name + ending] = labels
    return samples


CODES = {code.name for code in ErrorCode}
VALUES: dict[str, set[str]] = {
    "side": set(Side),
    "initiator": set(Initiator),
    "cause": {*Cause, *Refusal},
    "phase": set(Progress),
    "direction": set(Direction),
    "outcome": {*Outcome, "ok", "failed"},
}
METRIC = re.compile(r"(?<![:\w])(trailproxy_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@pytest.mark.parametrize("path", [RULES, RULE_TESTS, DASHBOARD], ids=relative)
def test_rules_and_dashboard_name_only_what_is_exposed(path: Path) -> None:
    samples = exposed()
    named = [found for expr in expressions(path) for found in METRIC.findall(expr)]
    assert named
    for metric, matchers in named:
        assert metric in samples, metric
        for label, operator, value in MATCHER.findall(matchers):
            assert label in samples[metric], f"{metric}{{{label}}}"
            known = CODES if label == "code" and "resets" in metric else VALUES.get(label)
            if known is None or value.startswith("$"):
                continue
            fits = re.compile(value if "~" in operator else re.escape(value)).fullmatch
            assert path == RULE_TESTS or any(map(fits, known)), f"{metric}{{{label}={value!r}}}"


def test_dashboard_shows_every_metric_of_the_contract() -> None:
    shown = {metric for expr in expressions(DASHBOARD) for metric, _ in METRIC.findall(expr)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in shown}
    contract = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in exposed()}
    assert contract <= bases


def test_every_alert_has_a_test() -> None:
    tested = RULE_TESTS.read_text(encoding="utf-8")
    for group in documents(RULES)[0]["groups"]:
        for rule in group["rules"]:
            assert "alert" not in rule or rule["alert"] in tested


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(RULES)),
        ("test", "rules", str(RULE_TESTS)),
        ("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which is optional, is not at hand")
    told = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


# -- compose and Kubernetes ---------------------------------------------------------------


def only(path: Path, kind: str) -> Any:
    (found,) = [document for document in documents(path) if document["kind"] == kind]
    return found


@pytest.fixture
def compose() -> Any:
    return documents(DEPLOY / "compose" / "compose.yaml")[0]["services"]


@pytest.fixture
def composed() -> Settings:
    file = DEPLOY / "compose" / "trailproxy" / "trailproxy.yaml"
    return parse(file.read_text(encoding="utf-8"), str(file), {})


@pytest.fixture
def pod() -> Any:
    return only(DEPLOY / "kubernetes" / "sidecar.yaml", "Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def mapped() -> Settings:
    config = only(DEPLOY / "kubernetes" / "sidecar.yaml", "ConfigMap")["data"]
    return parse(config["trailproxy.yaml"], "trailproxy.yaml", {})


def test_compose_joins_its_services(compose: Any, composed: Settings) -> None:
    assert composed.upstreams[0].endpoints == ("backend:50051",)
    assert "0.0.0.0:50051" in compose["backend"]["command"]
    ports = {mapping.rpartition(":")[2] for mapping in compose["trailproxy"]["ports"]}
    assert ports == {address.rpartition(":")[2] for address in binds(composed)}
    for service in compose.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / "compose" / source).exists(), source


def test_compose_waits_for_the_drain(compose: Any, composed: Settings) -> None:
    grace = Duration.parse(compose["trailproxy"]["stop_grace_period"])
    assert composed.drain_timeout < grace


def test_the_pod_is_reached_where_the_proxy_binds(pod: Any, mapped: Settings) -> None:
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    assert {f"0.0.0.0:{port}" for port in ports.values()} == set(binds(mapped))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert ports[sidecar[probe]["httpGet"]["port"]] == 9901
    assert mapped.upstreams[0].endpoints == (pod["containers"][0]["command"][-1],)
    service = only(DEPLOY / "kubernetes" / "sidecar.yaml", "Service")["spec"]["ports"][0]
    assert service["port"] == ports["grpc"]
    monitor = only(DEPLOY / "kubernetes" / "podmonitor.yaml", "PodMonitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports


def test_the_pod_outlives_the_drain(pod: Any, mapped: Settings) -> None:
    script = pod["initContainers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    ast.parse(script)
    waits = int(re.findall(r"time\.sleep\((\d+)\)", script)[0])
    app_sleeps = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits + mapped.drain_timeout < app_sleeps < pod["terminationGracePeriodSeconds"]


def test_the_pod_meets_the_restricted_standard(pod: Any) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"] == f"trailproxy:{__version__}"


def binds(settings: Settings) -> list[str]:
    return [settings.listeners[0].bind, settings.admin.bind]


# -- the image and the locks --------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Read the instructions, each with its arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines]


def test_the_image_keeps_its_promises(dockerfile: list[tuple[str, str]]) -> None:
    last_stage = max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM")
    stage = dict(dockerfile[last_stage:])
    assert stage["USER"].split(":")[0] not in ("0", "root")
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(stage["ENTRYPOINT"]) == ["trailproxy"]
    assert json.loads(stage["CMD"])[0] == "run"
    assert "RUN" not in stage
    assert "PYTHONDONTWRITEBYTECODE=1" in stage["ENV"]
    installs = [what for _, what in dockerfile if "-m pip " in what and " install " in what]
    assert len(installs) == 4
    assert all(re.search("--require-hashes|--no-deps --no-index", each) for each in installs)


def listing(command: str) -> list[str]:
    """Return how a command lists the packages, without the place of the list."""
    _, *arguments = command.replace("\\\n", " ").split()
    out = arguments.index("--output-file")
    assert arguments[out + 1].endswith("/trailproxy.cdx.json")
    return arguments[:out] + arguments[out + 2 :]


def test_the_image_lists_exactly_the_packages_of_its_lock(
    dockerfile: list[tuple[str, str]], tmp_path: Path
) -> None:
    (step,) = [what for word, what in dockerfile if word == "RUN" and "cyclonedx-py" in what]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (verb,) = re.findall(r"^\t\S+/cyclonedx-py (?:.*\\\n)*.*$", makefile, re.MULTILINE)
    assert listing(verb) == listing(step)
    # whether the list is CycloneDX to the letter is seen when it is made; that takes 6 s of CPU
    tool, out = Path(sys.executable).parent / "cyclonedx-py", tmp_path / "list.json"
    subprocess.run(
        [tool, *listing(step), "--no-validate", "--output-file", out],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )

    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["bomFormat"] == "CycloneDX"
    assert told["metadata"]["component"]["name"] == "trailproxy"
    listed = {each["name"]: each for each in told["components"]}
    pins = re.split(r"\n(?=\S)", LOCKS[0].read_text(encoding="utf-8").strip())
    assert len(pins) == len(listed) == len(told["components"])
    for pin in pins:
        name, version = re.split(r"[=\s]+", pin)[:2]
        assert listed[name]["version"] == version
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{version}"
        (distribution,) = listed[name]["externalReferences"]
        hashes = [each["content"] for each in distribution["hashes"]]
        assert hashes == re.findall(r"--hash=sha256:(\w+)", pin)


def test_the_list_is_where_the_label_says_and_its_tool_stays_behind(
    dockerfile: list[tuple[str, str]],
) -> None:
    last_stage = max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM")
    stage = dockerfile[last_stage:]
    (place,) = re.findall(r'trailproxy\.sbom="(.+?)"', dict(stage)["LABEL"])
    copied = [what.split() for word, what in stage if word == "COPY"]
    assert all(each[0] == "--from=build" for each in copied)
    assert {each[1]: each[2] for each in copied} == {
        "/opt/venv": "/opt/venv",
        f"/opt/{Path(place).name}": place,
    }
    assert place in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


class Healthy(http.server.BaseHTTPRequestHandler):
    """An admin page that says what it was made to say."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False)])
def test_the_health_check_tells(
    dockerfile: list[tuple[str, str]], status: int, healthy: bool
) -> None:
    check = dict(dockerfile)["HEALTHCHECK"].partition("CMD ")[2]
    _, *arguments = json.loads(check)
    answers = type("Answers", (Healthy,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), answers) as server:
        server.timeout = 10
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        asked = [part.replace("9901", str(server.server_port)) for part in arguments]
        told = subprocess.run(
            [sys.executable, *asked], capture_output=True, timeout=20, check=False
        )
        thread.join()
    assert (told.returncode == 0) is healthy


@pytest.mark.parametrize("lock", LOCKS, ids=relative)
def test_locks_are_hashed_and_name_no_place(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-[-\w]*\s*(index|find|trusted)|\s/\w+/", text, re.MULTILINE)
    lines = [line for line in text.strip().splitlines() if not line.startswith("#")]
    pins = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    assert all(
        re.match(r"[\w.-]+==\S+( ; [^\\]+)? \\\n", pin) and "--hash=sha256:" in pin for pin in pins
    )


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, build, sbom, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS
    )
    groups = project["dependency-groups"]
    asked = [each for name in ("test", "lint", "build", "sbom") for each in groups[name]]
    assert names(project["project"]["dependencies"]) <= runtime.keys()
    assert names(project["build-system"]["requires"]) <= build.keys()
    assert names(asked) <= dev.keys()
    assert names(groups["sbom"]) <= sbom.keys()
    assert runtime.items() | build.items() | sbom.items() <= dev.items()


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", each)[0].lower() for each in requirements}
