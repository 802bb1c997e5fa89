"""The snippet in single-page applications: one pageview for each route, on the route's id."""

from collections import Counter

import pytest
from conftest import HEIGHT, TAG, Site, Visit, scroll_to, wait_in
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALL = f"<!doctype html><meta charset=utf-8>{TAG}<body style='margin:0'><main style='height:6000px'></main>"
PUSH = "history.pushState({}, '', '/b')"


async def pageviews(site: Site, page: Page) -> Counter[str]:
    """Wait until all pageviews are posted, and return their number by page id."""
    await wait_in(page, 3.2)  # a route waits for its name so long
    await page.evaluate("lpstream.flush()")
    await wait_in(page, 0.5)
    return Counter(beacon.lp_id for beacon in site.accepted if beacon.seq == 0)


async def test_a_route_begins_where_the_router_scrolls(site: Site, visit: Visit) -> None:
    page = await visit(html=TALL)
    await scroll_to(page, 3_000)
    await page.evaluate(PUSH + "; lpstream.page('b'); setTimeout(() => scrollTo(0, 0), 100)")
    assert await pageviews(site, page) == {"lp_test": 1, "b": 1}
    second = [beacon for beacon in site.accepted if beacon.lp_id == "b"]
    assert max(beacon.depth for beacon in second) <= HEIGHT
    assert all(y == 0 for beacon in second for y in beacon.y)


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


@pytest.mark.parametrize("kind", NAMINGS)
async def test_a_route_and_its_name_are_one_pageview(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(html=TALL)
    steps = [
        f"await new Promise((done) => setTimeout(done, {1_000 * step}))" if isinstance(step, float) else step
        for step in NAMINGS[kind]
    ]
    await page.evaluate(f"(async () => {{ {'; '.join(steps)} }})()")  # in the page, as a busy machine makes steps late
    alone = kind in ("same id on mount", "twice on mount", "the same tag again")
    assert await pageviews(site, page) == ({"lp_test": 1} if alone else {"lp_test": 1, "b": 1})


ROUTERS = {
    "push": PUSH,
    "hash": "location.hash = '#/b'",
    "reference": "window.push({}, '', '/b')",
    "navigation": "navigation.navigate('/b')",
    "replaced": PUSH + "; history.replaceState({}, '', '/b/1')",
}


@pytest.mark.parametrize("kind", ROUTERS)
async def test_each_way_to_change_the_route_is_one_pageview(site: Site, visit: Visit, kind: str) -> None:
    before = "const original = history.pushState; window.push = (...all) => original.apply(history, all);"
    intercept = "if (window.navigation) navigation.addEventListener('navigate', (event) => event.intercept());"
    page = await visit(html=TALL, init=before + (intercept if kind == "navigation" else ""))
    if kind == "navigation" and not await page.evaluate("Boolean(window.navigation)"):
        pytest.skip("this browser has no Navigation API")
    await page.evaluate(f"void ({ROUTERS[kind]})" if ";" not in ROUTERS[kind] else ROUTERS[kind])
    assert await pageviews(site, page) == {"lp_test": 2}


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
