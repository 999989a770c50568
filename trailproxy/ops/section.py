"""Section: what all mappings of the configuration have in common, and how fields are described.

The description of each field is its documentation, and the JSON Schema is made from it.
"""

from typing import Annotated, Any, TypeVar

import msgspec

_T = TypeVar("_T")


def default(value: _T) -> _T:
    """Give a field a default that JSON has no word for; `json_schema` puts it in its own."""
    field: _T = msgspec.field(default_factory=lambda: value)
    return field


def doc(text: str, example: Any = None) -> msgspec.Meta:
    """Describe a field; one without a default has an example in its place."""
    return msgspec.Meta(description=text, examples=None if example is None else [example])


def count(text: str, low: int, high: int) -> msgspec.Meta:
    """Describe a whole number and its range."""
    wanted = f"a whole number from {low} to {high}"
    return msgspec.Meta(description=text, ge=low, le=high, extra={"wanted": wanted})


def text(pattern: str, wanted: str) -> msgspec.Meta:
    """Say what a text must look like, as a pattern and in words."""
    return msgspec.Meta(pattern=pattern, extra={"wanted": wanted})


def some(text: str, example: Any = None) -> msgspec.Meta:
    """Describe a list that must have an entry."""
    examples = None if example is None else [example]
    return msgspec.Meta(description=text, min_length=1, examples=examples)


Name = Annotated[
    str,
    text(r"^[A-Za-z0-9_.-]{1,64}$", "a name of 1 to 64 letters, digits, dots, _ or -"),
]
Address = Annotated[str, text(r":", "host:port, [v6]:port or unix:/path")]
Endpoint = Annotated[
    str, text(r":", "host:port, [v6]:port, unix:/path, srv:NAME or k8s:NAMESPACE/SERVICE:PORT")
]
FieldName = Annotated[
    str, text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "the name of a field, such as x-checksum")
]
File = Annotated[str, msgspec.Meta(min_length=1, extra={"wanted": "the path of a file"})]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all mappings of the file have in common."""
