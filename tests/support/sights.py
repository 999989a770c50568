"""Rows as tests write them: any word of one, and the rest as it may be."""

from typing import Any

from trailproxy.ops.sight import Message, Row


def row(key: str, **words: Any) -> Row:
    """Build a row that says all of `words`."""
    usual: dict[str, Any] = {
        "began": 1.0,
        "listener": "main",
        "route": "all",
        "peer": "192.0.2.7",
        "method": "GET",
        "authority": "api.example.com",
        "path": "/",
        "request": Message(),
        "response": Message(),
    }
    return Row(key=key, **{**usual, **words})
