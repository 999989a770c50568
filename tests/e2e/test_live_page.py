"""The live page, in a real browser: what an operator sees of a proxy at work.

Screenshots of it are left in build/screenshots, whether a test passes or not.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import running_browser
from tests.support.running import ROOT, Proxy, eventually
from tests.support.stage import DONE, Stage, Talk
from trailproxy.wire.errors import ErrorCode

if TYPE_CHECKING:
    from tests.support.scripted_peer import Peer

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.operators]

TIME_LIMIT_S = 90
PATIENCE_MS: Final = 15_000
SHOTS: Final = ROOT / "build" / "screenshots"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


def address(proxy: Proxy) -> str:
    return f"http://{proxy.settings['admin']['bind']}/"


@pytest.fixture
def open_page(stage: Stage, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open the page of the staged proxy; nothing in it may fail, and it asks nobody else."""
    contexts, troubles = [], []

    def open_one(*, width: int = 1280, height: int = 900, live: bool = True, **more: Any) -> Page:
        size: Any = {"width": width, "height": height}
        context = browser.new_context(viewport=size, reduced_motion="reduce", **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text))
        home = address(stage.proxy)
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith((home, "data:", "blob:")) or troubles.append(asked.url)
            ),
        )
        page.goto(home)
        if live:
            expect(page.locator("#link")).to_have_text("live")
        return page

    yield open_one
    name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
    for number, context in enumerate(contexts):
        for page in context.pages:
            SHOTS.mkdir(parents=True, exist_ok=True)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=SHOTS / f"{name}-{number}.png", full_page=True)
        context.close()
    # a stream that was cut, and a token that was asked for, are told on the console
    expected = ("net::ERR_", "401 (Unauthorized)")
    assert [each for each in troubles if not any(some in each for some in expected)] == []
    eventually(lambda: stage.proxy.admin("/healthz")[0] == 200, "the proxy to be well")


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


class Play:
    """What clients and the backend do, over one connection to the backend."""

    def __init__(self, stage: Stage) -> None:
        self.proxy = stage.proxy
        self._stage = stage
        self._backend: Peer | None = None

    def talk(self, path: str, *extra: tuple[str, str]) -> Talk:
        """Send a request that the backend has still to answer."""
        talk = self._stage.talk(*extra, path=path, backend=self._backend)
        self._backend = talk.backend
        return talk

    def dropped(self, path: str) -> None:
        """Have the backend break off in the middle of its answer."""
        talk = self.talk(path, ("authorization", "Bearer s3cret"))
        talk.backend.answer(talk.up, ("content-type", "text/plain"))
        talk.backend.data(talk.up, b"half of it")
        talk.client.wait_body(talk.sid, 10)
        talk.backend.reset(talk.up, ErrorCode.INTERNAL_ERROR)
        talk.client.wait_reset(talk.sid)

    def whole(self, path: str, *, grpc_status: str = "0") -> None:
        """Have the backend answer in full."""
        talk = self.talk(path)
        talk.backend.answer(talk.up)
        talk.backend.trailers(talk.up, [("grpc-status", grpc_status), *DONE[1:]])
        talk.client.response(talk.sid)


@pytest.fixture
def play(stage: Stage) -> Play:
    return Play(stage)


def row(page: Page, path: str) -> Any:
    return page.locator("#rows tbody tr").filter(has_text=path)


# -- now -----------------------------------------------------------------------------------


def test_the_page_shows_how_the_proxy_is(play: Play, page: Page):
    expect(page.locator("#ready")).to_have_text("takes requests")
    for title in ("Requests", "Latency", "Streams active", "Drops"):
        expect(page.get_by_role("region", name=title, exact=True)).to_be_visible()
    play.whole("/one")
    expect(page.locator("#tiles")).to_contain_text("since the start")
    expect(page.locator("#trailers")).to_contain_text("relayed")
    expect(page.locator("#upstreams")).to_contain_text("connected")
    expect(page.locator("#settings")).to_contain_text("runs what was loaded at")
    expect(page.get_by_role("img", name="Requests a second, the last")).to_be_visible()


# -- streams -------------------------------------------------------------------------------


def test_a_reset_stream_appears_with_its_cause_and_explains_itself(play: Play, page: Page):
    play.dropped("/dropped")
    line = row(page, "/dropped")
    expect(line).to_contain_text("upstream reset")
    expect(page.locator("#drops")).to_contain_text("upstream reset")
    line.get_by_role("button").click()
    timeline = page.locator("#timeline")
    expect(timeline.locator(".verdict")).to_have_text(
        "Dropped. The upstream reset the stream. The upstream said INTERNAL_ERROR, in the middle "
        "of the response. The client was told INTERNAL_ERROR."
    )
    client, upstream = timeline.locator(".sides section").all()
    expect(client).to_contain_text("head 200, 10 B in 1 chunk, RST_STREAM INTERNAL_ERROR")
    expect(upstream).to_contain_text("head POST, end")
    last = timeline.locator(".parts tbody tr").last
    expect(last.get_by_role("cell")).to_contain_text(
        ["ms", "← to the client: RST_STREAM INTERNAL_ERROR", "← from the upstream: RST_STREAM"]
    )
    timeline.locator("summary").first.click()
    expect(timeline).to_contain_text("authorization: ***")
    assert "s3cret" not in page.content()
    assert timeline.get_by_role("img").get_attribute("aria-label") is not None


