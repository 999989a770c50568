"""Settings: the one YAML file as frozen values.

What stands here is what operators can write: the description of each field is
its documentation, and the JSON Schema is made from it. A `Settings` that exists
is right in itself; whether files and addresses are usable is found out by whoever
opens them. Durations are seconds and sizes octets once they are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from trailproxy.ops import checks, json_schema
from trailproxy.ops.problem import Complaint, Problem, SettingsError
from trailproxy.ops.route_settings import Match, RouteSettings, Target, Timeouts
from trailproxy.ops.section import Address, File, Name, Section, count, default, doc, some
from trailproxy.ops.shape import complaints
from trailproxy.ops.telemetry import AccessLogSettings, MetricsSettings, TracingSettings
from trailproxy.ops.tls_settings import AdminTls, ListenerTls, Token
from trailproxy.ops.units import Duration, Size, decode
from trailproxy.ops.upstream_settings import UpstreamSettings, UpstreamTls
from trailproxy.ops.yaml_source import MAX_OCTETS, Source, read

__all__ = [
    "AccessLogSettings",
    "AdminSettings",
    "Duration",
    "Limits",
    "ListenerSettings",
    "ListenerTls",
    "Match",
    "MetricsSettings",
    "Problem",
    "RouteSettings",
    "Settings",
    "SettingsError",
    "Size",
    "Target",
    "Timeouts",
    "TracingSettings",
    "UpstreamSettings",
    "UpstreamTls",
    "load",
    "masked",
    "pack",
    "parse",
    "schema",
    "unpack",
]

_SECRETS: Final = frozenset({"private_key", "token"})


class ListenerSettings(Section, frozen=True, kw_only=True):
    """A place where clients connect."""

    name: Annotated[Name, doc("What metrics and logs call it.", "main")]
    bind: Annotated[
        Address,
        doc("host:port, [v6]:port or unix:/path; port 0 takes any free one.", "0.0.0.0:8080"),
    ]
    tls: Annotated[
        ListenerTls | None,
        doc("Without it, clients speak HTTP/2 in the clear, with prior knowledge."),
    ] = None
    forward_client_cert: Annotated[
        Literal["sanitize", "set", "append", "forward"],
        doc(
            "x-forwarded-client-cert: sanitize takes away what a client says, set says it anew "
            "of the certificate it showed, append says it behind what came, forward lets it pass."
        ),
    ] = "sanitize"


class AdminSettings(Section, frozen=True, kw_only=True):
    """Where metrics, health and the live view are served, over HTTP/1.1."""

    bind: Annotated[
        Address,
        doc("host:port, [v6]:port or unix:/path. Whoever reaches it can drain the proxy."),
    ] = "127.0.0.1:9901"
    token: Annotated[
        Token | None,
        doc(
            "What must be told as a bearer token, but for /healthz and /readyz. Default: nothing.",
            "${ADMIN_TOKEN}",
        ),
    ] = None
    token_file: Annotated[
        File | None,
        doc(
            "The same, in a file; a line break at its end does not count.",
            "/run/secrets/admin-token",
        ),
    ] = None
    tls: Annotated[AdminTls | None, doc("Without it, HTTP/1.1 in the clear.")] = None


class Limits(Section, frozen=True, kw_only=True):
    """What one connection may cost, on either side, and how many clients may have."""

    max_connections: Annotated[
        int, count("Client connections open at once, on each listener; 0: any number.", 0, 10**6)
    ] = 10_000
    max_connections_per_address: Annotated[
        int, count("The same from one address, or one IPv6 /64; 0: any number.", 0, 10**6)
    ] = 1000
    max_concurrent_streams: Annotated[
        int, count("Streams a client may have open at once.", 1, 100_000)
    ] = 250
    stream_window: Annotated[
        Size, doc("Body octets that may wait for one stream; 1KiB to 2147483647B.")
    ] = default(Size(256 * 1024))
    connection_window: Annotated[
        Size, doc("The same for all streams of a connection; 65535B to 2147483647B.")
    ] = default(Size(4 * 1024 * 1024))
    max_header_list: Annotated[
        Size, doc("One head or trailer section, as RFC 9113 section 6.5.2 counts; 1KiB at least.")
    ] = default(Size(64 * 1024))
    max_header_fields: Annotated[
        int, count("Fields in one head or trailer section.", 16, 100_000)
    ] = 512
    head_timeout: Annotated[
        Duration,
        doc(
            "From the first octet of a head, or of a frame other than body, to its last, and for a "
            "client's first words; 1s at least."
        ),
    ] = default(Duration(10))
    idle_timeout: Annotated[
        Duration, doc("How long a connection may have no stream; 1s at least. 0s: for ever.")
    ] = default(Duration(3600))
    min_rate: Annotated[
        Size,
        doc(
            "Octets a second that a peer takes in the long run of a body that waits for it. "
            "0B: no such limit."
        ),
    ] = default(Size(240))


class Settings(Section, frozen=True, kw_only=True):
    """The configuration of trailproxy, after ${NAME} was replaced from the environment."""

    listeners: Annotated[tuple[ListenerSettings, ...], some("Where clients connect.")]
    upstreams: Annotated[tuple[UpstreamSettings, ...], some("The backends.")]
    routes: Annotated[
        tuple[RouteSettings, ...], some("Which requests go where; the first match wins.")
    ]
    dot_segments: Annotated[
        Literal["refuse", "pass"],
        doc("A path with a segment . or .., encoded or not, gets a 400, or goes by the routes."),
    ] = "refuse"
    admin: Annotated[AdminSettings, doc("The admin page.")] = AdminSettings()
    codec: Annotated[
        Literal["native", "h2"],
        doc("The HTTP/2 codec: native is ours, h2 the reference over the h2 package."),
    ] = "native"
    workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"],
        msgspec.Meta(
            description="Processes that share the listeners; auto: one for each CPU.",
            extra={"wanted": "a whole number from 1 to 256, or auto"},
        ),
    ] = 1
    limits: Annotated[Limits, doc("What connections may cost.")] = default(Limits())
    access_log: Annotated[AccessLogSettings, doc("One line an exchange.")] = AccessLogSettings()
    metrics: Annotated[MetricsSettings, doc("What the metrics may cost.")] = MetricsSettings()
    tracing: Annotated[
        TracingSettings | None, doc("Spans for a collector; needs the extra trailproxy[otlp].")
    ] = None
    watch: Annotated[
        Literal["certificates", "all", "off"],
        doc("Which files are taken up when they change: certificates, or the configuration too."),
    ] = "certificates"
    handover: Annotated[
        File | None,
        doc(
            "Path of a unix socket: a process that starts with the same path takes over the "
            "listening sockets, and this one drains when that one serves. Default: none.",
            "/run/trailproxy/handover.sock",
        ),
    ] = None
    drain_timeout: Annotated[
        Duration, doc("How long exchanges in flight may go on after SIGTERM. 0s: not at all.")
    ] = default(Duration(30))


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
        why = f"cannot be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            why += "; docs/configuration.md has one to begin with"
        raise SettingsError((Problem("", 0, why),), name) from error
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
    return json_schema.describe(Settings, Section.__subclasses__())


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
