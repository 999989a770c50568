"""Masking: what people are shown of field lists and targets, without what is secret in them.

A value is masked, never its name: that a cookie was sent is worth knowing, and what it
says is not ours to show. Rather too much is masked than too little.
"""

import re
from typing import Final

from trailproxy.wire.field import SECRET, Field
from trailproxy.wire.fields import Fields

MASK: Final = "***"

Pairs = list[tuple[str, str]]

#: Field names that speak of secrets, beside those that are never put in a compression table.
_SECRET: Final = re.compile(
    r"authoriz|authentic|auth[-_]|[-_]auth|cookie|token|secret|passw|api[-_]?key|credential"
    r"|session|signature|private[-_]?key|jwt|assertion|api[-_]?user"
)
#: And names in a query.
_SECRET_PARAMETER: Final = re.compile(
    rf"{_SECRET.pattern}|^(key|sig|code|state|auth|pwd|pass)$", re.IGNORECASE
)
#: Fields whose values are, or end with, a target.
_TARGETS: Final = frozenset({b":path", b"referer", b"location", b"content-location"})


def is_secret(field: Field) -> bool:
    """Tell whether the value of a field is not to be shown."""
    if field.never_indexed or field.token == SECRET:
        return True
    return _SECRET.search(field.name.decode("latin-1")) is not None


def masked(fields: Fields) -> Pairs:
    """Return names and values in order, with the values of secret fields masked."""
    return [(field.name.decode("latin-1"), _value(field)) for field in fields.items]


def _value(field: Field) -> str:
    if is_secret(field):
        return MASK
    value = field.value.decode("latin-1")
    return masked_target(value) if field.name in _TARGETS else value


def masked_target(target: str) -> str:
    """Return a path with query, or a URL, with the values of secret parameters masked."""
    path, mark, query = target.partition("?")
    if not mark:
        return target
    return path + mark + "&".join(_parameter(each) for each in query.split("&"))


def _parameter(pair: str) -> str:
    name, mark, _ = pair.partition("=")
    return f"{name}={MASK}" if mark and _SECRET_PARAMETER.search(name) else pair
