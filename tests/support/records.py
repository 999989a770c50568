"""Records as tests write them: any word of it, in any order."""

from typing import Any, Final

from trailproxy.core.record import Record

_AT_THE_HEAD: Final = ("listener", "method", "authority", "path", "peer", "began", "grpc")


def record_of(**words: Any) -> Record:
    """Build a record that says all of `words`."""
    record = Record(**{name: words.pop(name) for name in _AT_THE_HEAD})
    for name, value in words.items():
        setattr(record, name, value)
    return record
