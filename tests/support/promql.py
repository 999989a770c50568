"""What PromQL names: the series it asks for, and the labels it groups them by."""

import re
from typing import Final

_GROUPING: Final = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_REST: Final = re.compile(r"\[[^\]]*\]|\boffset\s+\$?\w+")
_NAME: Final = re.compile(r"(?<![\w:$])([A-Za-z_:][\w:]*)\s*(\{[^}]*\}|(?=\())?")
_KEYWORDS: Final = {"and", "or", "unless", "bool", "group_left", "group_right"}
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def selectors(expr: str) -> list[str]:
    """Return every selector of an expression, without its range."""
    bare = _REST.sub(" ", _GROUPING.sub(" ", expr))
    found = []
    for match in _NAME.finditer(bare):
        name, matchers = match.groups()
        if matchers != "" and name not in _KEYWORDS:  # an empty one stands before a bracket
            found.append(name + (matchers or ""))
    return found


def grouped_by(expr: str) -> set[str]:
    """Return every label that an expression groups, joins or counts by."""
    groups = ",".join(_GROUPING.findall(expr)).split(",")
    return {label.strip() for label in groups if label.strip()}


def metric_of(selector: str) -> str:
    """Return the name a selector begins with."""
    return selector.partition("{")[0]


def matchers_of(selector: str) -> list[tuple[str, str, str]]:
    """Return label, operator and value of each matcher."""
    return _MATCHER.findall(selector)
