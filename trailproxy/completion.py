"""Completion: what a shell completes of our command line, as a script of that shell.

shtab writes it from the parser, so it knows what the program knows. The script stands by
itself: nothing of ours runs while somebody types.
"""

import argparse
from collections.abc import Iterator

import shtab


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell; the parser is used up by that."""
    for inner in _all(parser):
        for action in inner._actions:  # noqa: SLF001  # as shtab itself does
            if action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell=shell)


def _all(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands."""
    yield parser
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from _all(inner)
