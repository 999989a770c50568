"""No fenced block of any page is there only to be looked at.

Each is run as it stands, or is checked by what would read it, or stands in the one table
of those that are not run, with the reason.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.manifests import Manifests
from tests.support.pages import DOCS, ROOT, Block, blocks, pages, relative
from tests.support.shipped import checked, tool
from trailproxy.ops.settings import Settings, parse

#: The blocks that nobody runs: by their page and first line, and why.
NOT_RUN = {
    ("README.md", "make run"): (
        "these run the tests; that there are such targets is tested"
    ),
    ("docs/adr/0009-no-huffman.md", "from time import perf_counter"): (
        "a measurement of the day on which that was decided"
    ),
    ("docs/install.md", "pipx run trailproxy demo"): (
        "asks the package index; tests/deploy/test_packages.py calls the program as pipx does"
    ),
    ("docs/install.md", "python3 -m venv /opt/trailproxy"): (
        "asks the package index; tests/deploy/test_packages.py installs the wheel"
    ),
    ("docs/install.md", "/opt/trailproxy/bin/pip install --require-hashes"): (
        "asks the package index; so is .venv made, by the Makefile"
    ),
    ("docs/install.md", "git checkout v0.1.0"): (
        "asks the package index; tests/deploy/test_packages.py compares octets"
    ),
    ("docs/kubernetes.md", "docker build"): (
        "needs an engine; tests/deploy/test_kubernetes.py builds what would be applied"
    ),
    ("docs/kubernetes.md", "kubectl logs"): "needs a cluster",
    ("docs/kubernetes.md", "helm install edge"): (
        "needs a cluster; tests/deploy/test_helm.py renders what would be installed"
    ),
    ("docs/live.md", "1  POST /greet.Greeter/Hello"): (
        "needs a backend that has changed; tests/e2e/test_replay.py has such"
    ),
    ("docs/probe.md", "trailproxy probe https://api.example.com/greet.Greeter/Hello --grpc"): (
        "asks a host of the reader's"
    ),
    ("docs/probe.md", "http://127.0.0.1:8080 breaks 2: trailers-present, request-trailers"): (
        "what a hop that is at fault looks like; docs/how-to/from-nginx.md has a real one"
    ),
    ("docs/probe.md", "trailproxy probe https://api.example.com/x"): (
        "asks a host of the reader's"
    ),
    ("benchmarks/README.md", "python -m benchmarks.run"): "measures for minutes",
    ("benchmarks/README.md", "make fuzz FUZZ='--seconds 600 --seed 2'"): "fuzzes for minutes",
}  # fmt: skip

#: Pages that are typed from their beginning to their end.
WALKED = {DOCS / "tutorial.md", *(DOCS / "how-to").glob("*.md")}
_TYPED = ("sh", "console")

#: What runs, or checks, the blocks of a language on a page.
ELSEWHERE = {
    ("README.md", "text"): "tests/test_docs.py::test_the_tour_goes_as_the_readme_says",
    ("README.md", "console"): "tests/test_docs.py::test_the_tour_goes_as_the_readme_says",
    ("README.md", "yaml"): "tests/test_docs.py::test_the_readme_shows_the_sidecar_example",
    ("README.md", "sh"): "tests/docs/test_orders.py::test_the_orders_of_the_readme_are_obeyed",
    ("docs/endings.md", "json"): (
        "tests/test_docs.py::test_examples_of_the_access_log_are_lines_of_it"
    ),
    ("docs/install.md", "console"): (
        "tests/docs/test_orders.py::test_the_version_is_told_as_the_page_says"
    ),
    ("docs/install.md", "sh"): (
        "tests/docs/test_orders.py::test_shells_find_what_they_complete_with"
    ),
    ("docs/life-of-a-request.md", "text"): (
        "tests/test_docs.py::test_functions_that_are_named_exist"
    ),
    ("docs/live.md", "sh"): "tests/docs/test_orders.py::test_what_a_tap_catches_is_sent_again",
    ("docs/probe.md", "sh"): "tests/docs/test_orders.py::test_the_probe_has_an_origin_of_its_own",
    **dict.fromkeys(
        (("docs/cli.md", "text"), ("docs/hooks.md", "py"), ("docs/send-trailers.md", "py")),
        "tests/site/test_reference.py::test_what_is_made_of_the_code_is_what_it_says_now",
    ),
    ("docs/send-trailers.md", "python"): (
        "tests/test_docs.py::test_the_program_does_what_the_page_says"
    ),
    ("docs/send-trailers.md", "text"): (
        "tests/test_docs.py::test_the_program_does_what_the_page_says"
    ),
    **{
        ("docs/trailers.md", language): (
            "tests/test_trailer_docs.py::test_an_example_goes_as_the_page_says"
        )
        for language in ("python", "yaml", "text")
    },
}

AROUND = {
    "listeners": [{"name": "main", "bind": "127.0.0.1:8080"}],
    "upstreams": [{"name": "app", "endpoints": ["127.0.0.1:9000"]}],
    "routes": [{"name": "all", "match": {}, "upstream": "app"}],
}
EVERY = [block for page in pages() for block in blocks(page)]


def is_not_run(block: Block) -> bool:
    """Whether the table has it."""
    return any(
        relative(block.page) == page and block.first.startswith(first) for page, first in NOT_RUN
    )


def is_checked_here(block: Block) -> bool:
    """Whether a test below takes it."""
    return any(block in found for found in (QUERIES, FRAGMENTS, KUBERNETES))


def some(language: str, fits: Callable[[Block], bool]) -> list[Block]:
    return [block for block in EVERY if block.language == language and fits(block)]


def is_fragment(block: Block) -> bool:
    """Whether it is a part of a configuration of ours, to be put into a whole one."""
    here = (relative(block.page), "yaml")
    return here not in ELSEWHERE and not block.file and not is_of_others(block)


def is_of_others(block: Block) -> bool:
    """Whether it is YAML that somebody else reads."""
    keys = re.findall(r"^(\w+):", block.text, re.MULTILINE)
    return not set(keys) <= set(Settings.__struct_fields__)


QUERIES = some("promql", lambda _: True)
FRAGMENTS = some("yaml", is_fragment)
KUBERNETES = some("yaml", lambda block: not block.file and is_of_others(block))


# -- the table -----------------------------------------------------------------------------


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_every_block_is_run_or_said_not_to_be(block: Block) -> None:
    typed = block.page in WALKED and (block.language in _TYPED or block.file)
    elsewhere = (relative(block.page), block.language) in ELSEWHERE
    assert typed or elsewhere or is_checked_here(block) or is_not_run(block), block.first


@pytest.mark.parametrize(("page", "first"), NOT_RUN)
def test_what_is_not_run_is_there(page: str, first: str) -> None:
    found = [b for b in EVERY if relative(b.page) == page and b.first.startswith(first)]
    assert len(found) == 1


def test_what_runs_the_others_is_there() -> None:
    pairs = {(relative(block.page), block.language) for block in EVERY}
    assert set(ELSEWHERE) <= pairs
    for test in ELSEWHERE.values():
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / file).read_text("utf-8")


# -- what is checked by whoever would read it ----------------------------------------------


@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_a_part_of_a_configuration_fits_into_one(block: Block) -> None:
    part: dict[str, Any] = yaml.safe_load(block.text)
    rest = {key: value for key, value in AROUND.items() if key not in part}
    names = {each["name"] for each in part.get("upstreams", AROUND["upstreams"])}
    if "upstreams" in part and "routes" not in part:
        rest["routes"] = [{"name": "all", "match": {}, "upstream": min(names)}]
    assert parse(yaml.safe_dump(rest) + block.text, str(block), {})


def test_queries_are_promql(tmp_path: Path) -> None:
    queries = [query for block in QUERIES for query in block.text.split("\n\n")]
    rules = [{"record": f"page:query:{at}", "expr": query} for at, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}), "utf-8")
    assert f"{len(queries)} rules found" in checked(tool("promtool"), "check", "rules", str(file))


def test_the_scrape_is_one_of_prometheus(tmp_path: Path) -> None:
    (block,) = [block for block in KUBERNETES if block.page.name == "configuration.md"]
    file = tmp_path / "prometheus.yml"
    file.write_text(block.text, "utf-8")
    checked(tool("promtool"), "check", "config", "--syntax-only", str(file))


def in_kubernetes(key: str) -> Block:
    (block,) = [b for b in KUBERNETES if b.page.name == "kubernetes.md" and b.first.startswith(key)]
    return block


def test_the_kustomization_puts_the_sidecar_into_a_deployment(tmp_path: Path) -> None:
    kustomize = tool("kustomize", "kubectl", built_with="go")
    (tmp_path / "trailproxy").symlink_to(ROOT)
    mine = tmp_path / "mine"
    mine.mkdir()
    example = ROOT / "deploy" / "kubernetes" / "example"
    (mine / "trailproxy.yaml").write_text((example / "trailproxy.yaml").read_text("utf-8"))
    (mine / "my-app.yaml").write_text((example / "greeter.yaml").read_text("utf-8"))
    whole = in_kubernetes("resources:").text + in_kubernetes("patches:").text
    (mine / "kustomization.yaml").write_text(whole)
    verb = "kustomize" if kustomize.endswith("kubectl") else "build"
    built = Manifests(checked(kustomize, verb, str(mine)))
    proxy = built.pod["spec"]["initContainers"][0]
    assert proxy["image"].startswith("registry.example.com/trailproxy:")
    assert [mount["mountPath"] for mount in proxy["volumeMounts"]] == ["/etc/trailproxy", "/tls"]
    assert "greeter-tls" in str(built.pod["spec"]["volumes"])


def test_other_charts_take_what_ours_defines() -> None:
    templates = (ROOT / "deploy" / "helm" / "trailproxy" / "templates").glob("*.tpl")
    defined = set(
        re.findall(r'define "([\w.]+)"', "".join(t.read_text("utf-8") for t in templates))
    )
    taken = set(re.findall(r'include "([\w.]+)"', in_kubernetes("initContainers:").text))
    assert taken == {"trailproxy.sidecar", "trailproxy.volumes"} <= defined


def test_the_adapter_asks_for_a_metric_there_is() -> None:
    (rule,) = yaml.safe_load(in_kubernetes("rules:").text)["rules"]
    assert set(rule) == {"seriesQuery", "resources", "metricsQuery"}
    metric = rule["seriesQuery"].partition("{")[0]
    assert f"`{metric}`" in (DOCS / "metrics.md").read_text("utf-8")


def test_every_part_for_others_has_a_test() -> None:
    tested = ("scrape_configs:", "resources:", "patches:", "initContainers:", "rules:")
    assert [block.first for block in KUBERNETES if not block.first.startswith(tested)] == []
