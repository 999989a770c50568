"""How each proxy is configured: nothing but a Site decides what a command looks like.

Every proxy gets one worker, no access log, the same windows where it lets us choose, an
origin spoken to over HTTP/2, and limits high enough never to refuse the load. Where the
site has certificates, both sides speak TLS, and the origin's certificate is verified.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from benchmarks.origin import CONNECTION_WINDOW_BITS, MAX_STREAMS, STREAM_WINDOW_BITS
from benchmarks.process import free_port
from tests.support.certificates import Certificates

STREAM_WINDOW = 2**STREAM_WINDOW_BITS - 1
CONNECTION_WINDOW = 2**CONNECTION_WINDOW_BITS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a proxy is to stand between, and the directory it may write to."""

    port: int
    origin_port: int
    directory: Path
    tls: Certificates | None = None
    max_streams: int = MAX_STREAMS  # of one client
    routes: int = 1  # the last one matches; what has no routing of its own ignores it
    codec: str = ""  # trailproxy's; empty: its default

    def write(self, name: str, text: str) -> str:
        """Write a configuration file; return its path."""
        file = self.directory / name
        file.write_text(text)
        return str(file)


def trailproxy(
    python: str, site: Site, *, access_log: bool = False, policy: dict[str, Any] | None = None
) -> list[str]:
    """Run the working tree's own proxy, with metrics and records as ever."""
    listener: dict[str, Any] = {"name": "bench", "bind": f"127.0.0.1:{site.port}"}
    upstream: dict[str, Any] = {
        "name": "origin",
        "endpoints": [f"127.0.0.1:{site.origin_port}"],
        "queue_limit": 100_000,
    }
    if site.tls:
        listener["tls"] = site.tls.server_tls()
        upstream["tls"] = {"ca": site.tls.ca, "server_name": "localhost"}
    prefixes = [*(f"/route/{number}/" for number in range(1, site.routes)), "/"]
    settings = {
        "listeners": [listener],
        "upstreams": [upstream],
        "routes": [
            {
                "name": f"route-{at}",
                "match": {"path_prefix": prefix},
                "upstream": "origin",
                **(policy or {}),
            }
            for at, prefix in enumerate(prefixes)
        ],
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "workers": 1,
        # all clients of a benchmark share an address
        "limits": {"max_concurrent_streams": site.max_streams, "max_connections_per_address": 0},
        "access_log": {"path": str(site.directory / "access.log") if access_log else "off"},
        "drain_timeout": "1s",
    }
    if site.codec:
        settings["codec"] = site.codec
    # JSON is YAML, and "off" stays a word.
    config = site.write("trailproxy.yaml", json.dumps(settings, indent=2))
    return [python, "-m", "trailproxy", "run", "-c", config]


def logging_trailproxy(python: str, site: Site) -> list[str]:
    """Run it with an access log to a file."""
    return trailproxy(python, site, access_log=True)


#: What a route may do beyond relaying, one at a time.
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "rules": {
        "trailers": {
            "response": {"deny": ["server"], "append": [{"name": "x-served-by", "value": "here"}]}
        }
    },
    "concluding": {"on_upstream_failure": "trailers"},
    "timing": {"server_timing": True},
    "digest": {"digest": "add"},
    "hook": {"hooks": "benchmarks.hooks:Counts"},
}


def trailproxy_with(policy: str) -> Callable[[str, Site], list[str]]:
    """Run it with one of `POLICIES` on its routes."""
    return lambda python, site: trailproxy(python, site, policy=POLICIES[policy])


def bare_relay(python: str, site: Site) -> list[str]:
    """Run the yardstick."""
    ports = ["--port", str(site.port), "--origin", str(site.origin_port)]
    return [python, "-m", "benchmarks.bare_relay", *ports]


def nghttpx(program: str, site: Site) -> list[str]:
    """Run nghttpx without its neverbleed helper process."""
    front, back, files = ";no-tls", "", []
    if site.tls:
        front, back = "", ";tls;sni=localhost"
        files = [f"--cacert={site.tls.ca}", site.tls.server_key, site.tls.server]
    return [
        program,
        "--conf=/dev/null",
        f"--frontend=127.0.0.1,{site.port}{front}",
        f"--backend=127.0.0.1,{site.origin_port};;proto=h2{back}",
        "--workers=1",
        "--single-process",
        "--no-ocsp",
        f"--frontend-http2-window-size={STREAM_WINDOW}",
        f"--frontend-http2-connection-window-size={CONNECTION_WINDOW}",
        f"--backend-http2-window-size={STREAM_WINDOW}",
        f"--backend-http2-connection-window-size={CONNECTION_WINDOW}",
        f"--frontend-http2-max-concurrent-streams={site.max_streams}",
        *files,
    ]


def nginx(program: str, site: Site) -> list[str]:
    """Run nginx with grpc_pass, its one way to speak HTTP/2 to an origin."""
    tls = site.tls
    listen, front, scheme, back = "", "", "grpc", ""
    if tls:
        listen, scheme = "ssl ", "grpcs"
        front = f"ssl_certificate {tls.server}; ssl_certificate_key {tls.server_key};"
        back = (
            f"grpc_ssl_trusted_certificate {tls.ca}; grpc_ssl_verify on; "
            "grpc_ssl_server_name on; grpc_ssl_name localhost;"
        )
    text = _fill(NGINX, site, listen=listen, front=front, scheme=scheme, back=back)
    config = site.write("nginx.conf", text)
    return [program, "-p", f"{site.directory}/", "-e", "stderr", "-c", config]


