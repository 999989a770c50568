"""What one core carries is worked out from what was measured, and the manifests keep to it."""

import json
import re

import pytest
import yaml

from benchmarks import publish, sizing
from benchmarks.peers import LOGGING, OURS
from benchmarks.result import Result, Round, as_json
from benchmarks.summary import Load
from tests.support.shipped import DEPLOY, ROOT, documents


def _result(name, cpu_s, *, idle=48_000_000, peak=48_000_000, failed=0):
    load = Load(1000 + failed, 1000, 1.0, body_bytes=10**9, p50_ms=1.0, p99_ms=2.0)
    made = Result(name, trailers=True, rounds=[Round(load, cpu_s)])
    made.idle_bytes, made.peak_bytes = idle, peak
    return as_json(made)


RESULTS = {
    "workloads": [
        {"name": "small-get", "title": "small", "proxies": [_result(OURS, 0.01, idle=50_000_000)]},
        {"name": "failed", "title": "failed", "proxies": [_result(OURS, 0.01, failed=1)]},
        {"name": "download", "title": "large", "proxies": [_result(OURS, 0.8)]},
        {
            "name": "access-log",
            "title": "both ways",
            "proxies": [_result(OURS, 0.01), _result(LOGGING, 0.0125)],
        },
    ]
}
CONNECTIONS = {
    "name": "connections",
    "steps": [
        {"at": 10, "proxies": [_result(OURS, 0.01)]},
        {"at": 1000, "proxies": [_result(OURS, 0.01, peak=78_000_000)]},
    ],
}


def _rows(block):
    lines = [line for line in block.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_a_core_carries_what_its_time_is_enough_for():
    rows = _rows(sizing.block(RESULTS, None))
    assert ["small", "10", "100,000", "60,000"] in rows
    assert ["small GET with an access log to a file", "12.5", "80,000", "48,000"] in rows
    assert ["large", "0.8", "10", "6"] in rows
    assert not any("failed" in row for row in rows), "whose figures count for nothing"


def test_memory_is_the_process_its_connections_and_their_windows():
    rows = _rows(sizing.block(RESULTS, {"axes": [CONNECTIONS]}))
    assert ["the process, before anybody comes", "50 MB"] in rows
    assert ["a client connection with a request in flight, of 1,000", "30 kB"] in rows
    assert ["a stream whose windows are full, both ways", "512 KiB"] in rows
    assert ["such streams in a limit of 256 MiB", "420"] in rows


def test_memory_of_connections_that_failed_is_not_told():
    broken = {"at": 5000, "proxies": [_result(OURS, 0.01, failed=1)]}
    axis = {**CONNECTIONS, "steps": [*CONNECTIONS["steps"], broken]}
    with pytest.raises(ValueError, match="with 5000 connections not everything went well"):
        sizing.block(RESULTS, {"axes": [axis]})


def test_the_page_is_written_with_the_readme(tmp_path):
    for page, begin, end in (
        (publish.README, publish.BEGIN, publish.END),
        (publish.SIZING, sizing.BEGIN, sizing.END),
    ):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(f"Before.\n{begin}\n{end}\nBehind.\n")
    measured = tmp_path / "measured.json"
    machine = {"cpu": "Some CPU", "cores": 2, "kernel": "6.1.0", "python": "3.11.7"}
    saved = {"machine": machine, "versions": {}, "rounds": 1, "seconds": 1, "codec": "native"}
    measured.write_text(json.dumps({**saved, **RESULTS}))
    publish.publish(tmp_path, {publish.RESULTS: measured})
    page = tmp_path / publish.SIZING
    assert "| small | 10 | 100,000 | 60,000 |" in page.read_text()
    assert "Some CPU, 2 cores" in page.read_text()
    assert publish.stale(tmp_path) == []
    page.write_text(page.read_text().replace("100,000", "900,000"))
    assert publish.stale(tmp_path) == [publish.SIZING]


def _targets():
    (scaler,) = [
        each
        for each in documents(DEPLOY / "kubernetes" / "example" / "scale.yaml")
        if each["kind"] == "HorizontalPodAutoscaler"
    ]
    values = documents(DEPLOY / "helm" / "trailproxy" / "values.yaml")[0]
    return int(scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"]), values


def test_pods_are_added_before_their_memory_could_run_out():
    streams, values = _targets()
    results = json.loads((ROOT / publish.RESULTS).read_text())
    assert streams == values["autoscaling"]["streams"]
    assert streams < 0.8 * sizing.streams(results)


def test_the_memory_that_is_reckoned_with_is_what_a_pod_gets():
    _, values = _targets()
    sidecar = (DEPLOY / "kubernetes" / "component" / "sidecar.yaml").read_text()
    limit = f"{sizing.MEMORY // 1024**2}Mi"
    assert values["resources"]["limits"]["memory"] == limit
    assert re.findall(r"limits: \{ memory: (\w+) \}", sidecar) == [limit]
    assert yaml.safe_load(sidecar)["kind"] == "Deployment"
