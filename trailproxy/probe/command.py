"""The command `trailproxy probe`: what it does with its arguments."""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Final

from trailproxy.core.address import parse_address
from trailproxy.net.remedy import remedy
from trailproxy.net.tls import TLSError, server_context
from trailproxy.probe import report
from trailproxy.probe.client import Target, Way
from trailproxy.probe.inquiry import inquire
from trailproxy.probe.origin import Origin

_USAGE: Final = 2


def run(arguments: argparse.Namespace) -> int:
    """Probe, or be the origin; return the exit status."""
    try:
        if arguments.serve:
            return asyncio.run(_serve(arguments))
        if arguments.url is None:
            raise ValueError("give a URL to probe, such as https://host:port/path, or --serve")
        return asyncio.run(_probe(arguments))
    except (ValueError, TLSError, OSError) as error:
        sys.stderr.write(f"trailproxy probe: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _USAGE


async def _probe(arguments: argparse.Namespace) -> int:
    target = Target.of(arguments.url)
    named = target
    if arguments.authority is not None:
        named = replace(target, authority=arguments.authority)
    trust = {"ca": arguments.ca, "insecure": arguments.insecure}
    ways = [Way.to("direct", target, named, **trust)]
    ways += [Way.to(url, Target.of(url), named, **trust) for url in arguments.via]
    columns = await inquire(named, ways, grpc=arguments.grpc, timeout_s=arguments.timeout)
    if arguments.json:
        sys.stdout.write(report.as_json(arguments.url, columns) + "\n")
    else:
        report.print_table(columns)
    return report.status(columns)


async def _serve(arguments: argparse.Namespace) -> int:
    if (arguments.certificate is None) is not (arguments.private_key is None):
        raise ValueError("--certificate and --private-key go together")
    tls = None
    if arguments.certificate is not None:
        tls = server_context(arguments.certificate, arguments.private_key, None)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    origin = Origin()
    address = parse_address(arguments.bind)
    try:
        bound = await origin.start(address, tls)
    except OSError as error:
        why = os.strerror(error.errno or 0)  # asyncio's own text repeats the address
        raise ValueError(f"--bind: {address}: {why}{remedy(address, error)}") from error
    sys.stdout.write(f"probe origin on {bound}{'' if tls is None else ', TLS'}\n")
    sys.stdout.flush()
    await asked.wait()
    await origin.close()
    return 0
