"""Checks: what no single value shows, because it is about how settings fit together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trailproxy.core.address import Address, parse_address, parse_endpoint
from trailproxy.core.identity import name_fault
from trailproxy.core.trailers import may_trail
from trailproxy.ops import patterns
from trailproxy.ops.problem import Complaint, Place, did_you_mean, quote, show
from trailproxy.ops.retry_settings import ALWAYS
from trailproxy.ops.units import Size

if TYPE_CHECKING:
    from trailproxy.ops.route_settings import MessageTrailers
    from trailproxy.ops.settings import (
        Limits,
        ListenerSettings,
        RouteSettings,
        Settings,
        UpstreamSettings,
    )
    from trailproxy.ops.upstream_settings import (
        HealthCheckSettings,
        LoadReportSettings,
        OutlierSettings,
        UpstreamTls,
    )

#: What a socket takes for itself, or shares with all of its port and family.
Mark = tuple[str | bool, int]

_MAX_WINDOW: Final = Size(2**31 - 1)  # RFC 9113 section 6.9.1
_FIRST_WINDOW: Final = Size(65_535)  # what a connection begins with; it cannot shrink
_KIB: Final = Size(1024)

_TICK_S: Final = 1.0  # how often connections are looked at
_MIN_RESOLVE_S: Final = 1.0
_MIN_CHECK_S: Final = 0.1

# names that an unknown one is compared with, and that are told if none is near: thousands
# of unknown ones beside thousands of known ones took minutes
_MOST_COMPARED: Final = 100
_MOST_NAMED: Final = 20


def complaints(settings: "Settings") -> list[Complaint]:
    """Find what does not fit together."""
    return [complaint for check in _CHECKS for complaint in check(settings)]


def _names(settings: "Settings") -> Iterator[Complaint]:
    sections: dict[str, Sequence[ListenerSettings | UpstreamSettings | RouteSettings]] = {
        "listeners": settings.listeners,
        "upstreams": settings.upstreams,
        "routes": settings.routes,
    }
    for section, entries in sections.items():
        yield from _repeated((section,), [entry.name for entry in entries], "name")


def _repeated(place: Place, names: Sequence[str], key: str = "") -> Iterator[Complaint]:
    """Find what stands twice in a list, or under `key` in a list's entries."""
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        earlier = first.setdefault(name, position)
        if earlier != position:
            tail: Place = (key,) if key else ()
            where = show((*place, earlier))
            yield (*place, position, *tail), f"{quote(name)} is already used by {where}"


def _binds(settings: "Settings") -> Iterator[Complaint]:
    binds: list[tuple[Place, str]] = [
        (("listeners", position, "bind"), listener.bind)
        for position, listener in enumerate(settings.listeners)
    ]
    taken: dict[Mark, tuple[Place, Address]] = {}  # by whom first
    for place, text in [*binds, (("admin", "bind"), settings.admin.bind)]:
        try:
            address = parse_address(text)
        except ValueError as error:
            yield place, f"{quote(text)}: {error}"
            continue
        for rival in _rivals(address):
            if rival in taken:
                other, earlier = taken[rival]
                yield place, f"{quote(text)} collides with {show(other)}, {quote(str(earlier))}"
                break
        for mark in _marks(address):
            taken.setdefault(mark, (place, address))


def _marks(address: Address) -> tuple[Mark, ...]:
    """Return what a socket takes, and the family it belongs to; none where the port is any."""
    if address.is_unix:
        return ((address.path, 0),)
    host, port = address.host, address.port
    return ((host, port), (":" in host, port)) if port else ()


def _rivals(address: Address) -> tuple[Mark, ...]:
    """Return the marks of those beside whom a socket could not listen."""
    marks = _marks(address)
    if address.is_unix or not marks:
        return marks
    own, family = marks
    wild = "::" if family[0] else "0.0.0.0"
    return (family,) if address.host == wild else (own, (wild, address.port))


def _clients(settings: "Settings") -> Iterator[Complaint]:
    for position, listener in enumerate(settings.listeners):
        tls = listener.tls
        place: Place = ("listeners", position)
        asks = tls is not None and tls.client_ca is not None
        if listener.forward_client_cert in ("set", "append") and not asks:
            yield (*place, "forward_client_cert"), "is of no use without tls.client_ca"
        if tls is None:
            continue
        if tls.client_auth == "optional" and not asks:
            yield (*place, "tls", "client_auth"), "is of no use without client_ca"
        if tls.client_names is not None and not asks:
            yield (*place, "tls", "client_names"), "is of no use without client_ca"
        for number, name in enumerate(tls.client_names or ()):
            why = name_fault(name)
            if why:
                yield (*place, "tls", "client_names", number), f"{quote(name)}: {why}"


