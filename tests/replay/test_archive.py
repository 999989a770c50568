"""What is read of a capture, and what of it can be sent again."""

import json
from pathlib import Path
from typing import Any

import pytest

from trailproxy.replay.archive import ArchiveError, Captured, read

Entry = dict[str, Any]


def named(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def entry(**request: Any) -> Entry:
    asked = {"method": "GET", "url": "http://api.example.com/x", "headers": [], "bodySize": 0}
    return {
        "request": {**asked, **request},
        "response": {"status": 200, "headers": []},
        "_ending": {"response": "end"},
    }


def read_one(tmp_path: Path, told: Entry) -> Captured:
    file = tmp_path / "one.har"
    file.write_text(json.dumps({"log": {"version": "1.2", "entries": [told]}}))
    (captured,) = read(file)
    return captured


def test_a_request_is_read_as_it_can_be_sent_again(tmp_path: Path) -> None:
    captured = read_one(
        tmp_path,
        entry(
            method="POST",
            url="https://api.example.com/a%20b?q=1",
            headers=named((":method", "POST"), ("host", "x"), ("te", "trailers"), ("a", "1")),
            bodySize=3,
            postData={"mimeType": "text/plain", "text": "ask", "_whole": True},
            _trailers=named(("x-sum", "9")),
        ),
    )
    assert (captured.method, captured.path) == ("POST", "/a%20b?q=1")
    assert captured.head == [("te", "trailers"), ("a", "1")]
    assert (captured.body, captured.trailers) == (b"ask", [("x-sum", "9")])
    assert captured.left_out == ()


def test_what_was_masked_is_left_out_and_said(tmp_path: Path) -> None:
    captured = read_one(
        tmp_path,
        entry(
            url="http://a.example/x?token=***&page=1",
            headers=named(("authorization", "***"), ("accept", "*/*")),
            _trailers=named(("x-session", "***")),
        ),
    )
    assert (captured.path, captured.head, captured.trailers) == (
        "/x?page=1",
        [("accept", "*/*")],
        [],
    )
    assert set(captured.left_out) == {
        "authorization: masked",
        "?token: masked",
        "x-session: masked",
    }


@pytest.mark.parametrize(
    ("body", "octets", "left_out"),
    [
        (None, b"", ("body: not captured",)),
        ({"text": "be", "_whole": False}, b"", ("body: not wholly captured",)),
        ({"text": "//4=", "_encoding": "base64"}, b"\xff\xfe", ()),
        ({"text": "$", "_encoding": "base64"}, b"", ("body: no base64",)),
    ],
)
def test_a_body_is_sent_whole_or_not_at_all(
    tmp_path: Path, body: Any, octets: bytes, left_out: tuple[str, ...]
) -> None:
    headers = named(("content-length", "2"))
    captured = read_one(tmp_path, entry(bodySize=2, postData=body, headers=headers))
    assert (captured.body, captured.left_out) == (octets, left_out)
    assert bool(captured.head) is bool(octets)  # its length goes with it


def test_a_har_of_others_is_read_too(tmp_path: Path) -> None:
    told = entry(url="https://a.example", cookies=[], bodySize=-1)
    del told["_ending"]
    captured = read_one(tmp_path, told)
    assert (captured.path, captured.outcome.ending) == ("/", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no HAR"),
        ("[]", "is no HAR"),
        ('{"log": {}}', "missing required field `entries`"),
        ('{"log": {"entries": []}}', "holds no requests"),
        ('{"log": {"entries": [{"request": {}}]}}', "missing required field"),
    ],
)
def test_what_is_no_archive_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "bad.har"
    file.write_text(text)
    with pytest.raises(ArchiveError, match=why):
        read(file)


def test_a_file_that_is_not_there_or_too_large_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArchiveError, match=r"none\.har: cannot be read: No such file"):
        read(tmp_path / "none.har")
    monkeypatch.setattr("trailproxy.replay.archive._MOST_OCTETS", 1 << 20)
    (tmp_path / "large.har").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ArchiveError, match=r"large\.har: is larger than 1 MiB"):
        read(tmp_path / "large.har")
