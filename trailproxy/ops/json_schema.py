"""JSON Schema: what editors and CI may check a configuration against.

msgspec makes it from the structs. Two things it cannot know are added here:
defaults are written as operators write them, and a key that is not wanted is
left out, never given as null.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from trailproxy.ops import units

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NULL: Final = {"type": "null"}


def describe(root: type[msgspec.Struct], structs: Iterable[Any]) -> dict[str, Any]:
    """Return the schema of the struct `root`; `structs` are all that are found in it."""
    made = msgspec.json.schema(root, schema_hook=units.describe)
    for struct in structs:
        properties = made["$defs"][struct.__name__]["properties"]
        for field in msgspec.structs.fields(struct):
            properties[field.name] = _property(properties[field.name], field)
    return {"$schema": _DIALECT, "title": "trailproxy configuration", **made}


def _property(made: dict[str, Any], field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    if field.default is None:
        (form,) = [option for option in made["anyOf"] if option != _NULL]
        said = {word: made[word] for word in ("description", "examples") if word in made}
        return {**said, **form}
    if field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default_factory(), enc_hook=str)
        return made | {"default": default}
    if isinstance(field.default, msgspec.Struct):
        told = {key: value for key, value in made["default"].items() if value is not None}
        return made | {"default": told}
    return made
