"""A test site that serves pages with the snippet, receives beacons, and fails on request."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from engines import LAUNCHED, context_of
from harness import FULL, full_only
from patience import PATIENCE_S
from playwright.async_api import Browser, BrowserContext, Page

from schemas.heatmap import Beacon, decode_beacon
from streams.edge.site.snippet import Snippet

WIDTH, HEIGHT = 1_280, 800
HANG = "hang"
CUT = "cut"

TAG = '<script async src="SCRIPT" data-lp-id="lp_test" OPTIONS></script>'
PAGE = """<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><title>試験のページ</title>
<style>
  * { box-sizing: border-box } body { margin: 0 }
  section { height: 1000px }
  #bar { position: fixed; top: 0; left: 0; width: 100%; height: 50px; background: #eee }
  .at { position: absolute; width: 200px; height: 40px }
  #inner { width: 200px; height: 100px; overflow: auto } #inner div { height: 900px }
</style><script>HEAD</script>TAG</head><body>
<div id="bar">いつも見える帯</div>
<main>
  <section data-section="hero"></section>
  <section id="price"></section>
  <section data-section="EMOJI"></section>
  <section></section>
  <section data-section="hidden" style="display:none"></section>
</main>
<button class="at" style="top:100px;left:100px" id="works" onclick="this.textContent += '!'">動く</button>
<button class="at" style="top:160px;left:100px" id="types" onclick="this.firstChild.nodeValue += '!'">文字だけ</button>
<button class="at" style="top:220px;left:100px" id="dead">動かない</button>
<label class="at" style="top:280px;left:100px" id="label"><input type="checkbox" id="box">同意する</label>
<form class="at" style="top:340px;left:100px" id="form" action="/thanks">
<input id="name" name="name"><button>送る</button></form>
<button class="at" style="top:160px;left:400px" id="moves" onclick="works.focus()">移す</button>
<div class="at" style="top:400px;left:100px" id="inner"><div></div></div>
</body></html>""".replace("EMOJI", "名" * 63 + "🍜" + "あふれ").replace("TAG", TAG)


@dataclass
class Post:
    """A received beacon and the status of its answer (0: no answer)."""

    path: str
    body: bytes
    status: int
    preflight: bool
    at: float
    referer: str | None = None

    @property
    def beacon(self) -> Beacon:
        """Return the beacon, decoded strictly."""
        if self.path.startswith("/e/"):
            return decode_beacon(self.body)
        records = json.loads(self.body)["records"]
        assert len(records) == 1
        return decode_beacon(json.dumps(records[0]["value"]).encode())


@dataclass
class Site:
    """The test site. It gives `answers` in turn, then `always`.

    An answer is a status, (status, headers), (status, headers, body), HANG or CUT.
    """

    port: int = 0
    posts: list[Post] = field(default_factory=list)
    answers: deque[object] = field(default_factory=deque)
    always: object = 204
    html: str = ""
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _preflights: int = 0

    def url(self, host: str = "127.0.0.1") -> str:
        """Return the site's URL with the given host name."""
        return f"http://{host}:{self.port}"

    @property
    def identities(self) -> list[tuple[str, int]]:
        """Return (pageview_id, seq) of all posts in the order of arrival."""
        return [(one.beacon.pageview_id, one.beacon.seq) for one in self.posts]

    @property
    def accepted(self) -> list[Beacon]:
        """Return the accepted beacons without duplicates, by pageview and seq."""
        once = {(one.beacon.pageview_id, one.beacon.seq): one.beacon for one in self.posts if 200 <= one.status < 300}
        first = {identity[0]: at for at, identity in reversed(list(enumerate(once)))}
        return [once[key] for key in sorted(once, key=lambda key: (first[key[0]], key[1]))]

    def events(self, letters: str = "crdmsgfeotv") -> list[tuple[str, int, int, int, bool]]:
        """Return (type, x, y, dwell, fixed) of the accepted events of these types."""
        return [
            (kind, beacon.x[at], beacon.y[at], beacon.dwell[at], at in beacon.fixed)
            for beacon in self.accepted
            for at, kind in enumerate(beacon.type)
            if kind in letters
        ]

    @property
    def letters(self) -> str:
        """Return the types of all accepted events."""
        return "".join(event[0] for event in self.events())

    async def until(self, condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        """Wait until the condition is true; on a timeout, the AssertionError shows all posts."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, [(one.status, one.body.decode()) for one in self.posts]
            await asyncio.sleep(0.02)

    async def posted(self, count: int, within_s: float = PATIENCE_S) -> None:
        """Wait until `count` posts have arrived."""
        await self.until(lambda: len(self.posts) >= count, within_s)

    def release(self) -> None:
        """End the requests that hang."""
        self._released.set()

    async def serve_page(self, request: web.Request) -> web.Response:
        """Serve the page; the query may set `head`, `options` and the snippet's address `script`."""
        query = request.query
        body = self.html or PAGE.replace("HEAD", query.get("head", "")).replace("OPTIONS", query.get("options", ""))
        return web.Response(text=body.replace("SCRIPT", query.get("script", "/t.js")), content_type="text/html")

    async def serve_slowly(self, request: web.Request) -> web.Response:
        """Answer 204 once the test allows it. The browser then stays on its page."""
        await self._released.wait()
        return web.Response(status=204)

    async def serve_other(self, request: web.Request) -> web.Response:
        """Serve a page without the snippet."""
        return web.Response(text="<title>other</title>", content_type="text/html")

    async def serve_script(self, request: web.Request) -> web.Response:
        """Serve the snippet as the edge does."""
        return web.Response(body=Snippet.load().body, content_type="text/javascript")

    async def allow(self, request: web.Request) -> web.Response:
        """Answer a preflight."""
        self._preflights += 1
        headers = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "content-type",
        }
        return web.Response(status=204, headers=headers)

    async def take(self, request: web.Request) -> web.Response:
        """Receive a beacon and give the next answer."""
        body = await request.read()
        answer = self.answers.popleft() if self.answers else self.always
        status, headers, text = _answer(answer)
        referer = request.headers.get("Referer")
        self.posts.append(Post(request.path, body, status, self._preflights > 0, time.monotonic(), referer))
        if answer == HANG:
            await self._released.wait()
        if answer in (HANG, CUT):
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 500, headers={"Access-Control-Allow-Origin": "*", **headers}, text=text)


