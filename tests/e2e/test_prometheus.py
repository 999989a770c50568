"""A real Prometheus beside a running proxy: alerts tell of faults, queries find what they ask."""

import os
import re
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from select import select
from typing import Any, Final, NamedTuple

import pytest
import yaml

from deploy.grafana.dashboard import dashboard
from tests.support.backend import RunningBackend, Stream, running_backend
from tests.support.certificates import Certificates
from tests.support.crew import all_ready, processes
from tests.support.prometheus import JOB, MINUTE_S, Prometheus, running_prometheus
from tests.support.promql import grouped_by, selectors
from tests.support.running import Proxy, Run, eventually, free_port, listener, running_proxy
from tests.support.scripted_peer import Peer, dial
from tests.support.visitors import CALL, Visit, Visitors, fetch

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.operators]

TIME_LIMIT_S = 150
PATIENCE_S: Final = 45.0

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "rules" / "trailproxy.yaml"
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "docs" / "metrics.md",
    ROOT / "docs" / "observability.md",
]

MOST: Final = 8  # connections, at each listener of each of two workers
HELLO: Final = b"\0\0\0\0\5hello"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
HOOK: Final = """
from trailproxy.hooks import Call, Hook


class Looks(Hook):
    def __init__(self, call: Call) -> None:
        self.call = call
"""

# -- the backend ---------------------------------------------------------------------------


async def healthy(stream: Stream) -> None:
    stream.respond(end=True)


async def sick(stream: Stream) -> None:
    stream.respond(status=503, end=True)


async def says_hello(stream: Stream) -> None:
    stream.respond(("content-type", "application/grpc"))
    await stream.send(HELLO)
    stream.finish(("grpc-status", "0"))


async def forgets_its_status(stream: Stream) -> None:
    stream.respond(("content-type", "application/grpc"))
    await stream.send(HELLO)
    stream.finish()


async def malforms_its_trailers(stream: Stream) -> None:
    stream.respond()
    stream.finish(("X-Upper", "case"))


async def frames_in_its_trailers(stream: Stream) -> None:
    digest = b64encode(sha256(b"hello").digest()).decode()
    stream.respond()
    await stream.send(b"hello")
    stream.finish(
        ("content-digest", f"sha-256=:{digest}:"),
        ("content-length", "5"),
        ("endpoint-load-metrics", "TEXT cpu_utilization=0.3, rps_fractional=120"),
    )


BEHAVIOURS: Final = {
    "health": healthy,
    "greet.Greeter": says_hello,
    "forgets.Forgets": forgets_its_status,
    "malformed": malforms_its_trailers,
    "framed": frames_in_its_trailers,
}

# -- the clients ---------------------------------------------------------------------------


def reads_all(client: Peer) -> None:
    assert fetch(client, "/bytes/5000").trailers


def calls(client: Peer) -> None:
    message = fetch(client, "/greet.Greeter/Hello", *CALL, method="POST")
    assert message.trailers == [("grpc-status", "0")]


def sends_trailers(client: Peer) -> None:
    sid = client.open(path="/report")
    client.data(sid, b"body")
    client.trailers(sid, [("x-sum", "1")])
    assert client.response(sid).status == "200"


def cancels(client: Peer) -> None:
    client.reset(client.request(path="/silent"))
    client.settle()


def finds_nothing(client: Peer) -> None:
    assert fetch(client, "/status/404").status == "404"


def is_cut_short(client: Peer) -> None:
    assert fetch(client, "/reset/2/100").reset == 2


def gets_no_status(client: Peer) -> None:
    assert fetch(client, "/forgets.Forgets/All", *CALL, method="POST").trailers is None


def gets_malformed_trailers(client: Peer) -> None:
    assert fetch(client, "/malformed").reset is not None


def gets_an_error(client: Peer) -> None:
    assert fetch(client, "/status/500").status == "500"


def finds_nobody(client: Peer) -> None:
    message = fetch(client, "/nowhere", *CALL, method="POST")
    assert message.field("grpc-status") == "14"


def finds_a_queue(client: Peer) -> None:
    client.request(path="/held")
    assert fetch(client, "/held").status == "503"


