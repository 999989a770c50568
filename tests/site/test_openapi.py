"""The OpenAPI document: good in itself, and of the routes there are."""

import json

import jsonschema
import pytest

from docs.site import operations
from docs.site.openapi import FILE, document, routes, text
from trailproxy.core.record import Ending

COMMITTED = json.loads(FILE.read_text("utf-8"))


def test_it_is_good_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="make docs installs it")
    validator.validate(COMMITTED)


@pytest.mark.parametrize("name", COMMITTED["components"]["schemas"])
def test_every_shape_is_a_good_schema_and_says_what_it_is(name: str) -> None:
    shape = COMMITTED["components"]["schemas"][name]
    jsonschema.Draft202012Validator.check_schema(shape)
    assert shape["description"].endswith(".")


def test_every_route_is_described() -> None:
    described = {(method.upper(), path) for path, told in COMMITTED["paths"].items()
                 for method in told}  # fmt: skip
    assert described == set(routes())


def test_a_route_that_is_not_described_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(operations.OPERATIONS, ("POST", "/drain"))
    with pytest.raises(LookupError, match="/drain"):
        document()


def test_what_compiled_code_forgets_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ending, "__doc__", "mypyc filler docstring")
    assert json.loads(text()) == COMMITTED
