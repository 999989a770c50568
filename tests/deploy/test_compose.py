"""The compose demo: its services fit together, and docker compose understands it."""

import shutil
import subprocess
from typing import Any

import pytest

from tests.support.shipped import DEPLOY, checked, documents
from trailproxy.ops.settings import Settings, parse
from trailproxy.ops.units import Duration

FILE = DEPLOY / "compose" / "compose.yaml"


@pytest.fixture
def services() -> Any:
    return documents(FILE)[0]["services"]


@pytest.fixture
def settings() -> Settings:
    file = DEPLOY / "compose" / "trailproxy" / "trailproxy.yaml"
    return parse(file.read_text(encoding="utf-8"), str(file), {})


def test_everything_that_is_needed_to_look_is_there(services: Any) -> None:
    assert services.keys() == {"backend", "trailproxy", "prometheus", "grafana"}


def test_the_services_are_joined(services: Any, settings: Settings) -> None:
    assert settings.upstreams[0].endpoints == ("backend:50051",)
    assert "0.0.0.0:50051" in services["backend"]["command"]
    ports = {mapping.rpartition(":")[2] for mapping in services["trailproxy"]["ports"]}
    binds = (settings.listeners[0].bind, settings.admin.bind)
    assert ports == {address.rpartition(":")[2] for address in binds}
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (FILE.parent / source).exists(), source


def test_prometheus_scrapes_the_proxy_and_grafana_asks_prometheus(services: Any) -> None:
    scraped = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"]
    assert scraped[0]["static_configs"][0]["targets"] == ["trailproxy:9901"]
    sources = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    assert documents(sources)[0]["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in services


def test_nothing_is_published_to_the_network(services: Any) -> None:
    for service in services.values():
        assert all(mapping.startswith("127.0.0.1:") for mapping in service.get("ports", []))


def test_the_proxy_may_drain(services: Any, settings: Settings) -> None:
    grace = Duration.parse(services["trailproxy"]["stop_grace_period"])
    assert settings.drain_timeout < grace


def test_docker_compose_understands_every_word() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    has = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if has.returncode != 0:
        pytest.skip("docker has no compose here")
    checked(docker, "compose", "--file", str(FILE), "config", "--quiet")
