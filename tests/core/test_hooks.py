"""A user's own Python on the parts of an exchange."""

import hashlib
import sys
from types import ModuleType

import pytest

from tests.support.parts import data, grpc_head, grpc_request, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.fault import Cause
from trailproxy.core.hooks import Factory, HookError, HookInspector, load
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Direction, Outcome
from trailproxy.core.routing import Handling
from trailproxy.hooks import Answer, Call, Hook, Pairs, Record, Reset
from trailproxy.wire.errors import ErrorCode


def _table(*factories: Factory) -> Table:
    hooks = [HookInspector("mine:hook", factory) for factory in factories]
    return Table(handling=Handling(policy=Policy([*hooks])))


class Diary(Hook):
    """Writes down what it sees."""

    def __init__(self, call: Call) -> None:
        self.seen: list[object] = [call.method, call.path, call.route]

    def response_head(self, head: Pairs) -> None:
        self.seen.append(head[0])

    def request_data(self, octets: bytes) -> None:
        self.seen.append(octets)

    def response_data(self, octets: bytes) -> None:
        self.seen.append(octets)

    def request_trailers(self, trailers: Pairs) -> Pairs:
        self.seen.append(list(trailers))
        return trailers

    def response_trailers(self, trailers: Pairs) -> Pairs:
        self.seen.append(list(trailers))
        return trailers

    def end(self, record: Record) -> None:
        self.seen.append(record.response_ending)


def test_a_hook_sees_every_part_once_and_in_order() -> None:
    diaries: list[Diary] = []

    def hook(call: Call) -> Hook:
        diaries.append(Diary(call))
        return diaries[-1]

    table = _table(hook)
    table.client.opens(request(path="/x"), data(b"ask"), trailers(x="1"))
    table.server.says(head(200), data(b"say"), trailers(y="2"))
    table.server.hears(request(path="/x"), data(b"ask"), trailers(x="1"))
    table.client.hears(head(200), data(b"say"), trailers(y="2"))
    table.is_clean()
    (diary,) = diaries
    assert diary.seen == [
        "POST",
        "/x",
        "all",
        b"ask",
        [("x", "1")],
        (":status", "200"),
        b"say",
        [("y", "2")],
        "trailers",
    ]
    assert table.notes.trailer_outcomes[Direction.RESPONSE, Outcome.RELAYED] == 1
    assert table.notes.hook_calls["mine:hook", False] == 7


class Sum(Hook):
    """Adds a checksum."""

    def __init__(self, _call: Call) -> None:
        self.sum = hashlib.sha256()

    def response_data(self, octets: bytes) -> None:
        self.sum.update(octets)

    def response_trailers(self, trailers: Pairs) -> Pairs:
        return [*trailers, ("X-Sum", self.sum.hexdigest()[:8])]


@pytest.mark.parametrize("with_trailers", [True, False])
def test_a_hook_may_add_a_trailer(with_trailers: bool) -> None:
    table = _table(Sum)
    table.client.opens(grpc_request(end=True))
    told = ("x-sum", hashlib.sha256(b"body").hexdigest()[:8])
    if with_trailers:
        table.server.says(grpc_head(), data(b"bo"), data(b"dy"), trailers(grpc_status="0"))
        table.client.hears(grpc_head(), data(b"body"), trailers(("grpc-status", "0"), told))
    else:
        table.server.says(grpc_head(), data(b"body", end=True))
        table.client.hears(grpc_head(), data(b"body"), trailers(told))
    table.is_clean()


def test_a_hook_that_overrides_nothing_changes_nothing() -> None:
    table = _table(lambda _call: Hook())
    table.client.opens(request(), data(b"x"), trailers(x="1"))
    table.server.says(head(200), data(b"y"), trailers(y="2"))
    table.server.hears(request(), data(b"x"), trailers(x="1"))
    table.client.hears(head(200), data(b"y"), trailers(y="2"))
    table.is_clean()
    assert table.notes.hook_calls == {("mine:hook", False): 1}
    assert Hook().request_trailers([("x", "1")]) == [("x", "1")]
    assert Hook().response_trailers([("x", "1")]) == [("x", "1")]


def test_a_hook_may_have_no_interest() -> None:
    table = _table(lambda _call: None)
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x", end=True))
    table.client.hears(head(200), data(b"x", end=True))
    table.is_clean()
    assert table.notes.hook_calls == {("mine:hook", False): 1}


def test_a_hook_may_answer_before_the_upstream_hears_anything() -> None:
    def hook(_call: Call) -> Hook:
        raise Answer(403, "not you")

    table = _table(hook)
    table.client.opens(request(end=True))
    first, body = table.client.heard.pop(table.client.sid)
    assert first.fields[0] == (":status", "403")
    assert body == data(b"not you\n", end=True)
    assert table.kitchen.leases == 0
    table.is_clean()
    assert table.record.dropped is None
    assert table.record.answered


