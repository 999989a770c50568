"""Arguments: what `trailproxy replay` takes. Nothing else is loaded to tell them."""

import argparse
from pathlib import Path
from typing import Final

from trailproxy.probe.arguments import seconds

_DEFAULT_TIMEOUT_S: Final = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a capture of the tap, or any HAR")
    parser.add_argument(
        "--against",
        required=True,
        metavar="URL",
        help="who is asked: http:// (prior knowledge) or https://, host:port",
    )
    parser.add_argument(
        "--authority", metavar="NAME", help="ask for this in place of the URL's host:port"
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="PEM file: who is trusted in place of the system's authorities"
    )
    parser.add_argument("--insecure", action="store_true", help="trust every certificate")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="for each request (default: 10)",
    )
