"""A real Prometheus that watches a proxy under test, with rules that do not wait as long.

Its minute is a second: every window and offset of the rules is shortened alike, so
that a fault is told within seconds and for the same reasons.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from tests.support.running import PATIENCE_S, eventually, free_port

JOB: Final = "trailproxy"
MINUTE_S: Final = 1

_DURATION: Final = re.compile(r"(?<![\w.:])(\d+)([smhd])\b")
_MINUTES: Final = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}
_FOR_S: Final = (2, 3)  # at least, at most: one late scrape is no fault

Labels = dict[str, str]


def quickened(rules: str) -> str:
    """Shorten every duration in a file of rules."""
    whole = yaml.safe_load(rules)
    for group in whole["groups"]:
        for rule in group["rules"]:
            rule["expr"] = _DURATION.sub(_shorter, rule["expr"])
            if "for" in rule:
                least, most = _FOR_S
                rule["for"] = f"{min(max(_seconds(rule['for']), least), most)}s"
    return yaml.safe_dump(whole, sort_keys=False)


def _seconds(duration: str) -> int:
    count, unit = int(duration[:-1]), duration[-1]
    return max(int(count * _MINUTES[unit] * MINUTE_S), 1)


def _shorter(found: re.Match[str]) -> str:
    return f"{_seconds(found[0])}s"


class Prometheus:
    """One Prometheus process, which scrapes one proxy every second."""

    def __init__(self, folder: Path, target: str, rules: Path) -> None:
        (folder / "rules.yaml").write_text(quickened(rules.read_text("utf-8")), "utf-8")
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        job = {"job_name": JOB, "static_configs": [{"targets": [target]}]}
        config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
        self._port = free_port()
        self._errors = folder / "stderr.log"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--enable-feature=exemplar-storage",
                    "--log.level=warn",
                ],
                stdout=errors,
                stderr=errors,
                env={**os.environ, "GOMAXPROCS": "1"},
            )

    def ready(self) -> bool:
        """Whether it says so; a process that ended fails the test."""
        assert self.process.poll() is None, self._errors.read_text(errors="replace")
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, **arguments: str) -> Any:
        """Ask the HTTP API; return its data.

        Raises:
            AssertionError: it answered with an error.
        """
        _, text = self._get(f"/api/v1/{path}?{urlencode(arguments)}")
        told = json.loads(text)
        assert told["status"] == "success", f"{arguments}: {told['error']}"
        return told["data"]

    def query(self, expr: str) -> list[Labels]:
        """Evaluate an expression now; return the labels of each series that came of it."""
        data = self.ask("query", query=expr)
        return [each["metric"] for each in data["result"]] if data["resultType"] == "vector" else []

    def series(self, selector: str) -> list[Labels]:
        """Return all series a selector takes, with their labels."""
        found = self.ask("series", **{"match[]": selector})
        assert isinstance(found, list)
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def _get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def running_prometheus(folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Run a Prometheus for as long as the block lasts."""
    folder.mkdir()
    running = Prometheus(folder, target, rules)
    try:
        eventually(running.ready, "Prometheus to be ready", every_s=0.1)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(PATIENCE_S)
