"""What a route's settings become: policies, in their order, and none where none is asked for."""

import pytest

from trailproxy.build import BuildError, make_plan
from trailproxy.core.routing import Handling, OnFailure
from trailproxy.core.trailers import TrailerLimits
from trailproxy.ops.handling import handling
from trailproxy.ops.settings import Settings, SettingsError, parse
from trailproxy.wire.fields import Fields

AROUND = """
listeners: [{name: main, bind: "127.0.0.1:8080"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:50051"]}]
routes:
  - name: all
    match: {}
    upstream: app
"""


def _settings(more: str = "") -> Settings:
    return parse(AROUND + more, "t.yaml", {})


def _handling(more: str = "") -> Handling:
    return handling(_settings(more).routes[0])


def _refusal(more: str) -> str:
    with pytest.raises(SettingsError) as refused:
        _settings(more)
    return str(refused.value)


def _excess(limits: TrailerLimits, fields: int) -> str:
    return limits.excess(Fields.of([("x", "1")] * fields))


def test_a_route_that_asks_for_nothing_has_no_policy() -> None:
    plain = _handling()
    assert plain.policy is None
    assert plain.on_failure == OnFailure.GRPC
    assert not _excess(plain.request_limits, 256)
    assert _excess(plain.response_limits, 257) == "257 trailer fields, of at most 256"


@pytest.mark.parametrize(
    "more",
    [
        "    trailers: {response: {deny: [server]}}\n",
        '    trailers: {request: {allow: ["grpc-*"]}}\n',
        "    trailers: {response: {set: [{name: x, value: '1'}]}}\n",
        "    digest: verify\n",
        "    digest: add\n",
        "    server_timing: true\n",
        "    hooks: trailproxy.hooks:Hook\n",
    ],
)
def test_one_that_asks_has_one(more: str) -> None:
    assert _handling(more).policy is not None


@pytest.mark.parametrize(
    "more",
    [
        "    trailers: {response: {max_fields: 7, max_size: 8KiB, on_excess: cut}}\n",
        '    trailers: {response: {allow: ["*"]}}\n',
        "    digest: off\n",
        "    on_upstream_failure: reset\n",
    ],
)
def test_limits_and_endings_need_no_policy(more: str) -> None:
    assert _handling(more).policy is None


def test_limits_hold_for_their_direction() -> None:
    made = _handling("    trailers: {response: {max_fields: 7}}\n")
    assert not _excess(made.request_limits, 8)
    assert _excess(made.response_limits, 8)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "    trailers: {response: {set: [{name: content-length, value: '5'}]}}\n",
            't.yaml:8: routes[0].trailers.response.set[0].name: "content-length" may never stand '
            "in trailers",
        ),
        (
            "    trailers: {response: {rename: [{name: x, to: X_Auth_User}]}}\n",
            't.yaml:8: routes[0].trailers.response.rename[0].to: "X_Auth_User" may never stand '
            "in trailers",
        ),
        (
            "    trailers: {request: {remove: [{name: x, when: failure}]}}\n",
            "t.yaml:8: routes[0].trailers.request.remove[0].when: must be always: a request has "
            "not succeeded or failed yet",
        ),
        (
            "    trailers: {response: {max_size: 10B}}\n",
            "t.yaml:8: routes[0].trailers.response.max_size: must be 1KiB or more, not 10B",
        ),
        (
            "    digest: check\n",
            't.yaml:8: routes[0].digest: must be off, verify or add, not "check"',
        ),
        (
            "    hooks: nothing\n",
            "t.yaml:8: routes[0].hooks: must be module:callable, with a module that Python can "
            'import, not "nothing"',
        ),
        (
            "    trailers: {response: {append: [{name: x, value: ' a'}]}}\n",
            "t.yaml:8: routes[0].trailers.response.append[0].value: must be visible ASCII, "
            'without spaces around it, not " a"',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(more: str, told: str) -> None:
    assert _refusal(more) == told


def test_a_field_that_is_removed_may_have_any_name() -> None:
    assert _handling("    trailers: {response: {remove: [{name: x-forwarded-for}]}}\n").policy


def test_a_hook_that_cannot_be_had_is_told_before_anything_runs() -> None:
    with pytest.raises(BuildError) as refused:
        make_plan(_settings("    hooks: no_such_module:hook\n"))
    (told,) = refused.value.problems
    assert told.startswith("routes[0].hooks: no_such_module:hook: No module named")
