"""The origin behind every proxy: nghttpd, which ends each response with trailers.

It serves fixed files whatever the method, so the same server answers downloads, uploads
and gRPC-shaped calls; it is written in C and never the slowest part of a measurement.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.process import Process, free_port
from tests.support.certificates import Certificates

#: Every peer is given the same windows where it lets us choose.
STREAM_WINDOW_BITS = 18
CONNECTION_WINDOW_BITS = 22
MAX_STREAMS = 250

TRAILERS: Mapping[str, str] = {"grpc-status": "0", "x-checksum": "crc32c=yZRlqg=="}

#: What each path answers with, in body octets.
SMALL, HELLO, LARGE = "/small", "/greet.Greeter/SayHello", "/large"
EMPTY = "/body/0"
BODY_SIZES: Mapping[str, int] = {
    SMALL: 200,
    HELLO: 96,
    LARGE: 10_000_000,
    EMPTY: 0,
    **{f"/body/{10**power}": 10**power for power in range(2, 7)},
}


def installed() -> bool:
    """Whether nghttpd (Debian: nghttp2-server) is on this machine."""
    return shutil.which("nghttpd") is not None


def write_files(root: Path) -> None:
    """Lay out the document root."""
    for path, size in BODY_SIZES.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)


def start(
    directory: Path,
    cores: frozenset[int],
    *,
    certificates: Certificates | None = None,
    max_streams: int = MAX_STREAMS,
) -> tuple[Process, int]:
    """Start an origin on a free port, over TLS if it has certificates; return it and the port."""
    root = directory / "htdocs"
    write_files(root)
    port = free_port()
    trailers = [f"--trailer={name}: {value}" for name, value in TRAILERS.items()]
    argv = [
        "nghttpd",
        "--address=127.0.0.1",
        f"--htdocs={root}",
        f"--max-concurrent-streams={max_streams}",
        f"--window-bits={STREAM_WINDOW_BITS}",
        f"--connection-window-bits={CONNECTION_WINDOW_BITS}",
        *trailers,
    ]
    if certificates is None:
        argv += ["--no-tls", str(port)]
    else:
        argv += [str(port), certificates.server_key, certificates.server]
    log = directory / f"origin.{port}.log"
    return Process(argv, cores=cores, log=log), port


def trailers_through(port: int, scheme: str = "http") -> bool | None:
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
            f"{scheme}://127.0.0.1:{port}{SMALL}",
        ],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if ":status: 200" not in said.stdout:
        return None
    return all(f") {name}: {value}\n" in said.stdout for name, value in TRAILERS.items())
