"""What the connections to one upstream are like; a value that settings are compiled into."""

import ssl
from dataclasses import dataclass, field

from trailproxy.net.api_server import ApiParams
from trailproxy.net.balance import KeyOf, source_of
from trailproxy.net.connection import PATIENCE, Patience
from trailproxy.net.health import HealthParams
from trailproxy.net.names import Spot
from trailproxy.net.outliers import OutlierParams
from trailproxy.net.weights import LoadParams
from trailproxy.wire import WireParams


@dataclass(frozen=True, kw_only=True)
class OriginParams:
    """What the connections to one upstream are like."""

    name: str
    spots: tuple[Spot, ...]  # names and Services among them are found out, now and again
    balance: str = "least_request"  # or round_robin, hash
    hash_by: KeyOf = source_of
    panic: float = 0.5  # the part of endpoints that must be healthy for health to count
    health: HealthParams | None = None
    outliers: OutlierParams | None = None
    load: LoadParams | None = None  # None: load reports are fields like any other
    tls: ssl.SSLContext | None = None
    server_name: str | None = None  # None: the endpoint's own host
    connect_timeout_s: float = 5.0  # socket, TLS and the peer's SETTINGS together
    max_connections: int = 8  # to one endpoint
    max_resets: int = 250  # that one of them sends before another takes its place; 0: any number
    max_streams: int | None = None  # to all endpoints
    queue_limit: int = 4096  # tenants that wait for a slot
    queue_timeout_s: float = 10.0
    resolve_interval_s: float = 30.0  # at the latest
    dns_servers: tuple[str, ...] = ()  # none: the system's
    api: ApiParams | None = None  # of the cluster; None: no spot is a Service of Kubernetes
    codec: str = "native"
    wire: WireParams = field(default_factory=WireParams)
    patience: Patience = PATIENCE
