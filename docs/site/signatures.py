"""Signatures: what a program may call, from the source, so that compiled code tells it too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Final

import trailproxy

_PACKAGE: Final = Path(trailproxy.__file__).parent
_ATTRIBUTES: Final = re.compile(r"\n*Attributes:\n(.*)\Z", re.DOTALL)

_EQUALS: Final = re.compile(r"(: [\w.| \[\]]+)=")

_Callable = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: str, *names: str) -> str:
    """Return functions of a file as they are called; `Class.method` stands in its class."""
    found = dict(_callables(file))
    told: dict[str, list[str]] = {}
    for name in names:
        told.setdefault(name.rpartition(".")[0], []).append(_stub(found[name]))
    return _fence([*told.pop("", []), *(_stubs(f"class {name}", told[name]) for name in told)])


def classes(file: str, *names: str) -> str:
    """Return a section for each class of a file: what it is, has, and can be told."""
    tree = ast.parse((_PACKAGE / file).read_text("utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return "\n".join(_class(found[name]) for name in names)


def words(kind: type) -> str:
    """Return the docstring of a class, which compiled code may have lost."""
    file = _PACKAGE.parent / f"{kind.__module__.replace('.', '/')}.py"
    (found,) = (
        node
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    return _doc(found)


def _callables(file: str) -> Iterator[tuple[str, _Callable]]:
    for node in ast.parse((_PACKAGE / file).read_text("utf-8")).body:
        if isinstance(node, _Callable):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{inner.name}", inner) for inner in _methods(node))


def _methods(node: ast.ClassDef) -> list[_Callable]:
    return [inner for inner in node.body if isinstance(inner, _Callable)]


def _class(node: ast.ClassDef) -> str:
    parts = [f"### {node.name}\n", f"{_without_attributes(_doc(node))}\n"]
    parts += [f"{_listed(attributes)}\n" for attributes in _ATTRIBUTES.findall(_doc(node))]
    calls = [_stub(each) for each in _methods(node) if _doc(each) and not _is_property(each)]
    if calls:
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        parts.append(_fence([_stubs(f"class {node.name}{bases and f'({bases})'}", calls)]))
    properties = [each for each in _methods(node) if _is_property(each)]
    if properties:
        lines = [f"{each.name}: {_first(_doc(each))}" for each in properties]
        parts.append(f"{_listed(chr(10).join(lines))}\n")
    return "\n".join(parts)


def _is_property(method: _Callable) -> bool:
    return any(getattr(each, "id", "") == "property" for each in method.decorator_list)


def _stub(node: _Callable) -> str:
    """Return a function without what it does."""
    head = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    # as the formatter writes it, which looks into pages too
    takes = _EQUALS.sub(r"\1 = ", ast.unparse(node.args)).replace("'", '"')
    close = '\n    """' if "\n" in _doc(node) else '"""'
    line = f"{head} {node.name}({takes}){gives}:"
    return f'{line}\n    """{indent(_doc(node), "    ").strip()}{close}'


def _stubs(head: str, stubs: list[str]) -> str:
    return f"{head}:\n" + indent("\n\n".join(stubs), "    ")


def _fence(stubs: list[str]) -> str:
    return "```py\n{}\n```\n".format("\n\n\n".join(stubs))


def _doc(node: ast.ClassDef | _Callable) -> str:
    return ast.get_docstring(node) or ""


def _first(doc: str) -> str:
    return doc.partition("\n\n")[0].replace("\n", " ")


def _without_attributes(doc: str) -> str:
    return _ATTRIBUTES.sub("", doc)


def _listed(attributes: str) -> str:
    """Return the attributes of a docstring as a list."""
    lines = [line.strip() for line in attributes.splitlines() if line.strip()]
    return "\n".join(f"- `{name}`:{words}" for name, _, words in (x.partition(":") for x in lines))


def fields(file: str, name: str) -> str:
    """Return what a class sets in `__init__` and says something about."""
    text = (_PACKAGE / file).read_text("utf-8")
    (found,) = (node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    source = ast.get_source_segment(text, found) or ""
    said = re.findall(r"^ +self\.(\w+)\b.* = .*?  # (.+)$", source, re.MULTILINE)
    return "".join(f"- `{field}`: {words}\n" for field, words in said)
