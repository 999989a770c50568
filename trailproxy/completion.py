"""Completion: what a shell completes of our command line, as a script of that shell.

shtab writes it from the parser, so it knows what the program knows. The script stands by
itself: nothing of ours runs while somebody types.
"""

import argparse

import shtab

from trailproxy.words import actions_of, commands_of


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell; the parser is used up by that."""
    for each in (parser, *commands_of(parser).values()):
        for action in actions_of(each):
            if action.metavar == "FILE":
                # so shtab is told; argparse has no place of its own for it
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell=shell)
