"""The admin API as docs/openapi.json describes it: what a proxy answers is held against it.

Shapes are closed here, so that a member nobody has described is noticed; to programs they
are open, as the next version may say more.
"""

import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema

from tests.support.running import PATIENCE_S, Proxy

_DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"
_OPEN: Final = ("Configuration",)  # `trailproxy schema` describes the rest of it

Json = dict[str, Any]
Seen = tuple[str, str, int]
"""Method, path as it is described, and status."""


class Described:
    """The document, and which of its answers were seen.

    Attributes:
        seen: those that came.
    """

    def __init__(self) -> None:
        self._paths: Json = json.loads(_DOCUMENT.read_text("utf-8"))["paths"]
        shapes = json.loads(_DOCUMENT.read_text("utf-8"))["components"]["schemas"]
        self._shapes = {
            name: shape if name in _OPEN else _closed(shape) for name, shape in shapes.items()
        }
        self.seen: set[Seen] = set()

    def answers(self) -> Iterator[Seen]:
        """Yield every answer that is described."""
        for path, methods in self._paths.items():
            for method, operation in methods.items():
                for status in operation["responses"]:
                    yield method.upper(), path, int(status)

    def hold(self, method: str, path: str, status: int, kind: str, body: bytes) -> Any:
        """Hold an answer against its description; return its JSON, if it is any."""
        template = self._template(path)
        responses = self._paths[template][method.lower()]["responses"]
        assert str(status) in responses, f"{method} {template} answers {status}"
        content = responses[str(status)]["content"]
        kind = kind.partition(";")[0]
        assert kind in content, f"{method} {template} answers {status} with {kind}"
        self.seen.add((method, template, status))
        if kind == "application/json":
            return self._fits(json.loads(body), content[kind]["schema"])
        if kind == "application/x-ndjson":
            return [self._fits(json.loads(x), content[kind]["schema"]) for x in body.splitlines()]
        return body.decode()

    def fits(self, told: Any, shape: str) -> None:
        """Hold a value against a shape."""
        self._fits(told, {"$ref": f"#/components/schemas/{shape}"})

    def _fits(self, told: Any, schema: Json) -> Any:
        whole = {**schema, "components": {"schemas": self._shapes}}
        jsonschema.Draft202012Validator(whole).validate(told)
        return told

    def _template(self, path: str) -> str:
        if path in self._paths:
            return path
        patterns = {each: re.sub(r"\{\w+\}", "[^/]+", each) for each in self._paths}
        (found,) = [each for each, fits in patterns.items() if re.fullmatch(fits, path)]
        return found


def _closed(shape: Json) -> Json:
    return {**shape, "additionalProperties": False} if "properties" in shape else shape


class Asker:
    """Asks one proxy, and holds what it answers against the description."""

    def __init__(self, proxy: Proxy, described: Described) -> None:
        self._proxy = proxy
        self._described = described
        self._looking: list[http.client.HTTPConnection] = []

    def __call__(
        self, method: str, path: str, body: str | None = None, **fields: str
    ) -> tuple[int, Any]:
        """Ask; return the status, and what was told. Events are not read, and go on."""
        connection = self._connect()
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        kind = response.headers["Content-Type"]
        told = b""
        if kind.startswith("text/event-stream"):
            self._looking.append(connection)
        else:
            told = response.read()
            connection.close()
        status = response.status
        return status, self._described.hold(method, path, status, kind, told)

    def leave(self) -> None:
        """Look on no more."""
        while self._looking:
            self._looking.pop().close()

    def _connect(self) -> http.client.HTTPConnection:
        settings: Mapping[str, Any] = self._proxy.settings["admin"]
        host, _, port = str(settings["bind"]).rpartition(":")
        if "tls" not in settings:
            return http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without a certificate
        stranger.check_hostname = False
        stranger.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, int(port), timeout=PATIENCE_S, context=stranger)
