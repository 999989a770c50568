"""The examples that operators copy are right, as they stand and with their variables set."""

from pathlib import Path

import pytest

from trailproxy.ops.settings import load

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(CONFIG.glob("*.yaml"))


def test_there_are_examples():
    assert {path.name for path in EXAMPLES} >= {"sidecar.yaml", "grpc.yaml", "tls.yaml"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_without_any_variable(path):
    settings = load(path, {})
    assert settings.admin.bind == "127.0.0.1:9901"
    assert {listener.bind.partition(":")[0] for listener in settings.listeners} == {"0.0.0.0"}


def test_the_sidecar_takes_its_addresses_from_the_environment():
    settings = load(CONFIG / "sidecar.yaml", {"PORT": "8443", "APP": "unix:/run/app.sock"})
    assert settings.listeners[0].bind == "0.0.0.0:8443"
    assert settings.upstreams[0].endpoints == ("unix:/run/app.sock",)


def test_the_grpc_example_shares_calls_among_several_endpoints():
    settings = load(CONFIG / "grpc.yaml", {})
    assert len(settings.upstreams[0].endpoints) == 3
    shares = settings.routes[1].upstream
    assert [(share.name, share.weight) for share in shares] == [
        ("greeter", 9),
        ("greeter-canary", 1),
    ]
    assert settings.routes[0].timeouts.idle == 3600


def test_the_tls_example_has_certificates_on_both_sides():
    settings = load(CONFIG / "tls.yaml", {"TLS_DIR": "/run/tls"})
    assert settings.listeners[0].tls.client_ca == "/run/tls/client-ca.crt"
    assert settings.listeners[0].tls.client_names == ("spiffe://example.com/ns/shop/*",)
    assert settings.listeners[0].forward_client_cert == "set"
    assert settings.listeners[1].tls.client_ca is None
    assert settings.listeners[1].tls.pairs == (
        ("/run/tls/tls.crt", "/run/tls/tls.key"),
        ("/run/tls/shop.crt", "/run/tls/shop.key"),
    )
    assert settings.admin.token_file == "/run/tls/admin-token"
    assert settings.admin.tls.certificate == "/run/tls/tls.crt"
    assert settings.upstreams[0].tls.certificate == "/run/tls/proxy.crt"
    assert settings.upstreams[0].tls.private_key == "/run/tls/proxy.key"
