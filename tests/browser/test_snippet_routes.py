"""The snippet in single-page applications: one pageview for each route, on the route's id."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import pytest
from conftest import HEIGHT, TAG, Site, Visit, wait_in
from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALL = f"<!doctype html><meta charset=utf-8>{TAG}<body style='margin:0'><main style='height:6000px'></main>"
PUSH = "history.pushState({}, '', '/b')"


STORED = "Object.keys(localStorage).some((key) => key.includes('heatmap.events'))"


async def pageviews(site: Site, page: Page) -> Counter[str]:
    """Wait until all pageviews are acknowledged, and return their number by page id."""
    await wait_in(page, 3.2)  # a route waits for its name so long
    await page.evaluate("lpstream.flush()")
    await page.wait_for_function(f"!{STORED}")
    return Counter(beacon.lp_id for beacon in site.accepted if beacon.seq == 0)


def at_start(*steps: str | float) -> str:
    """Return a script that takes the steps once the snippet runs, and waits for seconds between them.

    A test that takes steps itself is late on a busy machine: the snippet may flush before, or its time for names ends.
    """
    waits = "await new Promise((done) => setTimeout(done, {}))"
    work = "; ".join(waits.format(1_000 * step) if isinstance(step, float) else step for step in steps)
    return (
        "const waiting = setInterval(() => { if (window.lpstream && lpstream.running) {"
        f"clearInterval(waiting); window.steps = (async () => {{ {work} }})() }} }}, 10)"
    )


async def test_a_route_begins_where_the_router_scrolls(site: Site, visit: Visit) -> None:
    begin = ("scrollTo(0, 3000)", 0.3, PUSH + "; lpstream.page('b'); setTimeout(() => scrollTo(0, 0), 100)")
    page = await visit(html=TALL, init=at_start(*begin))
    assert await pageviews(site, page) == {"lp_test": 1, "b": 1}
    second = [beacon for beacon in site.accepted if beacon.lp_id == "b"]
    assert max(beacon.depth for beacon in second) <= HEIGHT
    assert all(y == 0 for beacon in second for y in beacon.y)
    assert 3_000 in [y for beacon in site.accepted if beacon.lp_id == "lp_test" for y in beacon.y]


async def side_by_side(
    browser: Browser,
    kinds: Iterable[str],
    opened: Callable[[str, int], Awaitable[Page]],
    check: Callable[[str, int, Page], Awaitable[None]],
) -> None:
    """Open and check a page for each kind: side by side in Chromium; Firefox hides all tabs but one."""
    if browser.browser_type.name == "chromium":
        pages = [(kind, at, await opened(kind, at)) for at, kind in enumerate(kinds)]
        await asyncio.gather(*(check(*page) for page in pages))
        return
    for at, kind in enumerate(kinds):
        await check(kind, at, await opened(kind, at))


def insert(lp_id: str) -> str:
    """Return the script of a framework that inserts a tag."""
    return (
        f"void Object.assign(document.head.appendChild(document.createElement('script')), {{ src: '/t.js' }})"
        f".setAttribute('data-lp-id', '{lp_id}')"
    )


NAMINGS = {
    "same id on mount": ["lpstream.page('lp_test')"],
    "twice on mount": ["lpstream.page('lp_test')", "lpstream.page('lp_test')"],
    "late": [PUSH, 1.3, "lpstream.page('b')"],
    "flushed between": [PUSH, "lpstream.flush()", "lpstream.page('b')"],
    "named twice": [PUSH, "lpstream.page('b')", 1.4, "lpstream.page('b')"],
    "named first": ["lpstream.page('b')", PUSH],
    "on mount and by route": ["lpstream.page('lp_test')", PUSH, "lpstream.page('b')"],
    "another tag": [
        PUSH,
        insert("b"),
        0.5,
    ],
    "another tag without a route": [
        insert("b"),
        0.5,
    ],
    "the same tag again": [
        insert("lp_test"),
        1.5,
    ],
}  # fmt: skip


async def test_a_route_and_its_name_are_one_pageview(site: Site, visit: Visit, browser: Browser) -> None:
    async def opened(kind: str, at: int) -> Page:
        steps = [step if isinstance(step, float) else renamed(step, at) for step in NAMINGS[kind]]
        return await visit(html=renamed(TALL, at), init=at_start(*steps))

    async def check(kind: str, at: int, page: Page) -> None:
        await page.evaluate("steps")
        views = await pageviews(site, page)
        alone = kind in ("same id on mount", "twice on mount", "the same tag again")
        assert (views[f"lp_{at}"], views[f"b{at}"]) == (1, 0 if alone else 1), kind

    await side_by_side(browser, NAMINGS, opened, check)


def renamed(text: str, at: int) -> str:
    """Return the page or script with page ids of its own, so that cases may run side by side."""
    return (
        text.replace("lp_test", f"lp_{at}")
        .replace("page('b')", f"page('b{at}')")
        .replace("'data-lp-id', 'b'", f"'data-lp-id', 'b{at}'")
    )


ROUTERS = {
    "push": PUSH,
    "hash": "location.hash = '#/b'",
    "reference": "window.push({}, '', '/b')",
    "navigation": "navigation.navigate('/b')",
    "replaced": PUSH + "; history.replaceState({}, '', '/b/1')",
}


async def test_each_way_to_change_the_route_is_one_pageview(site: Site, visit: Visit, browser: Browser) -> None:
    before = "const original = history.pushState; window.push = (...all) => original.apply(history, all);"
    intercept = "if (window.navigation) navigation.addEventListener('navigate', (event) => event.intercept());"

    async def opened(kind: str, at: int) -> Page:
        return await visit(html=renamed(TALL, at), init=before + (intercept if kind == "navigation" else ""))

    async def check(kind: str, at: int, page: Page) -> None:
        if kind == "navigation" and not await page.evaluate("Boolean(window.navigation)"):
            return  # this browser has no Navigation API
        await page.evaluate(f"void ({ROUTERS[kind]})" if ";" not in ROUTERS[kind] else ROUTERS[kind])
        assert (await pageviews(site, page))[f"lp_{at}"] == 2, kind

    await side_by_side(browser, ROUTERS, opened, check)


REPLACED = ["?tab=1", "#/", "?tab=2#/", "#!/", "#/?tab=3", "/"]


async def test_a_router_that_replaces_the_url_at_load_makes_no_pageview(site: Site, visit: Visit) -> None:
    page = await visit(html=TALL)
    await page.evaluate("ends => ends.forEach((end) => history.replaceState({}, '', '/page' + end))", REPLACED)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    assert len({beacon.pageview_id for beacon in site.accepted}) == 1
    await page.evaluate(PUSH)
    assert await pageviews(site, page) == {"lp_test": 2}


async def test_an_anchor_is_no_route(site: Site, visit: Visit) -> None:
    page = await visit(html=TALL)
    await page.evaluate("location.hash = '#price'")
    assert await pageviews(site, page) == {"lp_test": 1}


async def test_a_last_beacon_has_the_sizes_of_its_own_page(site: Site, visit: Visit) -> None:
    page = await visit(html=TALL + "<section id=old>前</section>")
    await page.mouse.click(300, 300)
    await page.evaluate(
        "document.body.innerHTML = '<section id=new style=height:900px></section>';" + PUSH + "; lpstream.flush()"
    )
    assert await pageviews(site, page) == {"lp_test": 2}
    first = site.accepted[0]
    assert first.page_h > 6_000
    assert [name for name, _, _ in first.sections] == ["old"]
    assert site.accepted[-1].page_h == max(900, HEIGHT)
    assert site.accepted[-1].sections[0][0] == "new"


async def test_sections_that_come_after_the_snippet_belong_to_the_first_page(site: Site, visit: Visit) -> None:
    """A cached snippet in the head runs before the browser has read the body."""
    head = "<!doctype html><meta charset=utf-8>" + TAG.replace("async ", "")
    leaves = f"<script>addEventListener('load', () => setTimeout(() => {{ {PUSH} }}, 50))</script>"
    page = await visit(html=f"{head}<body><section data-section=hero style='height:900px'></section>{leaves}")
    await pageviews(site, page)
    first = next(beacon for beacon in site.accepted if beacon.seq == 0)
    assert [name for name, _, _ in first.sections] == list(first.new_sections or ()) == ["hero"]
