"""The command line: run, check, schema, demo, probe, replay.

Exit status: 0 after a clean drain, 2 for a bad configuration (path and reason
on stderr), 1 for the rest. Imports are made where they are needed, so that
`check` and `--version` stay quick.
"""

import argparse
import logging
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from trailproxy import __version__
from trailproxy.flavour import flavour
from trailproxy.probe.arguments import add_arguments as probe_arguments
from trailproxy.replay.arguments import add_arguments as replay_arguments

OK = 0
FAILED = 1
BAD_CONFIGURATION = 2

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=_FORMAT)
    commands = {
        "run": _run, "check": _check, "schema": _schema, "demo": _demo, "probe": _probe,
        "replay": _replay, "worker": _worker,
    }  # fmt: skip
    return commands[arguments.command](arguments)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    python = platform.python_version()
    parser = argparse.ArgumentParser(
        prog="trailproxy", description="An HTTP/2 reverse proxy that never loses a trailer."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"trailproxy {__version__} (native codec, {flavour()}; Python {python})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text, status in (
        ("run", "serve the configuration; TERM drains, HUP reloads",
         "0 after a drain, 2 for a configuration that cannot be used (what, where and on which "
         "line, on stderr), 1 for the rest, such as an address in use"),
        ("check", "say whether a configuration is good",
         "0 if it is, 2 if not (what, where and on which line, on stderr)"),
    ):  # fmt: skip
        command = commands.add_parser(
            name, help=text, description=text, epilog=f"exit status: {status}"
        )
        command.add_argument(
            "-c", "--config", type=Path, required=True, metavar="FILE", help="the YAML file"
        )
    text = "print the JSON Schema of the configuration"
    commands.add_parser("schema", help=text, description=text, epilog="exit status: 0")
    text = "show a backend, the proxy before it, and one request that keeps its trailers"
    status = "exit status: 0 if all of the answer came, 1 if not, or if an address is in use"
    demo = commands.add_parser("demo", help=text, description=text, epilog=status)
    demo.add_argument("--once", action="store_true", help="stop after the one request")
    demo.add_argument(
        "--port", metavar="PORT", type=int, default=8080, help="of the proxy (default: 8080)"
    )
    where = "of the admin page (default: 9901)"
    demo.add_argument("--admin-port", metavar="PORT", type=int, default=9901, help=where)
    text = "tell whether a path keeps its trailers, and which hop does not"
    status = (
        "exit status: 0 if nothing is broken, 1 if anything is, 2 if the command or a certificate "
        "is no good or a hop cannot be reached"
    )
    probe_arguments(commands.add_parser("probe", help=text, description=text, epilog=status))
    text = "send captured requests again, and tell what comes back otherwise"
    status = (
        "exit status: 0 if all is as before, 1 when a status, a grpc-status, an ending or the "
        "names of trailers differ, 2 when the file or the command is no good or nobody is there"
    )
    replay_arguments(commands.add_parser("replay", help=text, description=text, epilog=status))
    # what `run` starts for itself, and nobody else: it stands in no help
    worker = commands.add_parser("worker")
    worker.add_argument("number", type=int)
    worker.add_argument("hearing", type=int)  # descriptors of its channel
    worker.add_argument("saying", type=int)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from trailproxy.app import App
    from trailproxy.build import BindError, BuildError, processes
    from trailproxy.handover import Succession
    from trailproxy.net.loop import run
    from trailproxy.ops.settings import Settings, SettingsError, load
    from trailproxy.supervisor import Supervisor
    from trailproxy.watch import Watch

    def read() -> Settings:
        return load(arguments.config, os.environ)

    async def serve() -> None:
        settings = read()
        succession = Succession(settings.handover, os.environ)
        kind = App if processes(settings) == 1 else Supervisor
        proxy = kind(read, succession.heritage, Watch(arguments.config))
        await proxy.start()
        succession.begin(proxy)
        await proxy.run()
        succession.close()

    try:
        run(serve())
    except BindError as error:
        sys.stderr.write(f"trailproxy: {error}\n")
        return FAILED
    except (SettingsError, BuildError) as error:
        return _complain(arguments.config, error)
    return OK


def _worker(arguments: argparse.Namespace) -> int:
    from trailproxy.worker import run

    told_by = _FORMAT.replace("%(name)s", f"%(name)s worker {arguments.number}")
    logging.basicConfig(level=logging.INFO, format=told_by, force=True)
    return run(arguments.hearing, arguments.saying)


def _check(arguments: argparse.Namespace) -> int:
    from trailproxy.build import BuildError, make_plan
    from trailproxy.ops.settings import SettingsError, load

    try:
        plan = make_plan(load(arguments.config, os.environ))
    except (SettingsError, BuildError) as error:
        return _complain(arguments.config, error)
    settings = plan.settings
    numbers = (
        _several(len(settings.listeners), "listener"),
        _several(len(settings.upstreams), "upstream"),
        _several(len(settings.routes), "route"),
    )
    _say(f"{arguments.config}: good: {', '.join(numbers)}")
    if plan.admin.caution:
        sys.stderr.write(f"{arguments.config}: {plan.admin.caution}\n")
    return OK


def _schema(_: argparse.Namespace) -> int:
    import json

    from trailproxy.ops.settings import schema

    _say(json.dumps(schema(), indent=2))
    return OK


def _demo(arguments: argparse.Namespace) -> int:
    import asyncio

    from trailproxy.build import BuildError
    from trailproxy.demo import Demo

    logging.getLogger("trailproxy").setLevel(logging.WARNING)
    try:
        return asyncio.run(
            Demo(arguments.port, arguments.admin_port, _say).run(once=arguments.once)
        )
    except BuildError as error:
        sys.stderr.write(f"trailproxy demo: {error} (choose others with --port, --admin-port)\n")
        return FAILED


def _probe(arguments: argparse.Namespace) -> int:
    from trailproxy.probe.command import run

    return run(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    from trailproxy.replay.command import run

    return run(arguments)


def _complain(config: Path, error: Exception) -> int:
    """Print each problem behind the name of the file."""
    for line in str(error).splitlines():
        known = line.startswith(str(config))
        sys.stderr.write(line + "\n" if known else f"{config}: {line}\n")
    return BAD_CONFIGURATION


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
