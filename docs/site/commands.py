"""Commands: what the command line takes, from the parser that reads it."""

import argparse
import re
from collections.abc import Iterator
from textwrap import fill
from typing import Any, Final

from docs.site.marked import code, prose, table
from trailproxy.words import parser

_HELP: Final = "--help"
_FIXED: Final = "\0"  # a blank at which no line is broken
_DEFAULT: Final = re.compile(
    r" ?\(default: [^;)]*\)|default: [^;)]*; "
)  # it has a column of its own


def commands(*_about: str) -> str:
    """Return a section for each command, behind what stands before any of them."""
    parts = [_command(command, help_) for command, help_ in _known().values()]
    return "\n".join([_options(parser()), *parts])


def arguments(name: str) -> str:
    """Return what one command takes."""
    command, _ = _known()[name]
    return _options(command)


def _known() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the commands that stand in the help, and what it says of them."""
    (choice,) = (each for each in parser()._actions if each.nargs == argparse.PARSER)  # noqa: SLF001
    told = {each.dest: each.help for each in choice._choices_actions}  # type: ignore[attr-defined] # noqa: SLF001
    found: Any = choice.choices
    return {name: (found[name], help_) for name, help_ in told.items()}


def _command(command: argparse.ArgumentParser, help_: str) -> str:
    usage = f"```text\n{_usage(command)}\n```\n"
    options = _options(command)
    parts = [f"## {command.prog}\n", f"{prose(_sentence(help_))}\n", usage]
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


def _actions(command: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield what a command takes: first what it must have, then options, in their order."""
    actions = command._actions  # noqa: SLF001 - argparse tells nobody else
    yield from sorted(actions, key=lambda action: not (action.required and action.option_strings))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
