"""Route settings: which requests go where, and what a route does with them."""

from typing import Annotated, Literal

import msgspec

from trailproxy.ops.retry_settings import RetrySettings
from trailproxy.ops.section import FieldName, Name, Section, count, default, doc, text
from trailproxy.ops.units import Duration, Size

_Path = Annotated[str, text(r"^/[!\"$->@-~]*$", "a path that begins with /, without ? or #")]
_GrpcName = Annotated[str, text(r"^[A-Za-z_][A-Za-z0-9_.]*$", "a name such as greet.Greeter")]


class MatchField(Section, frozen=True, kw_only=True):
    """A field that the request head must have; by its name alone, any value will do."""

    name: Annotated[FieldName, doc("Its name.", "x-canary")]
    value: Annotated[str | None, doc("Its value, as it stands there.", "yes")] = None
    regex: Annotated[str | None, doc("What all of its value fits, in RE2's syntax.", "v[0-9]+")] = (
        None
    )


class MatchGrpc(Section, frozen=True, kw_only=True):
    """A gRPC call; {} takes all."""

    service: Annotated[
        _GrpcName | None, doc("The service, with its package. Default: any.", "greet.Greeter")
    ] = None
    method: Annotated[_GrpcName | None, doc("The method. Default: any.", "Hello")] = None


class Match(Section, frozen=True, kw_only=True):
    """Which requests a route takes: those that fit all that is given."""

    authority: Annotated[
        Annotated[
            str,
            text(
                r"^(\*\.)?[A-Za-z0-9_.:\[\]-]+$",
                "a host such as api.example.com, or *.example.com for all below it",
            ),
        ]
        | None,
        doc("A host, with or without its port, or *.example.com. Default: any.", "api.example.com"),
    ] = None
    path: Annotated[
        _Path | None, doc("/greet takes /greet and /greet?x, nothing else.", "/greet")
    ] = None
    path_prefix: Annotated[
        _Path | None,
        doc("/greet takes /greet and /greet/x, not /greetings. Default: any.", "/greet"),
    ] = None
    path_regex: Annotated[
        str | None,
        doc("What all of the path fits, without its query, in RE2's syntax.", "/v[12]/.*"),
    ] = None
    method: Annotated[
        Annotated[str, text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "a method, such as GET")] | None,
        doc("Methods have case. Default: any.", "GET"),
    ] = None
    headers: Annotated[
        tuple[MatchField, ...], doc("Fields that the request head has, all of them.")
    ] = ()
    grpc: Annotated[MatchGrpc | None, doc("It is a gRPC call, in place of a path.")] = None


class Target(Section, frozen=True, kw_only=True):
    """An upstream's share of a route."""

    name: Annotated[str, doc("The name of an upstream.", "app")]
    weight: Annotated[int, count("Its share, beside the other weights; 0: none.", 0, 1_000_000)] = 1


class Timeouts(Section, frozen=True, kw_only=True):
    """How long an exchange may take. 0s: no limit."""

    response_head: Annotated[
        Duration, doc("From the request's departure to the response head. 0s: no limit.")
    ] = default(Duration(15))
    idle: Annotated[Duration, doc("While nothing moves in either direction. 0s: no limit.")] = (
        default(Duration(60))
    )
    total: Annotated[
        Duration, doc("From the request head to the end of the response. 0s: no limit.")
    ] = default(Duration(0))


_FieldNames = Annotated[
    str,
    text(r"^[!#$%&'+.^_`|~0-9A-Za-z-]*\*?$", "the name of a field, or the beginning of one and *"),
]
_When = Literal["always", "success", "failure"]
_WHEN = "always, or only where the response says that the request succeeded, or failed."


class Renamed(Section, frozen=True, kw_only=True):
    """Fields of one name get another."""

    name: Annotated[FieldName, doc("The name they have.", "x-sum")]
    to: Annotated[FieldName, doc("The name they get.", "x-checksum")]
    when: Annotated[_When, doc(_WHEN)] = "always"


class Removed(Section, frozen=True, kw_only=True):
    """Fields of a name go."""

    name: Annotated[FieldName, doc("Their name.", "x-debug")]
    when: Annotated[_When, doc(_WHEN)] = "always"