def is_traced(client: Peer) -> None:
    assert fetch(client, "/bytes/9", ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")).trailers


def reads_nothing(client: Peer) -> None:
    client.pays = False  # the last of the body waits, and the trailers behind it
    sid = client.request(("x-hasty", "yes"), path="/bytes/70000")
    assert client.response(sid).reset is not None


def crowds(address: tuple[str, int]) -> Visit:
    """Come in masses, until somebody is turned away."""

    def crowd(_client: Peer) -> None:
        with ExitStack() as opened:
            sockets = [opened.enter_context(dial(address)) for _ in range(5 * MOST)]

            def turned_away() -> bool:
                return any(not each.recv(1 << 16) for each in select(sockets, [], [], 0.1)[0])

            eventually(turned_away, "somebody to be turned away")

    return crowd


HEALTH: Final = (reads_all, calls, sends_trailers, cancels, finds_nothing)
FAULTS: Final = (
    reads_nothing,
    is_cut_short,
    gets_no_status,
    gets_malformed_trailers,
    gets_an_error,
    finds_nobody,
    finds_a_queue,
    is_traced,
)


def asks_for_the_head(client: Peer) -> None:
    assert fetch(client, "/framed", method="HEAD").status == "200"


def is_verified(client: Peer) -> None:
    assert fetch(client, "/framed").trailers


def meets_a_hook(client: Peer) -> None:
    assert fetch(client, "/hooked").status == "200"


def is_tried_again(client: Peer) -> None:
    assert fetch(client, "/retried/x").status == "503"


def says_goodbye(client: Peer) -> None:
    client.goaway(0)
    client.settle()


OTHERS: Final = (asks_for_the_head, is_verified, meets_a_hook, is_tried_again, says_goodbye)

# -- the proxy -----------------------------------------------------------------------------


class Scene(NamedTuple):
    """A proxy before a backend, and a Prometheus that watches it."""

    proxy: Proxy
    backend: RunningBackend
    prometheus: Prometheus


def route(name: str, upstream: str = "app", prefix: str = "", **keys: Any) -> dict[str, Any]:
    match = keys.pop("match", {"path_prefix": prefix or f"/{name}"})
    return {"name": name, "match": match, "upstream": upstream, **keys}


ROUTES: Final = [
    route("hasty", match={"headers": [{"name": "x-hasty"}]}, timeouts={"idle": "300ms"}),
    route("held", "narrow"),
    route("nowhere", "nowhere"),
    route("hooked", hooks="hooks_of_the_test:Looks"),
    route("framed", digest="verify"),
    route("retried", retry={"on": ["5xx"], "idempotent": True}),
    route("all", prefix="/"),
]
PODS: Final = {"name": "pods", "endpoints": ["k8s:shop/app:grpc"]}  # of a cluster that is away


@pytest.fixture
def scene(
    run: Run, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """All three, with two workers, and a route or a listener for whatever has metrics."""
    run("prometheus", "--version")
    (tmp_path / "hooks_of_the_test.py").write_text(HOOK, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(free_port()))
    with ExitStack() as started:
        backend = started.enter_context(running_backend())
        backend.backend.behaviours |= BEHAVIOURS
        check = {"path": "/health", "interval": "200ms", "unhealthy_threshold": 1}
        upstreams = [
            {
                "name": "app",
                "endpoints": [backend.endpoint],
                "health_check": check,
                "load_reports": {},
            },
            {"name": "nowhere", "endpoints": [f"127.0.0.1:{free_port()}"]},
            {
                "name": "narrow",
                "endpoints": [backend.endpoint],
                "max_streams": 1,
                "queue_limit": 0,
            },
        ]
        friends = {**certificates.server_tls(client_ca=True), "client_names": ["friend.local"]}
        proxy = started.enter_context(
            running_proxy(
                tmp_path / "proxy",
                backend.endpoint,
                listeners=[
                    listener(),
                    listener(name="friends", tls=friends),
                    listener(name="crowded"),
                ],
                limits={"max_connections": MOST},
                upstreams=upstreams,
                routes=ROUTES,
                workers=2,
            )
        )
        all_ready(proxy, 2)
        target = proxy.settings["admin"]["bind"]
        prometheus = started.enter_context(
            running_prometheus(tmp_path / "prometheus", target, RULES)
        )
        yield Scene(proxy, backend, prometheus)


def door(proxy: Proxy, number: int) -> tuple[str, int]:
    """Return the address of a listener."""
    host, _, port = proxy.settings["listeners"][number]["bind"].rpartition(":")
    return host, int(port)


def fall_ill(scene: Scene) -> None:
    """Break what is not a matter of traffic: health, the log's disk, traces, the configuration."""
    proxy = scene.proxy
    scene.backend.backend.behaviours |= {"health": sick, "retried": sick}
    proxy.settings["access_log"] = {"path": "/dev/full"}
    proxy.settings["tracing"] = {"otlp": f"http://127.0.0.1:{free_port()}"}  # nobody listens
    proxy.write()
    assert proxy.admin("/reload", "POST")[0] == 200
    proxy.file.write_text("not what it should be", "utf-8")
    assert proxy.admin("/reload", "POST")[0] != 200


TOLD: Final = {
    "TrailproxyAccessLogLosesLines",
    "TrailproxyConnectionsRefused",
    "TrailproxyErrorBudgetBurnsFast",
    "TrailproxyErrorBudgetBurnsSlowly",
    "TrailproxyNoHealthyEndpoint",
    "TrailproxyQueueFull",
    "TrailproxyReloadFailed",
    "TrailproxyStreamsDropped",
    "TrailproxyTraceSpansLost",
    "TrailproxyTrailersDropped",
    "TrailproxyTrailersMissing",
    "TrailproxyTrailersRejected",
    "TrailproxyUpstreamResets",
    "TrailproxyUpstreamUnreachable",
}


def test_faults_are_told_and_health_is_not(scene: Scene) -> None:
    proxy, _, prometheus = scene
    with Visitors(proxy.address, HEALTH) as visitors:
        # a past in which whatever can fire had the time to: its window, and its `for`
        past = f"trailproxy_responses_total offset {8 * MINUTE_S}s"
        visitors.until_nothing_is(lambda: [] if prometheus.query(past) else [past], PATIENCE_S)
        assert prometheus.query('count_over_time(ALERTS{alertstate="firing"}[6s])') == []

    fall_ill(scene)
    with Visitors(proxy.address, (*HEALTH, *FAULTS, crowds(door(proxy, 2)))) as visitors:
        visitors.until_nothing_is(lambda: TOLD - prometheus.firing(), PATIENCE_S)
        assert prometheus.firing() == TOLD

    proxy.settled().check_books()
    proxy.terminate()
    proxy.wait_stopped()
    gone = {"TrailproxyDown", "TrailproxyAbsent"}
    eventually(lambda: prometheus.firing() >= gone, f"{gone} to fire", PATIENCE_S, every_s=0.25)


# -- what is asked for is there ------------------------------------------------------------


def rules() -> list[str]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def filled(expr: str) -> str:
    """Put values in the place of Grafana's variables: all that there is."""
    values = {"job": JOB, "__rate_interval": "10s", "__interval": "10s", "__range": "60s"}
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".+"), expr)


