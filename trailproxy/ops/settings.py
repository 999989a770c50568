"""Settings: the one YAML file as frozen values.

What stands here is what operators can write: the description of each field is
its documentation, and the JSON Schema is made from it. A `Settings` that exists
is right in itself; whether files and addresses are usable is found out by whoever
opens them. Durations are seconds and sizes octets once they are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from trailproxy.ops import checks, json_schema
from trailproxy.ops.problem import Complaint, Problem, SettingsError
from trailproxy.ops.shape import complaints
from trailproxy.ops.units import Duration, Size, decode
from trailproxy.ops.yaml_source import MAX_OCTETS, Source, read

__all__ = [
    "AccessLogSettings",
    "AdminSettings",
    "Duration",
    "Limits",
    "ListenerSettings",
    "ListenerTls",
    "Match",
    "Problem",
    "RouteSettings",
    "Settings",
    "SettingsError",
    "Size",
    "Target",
    "Timeouts",
    "UpstreamSettings",
    "UpstreamTls",
    "load",
    "masked",
    "pack",
    "parse",
    "schema",
    "unpack",
]

_SECRETS: Final = frozenset({"private_key"})


_T = TypeVar("_T")


def _default(value: _T) -> _T:
    """Give a field a default that JSON has no word for; `json_schema` puts it in its own."""
    field: _T = msgspec.field(default_factory=lambda: value)
    return field


def _doc(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


def _count(text: str, low: int, high: int) -> msgspec.Meta:
    wanted = f"a whole number from {low} to {high}"
    return msgspec.Meta(description=text, ge=low, le=high, extra={"wanted": wanted})


def _text(pattern: str, wanted: str) -> msgspec.Meta:
    return msgspec.Meta(pattern=pattern, extra={"wanted": wanted})


def _some(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text, min_length=1)


_Name = Annotated[
    str,
    _text(r"^[A-Za-z0-9_.-]{1,64}$", "a name of 1 to 64 letters, digits, dots, _ or -"),
]
_Address = Annotated[str, _text(r":", "host:port, [v6]:port or unix:/path")]
_File = Annotated[str, msgspec.Meta(min_length=1, extra={"wanted": "the path of a file"})]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all mappings of the file have in common."""


class ListenerTls(_Section, frozen=True, kw_only=True):
    """The TLS of a listener: TLS 1.2 or 1.3, with HTTP/2 chosen by ALPN."""

    certificate: Annotated[_File, _doc("PEM file: the certificate, then its intermediates.")]
    private_key: Annotated[_File, _doc("PEM file: the certificate's key, without a passphrase.")]
    client_ca: Annotated[
        _File | None, _doc("PEM file: clients must show a certificate that one of these signed.")
    ] = None


class ListenerSettings(_Section, frozen=True, kw_only=True):
    """A place where clients connect."""

    name: Annotated[_Name, _doc("What metrics and logs call it.")]
    bind: Annotated[
        _Address, _doc("host:port, [v6]:port or unix:/path; port 0 takes any free one.")
    ]
    tls: Annotated[
        ListenerTls | None,
        _doc("Without it, clients speak HTTP/2 in the clear, with prior knowledge."),
    ] = None


class UpstreamTls(_Section, frozen=True, kw_only=True):
    """The TLS towards an upstream."""

    ca: Annotated[_File | None, _doc("PEM file: who is trusted. Default: the system's CAs.")] = None
    server_name: Annotated[
        Annotated[str, _text(r"^[A-Za-z0-9_:]([A-Za-z0-9_.:-]*[A-Za-z0-9_])?$", "a host name")]
        | None,
        _doc("The name asked for (SNI) and verified. Default: the endpoint's host."),
    ] = None
    certificate: Annotated[
        _File | None, _doc("PEM file: the certificate we show; needs private_key too.")
    ] = None
    private_key: Annotated[_File | None, _doc("PEM file: the key of `certificate`.")] = None


