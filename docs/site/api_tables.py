"""API tables: the OpenAPI document as people read it."""

from typing import Any, Final

from docs.site.marked import code, prose, table
from docs.site.openapi import answers_of, document
from docs.site.operations import ALWAYS, GUARDED, OPERATIONS, Operation

_COMMON: Final = {**GUARDED, **ALWAYS}


def operations(*_about: str) -> str:
    """Return a section for each operation, without the answers that all of them have."""
    told = document()["paths"]
    return "\n".join(
        _operation(method, path, each, told[path][method.lower()])
        for (method, path), each in OPERATIONS.items()
    )


def shapes(*_about: str) -> str:
    """Return a table for each shape."""
    schemas = document()["components"]["schemas"]
    return "\n".join(_shape(name, form) for name, form in schemas.items())


def _operation(method: str, path: str, operation: Operation, told: Any) -> str:
    parts = [f"### {method} {path}\n", f"{prose(operation.about)} {prose(operation.more)}".strip()]
    parts.append("")
    if operation.parameter:
        name = told["parameters"][0]["name"]
        parts.append(f"`{name}`: {prose(operation.parameter)}\n")
    if operation.body:
        parts.append(f"It takes JSON: {_type(told['requestBody']['content'])}\n")
    rows = [
        (code(str(status)), _content(told["responses"][str(status)]), prose(answer.means))
        for status, answer in answers_of(operation).items()
        if answer not in _COMMON.values()
    ]
    return "\n".join([*parts, table("status | content | meaning", rows)])


def _content(response: Any) -> str:
    kinds = response["content"]
    return ", ".join(
        code(kind) + _behind(_kind(content["schema"])) for kind, content in kinds.items()
    )


def _behind(kind: str) -> str:
    return "" if kind == "text" else f": {kind}"


def _type(content: Any) -> str:
    (only,) = content.values()
    return _kind(only["schema"])


def _shape(name: str, form: Any) -> str:
    about = prose(form["description"])
    if "properties" not in form:
        values = ", ".join(code(str(value)) for value in form["enum"])
        return f"### {name}\n\n{about}\n\n{values}\n"
    rows = [
        (code(member), _kind(inner), "always" if member in form.get("required", ()) else "–")
        for member, inner in form["properties"].items()
    ]
    return f"### {name}\n\n{about}\n\n{table('member | type | there', rows)}"


def _kind(form: Any) -> str:
    """Say in words what a value may be."""
    if "$ref" in form:
        name = form["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in form:
        return " or ".join(_kind(option) for option in form["anyOf"])
    if "enum" in form:
        return " or ".join(code(str(value) or '""') for value in form["enum"])
    return _plain(form)


def _plain(form: Any) -> str:
    kind = form.get("type", "")
    if kind == "array":
        each = form["items"] if isinstance(form.get("items"), dict) else {}
        members = [_kind(each)] if each else [_kind(item) for item in form.get("prefixItems", ())]
        return f"list: {', '.join(members) or 'any'}"
    if kind == "object":
        inner = form.get("additionalProperties")
        return f"object of {_kind(inner)}" if isinstance(inner, dict) and inner else "object"
    bounds = f", {form['minimum']} to {form['maximum']}" if "maximum" in form else ""
    words = {"string": "text", "integer": "number", "boolean": "`true` or `false`"}
    return words.get(kind, kind or "any") + bounds