def test_a_stream_in_flight_is_followed_to_its_end(play: Play, page: Page):
    talk = play.talk("/slow")
    row(page, "/slow").get_by_role("button").click()
    verdict = page.locator("#timeline .verdict")
    expect(verdict).to_contain_text("In flight")
    talk.backend.answer(talk.up)
    talk.backend.data(talk.up, b"some")
    expect(page.locator("#timeline .parts")).to_contain_text("4 B")
    talk.backend.trailers(talk.up, DONE)
    expect(verdict).to_have_text("Completed: the response ended with 2 trailers.")
    expect(row(page, "/slow")).to_contain_text("trailers")
    talk.client.response(talk.sid)


def test_the_filters_work(play: Play, page: Page):
    play.dropped("/filtered-badly")
    play.whole("/filtered-well")
    play.whole("/filtered-grpc", grpc_status="14")
    open_talk = play.talk("/filtered-open")
    shown = page.locator("#rows tbody tr .pick")
    page.get_by_label("Path contains").fill("/filtered")
    expect(shown).to_have_count(4)
    for label, choice, paths in (
        ("State", "dropped", ["badly"]),
        ("State", "in flight", ["open"]),
        ("Cause", "upstream_reset", ["badly"]),
        ("gRPC status", "UNAVAILABLE", ["grpc"]),
        ("Ending", "trailers", ["grpc", "well"]),
        ("Status", "none", ["open"]),
        ("Route", "all", ["open", "grpc", "well", "badly"]),
    ):
        choose = page.locator("#filters").get_by_label(label, exact=True)
        choose.select_option(choice)
        expect(shown).to_have_text([f"POST /filtered-{path}" for path in paths])
        choose.select_option("")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_label("Path contains")).to_have_value("")
    open_talk.backend.reset(open_talk.up)
    open_talk.client.response(open_talk.sid)


def test_all_of_it_can_be_done_with_keys(play: Play, page: Page):
    play.dropped("/by-keys")
    page.get_by_label("Path contains").fill("/by-keys")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "pick":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#timeline-title")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#timeline")).to_be_hidden()
    expect(row(page, "/by-keys").get_by_role("button")).to_be_focused()


def test_what_is_held_stands_still(play: Play, page: Page):
    play.whole("/before")
    expect(row(page, "/before")).to_have_count(1)
    hold = page.get_by_role("button", name="Hold")
    hold.click()
    play.whole("/while")
    page.wait_for_timeout(1500)
    expect(row(page, "/while")).to_have_count(0)
    page.get_by_role("button", name="Held: go on").click()
    expect(row(page, "/while")).to_have_count(1)


# -- tap -----------------------------------------------------------------------------------


def test_a_capture_is_made_watched_and_downloaded(play: Play, page: Page, tmp_path: Path):
    form, state = page.locator("#tap"), page.locator("#tap-state")
    expect(state).to_contain_text("Off.")
    form.get_by_label("Path begins with").fill("/tapped")
    form.get_by_label("Bodies").select_option("65536")
    form.get_by_role("button", name="Start").click()
    expect(state).to_contain_text("Runs: 0 exchanges")
    page.wait_for_timeout(700)  # until the proxy has heard of it
    play.dropped("/tapped")
    play.whole("/other")
    expect(state).to_contain_text("Runs: 1 exchange,")
    page.get_by_role("button", name="Show what is tapped").click()
    expect(page.locator("#rows tbody tr .pick")).to_have_text(["POST /tapped"])
    page.get_by_role("button", name="Stop").click()
    expect(state).to_contain_text("Off: it was stopped. Caught 1 exchange")
    with page.expect_download() as loading:
        page.get_by_role("button", name="Download").click()
    assert loading.value.suggested_filename == "trailproxy.har"
    file = tmp_path / "trailproxy.har"
    loading.value.save_as(file)
    (entry,) = json.loads(file.read_text())["log"]["entries"]
    assert entry["_ending"]["dropped"]["cause"] == "upstream_reset"
    assert entry["response"]["content"]["text"] == "half of it"
    assert {"name": "authorization", "value": "***"} in entry["request"]["headers"]


# -- what else may be ----------------------------------------------------------------------


def test_a_token_is_asked_for_and_kept_in_the_tab(play: Play, open_page: Open):
    page = open_page(live=False)
    asked: list[str | None] = []

    def guard(route: Any) -> None:
        asked.append(route.request.headers.get("authorization"))
        if asked[-1] == "Bearer open sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "Unauthorized"})

    for path in ("**/live", "**/live/*", "**/tap"):
        page.route(path, guard)
    page.reload()
    expect(page.locator("#link")).to_have_text("a token is needed")
    page.get_by_label("This listener asks for a token").fill("open sesame")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#token-form")).to_be_hidden()
    page.reload()
    expect(page.locator("#link")).to_have_text("live")
    assert page.evaluate("localStorage.length") == 0
    assert "sesame" not in page.url


def test_a_listener_that_goes_is_found_again(play: Play, open_page: Open):
    page = open_page(live=False)
    page.route("**/live", lambda route: route.abort())
    page.reload()
    expect(page.locator("#link")).to_contain_text("not connected")
    page.unroute("**/live")
    expect(page.locator("#link")).to_have_text("live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_it_fits_any_width_in_light_and_dark(play: Play, open_page: Open, scheme: str, width: int):
    play.dropped("/a/rather/long/path/that/has/to/go/somewhere?page=1&q=" + "x" * 60)
    page = open_page(width=width, color_scheme=scheme)
    overflow = "document.documentElement.scrollWidth - innerWidth"
    expect(page.locator("#rows tbody tr").first).to_be_visible()
    assert page.evaluate(overflow) <= 0
    page.locator("#rows tbody .pick").first.click()
    expect(page.locator("#timeline .verdict")).to_be_visible()
    assert page.evaluate(overflow) <= 0
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in ground.strip("rgb()").split(", ")) < 3 * 128
    assert dark is (scheme == "dark")