class UpstreamSettings(_Section, frozen=True, kw_only=True):
    """A backend, at one or more endpoints."""

    name: Annotated[_Name, _doc("What routes, metrics and logs call it.")]
    endpoints: Annotated[
        tuple[_Address, ...],
        _some("host:port, [v6]:port or unix:/path; a name stands for all its addresses."),
    ]
    tls: Annotated[UpstreamTls | None, _doc("Without it, HTTP/2 in the clear.")] = None
    load_balancing: Annotated[
        Literal["round_robin", "least_request", "hash"],
        _doc("How an endpoint is chosen; `hash` keeps a client with one endpoint."),
    ] = "least_request"
    connect_timeout: Annotated[
        Duration, _doc("For the socket, TLS and the peer's SETTINGS together.")
    ] = _default(Duration(5))
    max_connections: Annotated[int, _count("Connections to one endpoint.", 1, 10_000)] = 8
    queue_limit: Annotated[
        int, _count("Requests that may wait for a connection.", 1, 1_000_000)
    ] = 4096
    queue_timeout: Annotated[
        Duration, _doc("How long a request waits for a connection before it gets a 503.")
    ] = _default(Duration(10))
    resolve_interval: Annotated[
        Duration, _doc("How often names among the endpoints are resolved again; 1s at least.")
    ] = _default(Duration(30))


class Match(_Section, frozen=True, kw_only=True):
    """Which requests a route takes: those that fit all that is given."""

    authority: Annotated[
        Annotated[
            str,
            _text(
                r"^(\*\.)?[A-Za-z0-9_.:\[\]-]+$",
                "a host such as api.example.com, or *.example.com for all below it",
            ),
        ]
        | None,
        _doc("A host, with or without its port, or *.example.com. Default: any."),
    ] = None
    path_prefix: Annotated[
        Annotated[str, _text(r"^/[!\"$->@-~]*$", "a path that begins with /, without ? or #")]
        | None,
        _doc("/greet takes /greet and /greet/x, not /greetings. Default: any."),
    ] = None


class Target(_Section, frozen=True, kw_only=True):
    """An upstream's share of a route."""

    name: Annotated[str, _doc("The name of an upstream.")]
    weight: Annotated[int, _count("Its share, beside the other weights.", 1, 1_000_000)] = 1


class Timeouts(_Section, frozen=True, kw_only=True):
    """How long an exchange may take. 0s: no limit."""

    response_head: Annotated[
        Duration, _doc("From the request's departure to the response head. 0s: no limit.")
    ] = _default(Duration(15))
    idle: Annotated[Duration, _doc("While nothing moves in either direction. 0s: no limit.")] = (
        _default(Duration(60))
    )
    total: Annotated[
        Duration, _doc("From the request head to the end of the response. 0s: no limit.")
    ] = _default(Duration(0))


class RouteSettings(_Section, frozen=True, kw_only=True):
    """Which requests go where; the first route that matches takes the request."""

    name: Annotated[_Name, _doc("What metrics and logs call it.")]
    match: Annotated[Match, _doc("Which requests; {} takes all.")]
    upstream: Annotated[
        str | Annotated[tuple[Target, ...], msgspec.Meta(min_length=1)],
        msgspec.Meta(
            description="The name of an upstream, or a list of names with weights.",
            extra={"wanted": "the name of an upstream, or a list of names with weights"},
        ),
    ]
    timeouts: Annotated[Timeouts, _doc("How long an exchange may take.")] = _default(Timeouts())


class AdminSettings(_Section, frozen=True, kw_only=True):
    """Where metrics, health and the live view are served, over HTTP/1.1."""

    bind: Annotated[
        _Address,
        _doc("host:port, [v6]:port or unix:/path. Whoever reaches it can drain the proxy."),
    ] = "127.0.0.1:9901"


class Limits(_Section, frozen=True, kw_only=True):
    """What one connection may cost, on either side."""

    max_concurrent_streams: Annotated[
        int, _count("Streams a client may have open at once.", 1, 100_000)
    ] = 250
    stream_window: Annotated[
        Size, _doc("Body octets that may wait for one stream; 1KiB to 2147483647B.")
    ] = _default(Size(256 * 1024))
    connection_window: Annotated[
        Size, _doc("The same for all streams of a connection; 65535B to 2147483647B.")
    ] = _default(Size(4 * 1024 * 1024))
    max_header_list: Annotated[
        Size, _doc("One head or trailer section, as RFC 9113 section 6.5.2 counts; 1KiB at least.")
    ] = _default(Size(64 * 1024))


