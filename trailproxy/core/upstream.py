"""Upstream: the core's one window to the backends. `net.Origin` is behind it."""

from typing import TYPE_CHECKING, Protocol

from trailproxy.core.fault import Fault

if TYPE_CHECKING:
    from trailproxy.core.connection import Connection


class Tenant(Protocol):
    """Who waits for a stream on an upstream connection."""

    affinity: str  # requests with the same one go to the same endpoint, under `hash`

    def attach(self, connection: "Connection", endpoint: str) -> None:
        """Open a stream on this connection; it has a free slot now."""
        ...

    def lease_failed(self, fault: Fault) -> None:
        """There is no connection to be had."""
        ...


class Upstream(Protocol):
    """The connections to one upstream."""

    @property
    def name(self) -> str:
        """The name it has in the configuration."""
        ...

    def lease(self, tenant: Tenant) -> None:
        """Find the tenant a connection: now, or when a slot is free."""
        ...

    def cancel(self, tenant: Tenant) -> None:
        """The tenant waits no more; one that does not wait is no error."""
        ...
