"""Commands: what the command line takes, from the parser that reads it."""

import argparse
import re
from textwrap import fill
from typing import Final

from docs.site.marked import code, prose, table
from trailproxy.words import actions_of, commands_of, parser

_HELP: Final = "--help"
_FIXED: Final = "\0"  # a blank at which no line is broken
_DEFAULT: Final = re.compile(
    r" ?\(default: [^;)]*\)|default: [^;)]*; "
)  # it has a column of its own


def commands(*_about: str) -> str:
    """Return a section for each command, behind what stands before any of them."""
    whole = parser()
    parts = [_command(command) for command in commands_of(whole).values()]
    return "\n".join([_options(whole), *parts])


def arguments(name: str) -> str:
    """Return what one command takes."""
    return _options(commands_of(parser())[name])


def _command(command: argparse.ArgumentParser) -> str:
    usage = f"```text\n{_usage(command)}\n```\n"
    options = _options(command)
    parts = [f"## {command.prog}\n", f"{prose(_sentence(command.description or ''))}\n", usage]
    parts += [options] if options else []
    parts += [f"{prose(_sentence(command.epilog or ''))}\n"]
    return "\n".join(parts)


def _options(command: argparse.ArgumentParser) -> str:
    rows = [
        (_name(action), _default(action), prose(_DEFAULT.sub("", action.help or "")))
        for action in _actions(command)
        if _HELP not in action.option_strings and action.nargs != argparse.PARSER
    ]
    return table("argument | default | meaning", rows) if rows else ""


def _usage(command: argparse.ArgumentParser) -> str:
    """Return the command line as one may write it; argparse breaks its lines by the terminal."""
    words = [_word(action) for action in _actions(command) if _HELP not in action.option_strings]
    line = " ".join([command.prog, *words])
    whole = fill(line, 100, subsequent_indent="    ", break_on_hyphens=False)
    return whole.replace(_FIXED, " ")


def _word(action: argparse.Action) -> str:
    word = _written(action).replace(" ", _FIXED)
    return word if action.required and action.nargs != "?" else f"[{word}]"


def _written(action: argparse.Action) -> str:
    metavar = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    if not action.option_strings:
        return str(metavar)
    takes = "" if action.nargs == 0 else f" {metavar}"
    return f"{action.option_strings[-1]}{takes}"


def _name(action: argparse.Action) -> str:
    short = "".join(f"{code(each)}, " for each in action.option_strings[:-1])
    return short + code(_written(action))


def _default(action: argparse.Action) -> str:
    if action.required and action.nargs != "?":
        return "required"
    plain = action.default in (None, False, [], argparse.SUPPRESS)
    return "–" if plain else code(str(action.default))


def _actions(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a command takes: first what it must have, then options, in their order."""
    return sorted(
        actions_of(command), key=lambda action: not (action.required and action.option_strings)
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
