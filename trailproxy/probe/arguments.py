"""Arguments: what `trailproxy probe` takes. Nothing else is loaded to tell them."""

import argparse
from typing import Final

_DEFAULT_BIND: Final = "127.0.0.1:50051"
_DEFAULT_TIMEOUT_S: Final = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("url", nargs="?", help="what is asked for: https://host:port/path")
    parser.add_argument(
        "--via",
        action="append",
        default=[],
        metavar="URL",
        help="also ask by way of this proxy, http:// (prior knowledge) or https://; may be given "
        "again",
    )
    parser.add_argument(
        "--authority",
        metavar="NAME",
        help="ask for this host, or host:port, in place of the URL's, in :authority and in TLS: so "
        "one server among many is reached by its address",
    )
    parser.add_argument(
        "--grpc",
        action="store_true",
        help="speak gRPC: POST, content-type: application/grpc, messages, and a grpc-status at the "
        "end",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--ca",
        metavar="FILE",
        help="PEM file: who is trusted in place of the system's authorities",
    )
    parser.add_argument("--insecure", action="store_true", help="trust every certificate")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="for each case (default: 5)",
    )
    serve = parser.add_argument_group("the origin, to stand behind the hop under suspicion")
    serve.add_argument(
        "--serve", action="store_true", help="be the origin, until Ctrl-C or SIGTERM"
    )
    serve.add_argument(
        "--bind",
        default=_DEFAULT_BIND,
        metavar="ADDRESS",
        help=f"where the origin listens: host:port or unix:/path (default: {_DEFAULT_BIND})",
    )
    serve.add_argument("--certificate", metavar="FILE", help="PEM file: serve TLS with it")
    serve.add_argument("--private-key", metavar="FILE", help="PEM file: its key")


def seconds(text: str) -> float:
    """Read a time limit.

    Raises:
        ValueError: it is none, or longer than an hour.
    """
    limit = float(text)
    if not 0 < limit <= 3600:
        raise ValueError(text)
    return limit
