"""Epilogue: the trailers with which we end a response that its upstream cut short.

They say that the message is not whole, and why: grpc-status where gRPC is spoken,
else Proxy-Status (RFC 9209), for which the same member in the head has made room.
Where a message cut short could be taken for a whole one there is no epilogue, but
a reset.
"""

from typing import Final, NamedTuple

from trailproxy.core import grpc
from trailproxy.core.fault import Fault
from trailproxy.core.message import Request
from trailproxy.core.reply import grpc_fields, proxy_status
from trailproxy.core.routing import OnFailure
from trailproxy.wire.field import Field, share
from trailproxy.wire.fields import NO_LENGTH, Fields, Kind

_MEMBER: Final = share(Field(b"proxy-status", b"trailproxy"))


class Epilogue(NamedTuple):
    """The end of somebody else's response."""

    trailers: Fields
    grpc_status: str  # empty where none is owed


def announce(asked: Request, head: Fields) -> Fields:
    """Return the head of a response that may end in Proxy-Status, with our member in it.

    RFC 9209 section 2: a member in trailers needs one of the same name in the head. Ours
    stands behind those of earlier hops.
    """
    if not _takes_trailers(asked, head) or _speaks_grpc(asked, head):
        return head
    return Fields([*head.items, _MEMBER]).vouch(Kind.RESPONSE)


def epilogue(fault: Fault, asked: Request, head: Fields, on_failure: int) -> Epilogue | None:
    """Return the end of a response, or None if only a reset will do.

    Args:
        fault: what cut it short.
        asked: the request.
        head: of the response, as the client has it.
        on_failure: what the route wants, see `OnFailure`.
    """
    if on_failure == OnFailure.RESET or not _takes_trailers(asked, head):
        return None
    if _speaks_grpc(asked, head):
        status, fields = grpc_fields(fault)
        return Epilogue(Fields(fields), status)
    if on_failure == OnFailure.TRAILERS:
        member = proxy_status(fault, behind_head=True)
        return Epilogue(Fields([Field(b"proxy-status", member)]), "")
    return None


def _speaks_grpc(asked: Request, head: Fields) -> bool:
    return asked.grpc and grpc.is_grpc(head)


def _takes_trailers(asked: Request, head: Fields) -> bool:
    """Tell whether trailers may follow, and cannot be overlooked.

    Whoever reads a body by its announced length would not look behind it; what follows
    CONNECT (RFC 9113 section 8.5) or HEAD has no trailers, nor has a 204 or 304.
    """
    if asked.method in ("CONNECT", "HEAD") or head.status in (204, 304):
        return False
    return head.content_length == NO_LENGTH
