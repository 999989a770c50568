"""The command line: run, check, schema, demo, probe, replay, completion.

Exit status: 0 after a clean drain, 2 for a bad configuration (path and reason
on stderr), 1 for the rest. Imports are made where they are needed, so that
`check` and `--version` stay quick.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trailproxy.words import BAD_CONFIGURATION, FAILED, OK, parser

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    # what `run` starts for itself is no command of anybody else's
    arguments = parser(inner=words[:1] == ["worker"]).parse_args(words)
    logging.basicConfig(level=logging.INFO, format=_FORMAT)
    commands = {
        "run": _run, "check": _check, "schema": _schema, "demo": _demo, "probe": _probe,
        "replay": _replay, "completion": _completion, "worker": _worker,
    }  # fmt: skip
    return commands[arguments.command](arguments)


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


def _completion(arguments: argparse.Namespace) -> int:
    from trailproxy.completion import script

    _say(script(parser(), arguments.shell))
    return OK


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
