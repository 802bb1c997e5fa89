"""End-to-end tests from a browser's clicks to ClickHouse's cells.

A test site serves the pages from another origin, which the edge lists. The visitors' actions are known, so the
expected cells are known too; losses and duplicates are counted.
"""

import asyncio
import dataclasses
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from beacons import analyst
from conftest import DEAD_S, person, scroll_to, wait_in
from expectations import Expectations, Expected
from harness import full_only
from patience import PATIENCE_S
from playwright.async_api import Browser, BrowserContext, Page
from random_visits import RandomVisit

from infra.embedded.stack import Stack
from streams.edge.site.snippet import Snippet
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.stack,
    pytest.mark.chromium_only("tests the way from the edge to ClickHouse; test_snippet.py compares the engines"),
]

FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
DOWN_S = 30 if FULL else 4
RANDOM_VISITS = 200 if FULL else 2

WIDTH, HEIGHT = 1_440, 800
# Headless Chromium never hides a tab, so the page gets the events of a hidden tab.
HIDE = """state => {
  Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PAGE = """<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><title>試験のページ</title>
<style>
  * { box-sizing: border-box } body { margin: 0 } section { height: 1000px }
  #bar { position: fixed; top: 0; left: 0; width: 100%; height: 50px; background: #eee; z-index: 1 }
  button { position: absolute; left: 100px; width: 200px; height: 40px }
</style>TAG</head><body>
<div id="bar" onclick="this.textContent += '!'">いつも見える帯</div>
<section data-section="hero"></section><section data-section="price"></section><section data-section="faq"></section>
<button style="top:100px" onclick="this.textContent += '!'">申し込む</button>
<button style="top:1800px" onclick="this.textContent += '!'">料金を見る</button>
</body></html>"""


@dataclasses.dataclass
class World:
    """The site, the edge, the expectations, and the test's page."""

    url: str
    edge: EdgeProcess
    expectations: Expectations
    lp_id: str

    def expect(self, lp_id: str | None = None, **totals: int) -> Expected:
        """Add the expected totals of this page or another."""
        expected = Expected(lp_id or self.lp_id, totals)
        self.expectations.expected.append(expected)
        return expected


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Run a site on a free port; the tag in its pages is set later."""
    pages = {"tag": ""}

    async def serve(request: web.Request) -> web.Response:
        if request.path.startswith("/other"):
            return web.Response(text="<title>other</title>", content_type="text/html")
        return web.Response(
            text=PAGE.replace("TAG", pages["tag"].replace("LP", request.query.get("lp", ""))), content_type="text/html"
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", pages
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(
    stack: Stack, installation: Installation, browser: Browser, site: tuple[str, dict[str, str]]
) -> AsyncIterator[EdgeProcess]:
    """Start an edge that lists the site's origin and limits each client to 20 requests/s."""
    settings = {"LPSTREAM_ALLOWED_ORIGINS": json.dumps([site[0]]), "LPSTREAM_EDGE_CLIENT_RATE": "20"}
    with edge_process(stack, "end-to-end", settings) as one:
        # The tag as `lpstream snippet` prints it: address with hash, and integrity.
        site[1]["tag"] = Snippet.load().tag(one.url, "LP")
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def expectations(stack: Stack, installation: Installation) -> AsyncIterator[Expectations]:
    clickhouse = analyst(stack)
    yield Expectations(clickhouse, stack.addresses.kafka)
    await clickhouse.close()


@pytest.fixture
def world(expectations: Expectations, edge: EdgeProcess, site: tuple[str, dict[str, str]]) -> World:
    return World(site[0], edge, expectations, f"e2e_{uuid4().hex[:8]}")


Open = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def contexts(browser: Browser) -> AsyncIterator[list[BrowserContext]]:
    """Close all contexts at the end.

    A context that closes early drops the last beacon of a page that was just left.
    """
    opened: list[BrowserContext] = []
    yield opened
    for one in opened:
        await one.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser, contexts: list[BrowserContext]) -> BrowserContext:
    contexts.append(await person(browser))
    return contexts[-1]


