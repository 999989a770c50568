"""Records as tests write them: any word of it, in any order."""

from typing import Any

from trailproxy.core.message import Hop, Request
from trailproxy.core.record import Record
from trailproxy.wire.fields import Fields


def record_of(
    listener: str,
    method: str,
    authority: str,
    path: str,
    peer: str,
    began: float,
    grpc: bool,
    traceparent: str = "",
    **words: Any,
) -> Record:
    """Build a record that says all of `words`."""
    kind = "application/grpc" if grpc else "text/plain"
    head = {":method": method, ":authority": authority, ":path": path, "content-type": kind}
    if traceparent:
        head["traceparent"] = traceparent
    fields = Fields.of([(name, value.encode("latin-1")) for name, value in head.items()])
    record = Record(listener, Request(fields, Hop(peer, "http")), began)
    for name, value in words.items():
        setattr(record, name, value)
    return record
