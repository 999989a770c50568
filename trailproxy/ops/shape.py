"""Shape: whether plain data is what the structs ask for.

msgspec is the judge, one value at a time from the leaves up; this room finds
all the places it refuses instead of the first, and words them for operators.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from trailproxy.ops.problem import Complaint, Place, did_you_mean, one_of, quote
from trailproxy.ops.units import decode

_NAMES: Final = {str: "text", int: "a whole number", bool: "true or false"}


def complaints(value: Any, kind: Any, place: Place = ()) -> list[Complaint]:
    """Find what is wrong with `value`, which should be a `kind`; nothing when it is one."""
    if value is None:
        return [(place, "is empty: give it a value, or leave it out")]
    form = _form(kind, value)
    found: list[Complaint] = []
    if isinstance(value, dict) and _is_struct(form):
        found = _in_mapping(value, form, place)
    elif isinstance(value, list) and get_origin(form) is tuple:
        for position, item in enumerate(value):
            found += complaints(item, get_args(form)[0], (*place, position))
    if found:
        return found
    try:
        msgspec.convert(value, kind, dec_hook=decode)
    except msgspec.ValidationError as error:
        return [(place, _why(value, kind, form, str(error)))]
    return []


def _in_mapping(value: dict[str, Any], form: Any, place: Place) -> list[Complaint]:
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    found: list[Complaint] = []
    for key, item in value.items():
        if key in fields:
            found += complaints(item, fields[key].type, (*place, key))
        else:
            near = did_you_mean(key, fields) or f"; known here: {', '.join(fields)}"
            found.append(((*place, key), f"unknown key{near}"))
    for name, field in fields.items():
        if field.required and name not in value:
            found.append(((*place, name), f"is missing; it must be {_wanted(field.type)}"))
    return found


def _form(kind: Any, value: Any) -> Any:
    """Return the type behind annotations; of alternatives, the one this value was meant for."""
    if get_origin(kind) is Annotated:
        return _form(get_args(kind)[0], value)
    if get_origin(kind) in (Union, UnionType):
        options = [_form(option, value) for option in get_args(kind)]
        return next((option for option in options if _holds(option, value)), options[0])
    return kind


def _holds(form: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return _is_struct(form)
    return (get_origin(form) is tuple) is isinstance(value, list)


def _is_struct(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, msgspec.Struct)


def _why(value: Any, kind: Any, form: Any, verdict: str) -> str:
    if value == [] and get_origin(form) is tuple:
        return "must have at least one entry"
    if isinstance(value, dict | list):
        return f"must be {_wanted(kind)}, not a {'mapping' if isinstance(value, dict) else 'list'}"
    if form not in _NAMES and isinstance(form, type) and not _is_struct(form):
        return verdict  # of a value with a unit, which words it itself
    near = did_you_mean(value, get_args(form)) if get_origin(form) is Literal else ""
    advice = near or (" (put it in quotes)" if _is_unquoted(value, kind) else "")
    said = "" if _is_secret(kind) else f", not {quote(value)}"
    return f"must be {_wanted(kind)}{said}{advice}"


def _is_secret(kind: Any) -> bool:
    """Tell whether a value of this type must not be repeated."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return _is_secret(inner) or any(note.extra and "secret" in note.extra for note in notes)
    return get_origin(kind) in (Union, UnionType) and any(map(_is_secret, get_args(kind)))


def _is_unquoted(value: Any, kind: Any) -> bool:
    """Tell whether the value would do if only YAML had taken it for text."""
    if isinstance(value, str):
        return False
    try:
        msgspec.convert(quote(value), kind, dec_hook=decode)
    except msgspec.ValidationError:
        return False
    return True


def _wanted(kind: Any) -> str:
    """Describe a type in operators' words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        told = [meta.extra["wanted"] for meta in arguments[1:] if meta.extra]
        return told[-1] if told else _wanted(arguments[0])
    if origin in (Union, UnionType):
        return one_of(_wanted(option) for option in arguments if option is not NoneType)
    if origin is Literal:
        return one_of(arguments)
    if origin is tuple:
        return "a list"
    return "a mapping" if _is_struct(kind) else _NAMES.get(kind) or str(kind.MEANT)
