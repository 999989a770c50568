"""What may stand in trailers, and how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.parts import data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.routing import Handling
from trailproxy.core.trailers import (
    NEVER_TRAILERS,
    TrailerLimits,
    may_trail,
    trailers_to_relay,
    vet_trailers,
)
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.field import Field, Recurring
from trailproxy.wire.fields import Fields, Kind


def test_trailers_that_may_all_travel_are_the_same_list() -> None:
    section = Fields.of([("grpc-status", "0"), ("x", "1")])
    kept, removed = trailers_to_relay(section)
    assert kept is section
    assert removed == 0


def test_trailers_lose_what_may_not_travel() -> None:
    section = Fields([Field(name, b"1") for name in sorted(NEVER_TRAILERS)] + [Field(b"x", b"1")])
    kept, removed = trailers_to_relay(section)
    assert kept == Fields.of([("x", "1")])
    assert removed == len(NEVER_TRAILERS)


def test_what_may_not_travel_is_refused_when_it_is_ours() -> None:
    with pytest.raises(HTTP2Error, match="'te' is not allowed in trailers"):
        vet_trailers([("x", "1"), ("te", "trailers")])
    assert vet_trailers([("X", "1")]) == Fields.of([("x", "1")])


def test_trailers_that_lost_a_field_are_vouched_for_likewise() -> None:
    kept, _ = trailers_to_relay(Fields.of([("te", "trailers"), ("x", "1")]))
    assert Fields(kept.items).fault(Kind.TRAILERS) == ""


@pytest.mark.parametrize(
    "name",
    [
        b"x-forwarded-for",
        b"x-forwarded-client-cert",
        b"forwarded",
        b"x_forwarded_for",
        b"x-auth-user",
        b"x_auth_user",
        b"x_auth-user",
        b"x_forwarded-client_cert",
        b"authorization",
        b"set_cookie",
        b"transfer_encoding",
        b"content_length",
    ],
)
def test_no_spelling_of_a_dangerous_name_travels(name: bytes) -> None:
    assert not may_trail(name)


@pytest.mark.parametrize(
    "name",
    [b"grpc-status", b"x-forwarded", b"x-sum", b"x_sum", b"x-author", b"authentication-info"],
)
def test_harmless_names_travel(name: bytes) -> None:
    assert may_trail(name)


def test_a_recurring_list_is_looked_through_once() -> None:
    section = Fields.of([("grpc-status", "0")])
    section.recurring = Recurring()
    assert trailers_to_relay(section) == (section, 0)
    assert section.heir is not None
    assert trailers_to_relay(section) == (section, 0)


@pytest.mark.parametrize("direction", Direction.__members__.values(), ids=str)
def test_what_a_peer_smuggles_stays_behind(direction: Direction) -> None:
    if direction not in (Direction.REQUEST, Direction.RESPONSE):
        return
    table = Table()
    smuggled = trailers(("x-sum", "1"), ("X_Auth_User".lower(), "root"), ("x-forwarded-for", "::1"))
    if direction is Direction.REQUEST:
        table.client.opens(request(), data(b"x"), smuggled)
        table.server.hears(request(), data(b"x"), trailers(x_sum="1"))
        table.server.says(head(200, end=True))
    else:
        table.client.opens(request(end=True))
        table.server.says(head(200), data(b"x"), smuggled)
        table.client.hears(head(200), data(b"x"), trailers(x_sum="1"))
    table.is_clean()
    assert table.notes.fields_removed == 2
    assert table.record.dropped is None


# -- how much ----------------------------------------------------------------------------------

MANY = trailers(*((f"x-{number}", "1") for number in range(257)))


def test_more_fields_than_anybody_needs_cost_the_stream() -> None:
    table = Table()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x"), MANY)
    table.client.hears(head(200), data(b"x"), reset(ErrorCode.ENHANCE_YOUR_CALM))
    table.is_clean()
    assert table.record.dropped is Cause.TRAILERS_TOO_LARGE
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REJECTED] == 1
    table.client.opens(request(end=True))
    table.server.says(head(200, end=True))
    table.client.hears(head(200, end=True))


def test_a_request_with_too_many_is_refused() -> None:
    table = Table()
    table.client.opens(grpc_request(), data(b"x"), MANY)
    (answer,) = table.client.heard.pop(table.client.sid)
    assert dict(answer.fields)["grpc-status"] == "8"
    table.server.hears(grpc_request(), data(b"x"), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped is Cause.TRAILERS_TOO_LARGE


def test_what_does_not_fit_is_left_out_where_the_route_says_so() -> None:
    table = Table(handling=Handling(response_limits=TrailerLimits(2, 200, cuts=True)))
    table.client.opens(grpc_request(end=True))
    large = ("x-large", "v" * 150)
    table.server.says(
        grpc_head(), trailers(("x-a", "1"), large, ("x-b", "2"), ("grpc-status", "0"))
    )
    table.client.hears(grpc_head(), trailers(("x-a", "1"), ("grpc-status", "0")))
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REWRITTEN] == 1
    assert table.record.dropped is None


_SECTIONS = st.lists(
    st.tuples(st.sampled_from(["x", "grpc-status", "x-b"]), st.text("ab", max_size=40)), max_size=12
)


@given(_SECTIONS, st.integers(1, 8), st.integers(1, 300))
def test_a_cut_keeps_the_order_and_fits(
    section: list[tuple[str, str]], most: int, size: int
) -> None:
    limits = TrailerLimits(most, size, cuts=True)
    given_ = Fields.of(section)
    kept = limits.cut(given_)
    assert kept is not None
    assert limits.excess(kept) == ""
    numbers = {id(field): place for place, field in enumerate(given_)}
    places = [numbers[id(field)] for field in kept]
    assert places == sorted(places)
    assert limits.excess(given_) or kept == given_
