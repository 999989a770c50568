"""Reload: a new file takes effect between two streams, and a bad one takes none."""

import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
import yaml

from tests.support import frames
from tests.support.backend import RunningBackend, running_backend
from tests.support.load import BATCH, Load
from tests.support.running import Proxy, Start, eventually, listener, refused, settings
from tests.support.scripted_peer import Peer, dial
from trailproxy.wire.errors import ErrorCode

pytestmark = pytest.mark.e2e

Reload = Callable[[Proxy], None]

PING = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]


def by_signal(proxy: Proxy) -> None:
    """Send SIGHUP, and wait until the proxy has tried."""
    before = proxy.metrics().total("config_reloads_total")
    proxy.process.send_signal(signal.SIGHUP)
    eventually(
        lambda: proxy.metrics().total("config_reloads_total") > before, "the reload to be tried"
    )


def by_admin(proxy: Proxy) -> None:
    proxy.admin("/reload", "POST")


def serve_on(loads: list[Load]) -> None:
    """Wait until every client has had an answer that was asked for from now on."""
    enough = [load.served + 2 * BATCH for load in loads]
    eventually(
        lambda: all(load.served >= count for load, count in zip(loads, enough, strict=True)),
        "every client to be served on",
    )


BOTH = pytest.mark.parametrize("reload", [by_signal, by_admin])


@pytest.fixture
def proxy(backend: RunningBackend, start: Start) -> Proxy:
    return start(backend.endpoint)


@pytest.fixture
def held(backend: RunningBackend) -> Iterator[RunningBackend]:
    """The backend, with its `/held` streams held; all are released at the end."""
    backend.hold()
    yield backend
    backend.release()


@BOTH
def test_a_reload_under_load_loses_no_stream(proxy: Proxy, reload: Reload):
    with ExitStack() as running:
        loads = [running.enter_context(Load(proxy.address)) for _ in range(3)]
        for number in range(6):
            proxy.settings["routes"][0]["name"] = f"route-{number}"
            proxy.write()
            reload(proxy)
            serve_on(loads)

    assert [load.lost for load in loads] == [[], [], []]
    assert sum(load.refused + load.unreached for load in loads) == 0
    metrics = proxy.settled()
    assert metrics.by("streams_dropped_total", "cause") == {}
    assert metrics.total("requests_completed_total") == sum(load.served for load in loads)
    assert {route for (route,) in metrics.by("requests_completed_total", "route")} >= {
        f"route-{number}" for number in range(6)
    }
    assert metrics.total("config_reloads_total", outcome="failed") == 0
    assert metrics.total("config_last_reload_successful") == 1


@BOTH
def test_limits_hold_for_new_connections_and_put_nobody_out(
    proxy: Proxy, held: RunningBackend, reload: Reload
):
    with Peer.connect(proxy.address) as old:
        first = old.request(path="/held")
        old.wait_body(first, len(b"first half, "))
        proxy.settings["limits"] = {
            "max_connections_per_address": 2,
            "max_header_fields": 20,
            "head_timeout": "1s",
            "min_rate": "1MiB",
        }
        proxy.write()
        reload(proxy)

        many = [(f"x-{number}", "1") for number in range(20)]
        with Peer.connect(proxy.address) as new:
            assert new.response(new.request(*many)).reset == ErrorCode.ENHANCE_YOUR_CALM
            with dial(proxy.address) as third:
                assert third.recv(1) == b"", "there are two already"
            assert old.response(old.request(*many)).status == "200"
            # a head that drips: the new one has a second for it, the old one ten
            for client in (old, new):
                client.raw(frames.raw(1, 1, 99, b""))
            new.wait_closed()
        old.raw(frames.raw(9, 4, 99, old.encoder.encode(PING)))
        assert old.response(99).status == "200"
        held.release()
        message = old.response(first)

    assert bytes(message.body) == b"first half, second half"
    assert message.trailers == [("x-held", "released")]
    refused = proxy.metrics().by("connections_refused_total", "listener", "cause")
    assert refused == {("main", "address_limit"): 1}


@BOTH
def test_a_stream_in_flight_keeps_the_upstream_it_began_with(
    proxy: Proxy, held: RunningBackend, reload: Reload
):
    with running_backend() as other, Peer.connect(proxy.address) as client:
        first = client.request(path="/held")
        client.wait_body(first, len(b"first half, "))
        proxy.settings["upstreams"] = [{"name": "new", "endpoints": [other.endpoint]}]
        proxy.settings["routes"][0]["upstream"] = "new"
        proxy.write()
        reload(proxy)

        second = client.response(client.request(path="/repeated"))
        held.release()
        message = client.response(first)

    assert second.status == "200"
    assert proxy.entry(path="/repeated")["endpoint"] == other.endpoint
    assert bytes(message.body) == b"first half, second half"
    assert message.trailers == [("x-held", "released")]
    assert proxy.entry(path="/held")["endpoint"] == held.endpoint


@BOTH
def test_a_bad_file_changes_nothing_and_says_where(proxy: Proxy, reload: Reload):
    proxy.file.write_text(proxy.file.read_text().replace("path_prefix", "path_prefixx"))
    line = 1 + next(
        number
        for number, text in enumerate(proxy.file.read_text().splitlines())
        if "path_prefixx" in text
    )

    reload(proxy)

    metrics = proxy.metrics()
    assert metrics.total("config_reloads_total", outcome="failed") == 1
    assert metrics.total("config_last_reload_successful") == 0
    assert "routes[0].match.path_prefixx" in proxy.errors or reload is by_admin
    with Peer.connect(proxy.address) as client:
        assert client.response(client.request()).status == "200"
    status, told = proxy.admin("/reload", "POST")
    assert status == 422
    assert "routes[0].match.path_prefixx" in told
    assert f"line {line}" in told or f":{line}" in told
    assert "path_prefix" in told

    proxy.write()
    assert proxy.admin("/reload", "POST")[0] == 200
    assert proxy.metrics().total("config_last_reload_successful") == 1