def cook_book() -> list[str]:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```promql\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    ]
    return [query for block in blocks for query in re.split(r"\n\n", block)]


def test_every_query_finds_what_it_asks_for(scene: Scene, certificates: Certificates) -> None:
    proxy, _, prometheus = scene
    made = dashboard()
    targets = [target for panel in made["panels"] for target in panel.get("targets", ())]
    shown = [filled(target["expr"]) for target in targets]
    marks = [filled(each["expr"]) for each in made["annotations"]["list"]]
    asked = [*rules(), *shown, *marks, *cook_book()]
    named = {selector for expr in asked for selector in selectors(expr)}
    exemplars = [filled(target["expr"]) for target in targets if target.get("exemplar")]
    assert (len(named) > 60, len(exemplars)) == (True, 4)

    proxy.settings["upstreams"].append(PODS)
    proxy.settings["routes"] = [route("pods", "pods"), *ROUTES]
    fall_ill(scene)
    os.kill(processes(proxy)[1], signal.SIGTERM)  # another one takes its place
    eventually(lambda: proxy.metrics().total("worker_restarts_total"), "a new worker")
    all_ready(proxy, 2)
    be_refused(proxy, certificates)
    kinds = (*HEALTH, *FAULTS, *OTHERS, crowds(door(proxy, 2)))
    with Visitors(proxy.address, kinds) as visitors:
        for left in (
            lambda: [each for each in named if not prometheus.series(each)],
            lambda: [expr for expr in shown if not prometheus.query(expr)],
            lambda: [expr for expr in exemplars if not traces(prometheus, expr)],
            # which alerts fire, and so what ALERTS has for labels, is another every moment
            lambda: [expr for expr in asked if lacks_labels(prometheus, expr)],
            lambda: [each["expr"] for each in targets if lacks_words(prometheus, each)],
        ):
            visitors.until_nothing_is(left, PATIENCE_S)
    for expr in asked:
        prometheus.query(expr)
    for variable in made["templating"]["list"][1:]:
        selector, label = re.findall(r"label_values\((.+), (\w+)\)", variable["definition"])[0]
        found = {each[label] for each in prometheus.series(filled(selector))}
        assert found, f"nothing to choose from: {variable['name']}"


def be_refused(proxy: Proxy, certificates: Certificates) -> None:
    """Show a certificate that has not the name it should."""
    context = certificates.client_context()
    context.load_cert_chain(certificates.client, certificates.client_key)
    with Peer.connect(door(proxy, 1), tls=context) as client:
        client.wait_closed()


def lacks_labels(prometheus: Prometheus, expr: str) -> bool:
    """Tell whether a query groups by labels that nothing it asks for has."""
    labels = {label for each in selectors(expr) for label in labels_of(prometheus, each)}
    return not grouped_by(expr) <= {*labels, "le"}


def lacks_words(prometheus: Prometheus, target: dict[str, Any]) -> bool:
    """Tell whether a legend names labels that no answer to its query has."""
    found = {label for each in prometheus.query(filled(target["expr"])) for label in each}
    return not set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= found


def labels_of(prometheus: Prometheus, selector: str) -> set[str]:
    return {label for each in prometheus.series(selector) for label in each}


def traces(prometheus: Prometheus, expr: str) -> set[str]:
    """Return the traces that stand behind a query, as Grafana asks for them."""
    now = time.time()
    told = prometheus.ask("query_exemplars", query=expr, start=f"{now - 60}", end=f"{now}")
    return {each["labels"]["trace_id"] for series in told for each in series["exemplars"]}