@pytest_asyncio.fixture(loop_scope="module")
async def visit(context: BrowserContext, world: World) -> Open:
    """Return a function that opens the test's page, or another, and waits for the snippet."""

    async def opened(lp_id: str = world.lp_id, width: int = WIDTH) -> Page:
        page = await context.new_page()
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        await page.goto(f"{world.url}/page?lp={lp_id}")
        await page.wait_for_function("window.lpstream")
        return page

    return opened


async def until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until the condition is true."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


async def flush(page: Page) -> None:
    await page.evaluate("lpstream.flush()")


def cell(kind: str, x: int, y: int, width: int, fixed: bool = False) -> tuple[str, bool, int, int]:
    return kind, fixed, min(127, 128 * x // width), y // 16


async def test_known_visits_become_the_expected_cells(world: World, visit: Open) -> None:
    widths = (390, 820, 1_440)
    await asyncio.gather(*(_known_visit(visit, f"{world.lp_id}_{width}", width) for width in widths))
    for width in widths:
        expected = world.expect(f"{world.lp_id}_{width}", pageviews=1, clicks=8, rage_clicks=2, dead_clicks=3, goals=1)
        expected.cells = Counter({
            cell("click", 200, 120, width): 1, cell("click", 200, 1820, width): 1,
            cell("click", 60, 20, width, fixed=True): 1,
            cell("dead_click", 50, 700, width): 1, cell("dead_click", 300, 2100, width): 2,
            cell("rage_click", 300, 2100, width): 2,
        })  # fmt: skip
        expected.reached = Counter(dict.fromkeys(range((1_500 + HEIGHT) // 100), 1))


async def _known_visit(visit: Open, lp_id: str, width: int) -> None:
    """Make a visit with known actions."""
    page = await visit(lp_id, width)
    await page.mouse.click(200, 120)  # a button that reacts
    await wait_in(page, 0.02)  # the change ends before the next press
    await page.mouse.click(50, 700)  # nothing there
    await wait_in(page, DEAD_S)
    await scroll_to(page, 1_500)
    await page.mouse.click(200, 320)  # the button at 1800
    await page.mouse.click(60, 20)  # the bar, which is fixed
    await wait_in(page, 0.02)
    for _ in range(4):
        await page.mouse.click(300, 600)  # nothing there
    await wait_in(page, DEAD_S)
    await page.evaluate("lpstream.goal()")  # an effect too, so it comes after the dead clicks
    await page.close(run_before_unload=True)


async def test_routes_of_an_application_are_separate_pages(world: World, visit: Open) -> None:
    first, second = world.lp_id, f"{world.lp_id}_plans"
    page = await visit()
    await page.mouse.click(200, 120)
    await page.evaluate("lp => { history.pushState({}, '', '/plans'); lpstream.page(lp) }", second)
    for _ in range(2):
        await page.mouse.click(200, 120)
        await asyncio.sleep(1.1)
    await page.evaluate("lp => { history.back(); lpstream.page(lp) }", first)
    await wait_in(page, 0.1)
    await page.mouse.click(200, 120)
    await page.close(run_before_unload=True)
    world.expect(pageviews=2, clicks=2)
    world.expect(second, pageviews=1, clicks=2).cells = Counter({cell("click", 200, 120, WIDTH): 2})


@full_only
async def test_events_while_offline_are_sent_later(world: World, visit: Open, context: BrowserContext) -> None:
    page = await visit()
    await context.set_offline(True)
    for _ in range(3):
        await page.mouse.click(200, 120)
        await page.evaluate("lpstream.goal()")
        await asyncio.sleep(1.1)
        await flush(page)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if answer.request.method == "POST" else None)
    await context.set_offline(False)
    await until(lambda: statuses.count(204) >= 3)
    await page.close(run_before_unload=True)
    world.expect(pageviews=1, clicks=3, goals=1)


@full_only
async def test_events_while_the_edge_is_down_are_sent_later(world: World, visit: Open, stack: Stack) -> None:
    page = await visit()
    await page.mouse.click(200, 120)
    await asyncio.to_thread(world.edge.child.kill)
    down = time.monotonic()
    clicks = 1
    while time.monotonic() < down + DOWN_S:
        await asyncio.sleep(1.1)
        await page.mouse.click(200, 120)
        clicks += 1
    await page.close(run_before_unload=True)  # unsent beacons wait in the browser
    world.edge.child.start()
    await _until_ready(world.edge)
    other = await visit()
    await flush(other)
    await other.wait_for_function("!Object.keys(localStorage).some((key) => key.includes('heatmap.events'))")
    await other.close(run_before_unload=True)
    world.expect(pageviews=2, clicks=clicks)


async def _until_ready(edge: EdgeProcess) -> None:
    host, port = edge.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@full_only
async def test_events_over_the_rate_limit_are_sent_later(world: World, visit: Open) -> None:
    page = await visit()
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if answer.request.method == "POST" else None)
    clicks = 0
    neighbours = asyncio.create_task(_neighbours(world.edge.url))
    while 429 not in statuses and clicks < 20:
        await page.mouse.click(200, 120)
        clicks += 1
        await flush(page)
        await asyncio.sleep(1.1)
    neighbours.cancel()
    assert 429 in statuses
    before = statuses.count(204)
    await until(lambda: statuses.count(204) > before)
    await page.close(run_before_unload=True)
    world.expect(pageviews=1, clicks=clicks)


async def _neighbours(url: str) -> None:
    """Act as other visitors at the same address, who use up its rate."""
    async with aiohttp.ClientSession() as http:
        while True:
            for _ in range(20):
                async with http.post(f"{url}/e/heatmap.events", data=b"{}"):
                    pass
            await asyncio.sleep(0.02)


@pytest.mark.whole_chromium
async def test_hiding_reloading_and_back_forward_cache_lose_no_events(world: World, visit: Open) -> None:
    page = await visit()
    await page.mouse.click(200, 120)
    await page.evaluate(HIDE, "hidden")
    await asyncio.sleep(0.3)
    await page.evaluate(HIDE, "visible")
    await page.mouse.click(200, 130)
    await page.reload()
    await page.wait_for_function("window.lpstream")
    await page.mouse.click(200, 120)
    await page.evaluate("window.kept = true")
    await page.goto(world.url + "/other")
    await page.go_back(wait_until="commit")
    kept = await page.evaluate("window.kept === true")
    assert kept, "the browser must restore the page from its cache"
    await page.mouse.click(200, 130)
    await page.close(run_before_unload=True)
    world.expect(pageviews=3, clicks=4)


async def test_a_click_right_before_closing_is_counted(world: World, visit: Open) -> None:
    for number in range(1, 6):
        page = await visit()
        await page.mouse.click(200, 120)
        await page.close(run_before_unload=True)
        await asyncio.sleep(0.05 * number)
    world.expect(pageviews=5, clicks=5)


@pytest.mark.timeout(2_400)
async def test_random_visits_are_counted_as_they_acted(world: World, visit: Open) -> None:
    """Each visit scrolls, presses, routes, looks away and resizes at random, from a seed."""
    seed = random.randrange(2**32)
    print(f"  {RANDOM_VISITS} random visits, seed {seed}")
    at_once = asyncio.Semaphore(3)

    async def one(number: int) -> RandomVisit:
        async with at_once:
            lp_id = f"{world.lp_id}_{number}"
            acting = RandomVisit(await visit(lp_id), lp_id, random.Random(seed + number), HIDE)
            await acting.run(actions=8)
            return acting

    for acted in await asyncio.gather(*(one(number) for number in range(RANDOM_VISITS))):
        print(f"  {', '.join(acted.counts)}: {' '.join(acted.log)}")
        world.expectations.expected += acted.expected()


async def test_an_unlisted_origin_is_not_counted(world: World, browser: Browser, site: Any) -> None:
    context = await person(browser)
    try:
        page = await context.new_page()
        # The same site under another name is another origin; the script's integrity check needs a listed origin.
        await page.goto(f"{world.url.replace('127.0.0.1', 'shop.test')}/page?lp={world.lp_id}")
        await asyncio.sleep(0.5)
        assert not await page.evaluate("Boolean(window.lpstream)")
        status = await page.evaluate(
            "url => fetch(url, { method: 'POST', body: '{}', mode: 'no-cors' }).then((one) => one.type)",
            f"{world.edge.url}/e/heatmap.events",
        )
        assert status == "opaque"
    finally:
        await context.close()
    world.expect(pageviews=0, clicks=0)


async def test_all_events_are_counted_exactly_once(expectations: Expectations) -> None:
    assert expectations.expected, "run this test together with the tests before it"
    await expectations.check()
