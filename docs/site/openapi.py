"""OpenAPI: the admin API as a document that programs read, from its routes and shapes."""

import json
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from docs.site import answers
from docs.site.operations import ALWAYS, GUARDED, JSON, OPERATIONS, Answer, Operation
from docs.site.signatures import words
from trailproxy import __version__
from trailproxy.core import fault, record, timeline
from trailproxy.ops.admin import Admin, Backstage

FILE: Final = Path(__file__).parents[1] / "openapi.json"

_REFERENCE: Final = "#/components/schemas/{name}"
# told by events, and by no answer of their own
_EVENTS: Final = (answers.RowsEvent, answers.NowEvent)

_ENUMS: Final = {
    kind.__name__: kind
    for module in (fault, record, timeline)
    for kind in vars(module).values()
    if isinstance(kind, EnumType)
}

Json = dict[str, Any]


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> Json:
    """Build it.

    Raises:
        LookupError: a route is not described, or what is described is no route.
    """
    served = set(routes())
    if served != set(OPERATIONS):
        raise LookupError(f"described, or served, alone: {served ^ set(OPERATIONS)}")
    shapes, schemas = _shapes()
    paths: Json = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(operation, path, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trailproxy admin API",
            "version": __version__,
            "description": "What operators ask and tell a running proxy, over HTTP/1.1.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:9901", "description": "Where admin.bind says"}],
        "security": [{}, {"token": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where admin.token or admin.token_file is set.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "Where admin.tls.client_ca is set; beside a token, both.",
                },
            },
        },
    }


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route there is; HEAD goes with GET."""
    app = Admin(cast("Backstage", None))._app()  # noqa: SLF001 - it is not served here
    for route in app.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method, route.resource.canonical


def answers_of(operation: Operation) -> dict[int, Answer]:
    """Return all that an operation may answer, by status."""
    guarded = {} if operation.open_to_all else GUARDED
    return dict(sorted({**operation.answers, **guarded, **ALWAYS}.items()))


def _shapes() -> tuple[dict[int, Json], Json]:
    """Return a schema for each shape, by its identity, and what the schemas refer to."""
    used = [
        shape
        for operation in OPERATIONS.values()
        for answer in answers_of(operation).values()
        for shape in answer.content.values()
    ]
    used += [operation.body for operation in OPERATIONS.values() if operation.body]
    used += _EVENTS
    found, schemas = msgspec.json.schema_components(used, ref_template=_REFERENCE)
    schemas |= {name: {**schemas[name], "description": words(_ENUMS[name])}
                for name in schemas if name in _ENUMS}  # fmt: skip
    for schema in schemas.values():
        schema["description"] = " ".join(schema["description"].split())
    return {id(shape): schema for shape, schema in zip(used, found, strict=True)}, schemas


def _operation(operation: Operation, path: str, shapes: dict[int, Json]) -> Json:
    told: Json = {"operationId": operation.name, "summary": operation.about}
    if operation.more:
        told["description"] = operation.more
    if operation.open_to_all:
        told["security"] = [{}]
    if operation.parameter:
        told["parameters"] = [
            {
                "name": path.partition("{")[2].rstrip("}"),
                "in": "path",
                "required": True,
                "description": operation.parameter,
                "schema": {"type": "string"},
            }
        ]
    if operation.body:
        told["requestBody"] = {"content": {JSON: {"schema": shapes[id(operation.body)]}}}
    told["responses"] = {
        str(status): {
            "description": answer.means,
            "content": {
                kind: {"schema": shapes[id(shape)]} for kind, shape in answer.content.items()
            },
        }
        for status, answer in answers_of(operation).items()
    }
    return told