def _admin(settings: "Settings") -> Iterator[Complaint]:
    if settings.admin.token is not None and settings.admin.token_file is not None:
        yield ("admin", "token_file"), "token says already what must be told"


def _endpoints(settings: "Settings") -> Iterator[Complaint]:
    for position, upstream in enumerate(settings.upstreams):
        place: Place = ("upstreams", position, "endpoints")
        texts = [text if isinstance(text, str) else text.address for text in upstream.endpoints]
        yield from _repeated(place, texts)
        for number, text in enumerate(texts):
            try:
                parse_endpoint(text)
            except ValueError as error:
                yield (*place, number), f"{quote(text)}: {error}"


def _upstreams(settings: "Settings") -> Iterator[Complaint]:
    for position, upstream in enumerate(settings.upstreams):
        place: Place = ("upstreams", position)
        if upstream.resolve_interval < _MIN_RESOLVE_S:
            yield (*place, "resolve_interval"), "must be 1s or longer"
        for key in ("connect_timeout", "queue_timeout"):
            if not getattr(upstream, key):
                yield (*place, key), "must be longer than 0s"
        hash_by = upstream.hash_by
        if hash_by is not None:
            yield from _one_of((*place, "hash_by"), header=hash_by.header, cookie=hash_by.cookie)
            if upstream.load_balancing != "hash":
                yield (*place, "hash_by"), "is of no use without load_balancing: hash"
        yield from _upstream_tls((*place, "tls"), upstream.tls)
        yield from _health((*place, "health_check"), upstream.health_check)
        yield from _outliers((*place, "outlier_detection"), upstream.outlier_detection)
        yield from _load_reports((*place, "load_reports"), upstream.load_reports)


def _upstream_tls(place: Place, tls: "UpstreamTls | None") -> Iterator[Complaint]:
    if tls is not None and (tls.certificate is None) is not (tls.private_key is None):
        given, missing = "certificate", "private_key"
        if tls.certificate is None:
            given, missing = missing, given
        yield (*place, given), f"is of no use alone: {missing} is missing"


def _health(place: Place, check: "HealthCheckSettings | None") -> Iterator[Complaint]:
    if check is not None:
        yield from _one_of(place, path=check.path, grpc=check.grpc)
        if check.interval < _MIN_CHECK_S:
            yield (*place, "interval"), "must be 100ms or longer"
        if not check.timeout:
            yield (*place, "timeout"), "must be longer than 0s"


def _outliers(place: Place, outliers: "OutlierSettings | None") -> Iterator[Complaint]:
    if outliers is not None:
        if not outliers.ejection_time:
            yield (*place, "ejection_time"), "must be longer than 0s"
        elif outliers.max_ejection_time < outliers.ejection_time:
            yield (*place, "max_ejection_time"), "must not be shorter than ejection_time"


def _load_reports(place: Place, reports: "LoadReportSettings | None") -> Iterator[Complaint]:
    if reports is not None and not reports.expiration_period:
        yield (*place, "expiration_period"), "must be longer than 0s"


def _one_of(place: Place, **keys: object) -> Iterator[Complaint]:
    """Ask for one of some keys, and one alone."""
    given = [key for key, value in keys.items() if value is not None]
    if len(given) != 1:
        yield place, f"must have one of {' and '.join(keys)}"


def _targets(settings: "Settings") -> Iterator[Complaint]:
    known = {upstream.name: upstream for upstream in settings.upstreams}
    for position, route in enumerate(settings.routes):
        place: Place = ("routes", position, "upstream")
        if isinstance(route.upstream, str):
            yield from _unknown(place, route.upstream, known)
            continue
        names = [target.name for target in route.upstream]
        yield from _repeated(place, names, "name")
        for number, name in enumerate(names):
            yield from _unknown((*place, number, "name"), name, known)
        if not any(target.weight for target in route.upstream):
            yield place, "must give a weight above 0 to one of them"


def _unknown(place: Place, name: str, known: Mapping[str, object]) -> Iterator[Complaint]:
    if name not in known:
        some = list(known)[:_MOST_COMPARED]
        near = did_you_mean(name, some) or f"; there is {', '.join(some[:_MOST_NAMED])}"
        yield place, f"there is no upstream {quote(name)}{near}"


_PATHS: Final = ("path", "path_prefix", "path_regex", "grpc")


