"""Telemetry: what operators can write about metrics, the access log and traces."""

from typing import Annotated

from trailproxy.ops.grpc_meters import DEFAULT_METHODS
from trailproxy.ops.section import Section, count, doc, text

_FieldName = Annotated[str, text(r"^[!#$%&'*+.^_`|~0-9a-z-]+$", "the lower-case name of a field")]


class LoggedTrailers(Section, frozen=True, kw_only=True):
    """Which trailers the access log shows; by default none, as they may hold anything."""

    request: Annotated[
        tuple[_FieldName, ...], doc("Names of request trailers.", ["x-checksum"])
    ] = ()
    response: Annotated[
        tuple[_FieldName, ...], doc("Names of response trailers.", ["grpc-message"])
    ] = ()


class AccessLogSettings(Section, frozen=True, kw_only=True):
    """One JSON line for each exchange."""

    path: Annotated[
        Annotated[
            str,
            text(r"^(off|stdout|.*/.*)$", "off, stdout, or a path with a / in it"),
        ],
        doc("off, stdout, or the path of a file, with a / in it."),
    ] = "stdout"
    trailers: Annotated[LoggedTrailers, doc("Trailers whose values a line shows, as `fields`.")] = (
        LoggedTrailers()
    )


class MetricsSettings(Section, frozen=True, kw_only=True):
    """What the metrics may cost."""

    grpc_methods: Annotated[
        int, count("gRPC methods with series of their own; the rest count as `other`.", 0, 10_000)
    ] = DEFAULT_METHODS


class TracingSettings(Section, frozen=True, kw_only=True):
    """Where spans go, of requests whose traceparent says that their trace is sampled."""

    otlp: Annotated[
        Annotated[
            str,
            text(r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", "a URL such as http://localhost:4318"),
        ],
        doc(
            "The collector, which takes OTLP over HTTP under this URL, at /v1/traces.",
            "http://localhost:4318",
        ),
    ]
    service_name: Annotated[
        Annotated[str, text(r"^\S.{0,254}$", "a name of up to 255 characters")],
        doc("What the spans call us."),
    ] = "trailproxy"
