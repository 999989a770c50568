"""The words of the command line: every command, what may stand behind it, and how it ends.

What they do is `cli`'s business. Completion and the reference are made from here, so
nothing but the standard library is needed to read them.
"""

import argparse
import platform
from pathlib import Path
from typing import Any, Final, NoReturn

from trailproxy import __version__
from trailproxy.flavour import flavour
from trailproxy.probe.arguments import add_arguments as probe_arguments
from trailproxy.replay.arguments import add_arguments as replay_arguments

OK: Final = 0
FAILED: Final = 1
BAD_CONFIGURATION: Final = 2

_MOST_PORT: Final = 65535


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """End with it."""
        self.exit(BAD_CONFIGURATION, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser(*, inner: bool = False) -> argparse.ArgumentParser:
    """Return what reads the command line; `inner`: that of our own worker processes too."""
    whole = _Parser(
        prog="trailproxy", description="An HTTP/2 reverse proxy that never loses a trailer."
    )
    python = platform.python_version()
    whole.add_argument(
        "--version",
        action="version",
        version=f"trailproxy {__version__} (native codec, {flavour()}; Python {python})",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _configured(commands)
    _command(commands, "schema", "print the JSON Schema of the configuration", "0")
    _demo(commands)
    probe_arguments(
        _command(
            commands,
            "probe",
            "tell whether a path keeps its trailers, and which hop does not",
            "0 if nothing is broken, 1 if anything is, 2 if the command or a certificate is no "
            "good or a hop cannot be reached",
        )
    )
    replay_arguments(
        _command(
            commands,
            "replay",
            "send captured requests again, and tell what comes back otherwise",
            "0 if all is as before, 1 when a status, a grpc-status, an ending or the names of "
            "trailers differ, 2 when the file or the command is no good or nobody is there",
        )
    )
    text = "print a script that completes this command line, for bash, zsh or fish"
    _command(commands, "completion", text, "0").add_argument(
        "shell", choices=("bash", "zsh", "fish")
    )
    if inner:
        worker = commands.add_parser("worker")
        worker.add_argument("number", type=int)
        worker.add_argument("hearing", type=int)  # descriptors of its channel
        worker.add_argument("saying", type=int)
    return whole


def actions_of(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a command takes."""
    return command._actions  # noqa: SLF001 - argparse tells nobody else


def commands_of(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a command line, by name."""
    (chosen,) = [each for each in actions_of(whole) if each.nargs == argparse.PARSER]
    choices: Any = chosen.choices
    return dict(choices)


def _command(commands: Any, name: str, text: str, status: str) -> argparse.ArgumentParser:
    """Add a command: what it does, and what its exit status tells."""
    added = commands.add_parser(name, help=text, description=text, epilog=f"exit status: {status}")
    assert isinstance(added, argparse.ArgumentParser)  # the type of `commands` has no public name
    return added


def _configured(commands: Any) -> None:
    run = _command(
        commands,
        "run",
        "serve the configuration; TERM drains, HUP reloads",
        "0 after a drain, 2 for a configuration that cannot be used (what, where and on which "
        "line, on stderr), 1 for the rest, such as an address in use",
    )
    check = _command(
        commands,
        "check",
        "say whether a configuration is good",
        "0 if it is, 2 if not (what, where and on which line, on stderr)",
    )
    for command in (run, check):
        command.add_argument(
            "-c", "--config", type=Path, required=True, metavar="FILE", help="the YAML file"
        )


def _demo(commands: Any) -> None:
    demo = _command(
        commands,
        "demo",
        "show a backend, the proxy before it, and one request that keeps its trailers",
        "0 if all of the answer came, 1 if not, or if an address is in use",
    )
    demo.add_argument("--once", action="store_true", help="stop after the one request")
    for option, default, whose in (
        ("--port", 8080, "the proxy"),
        ("--admin-port", 9901, "the admin page"),
    ):
        text = f"of {whose} (default: {default}; 0: any that is free)"
        demo.add_argument(option, type=_port, default=default, metavar="PORT", help=text)


def _port(text: str) -> int:
    """Read a port.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {_MOST_PORT}, not {text!r}")
    return int(text)
