"""Upstream settings: where the backends are, and how streams are spread over them."""

from typing import Annotated, Literal

import msgspec

from trailproxy.ops.section import (
    Endpoint,
    FieldName,
    File,
    Name,
    Section,
    count,
    default,
    doc,
    some,
    text,
)
from trailproxy.ops.units import Duration


class UpstreamTls(Section, frozen=True, kw_only=True):
    """The TLS towards an upstream."""

    ca: Annotated[
        File | None, doc("PEM file: who is trusted. Default: the system's CAs.", "/tls/ca.crt")
    ] = None
    server_name: Annotated[
        Annotated[str, text(r"^[A-Za-z0-9_:]([A-Za-z0-9_.:-]*[A-Za-z0-9_])?$", "a host name")]
        | None,
        doc("The name asked for (SNI) and verified. Default: the endpoint's host.", "app.internal"),
    ] = None
    certificate: Annotated[
        File | None, doc("PEM file: the certificate we show; needs private_key too.", "/tls/us.crt")
    ] = None
    private_key: Annotated[
        File | None, doc("PEM file: the key of `certificate`.", "/tls/us.key")
    ] = None


class EndpointSettings(Section, frozen=True, kw_only=True):
    """A place where a backend is, and its share."""

    address: Annotated[
        Endpoint,
        doc(
            "host:port, [v6]:port, unix:/path, srv:NAME or k8s:NAMESPACE/SERVICE:PORT.",
            "10.0.0.9:50051",
        ),
    ]
    weight: Annotated[int, count("Its share, beside the other weights.", 1, 1000)] = 1


class HashBy(Section, frozen=True, kw_only=True):
    """What requests must have in common to go to one endpoint."""

    header: Annotated[FieldName | None, doc("The value of this field.", "x-user")] = None
    cookie: Annotated[
        Annotated[str, text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "the name of a cookie")] | None,
        doc("The value of this cookie.", "session"),
    ] = None


class HealthCheckSettings(Section, frozen=True, kw_only=True):
    """What every endpoint is asked, again and again."""

    path: Annotated[
        Annotated[str, text(r"^/[!-~]*$", "a path that begins with /")] | None,
        doc("GET this path; any status from 200 to 299 is healthy.", "/healthz"),
    ] = None
    grpc: Annotated[
        str | None,
        doc(
            "Ask grpc.health.v1.Health/Check for this service; an empty name is the whole server.",
            "greet.Greeter",
        ),
    ] = None
    authority: Annotated[
        str | None,
        doc(
            "The authority that is asked for. Default: the endpoint's host and port.",
            "app.internal",
        ),
    ] = None
    interval: Annotated[
        Duration, doc("From one check to the next, give or take a tenth; 100ms at least.")
    ] = default(Duration(5))
    timeout: Annotated[Duration, doc("For the connection and the whole answer.")] = default(
        Duration(2)
    )
    unhealthy_threshold: Annotated[
        int, count("Failures in a row that make an endpoint unhealthy.", 1, 100)
    ] = 3
    healthy_threshold: Annotated[
        int, count("Successes in a row that make it healthy again.", 1, 100)
    ] = 2


class OutlierSettings(Section, frozen=True, kw_only=True):
    """When an endpoint is left alone for what became of its requests."""

    consecutive_failures: Annotated[
        int,
        count(
            "Requests in a row that ended in a reset, a lost connection, a timeout, a status of "
            "500 or more, or a failing grpc-status.",
            1,
            1000,
        ),
    ] = 5
    ejection_time: Annotated[
        Duration, doc("How long, the first time; each time after it longer by as much.")
    ] = default(Duration(30))
    max_ejection_time: Annotated[Duration, doc("How long at most.")] = default(Duration(300))
    max_ejected: Annotated[
        int, count("Per cent of the endpoints that may be left alone; one always may.", 0, 100)
    ] = 50


class LoadReportSettings(Section, frozen=True, kw_only=True):
    """What endpoints get for what they say of their load."""

    error_penalty: Annotated[
        int,
        count("How much of the error rate counts as utilization, in per cent.", 0, 1000),
    ] = 100
    blackout_period: Annotated[
        Duration,
        doc(
            "How long an endpoint must have reported before that counts; anew when it is "
            "connected anew."
        ),
    ] = default(Duration(10))
    expiration_period: Annotated[Duration, doc("How long a report counts without another one.")] = (
        default(Duration(180))
    )


class UpstreamSettings(Section, frozen=True, kw_only=True):
    """A backend, at one or more endpoints."""

    name: Annotated[Name, doc("What routes, metrics and logs call it.", "app")]
    endpoints: Annotated[
        tuple[Endpoint | EndpointSettings, ...],
        some(
            "host:port, [v6]:port, unix:/path, srv:NAME or k8s:NAMESPACE/SERVICE:PORT, or such an "
            "address with a weight; a name stands for all its addresses, a Service for its pods.",
            ["127.0.0.1:9000"],
        ),
    ]
    tls: Annotated[UpstreamTls | None, doc("Without it, HTTP/2 in the clear.")] = None
    load_balancing: Annotated[
        Literal["round_robin", "least_request", "hash"],
        doc("How an endpoint is chosen; `hash` keeps a client with one endpoint."),
    ] = "least_request"
    hash_by: Annotated[
        HashBy | None, doc("What `hash` goes by. Default: the client's address.")
    ] = None
    panic_threshold: Annotated[
        int,
        count("Per cent of endpoints that must be healthy for health to be believed.", 0, 100),
    ] = 50
    health_check: Annotated[
        HealthCheckSettings | None, doc("Ask endpoints how they are. Default: do not.")
    ] = None
    outlier_detection: Annotated[
        OutlierSettings | None,
        doc("Leave endpoints alone whose requests fail; {} takes the defaults. Default: do not."),
    ] = None
    load_reports: Annotated[
        LoadReportSettings | None,
        doc(
            "Read ORCA load reports of endpoints, and give more to those that could bear more; "
            "the reports go no further. {} takes the defaults. Default: they pass like any field."
        ),
    ] = None
    connect_timeout: Annotated[
        Duration, doc("For the socket, TLS and the peer's SETTINGS together.")
    ] = default(Duration(5))
    max_connections: Annotated[int, count("Connections to one endpoint.", 1, 10_000)] = 8
    max_resets: Annotated[
        int,
        count(
            "Streams that one connection may reset in a burst, and as many again in 30s, before "
            "it rests and another takes its place. 0: any number.",
            0,
            1_000_000,
        ),
    ] = 250
    max_streams: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None,
        msgspec.Meta(
            description="Streams that may be open to it at once, all endpoints together; more wait "
            "in the queue. Default: what its connections take.",
            examples=[1000],
            extra={"wanted": "a whole number from 1 to 1000000"},
        ),
    ] = None
    queue_limit: Annotated[int, count("Requests that may wait for a stream.", 0, 1_000_000)] = 4096
    queue_timeout: Annotated[
        Duration, doc("How long a request waits for a stream before it gets a 503.")
    ] = default(Duration(10))
    resolve_interval: Annotated[
        Duration,
        doc("When names are resolved again at the latest; before, when their records run out."),
    ] = default(Duration(30))