class Written(Section, frozen=True, kw_only=True):
    """A field that the route writes."""

    name: Annotated[FieldName, doc("Its name.", "x-hop")]
    value: Annotated[
        Annotated[
            str, text(r"^([!-~]([ -~]*[!-~])?)?$", "visible ASCII, without spaces around it")
        ],
        doc("Its value.", "edge"),
    ]
    when: Annotated[_When, doc(_WHEN)] = "always"


class MessageTrailers(Section, frozen=True, kw_only=True):
    """What happens to the trailers of one direction, in the order of these keys."""

    max_fields: Annotated[int, count("How many fields there may be.", 1, 10_000)] = 256
    max_size: Annotated[
        Size, doc("How large all may be, as RFC 9113 section 6.5.2 counts; 1KiB at least.")
    ] = default(Size(64 * 1024))
    on_excess: Annotated[
        Literal["reset", "cut"],
        doc("What becomes of more: the stream is reset, or what does not fit is left out."),
    ] = "reset"
    allow: Annotated[
        tuple[_FieldNames, ...],
        doc("Nothing else passes: names, or beginnings of names with a *; * alone is all."),
    ] = ("*",)
    deny: Annotated[
        tuple[_FieldNames, ...],
        doc("These do not pass: names, or beginnings of names with a *.", ["x-debug-*"]),
    ] = ()
    rename: Annotated[tuple[Renamed, ...], doc("Fields that get another name.")] = ()
    remove: Annotated[tuple[Removed, ...], doc("Fields that go.")] = ()
    set: Annotated[
        tuple[Written, ...], doc("Fields that take the place of all with their name.")
    ] = ()
    append: Annotated[tuple[Written, ...], doc("Fields that are added.")] = ()


class TrailerSettings(Section, frozen=True, kw_only=True):
    """What may stand in trailers, and what is done to them."""

    request: Annotated[MessageTrailers, doc("Behind request bodies.")] = default(MessageTrailers())
    response: Annotated[MessageTrailers, doc("Behind response bodies.")] = default(
        MessageTrailers()
    )


class RouteSettings(Section, frozen=True, kw_only=True):
    """Which requests go where; the first route that matches takes the request."""

    name: Annotated[Name, doc("What metrics and logs call it.", "all")]
    match: Annotated[Match, doc("Which requests; {} takes all.")]
    upstream: Annotated[
        str | Annotated[tuple[Target, ...], msgspec.Meta(min_length=1)],
        msgspec.Meta(
            description="The name of an upstream, or a list of names with weights.",
            examples=["app", [{"name": "app", "weight": 99}, {"name": "next", "weight": 1}]],
            extra={"wanted": "the name of an upstream, or a list of names with weights"},
        ),
    ]
    timeouts: Annotated[Timeouts, doc("How long an exchange may take.")] = default(Timeouts())
    retry: Annotated[
        RetrySettings | None,
        doc("What is tried again. Default: what the upstream has certainly not touched."),
    ] = None
    on_upstream_failure: Annotated[
        Literal["trailers", "reset"] | None,
        doc(
            "How a response ends whose upstream fails behind its head: with trailers that say why "
            "(grpc-status, or Proxy-Status), or with a reset. Default: trailers for gRPC, reset "
            "for the rest. A body whose length was announced is always reset."
        ),
    ] = None
    trailers: Annotated[
        TrailerSettings, doc("What may stand in trailers, and what is done to them.")
    ] = default(TrailerSettings())
    digest: Annotated[
        Literal["off", "verify", "add"],
        doc(
            "verify: compare both bodies with their Content-Digest, Repr-Digest or "
            "x-amz-checksum-*; add: put a Content-Digest behind responses that have none."
        ),
    ] = "off"
    on_digest_mismatch: Annotated[
        Literal["reset", "log"],
        doc(
            "What a body that is not what its digest says costs: its stream, or a note in the log."
        ),
    ] = "reset"
    server_timing: Annotated[
        bool, doc("Put a Server-Timing behind responses: proxy, queue, upstream, total.")
    ] = False
    hooks: Annotated[
        Annotated[
            str,
            text(
                r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
                "module:callable, with a module that Python can import",
            ),
        ]
        | None,
        doc(
            "Python that looks at the exchanges of this route, as module:callable.",
            "my_hooks:watch",
        ),
    ] = None
