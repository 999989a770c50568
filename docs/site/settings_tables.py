"""Settings tables: every key of the configuration, from the schema that editors get."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from docs.site.marked import code, prose, table
from trailproxy.ops.settings import schema
from trailproxy.ops.units import Duration, Size

Form = dict[str, Any]
Key = tuple[str, Form, bool]
"""Where it stands, what it may be, and whether it must be there."""

_PATTERNS: Final = {Duration.PATTERN: "duration", Size.PATTERN: "size"}
_PLAIN: Final[dict[str, Callable[[Form], str]]] = {
    "array": lambda form: f"list: {_kind(form['items'])}",
    "boolean": lambda _: "`true` or `false`",
    "integer": lambda form: f"number, {form['minimum']} to {form['maximum']}",
    "string": lambda form: _PATTERNS.get(form.get("pattern", ""), "text"),
}
_TITLES: Final = "key | type | default | meaning"
_TOP: Final = "top"


def settings(part: str) -> str:
    """Return the table of a top-level key and all below it, or of the top itself."""
    rows = [_row(*key) for key in every_key() if _is_of(key[0], part)]
    return table(_TITLES, rows)


def every_key() -> Iterator[Key]:
    """Yield every key there is, depth first."""
    made = schema()
    yield from _below(made, made["$defs"], "")


def _below(form: Form, structs: Form, place: str) -> Iterator[Key]:
    if "$ref" in form:
        struct = structs[form["$ref"].rpartition("/")[2]]
        for key, inner in struct["properties"].items():
            path = f"{place}.{key}" if place else key
            yield path, inner, key in struct["required"]
            yield from _below(inner, structs, path)
    for option in form.get("anyOf", ()):
        yield from _below(option, structs, place)
    if "items" in form:
        yield from _below(form["items"], structs, f"{place}[]")


def _is_of(path: str, part: str) -> bool:
    if part == _TOP:
        return not set(path) & set(".[")
    return path.startswith((f"{part}.", f"{part}[]."))


def _row(path: str, form: Form, required: bool) -> tuple[str, ...]:
    return code(path), kind(form), _default(form, required), prose(form["description"])


def kind(form: Form) -> str:
    """Say in words what a value may be, with an example where no default is one."""
    examples = form.get("examples", ())
    such_as = ", such as " + " or ".join(_value(each) for each in examples) if examples else ""
    return _kind(form) + such_as


def _kind(form: Form) -> str:
    if "anyOf" in form:
        return " or ".join(_kind(option) for option in form["anyOf"])
    if "enum" in form:
        return " or ".join(code(str(value)) for value in form["enum"])
    if "$ref" in form:
        return "section"
    return _PLAIN[form["type"]](form)


def _default(form: Form, required: bool) -> str:
    if required:
        return "required"
    default = form.get("default")
    return "–" if default in (None, (), []) or isinstance(default, dict) else _value(default)


def _value(value: Any) -> str:
    """Write a value as operators do."""
    return code(value if isinstance(value, str) else json.dumps(value))


def is_leaf(form: Form) -> bool:
    """Whether it is neither a section nor sections."""
    forms = [form, form.get("items", {}), *form.get("anyOf", ())]
    return not any("$ref" in each or "$ref" in each.get("items", {}) for each in forms)
