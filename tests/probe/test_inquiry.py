"""Probe and origin in conversation: all is kept, and what is not is found."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from io import StringIO

import pytest

from tests.support.frames import settings_frame
from trailproxy.core.address import Address
from trailproxy.demo_backend import start_backend
from trailproxy.probe import report
from trailproxy.probe.client import Target, Way
from trailproxy.probe.inquiry import Column, inquire
from trailproxy.probe.origin import Origin
from trailproxy.probe.script import SCRIPTS
from trailproxy.probe.verdict import Verdict

Serve = Callable[..., Awaitable[Way]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an origin, some scripts of which may be others than the client expects."""
    origins: list[Origin] = []

    async def start(name: str = "direct", **changed: dict[str, object]) -> Way:
        origins.append(origin := Origin())
        for script in SCRIPTS:
            change = changed.get(script.name.replace("-", "_"))
            if change is not None:
                origin._scripts[script.name] = replace(script, **change)  # type: ignore[arg-type]
        return Way(name, await origin.start(Address("127.0.0.1", 0)), None, "localhost")

    yield start
    for origin in origins:
        await origin.close()


def _way(server: asyncio.Server, name: str = "direct") -> Way:
    return Way(name, Address("127.0.0.1", server.sockets[0].getsockname()[1]), None, "localhost")


async def _ask(*ways: Way, grpc: bool = False, timeout_s: float = 5.0) -> list[Column]:
    target = Target.of("http://localhost:1/svc/Method")
    return await inquire(target, list(ways), grpc=grpc, timeout_s=timeout_s)


def _verdicts(column: Column) -> dict[str, Verdict]:
    return {finding.case: finding.verdict for finding in column.findings}


@pytest.mark.parametrize("grpc", [False, True])
async def test_nothing_between_them_keeps_everything(serve: Serve, grpc: bool) -> None:
    (column,) = await _ask(await serve(), grpc=grpc)
    odd = {f.case: f.why for f in column.findings if f.verdict is not Verdict.KEPT}
    only = {"empty-trailers", "head-request"} if grpc else {"trailers-only"}
    assert odd.keys() == only
    assert column.origin
    assert report.status([column]) == 0


async def test_the_first_hop_that_breaks_a_promise_is_the_guilty_one(serve: Serve) -> None:
    eats = {"trailers_present": {"trailers": ()}}
    ways = [
        await serve(),
        await serve("http://one", **eats),
        await serve("http://two", **eats, body_65535={"pieces": (65_534,)}),
    ]
    columns = await _ask(*ways)
    assert [_verdicts(column)["trailers-present"] for column in columns] == [
        Verdict.KEPT,
        Verdict.BROKEN,
        Verdict.BROKEN,
    ]
    told = json.loads(report.as_json("http://x/", columns))
    assert told["guilty"] == [
        {"way": "http://one", "cases": ["trailers-present"]},
        {"way": "http://two", "cases": ["body-65535"]},
    ]
    assert report.status(columns) == 1

    out = StringIO()
    report.print_table(columns, out)
    assert "http://one breaks 1: trailers-present" in out.getvalue()
    assert "http://two: body-65535: 65,535 octets were sent, 65,534 came" in out.getvalue()
    assert out.getvalue().isascii()


async def test_a_table_of_one_way_tells_what_came(serve: Serve) -> None:
    columns = await _ask(await serve(reset_cancel={"breaks": 2}))
    out = StringIO()
    report.print_table(columns, out)
    (row,) = [line for line in out.getvalue().splitlines() if "reset-cancel" in line]
    assert "changed: CANCEL was sent" in row
    assert "RFC 9113 5.4.2" in row
    assert "no promise is broken" in out.getvalue()
    assert report.status(columns) == 0


async def test_a_server_that_is_not_the_origin_is_asked_what_it_can_be(
    backend: Way,
) -> None:
    (column,) = await _ask(backend)
    verdicts = _verdicts(column)
    assert not column.origin
    assert verdicts["negotiated"] is verdicts["te-trailers"] is Verdict.KEPT
    assert verdicts["trailers-present"] is verdicts["reset-from-client"] is Verdict.KEPT
    assert verdicts["slow-reader"] is Verdict.UNCLEAR  # its body is too short to tell
    assert verdicts["bidirectional"] is Verdict.SKIPPED
    out = StringIO()
    report.print_table([column], out)
    assert "trailproxy probe --serve" in out.getvalue()


async def test_grpc_without_a_status_is_broken(backend: Way) -> None:
    (column,) = await _ask(backend, grpc=True)
    assert _verdicts(column)["trailers-present"] is Verdict.KEPT


@pytest.fixture
async def backend() -> AsyncIterator[Way]:
    server = await start_backend(Address("127.0.0.1", 0))
    yield _way(server)
    server.close()


class _Says(asyncio.Protocol):
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._octets)


async def _one_who_says(octets: bytes) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Says(octets), "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP/1.1"),
        (b"\x00\x00\x00\x06\x00\x00\x00\x00\x00", "it broke HTTP/2"),
        (b"", "no SETTINGS came within 0.2 s"),
    ],
)
async def test_who_speaks_no_http2_is_told_from_who_is_not_there(says: bytes, why: str) -> None:
    server = await _one_who_says(says)
    (column,) = await _ask(_way(server), timeout_s=0.2)
    server.close()
    first, *rest = column.findings
    assert (first.case, first.verdict) == ("negotiated", Verdict.BROKEN)
    assert why in first.why
    assert {finding.verdict for finding in rest} == {Verdict.SKIPPED}
    assert report.status([column]) == 1


async def test_who_says_no_more_than_settings_costs_a_case_its_time_alone() -> None:
    server = await _one_who_says(settings_frame())
    (column,) = await _ask(_way(server), timeout_s=0.05)
    server.close()
    assert _verdicts(column)["te-trailers"] is Verdict.BROKEN
    (why,) = [finding.why for finding in column.findings if finding.case == "te-trailers"]
    assert why == "not over within 0.05 s"


async def test_nobody_there_is_no_finding(serve: Serve) -> None:
    server = await _one_who_says(b"")
    gone = _way(server, "http://gone")
    server.close()
    columns = await _ask(gone)
    assert "connection refused" in columns[0].unreachable
    assert report.status(columns) == 2
    assert report.status(await _ask(replace(gone, name="direct"), await serve("http://hop"))) == 0
    assert report.status(await _ask(await serve(), gone)) == 2


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:1", "ftp://a/", "http://", "http://me@a/", "http://a:99999/", "https://a b/"),
        *("http://a/b c", "http://a/\x7f"),
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"no URL such as|port|host name|unusable :path"):
        Target.of(url)


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("http://a", Address("a", 80), "/"),
        ("https://a/x?y=1", Address("a", 443), "/x?y=1"),
        ("http://[::1]:8080/x", Address("::1", 8080), "/x"),
        ("https://[::1]", Address("::1", 443), "/"),
    ],
)
def test_a_url_has_an_address_and_a_path(url: str, address: Address, path: str) -> None:
    target = Target.of(url)
    assert (target.address, target.path) == (address, path)
