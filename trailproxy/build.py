"""Build: from settings to the parameters of the rooms, with everything that can fail.

Nothing here touches what runs: a reload builds first, and commits only when all
of it stands. A key tells whether a part is the same as before, certificates'
contents included, so that an unchanged part keeps its connections.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Final, NamedTuple

from trailproxy.core.address import Address, parse_address, parse_endpoint
from trailproxy.core.hooks import HookError
from trailproxy.core.identity import Guests
from trailproxy.core.message import Forwarding
from trailproxy.net.api_server import ApiParams, api_of
from trailproxy.net.balance import KeyOf, cookie_of, field_of, source_of
from trailproxy.net.connection import Patience
from trailproxy.net.door import CrowdLimits
from trailproxy.net.expiry import expires_at
from trailproxy.net.health import HealthParams
from trailproxy.net.names import Spot
from trailproxy.net.origin_params import OriginParams
from trailproxy.net.outliers import OutlierParams
from trailproxy.net.tls import (
    ServerTls,
    TLSError,
    client_context,
    listener_tls,
    server_context,
)
from trailproxy.net.weights import LoadParams
from trailproxy.ops import tracing
from trailproxy.ops.gate import Gate, digest_of
from trailproxy.ops.handling import handling
from trailproxy.ops.settings import (
    AdminSettings,
    Limits,
    ListenerSettings,
    Settings,
    UpstreamSettings,
)
from trailproxy.ops.snapshot import wire_params
from trailproxy.ops.upstream_settings import (
    EndpointSettings,
    HashBy,
    HealthCheckSettings,
    LoadReportSettings,
    OutlierSettings,
)
from trailproxy.wire import WireParams

_MAX_TOKEN: Final = 4096  # octets of a token file

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
    forwarding: Forwarding
    tls: ServerTls | None
    guests: Guests | None


class OriginPlan(NamedTuple):
    """An origin to be."""

    key: Key
    params: OriginParams


class AdminPlan(NamedTuple):
    """An admin page to be."""

    key: Key
    address: Address
    gate: Gate
    caution: str  # what operators should know of it; mostly nothing


class Terms(NamedTuple):
    """What all connections have in common, on either side."""

    codec: str
    wire: WireParams
    patience: Patience


class Plan(NamedTuple):
    """Everything the settings ask for, built and unused."""

    settings: Settings
    terms: Terms
    crowd: CrowdLimits
    listeners: dict[Seat, ListenerPlan]
    origins: dict[str, OriginPlan]
    admin: AdminPlan
    expiries: dict[tuple[str, str], float]  # of certificates, see `expiries`


def make_plan(settings: Settings) -> Plan:
    """Build what the settings describe.

    Raises:
        BuildError: a certificate, a key, a CA file, a token or a hook cannot be used, a package is
            missing, or there is no cluster to find endpoints in.
    """
    limits = settings.limits
    terms = Terms(settings.codec, wire_params(limits), _patience(limits))
    crowd = CrowdLimits(most=limits.max_connections, most_of_one=limits.max_connections_per_address)
    listeners: dict[Seat, ListenerPlan] = {}
    origins: dict[str, OriginPlan] = {}
    problems: list[str] = []
    for place, listener in enumerate(settings.listeners):
        try:
            listeners[_seat(listener)] = _listener(listener, terms, crowd)
        except TLSError as error:
            problems.append(f"listeners[{place}].tls: {error}")
    for place, upstream in enumerate(settings.upstreams):
        try:
            origins[upstream.name] = _origin(upstream, terms)
        except TLSError as error:
            problems.append(f"upstreams[{place}].tls: {error}")
        except ValueError as error:
            problems.append(f"upstreams[{place}].endpoints: {error}")
    admin = None
    try:
        admin = _admin(settings.admin)
    except (TLSError, _TokenError) as error:
        key = "tls" if isinstance(error, TLSError) else "token_file"
        problems.append(f"admin.{key}: {error}")
    problems += _complaints(settings)
    if problems or admin is None:
        raise BuildError(problems)
    return Plan(settings, terms, crowd, listeners, origins, admin, expiries(settings))


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


def check_fixed(running: Settings | None, wanted: Settings) -> None:
    """Refuse what cannot change while we run.

    Raises:
        BuildError: it would.
    """
    if running is not None and running.handover != wanted.handover:
        raise BuildError(["handover: another path takes a restart of the proxy"])


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


def _patience(limits: Limits) -> Patience:
    return Patience(head_s=float(limits.head_timeout), idle_s=float(limits.idle_timeout) or None)


def _seat(settings: ListenerSettings) -> Seat:
    address = parse_address(settings.bind)
    return address, "" if address.port or address.is_unix else settings.name


def _listener(settings: ListenerSettings, terms: Terms, crowd: CrowdLimits) -> ListenerPlan:
    tls = settings.tls
    forwarding = Forwarding(settings.forward_client_cert)
    key: Key = (settings, terms, crowd)
    if tls is None:
        return ListenerPlan(key, settings.name, forwarding, None, None)
    shown = listener_tls(tls.pairs, tls.client_ca, optional=tls.client_auth == "optional")
    guests = None if tls.client_names is None else Guests(tls.client_names)
    key = (*key, _digest(*tls.files))
    return ListenerPlan(key, settings.name, forwarding, shown, guests)


def _origin(settings: UpstreamSettings, terms: Terms) -> OriginPlan:
    spots = tuple(map(_spot, settings.endpoints))
    tls = settings.tls
    context = None
    digest = b""
    if tls is not None:
        context = client_context(tls.ca, tls.certificate, tls.private_key)
        digest = _digest(tls.ca, tls.certificate, tls.private_key)
    params = OriginParams(
        name=settings.name,
        spots=spots,
        balance=settings.load_balancing,
        hash_by=_hash_by(settings.hash_by),
        panic=settings.panic_threshold / 100,
        health=_health(settings.health_check),
        outliers=_outliers(settings.outlier_detection),
        load=_load(settings.load_reports),
        max_streams=settings.max_streams,
        tls=context,
        server_name=None if tls is None else tls.server_name,
        connect_timeout_s=float(settings.connect_timeout),
        max_connections=settings.max_connections,
        max_resets=settings.max_resets,
        queue_limit=settings.queue_limit,
        queue_timeout_s=float(settings.queue_timeout),
        resolve_interval_s=float(settings.resolve_interval),
        api=_api(spots),
        codec=terms.codec,
        wire=terms.wire,
        patience=terms.patience,
    )
    return OriginPlan((settings, terms, digest), params)


class _TokenError(Exception):
    """A token file cannot be used; the text names it, and tells nothing of what it holds."""


def _admin(settings: AdminSettings) -> AdminPlan:
    address = parse_address(settings.bind)
    token, tls = settings.token, settings.tls
    if settings.token_file is not None:
        token = _read_token(settings.token_file)
    gate = Gate(digest=b"" if token is None else digest_of(token))
    key: Key = (settings, gate)
    if tls is not None:
        # probes show no certificate: who else must is told when it asks
        context = server_context(
            tls.certificate, tls.private_key, tls.client_ca, optional=True, alpn="http/1.1"
        )
        key = (*key, _digest(*tls.files))
        gate = replace(gate, tls=context, asks=tls.client_ca is not None)
    return AdminPlan(key, address, gate, _caution(address, gate))


def _read_token(name: str) -> str:
    try:
        with open(name, "rb") as file:
            octets = file.read(_MAX_TOKEN + 1).rstrip(b"\r\n")
    except OSError as error:
        raise _TokenError(f"{name}: {error.strerror}") from error
    if len(octets) > _MAX_TOKEN or re.fullmatch(rb"[!-~]+", octets) is None:
        raise _TokenError(
            f"{name} must hold one line of visible ASCII characters without blanks; "
            "`openssl rand -hex 32` makes one"
        )
    return octets.decode()


def _caution(address: Address, gate: Gate) -> str:
    """Tell of an admin page to which everybody on the network could give orders."""
    if not gate.open or address.is_unix or address.host == "localhost":
        return ""
    if address.is_ip and ip_address(address.host).is_loopback:
        return ""
    return (
        f"admin: {address} asks for neither a token nor a certificate: "
        "whoever reaches it can read the configuration, reload and drain; "
        "set admin.token_file or admin.tls.client_ca, or bind it to 127.0.0.1"
    )


def _api(spots: tuple[Spot, ...]) -> ApiParams | None:
    """Find the API server of the cluster, if it has to be asked.

    Raises:
        ValueError: there is none, as this is no pod.
    """
    return api_of(os.environ) if any(spot.address.namespace for spot in spots) else None


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


def _load(settings: LoadReportSettings | None) -> LoadParams | None:
    if settings is None:
        return None
    return LoadParams(
        error_penalty=settings.error_penalty / 100,
        blackout_s=float(settings.blackout_period),
        expiration_s=float(settings.expiration_period),
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
