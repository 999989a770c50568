"""YAML source: text becomes plain data, and every place in it knows its line.

A small and safe YAML: mappings with text keys, lists and scalars as YAML 1.2
reads them, so that `off` and `no` are text. No tags, no merge keys, and
bounds on size, depth and what aliases unfold to.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from trailproxy.ops.environment import substitute
from trailproxy.ops.problem import Place, Problem, SettingsError, quote, show

MAX_OCTETS: Final = 1024 * 1024  # of one file
_MAX_DEPTH: Final = 32  # steps from the top to a value
_MAX_VALUES: Final = 50_000  # with aliases unfolded

Scalar = str | int | float | bool | None

_CONSTANTS: Final[dict[str, Scalar]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")

# No setting can use these, and they would break whoever opens or prints the value.
_UNUSABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says, and on which line."""

    data: Any  # of mappings, lists and scalars
    lines: dict[Place, int]

    def problem(self, place: Place, why: str) -> Problem:
        """Say what is wrong at a place, or at one that should be there and is not."""
        known = place
        while known not in self.lines:
            known = known[:-1]
        return Problem(show(place), self.lines[known], why)


def read(text: str, name: str, environ: Mapping[str, str]) -> Source:
    """Read YAML text with the variables in its values replaced.

    Raises:
        SettingsError: it is no YAML, or more than this small YAML; all such places are told.
    """
    reader = _Reader(environ)
    try:
        root = _compose(text)
        if root is None:
            raise SettingsError((Problem("", 0, "the file is empty"),), name)
        reader.lines[()] = _line(root)
        data = reader.value(root, ())
    except yaml.YAMLError as error:
        raise SettingsError((_syntax_problem(error, text),), name) from error
    except _TooMuchError as error:
        raise SettingsError((error.problem,), name) from error
    if reader.problems:
        raise SettingsError(tuple(reader.problems), name)
    return Source(data, reader.lines)


class _Loader(yaml.SafeLoader):
    """Composes nodes without giving meaning to them; a tag is one that stands in the file."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""

    def fetch_more_tokens(self) -> None:
        # what is open is looked at for each token: deep nesting would take squared time
        if self.flow_level + len(self.indents) > _MAX_DEPTH + 1:
            raise yaml.MarkedYAMLError(
                problem="values are nested too deeply", problem_mark=self.get_mark()
            )
        super().fetch_more_tokens()


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:  # PyYAML believes any "\U" and %YAML
        raise yaml.MarkedYAMLError(
            problem="found a number that is too large", problem_mark=loader.get_mark()
        ) from error
    finally:
        loader.dispose()


class _TooMuchError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class _Reader:
    """Turns nodes into data, and notes lines and problems on the way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._left = _MAX_VALUES
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, place: Place) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError(Problem("", 0, f"more than {_MAX_VALUES} values, with aliases"))
        if len(place) > _MAX_DEPTH:
            why = "nested too deeply; does an alias hold itself?"
            raise _TooMuchError(Problem(show(place[:4]), self.lines[place], why))
        if node.tag:
            self._complain(place, f"YAML tags such as {_tag(node)} are not supported")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, place)
        text = self._text(node, place)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return _resolve(text) if plain else text

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "\0"
            if key_node.tag or _UNUSABLE.search(key):
                self.problems.append(Problem(show(place), line, "a key must be plain text"))
                continue
            below = (*place, key)
            if key in found:
                why = f"given twice; first on line {self.lines[below]}"
                self.problems.append(Problem(show(below), line, why))
                continue
            self.lines[below] = line
            if key == "<<" and key_node.style is None:
                self._complain(below, "YAML merge keys are not supported")
            found[key] = self.value(value_node, below)
        return found

    def _sequence(self, node: yaml.SequenceNode, place: Place) -> list[Any]:
        found = []
        for position, item in enumerate(node.value):
            below = (*place, position)
            self.lines[below] = _line(item)
            found.append(self.value(item, below))
        return found

    def _text(self, node: yaml.Node, place: Place) -> str:
        try:
            text = substitute(str(node.value), self._environ)
        except ValueError as error:
            self._complain(place, str(error))
            return ""
        if _UNUSABLE.search(text):
            self._complain(place, "holds a control character, or what is not Unicode text")
        return text

    def _complain(self, place: Place, why: str) -> None:
        self.problems.append(Problem(show(place), self.lines[place], why))


def _resolve(text: str) -> Scalar:
    """Give unquoted text the type it looks like, as the core schema of YAML 1.2 does."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _tag(node: yaml.Node) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        why = f"not valid YAML at column {mark.column + 1}: {said}"
        return Problem("", mark.line + 1, why + _advice(text, mark.line))
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem("", line, f"not valid YAML: {quote(chr(error.character))} is not allowed")
    return Problem("", 0, f"not valid YAML: {error}")


def _advice(text: str, line: int) -> str:
    """Tell what is usually behind a syntax error, from the line where it showed."""
    lines = text.splitlines()
    guilty = lines[line] if line < len(lines) else ""
    if "\t" in guilty:
        return "; indent with spaces, not with tabs"
    if "${" in guilty:
        return "; inside { } or [ ], put a value with ${NAME} in quotes"
    if "::" in guilty:
        return "; put an IPv6 address in quotes"
    return ""
