"""Operations: what may be asked of the admin API, and what it then answers.

The routes are those of the code: one that is not described here, or is no more, is noticed
(`openapi.py`). So are a status and a content type that a running proxy does not answer with.
"""

from dataclasses import dataclass
from typing import Any, Final

from docs.site import answers
from trailproxy.ops.capture import TapOrder

JSON: Final = "application/json"
TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Answer:
    """One status, and what comes with it: a content type and its shape, perhaps several."""

    means: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path.

    Attributes:
        about: one line.
        more: what else there is to say.
        open_to_all: whether it asks for neither token nor certificate.
        body: the shape of the JSON that it takes.
        parameter: what the part of the path in braces is.
    """

    name: str
    about: str
    answers: dict[int, Answer]
    more: str = ""
    open_to_all: bool = False
    body: Any = None
    parameter: str = ""


def _json(means: str, shape: Any) -> Answer:
    return Answer(means, {JSON: shape})


def _refused(means: str) -> Answer:
    return _json(means, answers.Error)


_WEB_PAGE: Final = _refused("A web page of another host gave the order, or a certificate is needed")

#: What every operation may answer that is not open to all.
GUARDED: Final = {
    401: _refused("A token is needed, or it is another one; see `WWW-Authenticate`"),
    403: _WEB_PAGE,
}
#: What every operation may answer.
ALWAYS: Final = {
    413: _refused("The body is larger than 16 KiB"),
    500: _refused("A mistake of ours; it stands in the log"),
}

OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("GET", "/"): Operation(
        "index",
        "The live page for browsers, an index of the pages for all others.",
        {200: Answer("The page, or the index", {TEXT: str, "text/html": str})},
        more="The page is for whoever says `text/html` in `Accept`. It holds no secrets.",
        open_to_all=True,
    ),
    ("GET", "/metrics"): Operation(
        "metrics",
        "All counters, for Prometheus.",
        {
            200: Answer(
                "The page, in the form that `Accept` asks for",
                {TEXT: str, "application/openmetrics-text": str},
            )
        },
    ),
    ("GET", "/healthz"): Operation(
        "healthz",
        "Whether the process lives.",
        {200: Answer("`ok`", {TEXT: str})},
        open_to_all=True,
    ),
    ("GET", "/readyz"): Operation(
        "readyz",
        "Whether it takes requests.",
        {
            200: Answer("`ok`", {TEXT: str}),
            503: Answer("It does not: `starting` or `draining`", {TEXT: str}),
        },
        open_to_all=True,
    ),
    ("GET", "/config"): Operation(
        "config",
        "The running configuration, secrets masked.",
        {200: _json("The configuration", answers.Configuration)},
    ),
    ("GET", "/streams"): Operation(
        "streams",
        "Exchanges in flight, and where they stand.",
        {200: _json("All of them", list[answers.Exchange])},
    ),
    ("POST", "/live"): Operation(
        "live",
        "What is going on, as it goes on.",
        {
            200: Answer("Server-sent events, until you leave", {"text/event-stream": str}),
            503: _refused("Eight look on already"),
        },
        more="The events are `rows` (RowsEvent), `now` (NowEvent) and `tap` (Capture, or null).",
    ),
    ("GET", "/live/{key}"): Operation(
        "timeline",
        "The timeline of one exchange.",
        {
            200: _json("What is known of it", answers.Timeline),
            404: _refused("It is forgotten"),
        },
        parameter="The key of a row.",
    ),
    ("POST", "/tap"): Operation(
        "tap",
        "Begin a capture.",
        {
            201: _json("It has begun", answers.Capture),
            409: _refused("There is a tap already"),
            422: _refused("The order makes no sense, and why"),
        },
        body=TapOrder,
    ),
    ("DELETE", "/tap"): Operation(
        "end_tap",
        "End the capture.",
        {200: _json("How it went", answers.Capture), 404: _refused("There is no tap")},
    ),
    ("GET", "/tap/{id}"): Operation(
        "caught",
        "What a capture has caught so far.",
        {
            200: _json("An archive", answers.Har),
            404: _refused("There is no such capture, or no more"),
        },
        parameter="The id that the order was answered with.",
    ),
    ("POST", "/reload"): Operation(
        "reload",
        "Read the configuration again.",
        {
            200: _json("It runs", answers.Reloaded),
            422: Answer(
                "It is not good, and the old one goes on: a line of JSON for each problem",
                {"application/x-ndjson": answers.Problem},
            ),
        },
    ),
    ("POST", "/drain"): Operation(
        "drain",
        "Finish what is in flight, take nothing new, end.",
        {202: _json("It has begun", answers.Draining)},
    ),
}
