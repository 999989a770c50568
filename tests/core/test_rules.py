"""What a route's configuration makes of trailers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.parts import Said, data, grpc_head, grpc_request, head, request, trailers
from tests.support.table import Table
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.routing import Handling
from trailproxy.core.rules import Names, Put, Remove, Rename, Rules, TrailerRules
from trailproxy.wire.field import Field, Recurring
from trailproxy.wire.fields import Fields


def _table(*, request: Rules | None = None, response: Rules | None = None) -> Table:
    policy = Policy([TrailerRules(request, response)])
    return Table(handling=Handling(policy=policy))


def _put(name: str, value: str, when: str = "always") -> Put:
    return Put(Field(name.encode(), value.encode()), when)


def _applied(rules: Rules, *pairs: tuple[str, str], failed: bool = False) -> list[tuple[str, str]]:
    made = rules.apply(Fields.of(pairs), failed=failed)
    return [(f.name.decode(), f.value.decode()) for f in made]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(), ["x-a", "x-b", "x-a", "grpc-status"]),
        (Rules(allow=Names(["X-A"])), ["x-a", "x-a"]),
        (Rules(allow=Names(["grpc-*", "x-b"])), ["x-b", "grpc-status"]),
        (Rules(allow=Names([])), []),
        (Rules(deny=Names(["x-*"])), ["grpc-status"]),
        (Rules(allow=Names(["x-*"]), deny=Names(["x-a"])), ["x-b"]),
        (Rules(remove=(Remove(b"x-a"),)), ["x-b", "grpc-status"]),
        (Rules(rename=(Rename(b"x-a", b"x-c"),)), ["x-c", "x-b", "x-c", "grpc-status"]),
        (Rules(rename=(Rename(b"x-a", b"x-b"), Rename(b"x-b", b"x-a"))),
         ["x-b", "x-a", "x-b", "grpc-status"]),
    ],
)  # fmt: skip
def test_what_passes_keeps_its_order(rules: Rules, left: list[str]) -> None:
    pairs = [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("grpc-status", "0")]
    assert [name for name, _ in _applied(rules, *pairs)] == left


def test_a_field_that_is_set_stands_in_the_place_of_the_first() -> None:
    rules = Rules(assign=(_put("x-a", "new"),))
    assert _applied(rules, ("x-a", "1"), ("x-b", "2"), ("x-a", "3")) == [
        ("x-a", "new"),
        ("x-b", "2"),
    ]
    assert _applied(rules, ("x-b", "2")) == [("x-b", "2"), ("x-a", "new")]


def test_a_field_that_is_appended_leaves_others_of_its_name() -> None:
    rules = Rules(append=(_put("x-a", "new"),))
    assert _applied(rules, ("x-a", "1")) == [("x-a", "1"), ("x-a", "new")]


@pytest.mark.parametrize("failed", [True, False])
def test_rules_may_hold_for_one_ending_only(failed: bool) -> None:
    rules = Rules(
        rename=(Rename(b"x-a", b"x-failed", "failure"),),
        remove=(Remove(b"x-b", "success"),),
        assign=(_put("x-c", "bad", "failure"),),
        append=(_put("x-d", "good", "success"),),
    )
    made = _applied(rules, ("x-a", "1"), ("x-b", "2"), failed=failed)
    if failed:
        assert made == [("x-failed", "1"), ("x-b", "2"), ("x-c", "bad")]
    else:
        assert made == [("x-a", "1"), ("x-d", "good")]


def test_marks_survive_a_new_name() -> None:
    secret = Fields([Field(b"x-a", b"1", never_indexed=True)])
    (renamed,) = Rules(rename=(Rename(b"x-a", b"x-b"),)).apply(secret, failed=False)
    assert renamed.never_indexed


_NAMES = st.sampled_from(["x-a", "x-b", "grpc-status", "y"])
_PAIRS = st.lists(st.tuples(_NAMES, st.text("01", max_size=3)), max_size=8)
_RULES = st.builds(
    Rules,
    allow=st.none() | st.lists(_NAMES, max_size=3).map(Names),
    deny=st.none() | st.lists(_NAMES, max_size=2).map(Names),
    remove=st.lists(_NAMES, max_size=2).map(lambda n: tuple(Remove(x.encode()) for x in n)),
    assign=st.lists(st.tuples(_NAMES, st.just("v")), max_size=2).map(
        lambda puts: tuple(_put(*put) for put in puts)
    ),
)


@given(_RULES, _PAIRS, st.booleans())
def test_rules_that_neither_append_nor_rename_are_idempotent(
    rules: Rules, pairs: list[tuple[str, str]], failed: bool
) -> None:
    once = rules.apply(Fields.of(pairs), failed=failed)
    if rules.adds:
        once = rules.apply(once, failed=failed)  # what was set may be what does not pass
    assert rules.apply(once, failed=failed) == once


@given(_RULES, _PAIRS)
def test_what_no_rule_touches_is_the_same_list(rules: Rules, pairs: list[tuple[str, str]]) -> None:
    section = Fields.of(pairs)
    made = rules.apply(section, failed=False)
    assert (made is section) == (made == section)


# -- on their way ------------------------------------------------------------------------------


def test_response_trailers_are_rewritten_on_their_way() -> None:
    table = _table(response=Rules(deny=Names(["endpoint-load-*"]), append=(_put("x-by", "us"),)))
    table.client.opens(grpc_request(end=True))
    load = ("endpoint-load-metrics-bin", "AA==")
    table.server.says(grpc_head(), data(b"x"), trailers(load, ("grpc-status", "0")))
    table.client.hears(grpc_head(), data(b"x"), trailers(("grpc-status", "0"), ("x-by", "us")))
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.REWRITTEN] == 1


def test_request_trailers_are_rewritten_on_their_way() -> None:
    table = _table(request=Rules(rename=(Rename(b"x-sum", b"x-checksum"),)))
    table.client.opens(request(), data(b"x"), trailers(x_sum="1"))
    table.server.hears(request(), data(b"x"), trailers(x_checksum="1"))
    table.server.says(head(200, end=True))
    table.client.hears(head(200, end=True))
    table.is_clean()


def test_what_recurs_is_worked_out_once_for_each_ending() -> None:
    rules = Rules(append=(_put("x-by", "us"), _put("x-failed", "yes", "failure")))
    section = Fields.of([("grpc-status", "0")])
    section.recurring = Recurring()
    made = rules.apply(section, failed=False)
    assert rules.apply(section, failed=False) is made
    assert made.recurring is not None
    assert len(rules.apply(section, failed=True)) == 3
    other = Fields.of([("grpc-status", "0")])
    assert rules.apply(other, failed=True) is not rules.apply(other, failed=True)


def test_what_recurs_untouched_stays_what_it_is() -> None:
    section = Fields.of([("grpc-status", "0")])
    section.recurring = recurring = Recurring()
    rules = Rules(deny=Names(["x-*"]))
    for _ in range(2):
        assert rules.apply(section, failed=False) is section
        assert section.recurring is recurring


def test_what_no_rule_touches_was_relayed() -> None:
    table = _table(response=Rules(deny=Names(["y"])))
    table.client.opens(request(end=True))
    table.server.says(head(200), trailers(x="1"))
    table.client.hears(head(200), trailers(x="1"))
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.RELAYED] == 1


def test_a_section_of_which_nothing_is_left_ends_the_message_all_the_same() -> None:
    table = _table(response=Rules(allow=Names([])))
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x"), trailers(x="1"))
    table.client.hears(head(200), data(b"x"), data(b"", end=True))
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.EMPTY] == 1


@pytest.mark.parametrize(
    "body",
    [
        [data(b"whole", end=True)],
        [data(b"who"), data(b"le"), data(b"", end=True)],
        [data(b"", end=True)],
    ],
)
def test_a_body_without_trailers_gets_those_that_are_set(body: list[Said]) -> None:
    table = _table(response=Rules(assign=(_put("x-by", "us"),)))
    table.client.opens(request(end=True))
    table.server.says(head(200), *body)
    whole = [data(b"whole")] if len(body) > 1 or body[0] == data(b"whole", end=True) else []
    table.client.hears(head(200), *whole, trailers(x_by="us"))
    table.is_clean()
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.SYNTHESIZED] == 1


def test_a_head_that_ends_its_message_gets_no_trailers() -> None:
    table = _table(response=Rules(assign=(_put("x-by", "us"),)))
    table.client.opens(request(end=True))
    table.server.says(head(204, end=True))
    table.client.hears(head(204, end=True))
    table.is_clean()


def test_trailers_that_are_set_wait_behind_octets_that_wait() -> None:
    table = Table(
        client_window=3,
        handling=Handling(policy=Policy([TrailerRules(None, Rules(assign=(_put("x-by", "us"),)))])),
    )
    client = table.client
    client.holds = True
    client.opens(request(end=True))
    table.server.says(head(200), data(b"whole", end=True))
    client.hears(head(200), data(b"who"))
    client.grants(10)
    client.grants(10)
    client.hears(data(b"le"), trailers(x_by="us"))
    table.is_clean()


@pytest.mark.parametrize(
    ("first", "status", "failed"),
    [
        (grpc_head(), "0", False),
        (grpc_head(), "14", True),
        (head(500), None, True),
        (head(200), None, False),
    ],
)
def test_failure_is_what_the_response_says(first: Said, status: str | None, failed: bool) -> None:
    rules = Rules(append=(_put("x-failed", "yes", "failure"),))
    table = _table(response=rules)
    table.client.opens(request(end=True) if status is None else grpc_request(end=True))
    said = [("grpc-status", status)] if status is not None else [("x", "1")]
    table.server.says(first, trailers(*said))
    *_, last = table.client.heard.pop(table.client.sid)
    assert (("x-failed", "yes") in last.fields) is failed