def _answer(answer: object) -> tuple[int, dict[str, str], str | None]:
    if isinstance(answer, tuple):
        status, headers, *text = answer
        return status, headers, text[0] if text else None
    return (answer, {}, None) if isinstance(answer, int) else (0, {}, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses `browser` in all engines, or in Chromium if it is marked so.

    The short run has Firefox only for tests of which Firefox needs special care.
    """
    if "browser" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        care = FULL or marked("firefox_too")
        chromium = pytest.param("whole", id="chromium") if marked("whole_chromium") else "chromium"
        engines = [chromium, "firefox" if care else pytest.param("firefox", marks=full_only)]
        metafunc.parametrize(
            "browser", engines[:1] if marked("chromium_only") else engines, indirect=True, scope="module"
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    async with LAUNCHED[request.param]() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/t.js", site.serve_script)
    app.router.add_get("/other", site.serve_other)
    app.router.add_get("/slow", site.serve_slowly)
    app.router.add_get("/{page:.*}", site.serve_page)
    for door in ("/e/heatmap.events", "/topics/heatmap.events"):
        app.router.add_post(door, site.take)
        app.router.add_options(door, site.allow)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    site.release()
    await runner.cleanup()
    for one in site.posts:
        assert one.beacon, "every posted body must pass the strict decoder"


Visit = Callable[..., Awaitable[Page]]
NO_ROBOT = "Object.defineProperty(Navigator.prototype, 'webdriver', { get: () => false })"
DEAD_S, SETTLED_S = 2.6, 0.2
SCROLL = """([y, ms]) => scrollY === y || new Promise((done) => {
  addEventListener("scroll", () => setTimeout(() => done(true), ms), { capture: true, once: true });
  scrollTo(0, y);
})"""


async def wait_in(page: Page, seconds: float) -> None:
    """Wait with the page's own timers, so that earlier timers have run even on a busy machine."""
    await page.evaluate("ms => new Promise((done) => setTimeout(done, ms))", 1_000 * seconds)


async def frames(page: Page, milliseconds: int = 60) -> None:
    """Wait for some frames of the page. Its own timers may be those of Playwright's clock."""
    await page.evaluate("ms => document.body.animate([], ms).finished.then(() => true)", milliseconds)


async def scroll_to(page: Page, y: int) -> None:
    """Scroll, and wait until the snippet has noticed the end of scrolling."""
    await page.evaluate(SCROLL, [y, 1_000 * SETTLED_S])


async def leave_and_return(page: Page, url: str) -> None:
    """Open another page and go back; fail unless the back/forward cache restores the first page.

    Playwright's `go_back` waits for an event that Firefox does not send for a restored page.
    """
    await page.evaluate("window.kept = true")
    await page.goto(url)
    await page.evaluate("history.back()")
    await page.wait_for_function("window.kept")


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, site: Site) -> AsyncIterator[Visit]:
    """Return a function that opens the page as a new visitor and waits for the snippet.

    `html` replaces the whole page, `options` are those of the browser's context. Errors in the page fail.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    async def opened(
        host: str = "127.0.0.1", init: str = "", clock: bool = False, html: str = "", device: Any = None, **query: str
    ) -> Page:
        if device is not None or not contexts:
            contexts.append(await person(browser, **(device or {})))
            contexts[-1].on("weberror", lambda error: errors.append(str(error.error)))
        page = await contexts[-1].new_page()
        site.html = html
        if clock:
            await page.clock.install()
        if init:
            await page.add_init_script(init)
        await page.goto(site.url(host) + "/page?" + "&".join(f"{name}={value}" for name, value in query.items()))
        await page.wait_for_function("window.lpstream && lpstream.running")
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert errors == []


async def person(browser: Browser, **options: Any) -> BrowserContext:
    """Return a context whose pages do not look like a robot's."""
    context = await context_of(browser, **({"viewport": {"width": WIDTH, "height": HEIGHT}} | options))
    await context.add_init_script(NO_ROBOT)
    if browser.browser_type.name == "chromium":
        await context.grant_permissions(["clipboard-read", "clipboard-write"])  # as a press does in the whole browser
    return context
