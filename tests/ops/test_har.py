"""A captured exchange as an archive has it."""

import base64
from typing import Any

import msgspec
import pytest

from tests.support.parts import data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy import __version__
from trailproxy.core.gallery import Gallery
from trailproxy.core.record import Record
from trailproxy.core.witness import Store, Witness
from trailproxy.ops.har import archive, entry_of
from trailproxy.wire.errors import ErrorCode

BEHIND = 1_763_000_000.0


class Net:
    """Takes every exchange, bodies and all."""

    def __init__(self) -> None:
        self.caught: list[Witness] = []

    def wants(self, record: Record) -> bool:
        return True

    def cast(self, witness: Witness) -> None:
        witness.keep_bodies(100, Store(1000))

    def haul(self, witness: Witness) -> None:
        self.caught.append(witness)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def net(table: Table) -> Net:
    gallery = Gallery(table.proxy)
    gallery.net = net = Net()
    gallery.open(curious=False)
    return net


def entry(net: Net) -> dict[str, Any]:
    """Return the entry of the one that was caught, as it goes into a file."""
    (witness,) = net.caught
    told: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(entry_of(witness, lambda at: at + BEHIND))
    )
    return told


def named(fields: list[dict[str, str]]) -> dict[str, str]:
    return {field["name"]: field["value"] for field in fields}


def test_an_entry_has_what_har_asks_for(table: Table, net: Net) -> None:
    table.client.opens(request(path="/x?a=1&token=s3cret", content_type="text/plain"))
    table.client.says(data("grüß".encode(), end=True))
    table.advance(0.5)
    table.server.says(head(200, content_type="text/plain"), data(b"answer", end=True))
    told = entry(net)
    assert told["startedDateTime"] == "2025-11-13T02:30:00.000Z"
    assert told["time"] == 500.0
    assert told["timings"] == {"blocked": 0.0, "send": 0.0, "wait": 500.0, "receive": 0.0}
    asked, answered = told["request"], told["response"]
    assert asked["method"] == "POST"
    assert asked["url"] == "http://api.example.com/x?a=1&token=***"
    assert asked["queryString"] == [
        {"name": "a", "value": "1"},
        {"name": "token", "value": "***"},
    ]
    assert asked["httpVersion"] == answered["httpVersion"] == "HTTP/2.0"
    assert asked["postData"] == {"mimeType": "text/plain", "text": "grüß", "_whole": True}
    assert (answered["status"], answered["statusText"]) == (200, "OK")
    assert answered["content"] == {
        "size": 6,
        "mimeType": "text/plain",
        "text": "answer",
        "_whole": True,
    }
    assert "_trailers" not in asked
    assert "_trailers" not in answered
    assert "via" not in named(asked["headers"])  # as it came
    assert "via" in named(answered["headers"])  # as it left
    for part in (asked, answered):
        assert part["cookies"] == []
        assert part["headersSize"] == -1
    assert told["cache"] == {}
    assert (told["_route"], told["_upstream"], told["_endpoint"]) == ("all", "app", "server")


def test_an_entry_has_trailers_its_ending_and_its_timeline(table: Table, net: Net) -> None:
    table.client.opens(grpc_request(authorization="s3cret"))
    table.client.says(data(b"\0\0\0\0\1\xff"), trailers(x_sum="1"))
    table.server.says(grpc_head(), data(b"\0\0\0\0\1\xfe"), trailers(grpc_status="5"))
    told = entry(net)
    assert told["request"]["_trailers"] == [{"name": "x-sum", "value": "1"}]
    assert told["response"]["_trailers"] == [{"name": "grpc-status", "value": "5"}]
    assert named(told["request"]["headers"])["authorization"] == "***"
    for content, key in (
        (told["request"]["postData"], "_encoding"),
        (told["response"]["content"], "encoding"),
    ):
        assert content[key] == "base64"
        assert base64.b64decode(content["text"])[:5] == b"\0\0\0\0\1"
    assert told["_ending"] == {
        "request": "trailers",
        "response": "trailers",
        "grpc_status": "NOT_FOUND",
        "answered": False,
        "resets": [],
    }
    assert [part["what"] for part in told["_timeline"]][-1] == "trailers"
    assert all("fields" not in part for part in told["_timeline"])


def test_an_entry_of_a_drop_says_why(table: Table, net: Net) -> None:
    table.client.opens(request(end=True))
    table.server.says(head(200), reset(ErrorCode.INTERNAL_ERROR))
    ending = entry(net)["_ending"]
    assert ending["dropped"] == {
        "side": "upstream",
        "cause": "upstream_reset",
        "why": "upstream reset the stream",
    }
    assert [each["code"] for each in ending["resets"]] == ["INTERNAL_ERROR"] * 2


def test_an_exchange_that_got_no_answer_is_an_entry_too(table: Table, net: Net) -> None:
    table.client.opens(request())
    table.client.says(reset())
    told = entry(net)
    assert (told["response"]["status"], told["response"]["statusText"]) == (0, "")
    assert told["response"]["headers"] == []
    assert told["timings"]["receive"] == 0.0
    assert "postData" not in told["request"]


def test_an_archive_says_who_made_it_and_how() -> None:
    made = archive([{"time": 1.0}], {"ended": "time"})
    assert made == {
        "log": {
            "version": "1.2",
            "creator": {"name": "trailproxy", "version": __version__},
            "entries": [{"time": 1.0}],
            "_capture": {"ended": "time"},
        }
    }
