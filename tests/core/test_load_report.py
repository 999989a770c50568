"""Load reports: in every form they are written in, in none, and what becomes of them on the way."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.orca import octets_of, value_of
from tests.support.parts import (
    Said,
    data,
    grpc_head,
    grpc_request,
    head,
    request,
    reset,
    trailers,
)
from tests.support.table import Table
from trailproxy.core.fault import Cause
from trailproxy.core.load_report import LoadReport, read_report, take_report
from trailproxy.core.record import Outcome
from trailproxy.core.retry import RetryPolicy
from trailproxy.core.routing import Handling
from trailproxy.core.trailers import TrailerLimits
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

PLAIN, BINARY = "endpoint-load-metrics", "endpoint-load-metrics-bin"
BUSY = LoadReport(0.5, 100.0, 2.0)
WORDS = {"cpu_utilization": 0.5, "rps_fractional": 100.0, "eps": 2.0}


def _read(value: str | bytes, name: str = PLAIN) -> LoadReport | None:
    octets = value.encode() if isinstance(value, str) else value
    return read_report(Field(name.encode(), octets))


# -- the forms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "TEXT cpu_utilization=0.5,rps_fractional=100,eps=2",
        "TEXT cpu_utilization=5e-1, mem_utilization=0.8, rps_fractional=100.0, eps=2.0",
        "TEXT cpu_utilization:0.5,rps_fractional:100,eps:2",
        "TEXT named_metrics.a:b=x,cpu_utilization=0.5,rps_fractional=100,eps=2",
        "TEXT eps=7,cpu_utilization=0.5,rps_fractional=100,eps=2",
        "TEXT application_utilization=0,cpu_utilization=0.5,rps_fractional=100,eps=2",
        "TEXT application_utilization=0.5,cpu_utilization=0.9,rps_fractional=100,eps=2",
        'JSON {"cpu_utilization": 0.5, "rps_fractional": 100, "eps": 2}',
        'JSON {"cpuUtilization": "0.5", "rpsFractional": 100.0, "eps": "2"}',
        'JSON {"applicationUtilization": 0.5, "rps_fractional": 1e2, "eps": 2, "utilization": {}}',
        "BIN " + value_of(**WORDS),
    ],
)
def test_a_report_in_words(value: str) -> None:
    assert _read(value) == BUSY


@pytest.mark.parametrize(
    "words",
    [
        WORDS,
        WORDS | {"mem_utilization": 0.9, "rps": 1 << 63},
        WORDS | {"cpu_utilization": 0.9, "application_utilization": 0.5},
        WORDS | {"named_metrics": {"queue": 3.0}, "request_cost": {"": -1.0}},
    ],
    ids=str,
)
def test_a_report_as_protocol_buffers_write_it(words: dict[str, object]) -> None:
    octets = octets_of(**words)
    padded = base64.b64encode(octets)
    assert _read(padded, BINARY) == _read(padded.rstrip(b"="), BINARY) == BUSY


def test_what_protocol_buffers_do_not_know_is_passed_over() -> None:
    unknown = b"\xfd\x01\x01\x02\x03\x04\xf8\x01\x80\x01\xfa\x01\x02ab"  # 31, in 3 wire types
    octets = unknown + octets_of(**WORDS) + b"\x09" + b"\0" * 7 + b"\x40"  # and one told again
    assert _read(base64.b64encode(octets), BINARY) == LoadReport(2.0, 100.0, 2.0)


@pytest.mark.parametrize("value", ["TEXT mem_utilization=0.1", "JSON {}", "BIN ", "TEXT a=1"])
def test_what_is_not_said_is_nothing(value: str) -> None:
    assert _read(value) == LoadReport(0.0, 0.0, 0.0)


# -- what is none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "",
        "TEXT",
        "TEXT ",
        "text eps=1",
        "YAML eps: 1",
        "cpu_utilization=0.5",
        "TEXT eps",
        "TEXT eps=",
        "TEXT eps=1,",
        "TEXT eps=one",
        "TEXT eps=nan",
        "TEXT eps=inf",
        "TEXT eps=-inf",
        "TEXT eps=-1",
        "TEXT eps=1e10",
        "TEXT eps=1e999",
        "TEXT eps=" + "9" * 5000,
        b"TEXT \xff=1",
        "JSON",
        "JSON {",
        "JSON []",
        "JSON 1",
        'JSON {"eps": true}',
        'JSON {"eps": null}',
        'JSON {"eps": [1]}',
        'JSON {"eps": NaN}',
        'JSON {"eps": -Infinity}',
        'JSON {"eps": "nan"}',
        'JSON {"eps": ' + "9" * 5000 + "}",
        "JSON " + "[" * 8000,
        'JSON {"a":' * 1000,
        b"JSON \xff",
        "BIN !",
        "BIN A",
        "TEXT eps=1," + "a=1," * 2048 + "a=1",
        "BIN " + "A" * 8192,
    ],
    ids=lambda value: repr(value)[:32],
)
def test_what_is_no_report(value: str | bytes) -> None:
    assert _read(value) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"\x09",  # cut behind a tag
        b"\x09\0\0\0\0\0\0\0",  # in a double
        b"\x3d\0\0\0",  # in 32 bits
        b"\x18",  # in a number
        b"\x18\x80",
        b"\x18" + b"\xff" * 10 + b"\x01",  # a number of eleven octets
        b"\x22\x05abcd",  # in a text
        b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a text of 2**63 octets
        b"\x23\x24",  # groups
        b"\x0e",  # a wire type that does not exist
        octets_of(eps=float("nan")),
        octets_of(eps=float("inf")),
        octets_of(eps=-1e-9),
        octets_of(rps_fractional=1e300),
    ],
)
def test_octets_that_are_no_report(octets: bytes) -> None:
    assert _read(base64.b64encode(octets), BINARY) is None


@given(
    st.sampled_from([PLAIN, BINARY]),
    st.sampled_from([b"", b"BIN ", b"JSON ", b"TEXT "]),
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(base64.b64encode),
        st.text("eps=:,.0123456789-naif \u00b9", max_size=60).map(str.encode),
        st.dictionaries(
            st.sampled_from(["eps", "cpuUtilization", "x"]),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                st.lists,
                max_leaves=3,
            ),
        ).map(lambda told: json.dumps(told).encode()),
    ),
)
@example(PLAIN, b"JSON ", b'{"eps": "\xc2\xb9"}')
def test_whatever_stands_there_nothing_is_raised_and_no_number_is_odd(
    name: str, form: bytes, rest: bytes
) -> None:
    report = _read(form + rest, name)
    assert report is None or all(0.0 <= number <= 1e9 for number in report)


_NUMBERS = st.floats(0.0, 1e9)


@given(_NUMBERS, _NUMBERS, _NUMBERS)
def test_all_forms_say_the_same(utilization: float, rps: float, eps: float) -> None:
    words = {"cpu_utilization": utilization, "rps_fractional": rps, "eps": eps}
    text = ",".join(f"{name}={number!r}" for name, number in words.items())
    said = LoadReport(utilization, rps, eps)
    assert _read(f"TEXT {text}") == said
    assert _read(f"JSON {json.dumps(words)}") == said
    assert _read(value_of(**words), BINARY) == said


# -- in a section --------------------------------------------------------------------------


def test_a_section_without_a_report_is_the_same_list() -> None:
    section = Fields.of([("grpc-status", "0"), ("endpoint-load", "x")])
    kept, report = take_report(section)
    assert kept is section
    assert report is None


def test_all_reports_are_taken_and_the_first_is_given() -> None:
    section = Fields.of([("a", "1"), (PLAIN, "TEXT eps=1"), ("b", "2"), (BINARY, "")])
    kept, report = take_report(section)
    assert kept == Fields.of([("a", "1"), ("b", "2")])
    assert report == Field(PLAIN.encode(), b"TEXT eps=1")


# -- on the way ----------------------------------------------------------------------------

REPORT = (BINARY, value_of(**WORDS))


def _table(**handling: object) -> Table:
    table = Table(handling=Handling(**handling))  # type: ignore[arg-type]
    table.kitchen.reads_load = True
    return table


def _outcomes(table: Table) -> dict[Outcome, int]:
    table.is_clean()
    counted = table.notes.trailer_outcomes
    return {outcome: count for (way, outcome), count in counted.items() if way == "response"}


def test_the_upstream_hears_the_report_and_the_client_all_else() -> None:
    table = _table()
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"x"), trailers(("a", "1"), REPORT, ("grpc-status", "0")))
    table.client.hears(grpc_head(), data(b"x"), trailers(("a", "1"), ("grpc-status", "0")))
    assert table.kitchen.loads == [BUSY]
    assert _outcomes(table) == {Outcome.REWRITTEN: 1}
    assert table.record.grpc_status == "0"


def test_an_upstream_that_reads_none_lets_them_pass() -> None:
    table = Table()
    table.client.opens(grpc_request(end=True))
    section = trailers(("grpc-status", "0"), REPORT)
    table.server.says(grpc_head(), section)
    table.client.hears(grpc_head(), section)
    assert table.kitchen.loads == []
    assert _outcomes(table) == {Outcome.RELAYED: 1}


def test_a_section_without_a_report_is_relayed_as_ever() -> None:
    table = _table()
    table.client.opens(request(), trailers(REPORT))
    table.server.hears(request(), trailers(REPORT))  # the client's own affair
    table.server.says(head(200), trailers(x="1"))
    table.client.hears(head(200), trailers(x="1"))
    assert table.kitchen.loads == []
    assert _outcomes(table) == {Outcome.RELAYED: 1}


def test_a_section_that_was_nothing_else_ends_with_an_empty_frame() -> None:
    table = _table()
    table.client.opens(request(end=True))
    table.server.says(head(200, trailer=PLAIN), data(b"x"), trailers(REPORT))
    table.client.hears(head(200, trailer=PLAIN), data(b"x", end=True))
    assert table.kitchen.loads == [BUSY]
    assert _outcomes(table) == {Outcome.EMPTY: 1}


@pytest.mark.parametrize("end", [True, False])
def test_a_head_may_have_the_report(end: bool) -> None:
    table = _table()
    table.client.opens(grpc_request(end=True))
    rest = [] if end else [data(b"x", end=True)]
    table.server.says(
        grpc_head(end=end, grpc_status="14", endpoint_load_metrics="TEXT eps=1"), *rest
    )
    table.client.hears(grpc_head(end=end, grpc_status="14"), *rest)
    assert table.kitchen.loads == [LoadReport(0.0, 0.0, 1.0)]
    assert table.record.grpc_status == "14"
    table.is_clean()


def test_a_report_that_is_none_goes_no_further_either() -> None:
    table = _table()
    table.client.opens(request(end=True))
    table.server.says(head(200), trailers(("x", "1"), (PLAIN, "TEXT eps=-1")))
    table.client.hears(head(200), trailers(x="1"))
    assert table.kitchen.loads == [None]
    assert _outcomes(table) == {Outcome.REWRITTEN: 1}


def test_a_report_takes_no_room_from_other_trailers() -> None:
    table = _table(response_limits=TrailerLimits(1))
    table.client.opens(request(end=True))
    table.server.says(head(200), trailers(REPORT, ("x", "1"), REPORT))
    table.client.hears(head(200), trailers(x="1"))
    table.client.opens(request(end=True))
    table.server.says(head(200), trailers(REPORT, ("x", "1"), ("y", "1")))
    table.client.hears(head(200), reset(ErrorCode.ENHANCE_YOUR_CALM))
    assert table.kitchen.loads == [BUSY, BUSY]
    assert _outcomes(table) == {Outcome.REWRITTEN: 1, Outcome.REJECTED: 1}


def test_trailers_that_may_not_come_are_heard_and_dropped() -> None:
    table = _table()
    table.client.opens(request("HEAD", end=True))
    table.server.says(head(200), trailers(REPORT, ("x", "1")))
    table.client.hears(head(200), data(b"", end=True))
    assert table.kitchen.loads == [BUSY]
    assert _outcomes(table) == {Outcome.DROPPED: 1}
    assert table.notes.trailer_losses == [Cause.NOT_ALLOWED]


@pytest.mark.parametrize(
    "failing",
    [
        [grpc_head(), data(b"\0\0\0\0\0"), trailers(REPORT, ("grpc-status", "14"))],
        [grpc_head(end=True, grpc_status="14", endpoint_load_metrics_bin=REPORT[1])],
    ],
    ids=["trailers", "head"],
)
def test_an_attempt_that_failed_is_heard_too_and_each_once(failing: list[Said]) -> None:
    table = _table(retry=RetryPolicy(grpc_statuses=frozenset({b"14"}), attempts=2))
    table.client.opens(grpc_request(end=True))
    table.server.says(*failing)
    assert table.kitchen.loads == [BUSY]
    table.advance(1)
    table.server.says(*failing, sid=3)  # and there is no third
    assert table.kitchen.loads == [BUSY, BUSY]
    heard = table.client.heard.pop(table.client.sid)
    assert BINARY not in str(heard)
    assert table.record.attempts == 2
    table.is_clean()
