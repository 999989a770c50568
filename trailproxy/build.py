"""Build: from settings to the parameters of the rooms, with everything that can fail.

Nothing here touches what runs: a reload builds first, and commits only when all
of it stands. A key tells whether a part is the same as before, certificates'
contents included, so that an unchanged part keeps its connections.
"""

import hashlib
import os
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from trailproxy.core.address import Address, parse_address, parse_endpoint
from trailproxy.core.hooks import HookError
from trailproxy.net.balance import KeyOf, cookie_of, field_of, source_of
from trailproxy.net.expiry import expires_at
from trailproxy.net.health import HealthParams
from trailproxy.net.names import Spot
from trailproxy.net.origin import OriginParams
from trailproxy.net.outliers import OutlierParams
from trailproxy.net.tls import TLSError, client_context, server_context
from trailproxy.ops import tracing
from trailproxy.ops.handling import handling
from trailproxy.ops.settings import ListenerSettings, Settings, UpstreamSettings
from trailproxy.ops.snapshot import wire_params
from trailproxy.ops.upstream_settings import (
    EndpointSettings,
    HashBy,
    HealthCheckSettings,
    OutlierSettings,
)
from trailproxy.wire import WireParams

Key = tuple[object, ...]
#: Where a listener sits; on port 0, which takes any, its name tells it from others.
Seat = tuple[Address, str]


class BuildError(Exception):
    """Something the settings name cannot be used; one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: Final = tuple(problems)


class BindError(BuildError):
    """An address is taken, or not ours: the settings are good, the machine is not."""


class ListenerPlan(NamedTuple):
    """A listener to be."""

    key: Key
    name: str
    tls: ssl.SSLContext | None


class OriginPlan(NamedTuple):
    """An origin to be."""

    key: Key
    params: OriginParams


class Plan(NamedTuple):
    """Everything the settings ask for, built and unused."""

    settings: Settings
    wire: WireParams
    listeners: dict[Seat, ListenerPlan]
    origins: dict[str, OriginPlan]
    admin: Address
    expiries: dict[tuple[str, str], float]  # of certificates, see `expiries`


def make_plan(settings: Settings) -> Plan:
    """Build what the settings describe.

    Raises:
        BuildError: a certificate, a key, a CA file or a hook cannot be used, or a package is
            missing.
    """
    wire = wire_params(settings.limits)
    listeners: dict[Seat, ListenerPlan] = {}
    origins: dict[str, OriginPlan] = {}
    problems: list[str] = []
    for place, listener in enumerate(settings.listeners):
        try:
            listeners[_seat(listener)] = _listener(listener, settings.codec, wire)
        except TLSError as error:
            problems.append(f"listeners[{place}].tls: {error}")
    for place, upstream in enumerate(settings.upstreams):
        try:
            origins[upstream.name] = _origin(upstream, settings.codec, wire)
        except TLSError as error:
            problems.append(f"upstreams[{place}].tls: {error}")
    problems += _complaints(settings)
    if problems:
        raise BuildError(problems)
    admin = parse_address(settings.admin.bind)
    return Plan(settings, wire, listeners, origins, admin, expiries(settings))


def _complaints(settings: Settings) -> Iterator[str]:
    """Find what else is asked for and cannot be had."""
    for place, route in enumerate(settings.routes):
        try:
            handling(route)
        except HookError as error:
            yield f"routes[{place}].hooks: {error}"
    lacking = tracing.missing() if settings.tracing is not None else ""
    if lacking:
        yield f"tracing: {lacking}"


def expiries(settings: Settings) -> dict[tuple[str, str], float]:
    """Return when our certificates end, in seconds since 1970, by whose they are and its name."""
    files: dict[tuple[str, str], str] = {}
    for listener in settings.listeners:
        if listener.tls is not None:
            files["listener", listener.name] = listener.tls.certificate
    for upstream in settings.upstreams:
        if upstream.tls is not None and upstream.tls.certificate is not None:
            files["upstream", upstream.name] = upstream.tls.certificate
    ends = {whose: expires_at(file) for whose, file in files.items()}
    return {whose: end for whose, end in ends.items() if end is not None}


def processes(settings: Settings) -> int:
    """Return how many processes serve: `auto` is one for each CPU that we may run on."""
    if settings.workers == "auto":
        return len(os.sched_getaffinity(0))
    return settings.workers


def _seat(settings: ListenerSettings) -> Seat:
    address = parse_address(settings.bind)
    return address, "" if address.port or address.is_unix else settings.name


def _listener(settings: ListenerSettings, codec: str, wire: WireParams) -> ListenerPlan:
    tls = settings.tls
    if tls is None:
        return ListenerPlan((settings, codec, wire), settings.name, None)
    context = server_context(tls.certificate, tls.private_key, tls.client_ca)
    digest = _digest(tls.certificate, tls.private_key, tls.client_ca)
    return ListenerPlan((settings, codec, wire, digest), settings.name, context)


def _origin(settings: UpstreamSettings, codec: str, wire: WireParams) -> OriginPlan:
    tls = settings.tls
    context = None
    digest = b""
    if tls is not None:
        context = client_context(tls.ca, tls.certificate, tls.private_key)
        digest = _digest(tls.ca, tls.certificate, tls.private_key)
    params = OriginParams(
        name=settings.name,
        spots=tuple(map(_spot, settings.endpoints)),
        balance=settings.load_balancing,
        hash_by=_hash_by(settings.hash_by),
        panic=settings.panic_threshold / 100,
        health=_health(settings.health_check),
        outliers=_outliers(settings.outlier_detection),
        max_streams=settings.max_streams,
        tls=context,
        server_name=None if tls is None else tls.server_name,
        connect_timeout_s=float(settings.connect_timeout),
        max_connections=settings.max_connections,
        queue_limit=settings.queue_limit,
        queue_timeout_s=float(settings.queue_timeout),
        resolve_interval_s=float(settings.resolve_interval),
        codec=codec,
        wire=wire,
    )
    return OriginPlan((settings, codec, wire, digest), params)


def _spot(endpoint: str | EndpointSettings) -> Spot:
    if isinstance(endpoint, str):
        return Spot(parse_endpoint(endpoint))
    return Spot(parse_endpoint(endpoint.address), endpoint.weight)


def _hash_by(settings: HashBy | None) -> KeyOf:
    if settings is None:
        return source_of
    if settings.cookie is not None:
        return cookie_of(settings.cookie.encode())
    return field_of((settings.header or "").lower().encode())


def _health(settings: HealthCheckSettings | None) -> HealthParams | None:
    if settings is None:
        return None
    return HealthParams(
        path=settings.path or "",
        service=settings.grpc or "",
        authority=settings.authority or "",
        interval_s=float(settings.interval),
        timeout_s=float(settings.timeout),
        unhealthy_threshold=settings.unhealthy_threshold,
        healthy_threshold=settings.healthy_threshold,
    )


def _outliers(settings: OutlierSettings | None) -> OutlierParams | None:
    if settings is None:
        return None
    return OutlierParams(
        consecutive_failures=settings.consecutive_failures,
        ejection_s=float(settings.ejection_time),
        max_ejection_s=float(settings.max_ejection_time),
        max_ejected=settings.max_ejected / 100,
    )


def _digest(*names: str | None) -> bytes:
    """Tell whether files were replaced by their contents: rotation often keeps the times."""
    total = hashlib.sha256()
    for name in names:
        if name is None:
            continue
        try:
            with open(name, "rb") as file:
                total.update(file.read() + b"\0")
        except OSError as error:
            raise TLSError(f"{name}: {error.strerror}") from error
    return total.digest()
