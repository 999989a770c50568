"""Environment: `${NAME}` and `${NAME:-default}` in a value are replaced, once, as a shell would.

What a variable holds is never read as YAML structure, nor searched for variables again.
"""

import re
from collections.abc import Mapping
from typing import Final

_OPENING: Final = re.compile(
    r"\$(?P<escaped>\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}"
    r"|\$\{"
)


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Replace the variables in `text`; `$${` stands for the characters `${`.

    A default also stands in for a variable that is set to nothing.

    Raises:
        ValueError: a variable is not set and has no default, or `${` begins none.
    """
    return _OPENING.sub(lambda match: _value(match, environ), text) if "${" in text else text


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "${"
    name = match["name"]
    if name is None:
        raise ValueError(
            "${ begins no variable: write ${NAME} or ${NAME:-default}, or $${ for the text itself"
        )
    value = environ.get(name)
    default = match["default"]
    if default is not None:
        return value or default
    if value is None:
        raise ValueError(
            f"the environment variable {name} is not set; ${{{name}:-default}} would give a default"
        )
    return value