def test_broken_yaml_changes_nothing(proxy: Proxy):
    proxy.file.write_text("listeners: [\n")

    assert proxy.admin("/reload", "POST")[0] == 422

    with Peer.connect(proxy.address) as client:
        assert client.response(client.request()).status == "200"
    proxy.write()


def test_a_listener_comes_with_a_reload_and_goes_with_the_next(proxy: Proxy):
    extra = listener(name="second")
    host, _, port = extra["bind"].rpartition(":")
    address = (host, int(port))
    proxy.settings["listeners"].append(extra)
    proxy.write()
    assert proxy.admin("/reload", "POST")[0] == 200
    with Peer.connect(address) as client, Peer.connect(proxy.address) as other:
        assert client.response(client.request()).status == "200"
        proxy.settings["listeners"].pop()
        proxy.write()
        assert proxy.admin("/reload", "POST")[0] == 200

        client.wait(lambda: (2**31 - 1, 0) in client.goaways, "the first GOAWAY")
        client.wait_closed()
        assert other.response(other.request()).status == "200"
        assert other.goaways == []
    with pytest.raises(OSError, match="refused"), socket.create_connection(address):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_the_admin_page_moves_with_a_reload_that_was_asked_of_it(
    backend: RunningBackend, start: Start, workers: int
):
    proxy = start(backend.endpoint, workers=workers)
    before = dict(proxy.settings["admin"])
    after = listener()["bind"]
    proxy.file.write_text(proxy.file.read_text().replace(before["bind"], after))

    assert proxy.admin("/reload", "POST")[0] == 200

    proxy.settings["admin"] = {"bind": after}
    assert proxy.metrics().total("config_reloads_total", outcome="ok") == 1
    host, _, port = before["bind"].rpartition(":")

    def gone() -> bool:
        with socket.socket() as client:
            return client.connect_ex((host, int(port))) != 0

    eventually(gone, "the old page to be gone")


def test_a_bad_file_keeps_the_proxy_from_starting(tmp_path: Path):
    whole = settings("127.0.0.1:1")
    whole["upstreams"][0]["endpoint"] = ["127.0.0.1:1"]

    status, told = refused(tmp_path, yaml.safe_dump(whole, sort_keys=False))

    assert status == 2
    assert "upstreams[0].endpoint" in told
    assert "endpoints" in told
    assert "Traceback" not in told


def test_a_port_in_use_is_named(proxy: Proxy, tmp_path: Path):
    whole = settings("127.0.0.1:1", listeners=proxy.settings["listeners"])

    status, told = refused(tmp_path, yaml.safe_dump(whole))

    assert status == 1
    assert proxy.target in told
    assert "Traceback" not in told


def _serial(address: tuple[str, int], ca: str) -> str:
    """Return the serial number of the certificate that a new client is shown."""
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(address, timeout=5) as bare,
        context.wrap_socket(bare, server_hostname="localhost") as shown,
    ):
        told = shown.getpeercert()
    assert told is not None
    return str(told["serialNumber"])


@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_that_are_replaced_are_shown_without_a_word(
    backend: RunningBackend, start: Start, tmp_path: Path, workers: int
):
    authority, folder = trustme.CA(), tmp_path / "tls"
    folder.mkdir()
    authority.cert_pem.write_to_path(str(folder / "ca"))

    def renew() -> None:
        leaf = authority.issue_cert("localhost")
        leaf.private_key_pem.write_to_path(str(folder / "new-key"))
        leaf.cert_chain_pems[0].write_to_path(str(folder / "new-crt"))
        for name in ("key", "crt"):
            (folder / f"new-{name}").replace(folder / name)

    renew()
    tls = {"certificate": str(folder / "crt"), "private_key": str(folder / "key")}
    proxy = start(backend.endpoint, listeners=[listener(tls=tls)], workers=workers)
    before = _serial(proxy.address, str(folder / "ca"))
    # what else the file says by now is not taken up with them
    proxy.settings["routes"][0]["name"] = "another"
    proxy.write()
    renew()
    eventually(
        lambda: _serial(proxy.address, str(folder / "ca")) != before, "the new one to be shown"
    )
    eventually(
        lambda: proxy.metrics().by("config_reloads_total", "outcome") == {("ok",): 1},
        "one reload to be counted",
    )
    assert "another" not in json.dumps(proxy.admin("/config"))


def test_a_certificate_that_is_none_changes_nothing(
    backend: RunningBackend, start: Start, tmp_path: Path
):
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "crt"))
    tls = {"certificate": str(tmp_path / "crt"), "private_key": str(tmp_path / "key")}
    proxy = start(backend.endpoint, listeners=[listener(tls=tls)])
    before = _serial(proxy.address, str(tmp_path / "ca"))
    (tmp_path / "crt").write_text("half of a certificate")
    eventually(
        lambda: proxy.metrics().total("config_reloads_total", outcome="failed") == 1,
        "the reload to be refused",
    )
    assert _serial(proxy.address, str(tmp_path / "ca")) == before
    assert "certificate" in proxy.errors


def test_a_configuration_that_is_watched_is_taken_up(proxy: Proxy, backend: RunningBackend):
    proxy.settings["watch"] = "all"
    proxy.write()
    by_admin(proxy)
    proxy.settings["routes"][0]["name"] = "another"
    proxy.write()
    eventually(
        lambda: "another" in json.dumps(proxy.admin("/config")), "the new one to be taken up"
    )
