"""The origin behind every proxy: nghttpd, which ends each response with trailers.

It serves fixed files whatever the method, so the same server answers downloads, uploads
and gRPC-shaped calls; it is written in C and never the slowest part of a measurement.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.process import Process, free_port

#: Every peer is given the same windows where it lets us choose.
STREAM_WINDOW_BITS = 18
CONNECTION_WINDOW_BITS = 22
MAX_STREAMS = 250

TRAILERS: Mapping[str, str] = {"grpc-status": "0", "x-checksum": "crc32c=yZRlqg=="}

#: What each path answers with, in body octets.
SMALL, HELLO, LARGE = "/small", "/greet.Greeter/SayHello", "/large"
BODY_SIZES: Mapping[str, int] = {SMALL: 200, HELLO: 96, LARGE: 10_000_000}


def installed() -> bool:
    """Whether nghttpd (Debian: nghttp2-server) is on this machine."""
    return shutil.which("nghttpd") is not None


def write_files(root: Path) -> None:
    """Lay out the document root."""
    for path, size in BODY_SIZES.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)


def start(directory: Path, cores: frozenset[int]) -> tuple[Process, int]:
    """Start the origin on a free port; return it with that port."""
    root = directory / "htdocs"
    write_files(root)
    port = free_port()
    trailers = [f"--trailer={name}: {value}" for name, value in TRAILERS.items()]
    argv = [
        "nghttpd",
        "--no-tls",
        "--address=127.0.0.1",
        f"--htdocs={root}",
        f"--max-concurrent-streams={MAX_STREAMS}",
        f"--window-bits={STREAM_WINDOW_BITS}",
        f"--connection-window-bits={CONNECTION_WINDOW_BITS}",
        *trailers,
        str(port),
    ]
    return Process(argv, cores=cores, log=directory / "origin.log"), port


def trailers_through(port: int) -> bool | None:
    """Ask for the small file through a proxy: did the trailers come along?

    Returns:
        None while there is no answer with status 200 yet.
    """
    said = subprocess.run(
        [
            "nghttp",
            "--verbose",
            "--null-out",
            "--timeout=2",
            "--header=te: trailers",
            f"http://127.0.0.1:{port}{SMALL}",
        ],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if ":status: 200" not in said.stdout:
        return None
    return all(f") {name}: {value}\n" in said.stdout for name, value in TRAILERS.items())
