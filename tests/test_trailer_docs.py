"""Every example of docs/trailers.md is played: what is sent, and what the client then gets."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.parts import Reset, Trailers, data, grpc_head, grpc_request, reset, trailers
from tests.support.table import Table
from trailproxy.ops.handling import handling
from trailproxy.ops.settings import Settings, parse
from trailproxy.wire.errors import ErrorCode

PAGE = Path(__file__).parents[1] / "docs" / "trailers.md"
FENCE = re.compile(r"^```(python|yaml|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LISTENERS = 'listeners: [{name: main, bind: "127.0.0.1:8080"}]\n'
UPSTREAMS = 'upstreams: [{name: app, endpoints: ["127.0.0.1:9000"]}]\n'
BODY = b"hello"


def examples() -> list[tuple[str, str, str]]:
    """Return the code, the routes and the conversation of each example."""
    found = []
    code = routes = ""
    for kind, text in FENCE.findall(PAGE.read_text("utf-8")):
        if kind == "python":
            code = text
        elif kind == "yaml":
            routes = text
        else:
            found.append((code, routes, text))
            code = routes = ""
    return found


EXAMPLES = examples()


def test_the_page_has_an_example_for_every_option_of_a_route() -> None:
    told = "".join(routes for _, routes, _ in EXAMPLES)
    for option in ("max_fields", "on_excess", "allow", "deny", "rename", "remove", "set", "append",
                   "when", "on_upstream_failure", "digest: verify", "digest: add",
                   "server_timing", "hooks", "load_reports"):  # fmt: skip
        assert option in told, option


@pytest.mark.parametrize(("code", "routes", "talk"), EXAMPLES)
def test_an_example_goes_as_the_page_says(
    code: str,
    routes: str,
    talk: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    around = LISTENERS if "upstreams:" in routes else LISTENERS + UPSTREAMS
    settings = parse(around + routes, "trailers.md", {})
    if code:
        module = (settings.routes[0].hooks or "").partition(":")[0]
        (tmp_path / f"{module}.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, module, raising=False)
    lines = [tuple(line.split(": ", 1)) for line in talk.splitlines()]
    got = _play(settings, [said for who, said in lines if who == "sent"])
    assert got == [said for who, said in lines if who == "got"]
    for said in [said for who, said in lines if who == "log"]:
        assert said in caplog.messages


def _play(settings: Settings, sent: list[str]) -> list[str]:
    """Relay a gRPC call, and return the trailers that the client got, or that it was reset."""
    table = Table(handling=handling(settings.routes[0]))
    table.kitchen.reads_load = settings.upstreams[0].load_reports is not None
    table.client.opens(grpc_request(end=True))
    section = [tuple(line.split(": ", 1)) for line in sent]
    end = trailers(*section) if sent else reset(ErrorCode.INTERNAL_ERROR)  # type: ignore[arg-type]
    table.server.says(grpc_head(), data(BODY), end)
    *_, last = table.client.heard.pop(table.client.sid)
    table.is_clean()
    if isinstance(last, Reset):
        return ["a reset"]
    assert isinstance(last, Trailers)
    return [f"{name}: {value}" for name, value in last.fields]