class AccessLogSettings(_Section, frozen=True, kw_only=True):
    """One JSON line for each exchange."""

    path: Annotated[
        Annotated[
            str,
            _text(r"^(off|stdout|.*/.*)$", "off, stdout, or a path with a / in it"),
        ],
        _doc("off, stdout, or the path of a file, with a / in it."),
    ] = "stdout"


class Settings(_Section, frozen=True, kw_only=True):
    """The configuration of trailproxy, after ${NAME} was replaced from the environment."""

    listeners: Annotated[tuple[ListenerSettings, ...], _some("Where clients connect.")]
    upstreams: Annotated[tuple[UpstreamSettings, ...], _some("The backends.")]
    routes: Annotated[
        tuple[RouteSettings, ...], _some("Which requests go where; the first match wins.")
    ]
    admin: Annotated[AdminSettings, _doc("The admin page.")] = AdminSettings()
    codec: Annotated[
        Literal["native", "h2"],
        _doc("The HTTP/2 codec: native is ours, h2 the reference over the h2 package."),
    ] = "native"
    workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"],
        msgspec.Meta(
            description="Processes that share the listeners; auto: one for each CPU.",
            extra={"wanted": "a whole number from 1 to 256, or auto"},
        ),
    ] = 1
    limits: Annotated[Limits, _doc("What one connection may cost.")] = _default(Limits())
    access_log: Annotated[AccessLogSettings, _doc("One line an exchange.")] = AccessLogSettings()
    drain_timeout: Annotated[
        Duration, _doc("How long exchanges in flight may go on after SIGTERM. 0s: not at all.")
    ] = _default(Duration(30))


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the configuration file at `path`.

    Raises:
        SettingsError: it cannot be read, or something in it is wrong.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise SettingsError((Problem("", 0, f"cannot be read: {error.strerror}"),), name) from error
    if len(octets) > MAX_OCTETS:
        raise SettingsError((Problem("", 0, f"is larger than {Size(MAX_OCTETS)}"),), name)
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise SettingsError((Problem("", line, "is not UTF-8 text"),), name) from error
    return parse(text, name, environ)


def parse(text: str, name: str, environ: Mapping[str, str]) -> Settings:
    """Read a configuration; `name` is what errors call it.

    Raises:
        SettingsError: something in it is wrong. All that is wrong in its YAML is told, then
            all that is wrong in its shape, then all that does not fit together.
    """
    source = read(text, name, environ)
    if not isinstance(source.data, dict):
        why = "must be a mapping that begins with a key such as listeners:"
        raise SettingsError((Problem("", source.lines[()], why),), name)
    _refuse(complaints(source.data, Settings), source, name)
    settings = msgspec.convert(source.data, Settings, dec_hook=decode)
    _refuse(checks.complaints(settings), source, name)
    return settings


def _refuse(found: list[Complaint], source: Source, name: str) -> None:
    if found:
        problems = [source.problem(place, why) for place, why in found]
        raise SettingsError(tuple(sorted(problems, key=lambda problem: problem.line)), name)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file."""
    return json_schema.describe(Settings, _Section.__subclasses__())


def pack(settings: Settings) -> Any:
    """Return the settings as plain data for another process, secrets and all."""
    return msgspec.to_builtins(settings, enc_hook=str)


def unpack(plain: Any) -> Settings:
    """Return the settings that `pack` made into plain data."""
    return msgspec.convert(plain, Settings, dec_hook=decode)


def masked(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain data for people to see, without secrets."""
    plain: dict[str, Any] = _mask(pack(settings))
    return plain


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "***" if key in _SECRETS and item is not None else _mask(item)
            for key, item in value.items()
        }
    return [_mask(item) for item in value] if isinstance(value, list | tuple) else value