def test_an_answer_to_grpc_is_in_its_words() -> None:
    class Strict(Hook):
        def request_trailers(self, trailers: Pairs) -> Pairs:
            raise Answer(403, "unsigned")

    table = _table(lambda _call: Strict())
    table.client.opens(grpc_request(), data(b"x"), trailers(x="1"))
    (answer,) = table.client.heard.pop(table.client.sid)
    assert dict(answer.fields)["grpc-status"] == "7"
    assert dict(answer.fields)["grpc-message"] == "unsigned"
    table.server.hears(grpc_request(), data(b"x"), reset(ErrorCode.CANCEL))
    table.is_clean()


def test_a_hook_may_reset_before_the_head() -> None:
    def hook(_call: Call) -> Hook:
        raise Reset(ErrorCode.REFUSED_STREAM, "not today")

    table = _table(hook)
    table.client.opens(request(end=True))
    table.client.hears(reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.HOOK
    assert table.record.why == "not today"


@pytest.mark.parametrize("part", ["response_head", "response_data", "response_trailers"])
def test_a_hook_may_reset_a_response(part: str) -> None:
    def stop(*_: object) -> None:
        raise Reset(ErrorCode.CANCEL)

    table = _table(lambda _call: type("Stops", (Hook,), {part: stop})())
    table.client.opens(request(end=True))
    said = {
        "response_head": [head(200)],
        "response_data": [head(200), data(b"x")],
        "response_trailers": [head(200), data(b"x"), trailers(x="1")],
    }
    table.server.says(*said[part])
    *_, last = table.client.heard.pop(table.client.sid)
    assert last == reset(ErrorCode.CANCEL)
    table.is_clean()
    assert table.record.dropped is Cause.HOOK


@pytest.mark.parametrize("part", ["request_data", "request_trailers", "response_head", "end"])
def test_a_hook_that_fails_costs_its_own_exchange_only(
    part: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("oops")

    def hook(call: Call) -> Hook | None:
        return type("Fails", (Hook,), {part: fail})() if call.path == "/bad" else None

    table = _table(hook)
    client, server = table.client, table.server
    good = client.opens(request(path="/good"))
    rest = [data(b"x")] if part == "request_data" else [data(b"x"), trailers(x="1")]
    bad = client.opens(request(path="/bad"), *rest)
    server.says(head(200, end=True)) if part in ("response_head", "end") else None
    if part == "end":
        client.hears(head(200, end=True), sid=bad)
    else:
        (answer, *_) = client.heard.pop(bad)
        assert answer.fields[0] == (":status", "500")
    client.says(data(b"y", end=True), sid=good)
    server.says(head(200, end=True), sid=1)
    client.hears(head(200, end=True), sid=good)
    table.is_clean()
    dropped = [record.dropped for record in table.notes.finished]
    assert dropped == ([None, None] if part == "end" else [Cause.HOOK_FAILED, None])
    assert table.notes.hook_calls["mine:hook", True] == 1
    assert "hook mine:hook failed" in caplog.text


@pytest.mark.parametrize(
    "made", [[("content-length", "5")], [("x", "a\r\nb: c")], [("x y", "1")], [("x", "\u20ac")]]
)
def test_a_hook_cannot_smuggle(made: Pairs) -> None:
    class Smuggler(Hook):
        def response_trailers(self, trailers: Pairs) -> Pairs:
            return made

    table = _table(lambda _call: Smuggler())
    table.client.opens(request(end=True))
    table.server.says(head(200), data(b"x"), trailers(x="1"))
    table.client.hears(head(200), data(b"x"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.record.dropped is Cause.HOOK_FAILED


def test_marks_of_fields_that_are_left_alone_survive() -> None:
    class Adds(Hook):
        def response_trailers(self, trailers: Pairs) -> Pairs:
            return [("first", "1"), *trailers]

    table = _table(lambda _call: Adds())
    table.client.opens(request(end=True))
    table.server.says(head(200), trailers(("b", "2"), ("a", "1"), ("b", "2")))
    table.client.hears(head(200), trailers(("first", "1"), ("b", "2"), ("a", "1"), ("b", "2")))
    table.is_clean()


# -- finding them ------------------------------------------------------------------------------


def test_a_hook_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_hooks")
    module.audit = Diary  # type: ignore[attr-defined]
    module.number = 5  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_hooks", module)
    assert load("my_hooks:audit") is Diary
    with pytest.raises(HookError, match="my_hooks:number: is not callable"):
        load("my_hooks:number")
    with pytest.raises(HookError, match="no attribute 'missing'"):
        load("my_hooks:missing")
    with pytest.raises(HookError, match="no_such_module:x: No module named"):
        load("no_such_module:x")
