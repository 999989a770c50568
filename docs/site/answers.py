"""Answers: the shapes of what the admin API says, for its description.

The API builds most of its answers as it goes. What it says is written down here, and a test
holds every answer of a running proxy against it, so that a member that is added, or gone,
is noticed.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from trailproxy.core.fault import Cause, Side
from trailproxy.core.record import Direction, Ending, Outcome
from trailproxy.core.timeline import Kind
from trailproxy.ops.sight import Only, Place, Reset, Row

Pair = Annotated[list[str], msgspec.Meta(min_length=2, max_length=2)]
Sums = Annotated[
    list[tuple[str, str, int]], msgspec.Meta(description="Two labels, and the count of both.")
]


class Error(TypedDict):
    """Why something was refused, or has failed."""

    error: str


class Lane(TypedDict):
    """Where one message of an exchange stands."""

    phase: Literal["head", "body", "ended", "done", "aborted"]
    arrived_bytes: int
    departed_bytes: int
    parked_bytes: int


class Exchange(TypedDict):
    """An exchange in flight."""

    worker: NotRequired[int]
    listener: str
    route: str
    peer: str
    method: str
    authority: str
    path: str
    upstream: str
    endpoint: str
    attempts: int
    status: int
    age_s: float
    downstream_stream: int
    upstream_stream: int | None
    request: Lane
    response: Lane


class Part(TypedDict):
    """A part of an exchange, on one side; times are milliseconds since it began."""

    at: float
    side: Side
    way: Direction
    what: Kind
    octets: NotRequired[int]
    chunks: NotRequired[int]
    until: NotRequired[float]
    code: NotRequired[str]
    cause: NotRequired[Cause]
    note: NotRequired[str]
    fields: NotRequired[list[Pair]]
    left_out: NotRequired[int]


class Timeline(TypedDict):
    """All that is known of an exchange."""

    row: Row
    parts: list[Part]
    left_out: int


class Capture(TypedDict):
    """How a capture goes."""

    id: str
    only: Only
    body_octets: int
    seconds: float
    seconds_left: float
    exchanges: int
    caught: int
    octets: int
    lost: int
    ended: Literal["", "order", "size", "exchanges", "time"]


class HarField(TypedDict):
    """A field, a parameter of the query or a trailer."""

    name: str
    value: str


class HarBody(TypedDict):
    """A body; `_whole` says whether all of it is there. Without `text` it was not captured."""

    """A body; `_whole` says whether all of it is there. Without `text` it was not captured."""

    size: NotRequired[int]
    mimeType: str
    text: NotRequired[str]
    encoding: NotRequired[str]
    _encoding: NotRequired[str]
    _whole: NotRequired[bool]


class HarRequest(TypedDict):
    """A request, as it came from the client."""

    """A request, as it came from the client."""

    method: str
    url: str
    httpVersion: str
    cookies: list[Any]
    headers: list[HarField]
    queryString: list[HarField]
    headersSize: int
    bodySize: int
    postData: NotRequired[HarBody]
    _trailers: NotRequired[list[HarField]]


class HarResponse(TypedDict):
    """A response, as it went to the client."""

    """A response, as it went to the client."""

    status: int
    statusText: str
    httpVersion: str
    cookies: list[Any]
    headers: list[HarField]
    content: HarBody
    redirectURL: str
    headersSize: int
    bodySize: int
    _trailers: NotRequired[list[HarField]]


class HarTimings(TypedDict):
    """Where the time went, in milliseconds."""

    blocked: float
    send: float
    wait: float
    receive: float


class HarDrop(TypedDict):
    """Why an exchange was dropped."""

    side: Side
    cause: Cause
    why: str


class HarEnding(TypedDict):
    """What became of an exchange."""

    request: Ending
    response: Ending
    grpc_status: str
    answered: bool
    resets: list[Reset]
    dropped: NotRequired[HarDrop]


class HarEntry(TypedDict):
    """One exchange."""

    """One exchange."""

    startedDateTime: str
    time: float
    request: HarRequest
    response: HarResponse
    cache: dict[str, Any]
    timings: HarTimings
    _listener: str
    _route: str
    _peer: str
    _upstream: str
    _endpoint: str
    _attempts: int
    _ending: HarEnding
    _timeline: list[Part]
    _worker: NotRequired[int]


class HarCreator(TypedDict):
    """Who has made an archive."""

    name: str
    version: str


class HarLog(TypedDict):
    """The archive; `_capture` says how its capture went."""

    """The archive; `_capture` says how its capture went."""

    version: Literal["1.2"]
    creator: HarCreator
    entries: list[HarEntry]
    _capture: Capture


class Har(TypedDict):
    """What a capture has caught, as HAR 1.2."""

    log: HarLog


class Reloaded(TypedDict):
    """The configuration was read again, and runs."""

    ok: Literal[True]


class Problem(TypedDict):
    """What is wrong with the configuration; there is a line for each."""

    problem: str


class Draining(TypedDict):
    """A drain has begun."""

    draining: Literal[True]


class Configuration(TypedDict):
    """The running configuration with its secrets masked, as `trailproxy schema` describes it.

    What was left out stands there too: with its default, or as null.
    """

    listeners: list[dict[str, Any]]
    upstreams: list[dict[str, Any]]
    routes: list[dict[str, Any]]


class RowsEvent(TypedDict):
    """The event `rows`: exchanges that are new, or have changed."""

    rows: list[Row]
    gone: list[str]
    missed: int
    lost: int


class Latency(TypedDict):
    """How many requests took how long; the last count has no bound."""

    bounds: list[float]
    counts: list[int]


class SideNow(TypedDict):
    """One side."""

    connections: int
    streams: int
    received: int
    sent: int
    parked: int
    stalls: int


class UpstreamNow(TypedDict):
    """The endpoints of an upstream, by how they are."""

    name: str
    failed_dials: int
    healthy: NotRequired[int]
    sick: NotRequired[int]
    ejected: NotRequired[int]


class CertificateNow(TypedDict):
    """When a certificate ends, in seconds since 1970."""

    kind: Literal["listener", "upstream"]
    name: str
    ends: float


class ReloadNow(TypedDict):
    """The last reload."""

    ok: bool
    loaded_at: float
    problems: list[str]


class NowEvent(TypedDict):
    """The event `now`: the numbers; counters as they stand since the start."""

    at: float
    version: str
    codec: str
    not_ready: str
    requests: int
    completed: int
    dropped: int
    active: int
    latency: Latency
    sides: dict[Side, SideNow]
    resets: Sums
    drops: Sums
    trailers: list[tuple[Direction, Outcome, int]]
    upstreams: list[UpstreamNow]
    certificates: list[CertificateNow]
    reload: ReloadNow
    workers: dict[str, int]
    places: list[Place]
