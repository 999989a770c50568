"""Trace: what a `traceparent` says (W3C Trace Context, level 1).

It is read here, never written: the upstream gets it as it came.
"""

import re
from typing import Final

# a version above ours may have more behind it; ff is none
_FORM: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_SAMPLED: Final = 0x01


def trace_id(traceparent: bytes) -> str:
    """Return the id of the trace in hexadecimal, or an empty string if there is none."""
    parent = parent_of(traceparent)
    return "" if parent is None else parent[0]


def parent_of(traceparent: bytes) -> tuple[str, str, bool] | None:
    """Return trace id, span id and whether it is sampled; None if it is not valid."""
    form = _FORM.fullmatch(traceparent)
    if form is None or (traceparent[:2] == b"00" and form[4] is not None):
        return None
    trace, span = form[1], form[2]
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return trace.decode(), span.decode(), bool(int(form[3], 16) & _SAMPLED)
