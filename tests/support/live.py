"""Somebody who looks on at a proxy under test, over HTTP, as a page or curl would."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Final, Self

from tests.support.running import PATIENCE_S, Proxy

Told = dict[str, Any]

_HOST: Final = "127.0.0.1"


class Onlooker:
    """One stream of events, read when a test wants to know.

    Attributes:
        rows: what was told of exchanges, by key.
        now: the numbers that were told last.
        tap: how the capture was last.
        lost: samples that were not told.
    """

    def __init__(self, proxy: Proxy) -> None:
        port = int(str(proxy.settings["admin"]["bind"]).rpartition(":")[2])
        self._connection = http.client.HTTPConnection(_HOST, port, timeout=PATIENCE_S)
        self._connection.request("POST", "/live")
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        self.rows: dict[str, Told] = {}
        self.now: Told = {}
        self.tap: Told | None = None
        self.lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def see(self, true: Callable[[], object], what: str) -> None:
        """Read events until a condition holds; fail at the deadline."""
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"not seen: {what}; rows: {self.rows}"
            self._read()

    def row(self, **wanted: object) -> Told:
        """Wait for a row with these values."""
        found: list[Told] = []

        def there() -> bool:
            fits = [r for r in self.rows.values() if all(r.get(k) == wanted[k] for k in wanted)]
            found[:] = fits[-1:]
            return bool(fits)

        self.see(there, f"a row with {wanted}")
        return found[0]

    def _read(self) -> None:
        name = self._response.readline().decode().strip().removeprefix("event: ")
        told = json.loads(self._response.readline().removeprefix(b"data: "))
        self._response.readline()
        if name == "now":
            self.now = told
        elif name == "tap":
            self.tap = told
        else:
            self.rows |= {row["key"]: row for row in told["rows"]}
            for key in told["gone"]:
                self.rows.pop(key, None)
            self.lost = told["lost"]


def order(proxy: Proxy, method: str, path: str, body: object = None) -> tuple[int, Told]:
    """Give the admin listener an order, with a JSON body; return the status and the answer."""
    port = int(str(proxy.settings["admin"]["bind"]).rpartition(":")[2])
    connection = http.client.HTTPConnection(_HOST, port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def timeline(proxy: Proxy, key: str) -> list[tuple[str, str, str]]:
    """Return side, way and kind of each part that is remembered of an exchange."""
    status, text = proxy.admin(f"/live/{key}")
    assert status == 200, text
    return [(part["side"], part["way"], part["what"]) for part in json.loads(text)["parts"]]