def _matches(settings: "Settings") -> Iterator[Complaint]:
    for position, route in enumerate(settings.routes):
        match = route.match
        place: Place = ("routes", position, "match")
        given = [key for key in _PATHS if getattr(match, key) is not None]
        for key in given[1:]:
            yield (*place, key), f"{given[0]} says already which path is meant"
        yield from _pattern((*place, "path_regex"), match.path_regex)
        for number, field in enumerate(match.headers):
            where: Place = (*place, "headers", number)
            if field.value is not None and field.regex is not None:
                yield (*where, "regex"), "value says already what is meant"
            yield from _pattern((*where, "regex"), field.regex)


def _patterns(settings: "Settings") -> Iterator[Complaint]:
    """Find what cannot be looked up in one pass, though each pattern is sound."""
    together: dict[str, dict[int, str]] = {}  # by authority, as `core.routing` has them
    for position, route in enumerate(settings.routes):
        pattern = route.match.path_regex
        if pattern is not None and not patterns.complaint(pattern):
            authority = (route.match.authority or "").lower()
            together.setdefault(authority, {})[position] = pattern
    for authority, sound in together.items():
        if not patterns.fit_together(list(sound.values())):
            whose = f"authority {quote(authority)}" if authority else "routes without an authority"
            why = f"the patterns of {whose} are too large to be looked up together"
            place: Place = ("routes", max(sound), "match", "path_regex")
            yield place, f"{why}, of which this is the last"


def _pattern(place: Place, pattern: str | None) -> Iterator[Complaint]:
    if pattern is not None:
        why = patterns.complaint(pattern)
        if why:
            yield place, f"{quote(pattern)}: {why}"


def _retries(settings: "Settings") -> Iterator[Complaint]:
    most = Size(settings.limits.stream_window // 2)
    for position, route in enumerate(settings.routes):
        retry = route.retry
        if retry is None:
            continue
        place: Place = ("routes", position, "retry")
        asked = set(retry.on) - ALWAYS
        if not retry.on and not retry.status_codes:
            yield place, "must have on or status_codes: nothing would be tried again"
        elif not retry.idempotent and (asked or retry.status_codes):
            why = "is of no use without idempotent: true, as the upstream may have done its work"
            yield (*place, "on" if asked else "status_codes"), why
        for key in ("peek", "replay"):
            # what waits here is not paid for: beyond the window, nothing would move any more
            if getattr(retry, key) > most:
                yield (*place, key), f"must be {most} at most, half of limits.stream_window"


def _trailers(settings: "Settings") -> Iterator[Complaint]:
    for position, route in enumerate(settings.routes):
        for direction in ("request", "response"):
            message = getattr(route.trailers, direction)
            place: Place = ("routes", position, "trailers", direction)
            if message.max_size < _KIB:
                yield (*place, "max_size"), f"must be {_KIB} or more, not {message.max_size}"
            yield from _verbs(place, message)


def _verbs(place: Place, message: "MessageTrailers") -> Iterator[Complaint]:
    for verb in ("rename", "remove", "set", "append"):
        for number, rule in enumerate(getattr(message, verb)):
            where: Place = (*place, verb, number)
            if place[-1] == "request" and rule.when != "always":
                yield (*where, "when"), "must be always: a request has not succeeded or failed yet"
            key = "to" if verb == "rename" else "name"
            name = getattr(rule, key)
            if verb != "remove" and not may_trail(name.lower().encode()):
                yield (*where, key), f"{quote(name)} may never stand in trailers"


def _limits(settings: "Settings") -> Iterator[Complaint]:
    limits: Limits = settings.limits
    ranges = {
        "stream_window": (_KIB, limits.stream_window),
        "connection_window": (_FIRST_WINDOW, limits.connection_window),
        "max_header_list": (_KIB, limits.max_header_list),
    }
    for key, (low, value) in ranges.items():
        if not low <= value <= _MAX_WINDOW:
            yield ("limits", key), f"must be from {low} to {_MAX_WINDOW}, not {value}"
    if limits.head_timeout < _TICK_S:
        yield ("limits", "head_timeout"), "must be 1s or longer"
    if 0 < limits.idle_timeout < _TICK_S:
        yield ("limits", "idle_timeout"), "must be 1s or longer, or 0s"
    if _FIRST_WINDOW <= limits.connection_window < limits.stream_window:
        sizes = f"{limits.connection_window} is less than stream_window, {limits.stream_window}"
        yield ("limits", "connection_window"), f"{sizes}: one stream could not fill its window"


_CHECKS: Final[tuple[Callable[["Settings"], Iterator[Complaint]], ...]] = (
    _names,
    _binds,
    _clients,
    _admin,
    _endpoints,
    _upstreams,
    _targets,
    _matches,
    _patterns,
    _retries,
    _trailers,
    _limits,
)
