"""Upstream: the core's one window to the backends. `net.Origin` is behind it.

Classes, not Protocols, as in `core.stream`, and for the same reason.
"""

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from trailproxy.core.fault import Fault
from trailproxy.core.stream import Host, Owner

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection
    from trailproxy.core.load_report import LoadReport
    from trailproxy.core.message import Request
    from trailproxy.core.record import Record


@mypyc_attr(allow_interpreted_subclasses=True)
class Tenant(Owner):
    """Who waits for a stream on an upstream connection, and then owns it."""

    #: What it wants; some upstreams choose by it.
    asked: "Request"
    #: The endpoint that has turned it away, if one has.
    avoid: str = ""

    def attach(self, connection: "Connection", endpoint: str) -> None:
        """Open a stream on this connection; it has a free slot now."""
        raise NotImplementedError

    def lease_failed(self, fault: Fault) -> None:
        """There is no connection to be had."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Upstream(Host):
    """The connections to one upstream."""

    #: The name it has in the configuration.
    name: str
    #: Whether it wants to hear how exchanges ended.
    attentive: bool = False
    #: Whether it reads what its endpoints say of their load, which then goes no further.
    reads_load: bool = False

    def lease(self, tenant: Tenant) -> None:
        """Find the tenant a connection: now, or when a slot is free."""
        raise NotImplementedError

    def cancel(self, tenant: Tenant) -> None:
        """The tenant waits no more; one that does not wait is no error."""
        raise NotImplementedError

    def exchange_over(self, record: "Record") -> None:
        """Hear how an exchange ended, if it wants to; one that was attached, perhaps."""

    def load_told(self, endpoint: str, report: "LoadReport | None") -> None:
        """Hear what an endpoint says of its load, if it reads that; None: nobody can read it."""
