"""Traces: what a traceparent says, and what is none."""

import pytest

from tests.support.parts import head, request
from tests.support.table import Table
from trailproxy.ops.trace import parent_of, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_parent_is_understood(traceparent: str, sampled: bool) -> None:
    assert parent_of(traceparent.encode()) == (TRACE, SPAN, sampled)
    assert trace_id(traceparent.encode()) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01x",
        f"01-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{PARENT}\n",
    ],
)
def test_what_is_no_parent_is_passed_over(traceparent: str) -> None:
    assert parent_of(traceparent.encode()) is None
    assert trace_id(traceparent.encode()) == ""


@pytest.mark.parametrize("traceparent", [PARENT, "nonsense", f"cc-{TRACE}-{SPAN}-01-later"])
def test_the_context_of_a_trace_is_passed_on_unchanged(traceparent: str) -> None:
    table = Table()
    asked = request(end=True, traceparent=traceparent, tracestate="rojo=00f067aa0ba902b7,congo=t6")
    table.client.opens(asked)
    table.server.hears(asked)
    table.server.says(head(204, end=True))
    table.is_clean()
    assert table.record.asked.traceparent == traceparent.encode()