def haproxy(program: str, site: Site) -> list[str]:
    """Run HAProxy, HTTP/2 on both sides, one thread."""
    front = back = "proto h2"
    if site.tls:
        both = Path(site.tls.server).read_text() + Path(site.tls.server_key).read_text()
        front = f"ssl crt {site.write('both.pem', both)} alpn h2"
        back = f"ssl verify required ca-file {site.tls.ca} sni str(localhost) alpn h2"
    config = site.write("haproxy.cfg", _fill(HAPROXY, site, front=front, back=back))
    return [program, "-db", "-f", config]


def caddy(program: str, site: Site) -> list[str]:
    """Run Caddy without its admin page; Go takes as many threads as it has cores."""
    scheme, front, transport, pool = "http", "", "versions h2c", ""
    if site.tls:
        scheme, transport = "https", "versions 2"
        front = f"tls {site.tls.server} {site.tls.server_key}"
        pool = f"tls_trust_pool file {site.tls.ca}\n      tls_server_name localhost"
    text = _fill(CADDY, site, scheme=scheme, front=front, transport=transport, pool=pool)
    config = site.write("Caddyfile", text)
    return [program, "run", "--adapter", "caddyfile", "--config", config]


def envoy(program: str, site: Site) -> list[str]:
    """Run Envoy with one worker and a static configuration."""
    config = site.write("envoy.json", json.dumps(_envoy_settings(site), indent=2))
    return [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]


def _envoy_settings(site: Site) -> dict[str, Any]:
    http2 = {
        "initial_stream_window_size": STREAM_WINDOW,
        "initial_connection_window_size": CONNECTION_WINDOW,
        "max_concurrent_streams": site.max_streams,
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "0s"}}
    manager = _typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        codec_type="HTTP2",
        http2_protocol_options=http2,
        http_filters=[
            {
                "name": "envoy.filters.http.router",
                "typed_config": _typed("filters.http.router.v3.Router"),
            }
        ],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    )
    chain: dict[str, Any] = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    unlimited = {"max_connections": 10**5, "max_pending_requests": 10**5, "max_requests": 10**5}
    options = "upstreams.http.v3.HttpProtocolOptions"
    cluster: dict[str, Any] = {
        "name": "origin",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [unlimited]},
        "typed_extension_protocol_options": {
            f"envoy.extensions.{options}": _typed(
                options, explicit_http_config={"http2_protocol_options": http2}
            )
        },
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(site.origin_port)}}]}
            ],
        },
    }
    if site.tls:
        chain["transport_socket"] = _envoy_tls("Downstream", _envoy_shown(site.tls))
        cluster["transport_socket"] = _envoy_tls(
            "Upstream", _envoy_trusted(site.tls), sni="localhost"
        )
    listener = {"address": _address(site.port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy_tls(side: str, context: dict[str, Any], **fields: Any) -> dict[str, Any]:
    common = {"alpn_protocols": ["h2"], **context}
    kind = f"transport_sockets.tls.v3.{side}TlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": _typed(kind, common_tls_context=common, **fields),
    }


def _envoy_shown(tls: Certificates) -> dict[str, Any]:
    chain, key = {"filename": tls.server}, {"filename": tls.server_key}
    return {"tls_certificates": [{"certificate_chain": chain, "private_key": key}]}


def _envoy_trusted(tls: Certificates) -> dict[str, Any]:
    return {"validation_context": {"trusted_ca": {"filename": tls.ca}}}


def _fill(template: str, site: Site, **words: str) -> str:
    return Template(template).substitute(
        words,
        port=site.port,
        origin=site.origin_port,
        directory=site.directory,
        stream_window=STREAM_WINDOW,
        max_streams=site.max_streams,
    )


NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid $directory/nginx.pid;
error_log stderr;
events { worker_connections 15000; }
http {
  access_log off;
  client_body_temp_path $directory/nginx-body;
  proxy_temp_path $directory/nginx-proxy;
  fastcgi_temp_path $directory/nginx-fastcgi;
  uwsgi_temp_path $directory/nginx-uwsgi;
  scgi_temp_path $directory/nginx-scgi;
  client_max_body_size 0;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams $max_streams;
  upstream origin {
    server 127.0.0.1:$origin;
    keepalive 4000;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:$port ${listen}http2 backlog=4096;
    $front
    location / { grpc_pass $scheme://origin; $back }
  }
}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 8000
  tune.h2.initial-window-size $stream_window
  tune.h2.max-concurrent-streams $max_streams
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend bench
  bind 127.0.0.1:$port $front
  default_backend origin
backend origin
  server origin 127.0.0.1:$origin $back
"""

CADDY = """\
{
  admin off
  auto_https off
  persist_config off
  storage file_system $directory
  log {
    level ERROR
  }
  default_sni localhost
  grace_period 1s
  servers {
    protocols h1 h2 h2c
  }
}
$scheme://:$port {
  bind 127.0.0.1
  $front
  reverse_proxy 127.0.0.1:$origin {
    transport http {
      $transport
      $pool
    }
  }
}
"""
