"""The command line: run, check, schema, demo, probe, replay, completion.

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
from typing import Final, NoReturn

from trailproxy import __version__
from trailproxy.flavour import flavour
from trailproxy.probe.arguments import add_arguments as probe_arguments
from trailproxy.replay.arguments import add_arguments as replay_arguments

OK = 0
FAILED = 1
BAD_CONFIGURATION = 2

_MOST_PORT: Final = 65535

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    # what `run` starts for itself is no command of anybody else's
    arguments = _parser(inner=words[:1] == ["worker"]).parse_args(words)
    logging.basicConfig(level=logging.INFO, format=_FORMAT)
    commands = {
        "run": _run, "check": _check, "schema": _schema, "demo": _demo, "probe": _probe,
        "replay": _replay, "completion": _completion, "worker": _worker,
    }  # fmt: skip
    return commands[arguments.command](arguments)


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """End with it."""
        self.exit(BAD_CONFIGURATION, f"{self.prog}: {message}; see {self.prog} --help\n")


def _port(text: str) -> int:
    """Read a port.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {_MOST_PORT}, not {text!r}")
    return int(text)


def _parser(*, inner: bool = False) -> argparse.ArgumentParser:
    python = platform.python_version()
    parser = _Parser(
        prog="trailproxy", description="An HTTP/2 reverse proxy that never loses a trailer."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"trailproxy {__version__} (native codec, {flavour()}; Python {python})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "serve the configuration; TERM drains, HUP reloads"),
        ("check", "say whether a configuration is good"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "-c", "--config", type=Path, required=True, metavar="FILE", help="the YAML file"
        )
    text = "print the JSON Schema of the configuration"
    commands.add_parser("schema", help=text, description=text)
    text = "show a backend, the proxy before it, and one request that keeps its trailers"
    demo = commands.add_parser("demo", help=text, description=text)
    demo.add_argument("--once", action="store_true", help="stop after the one request")
    for option, default, of in (("--port", 8080, "of the proxy "), ("--admin-port", 9901, "")):
        demo.add_argument(
            option, type=_port, default=default, metavar="PORT",
            help=f"{of}(default: {default}; 0: any that is free)",
        )  # fmt: skip
    text = "tell whether a path keeps its trailers, and which hop does not"
    probe_arguments(commands.add_parser("probe", help=text, description=text))
    text = "send captured requests again, and tell what comes back otherwise"
    replay_arguments(commands.add_parser("replay", help=text, description=text))
    text = "print a script that completes this command line, for bash, zsh or fish"
    completion = commands.add_parser("completion", help=text, description=text)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    if inner:
        worker = commands.add_parser("worker")
        worker.add_argument("number", type=int)
        worker.add_argument("hearing", type=int)  # descriptors of its channel
        worker.add_argument("saying", type=int)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from trailproxy import descriptors
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
        lacking = descriptors.make_room(settings)
        if lacking:
            logging.getLogger("trailproxy").warning("%s", lacking)
        succession = Succession(settings.handover, os.environ)
        kind = App if processes(settings) == 1 else Supervisor
        proxy = kind(read, succession.heritage, Watch(arguments.config))
        await proxy.start()
        succession.begin(proxy)
        await proxy.run()
        succession.close()

    lacking = descriptors.too_few()
    if lacking:
        sys.stderr.write(f"trailproxy: {lacking}\n")
        return FAILED
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
    _say(
        f"{arguments.config}: good: {len(settings.listeners)} listeners, "
        f"{len(settings.upstreams)} upstreams, {len(settings.routes)} routes"
    )
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


def _completion(arguments: argparse.Namespace) -> int:
    from trailproxy.completion import script

    _say(script(_parser(), arguments.shell))
    return OK


def _complain(config: Path, error: Exception) -> int:
    """Print each problem behind the name of the file."""
    for line in str(error).splitlines():
        known = line.startswith(str(config))
        sys.stderr.write(line + "\n" if known else f"{config}: {line}\n")
    return BAD_CONFIGURATION


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
