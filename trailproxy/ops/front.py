"""Front: the one page of the admin listener, as a browser gets it.

Its parts are files of their own in `live_page`, put together once. The policy
that goes with it lets nothing run but what is in the page, and nothing be asked but us.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

#: One module, in this order.
_SCRIPTS: Final = (
    "base.js", "feed.js", "now.js", "streams.js", "timeline.js", "tap.js", "main.js",
)  # fmt: skip
_PARTS: Final = files("trailproxy.ops") / "live_page"


class Front(NamedTuple):
    """The page, and the headers it is sent with."""

    html: bytes
    headers: dict[str, str]


@cache
def front() -> Front:
    """Put the page together."""
    style, script = _part("style.css"), "\n".join(map(_part, _SCRIPTS))
    html = _part("page.html").replace("/* style */", style).replace("/* script */", script)
    policy = (
        "default-src 'none'",
        f"style-src {_source(style)}",
        f"script-src {_source(script)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Front(html.encode(), headers)


def _part(name: str) -> str:
    return (_PARTS / name).read_text("utf-8")


def _source(text: str) -> str:
    """Return how a policy names what stands between two tags (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
