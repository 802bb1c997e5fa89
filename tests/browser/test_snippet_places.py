"""The snippet's sizes and places: inner scrolling, phones, new sizes, right-to-left pages, sections."""

import pytest
from conftest import HEIGHT, TAG, Site, Visit, frames, scroll_to, wait_in
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>{TAG}"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


async def flush(page: Page, site: Site) -> None:
    """Make the snippet post its events, and wait for the post."""
    before = len(site.posts)
    await page.evaluate("lpstream.flush()")
    await site.posted(before + 1)


LONG = "<div style='height:5000px'></div>"
SHELLS = {
    "body": f"<style>html,body{{margin:0;height:100%;overflow:auto}}</style><body>{LONG}",
    "main": f"<body style='margin:0'><main style='height:100vh;overflow:auto'>{LONG}</main>",
    "fixed": f"<body style='margin:0'><div style='position:fixed;inset:0;overflow:auto'>{LONG}</div>",
}
SCROLL_SHELL = """() => {
  const shell = [...document.querySelectorAll("body, body *")].find((element) =>
    element.scrollHeight > element.clientHeight + 9 && getComputedStyle(element).overflowY === "auto");
  shell.scrollTop = 2000;
}"""


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_element_that_scrolls_in_place_of_the_page_is_the_page(site: Site, visit: Visit, shell: str) -> None:
    page = await visit(html=HEAD + SHELLS[shell])
    await page.evaluate(SCROLL_SHELL)
    await wait_in(page, 0.5)
    await page.mouse.click(400, 300)
    await wait_in(page, 2.6)
    await flush(page, site)
    assert {(beacon.page_h, beacon.viewport_h) for beacon in site.accepted} == {(5_000, HEIGHT)}
    assert [event[1:3] for event in site.events("crd")] == [(400, 2_300)]
    assert not site.events("crd")[0][4]
    assert ("s", 0, 2_000) in [event[:3] for event in site.events("s")]


DRAWER = (
    "<style>#d{position:fixed;inset:0;overflow-y:auto;transform:translateX(100%)}"
    ".open{overflow:hidden}.open #d{transform:none}</style>"
    "<body style='margin:0'><div style='height:4000px'></div><div id=d><div style='height:1500px'></div></div>"
)


async def test_an_open_drawer_does_not_become_the_page(site: Site, visit: Visit) -> None:
    page = await visit(html=HEAD + DRAWER)
    await scroll_to(page, 1_000)
    await page.evaluate("document.body.className = 'open'")
    await page.mouse.click(600, 300)
    await wait_in(page, 0.5)
    await page.evaluate("document.body.className = ''")
    await scroll_to(page, 2_000)
    await page.mouse.click(700, 300)
    await wait_in(page, 2.6)
    await flush(page, site)
    assert [event[1:3] + event[4:] for event in site.events("crd")] == [(600, 300, True), (700, 2_300, False)]
    assert {beacon.page_h for beacon in site.accepted} == {4_000}


MODAL = (
    "<body style='margin:0'><section id=one style='height:4000px'></section>"
    "<div id=d style='position:fixed;top:100px;left:500px;width:200px;height:300px' hidden></div>"
)


@pytest.mark.parametrize("lock", ["position:fixed;top:-1000px;width:100%", "overflow:hidden"])
async def test_a_page_that_a_dialog_locks_keeps_its_places(site: Site, visit: Visit, lock: str) -> None:
    page = await visit(html=HEAD + MODAL, clock=True)
    await scroll_to(page, 1_000)
    await page.evaluate("lock => { document.body.style = 'margin:0;' + lock; d.hidden = false }", lock)
    await frames(page)
    await page.clock.run_for(1_000)
    await flush(page, site)
    for x in (600, 900):
        await page.mouse.click(x, 300)
    await frames(page)
    await page.clock.run_for(3_000)
    await page.evaluate("document.body.style = 'margin:0'; d.hidden = true; scrollTo(0, 1000)")
    await frames(page)
    await page.clock.run_for(1_000)
    await flush(page, site)
    assert [event[1:3] + event[4:] for event in site.events("crd")] == [(600, 300, True), (900, 1_300, False)]
    assert {y for _, _, y, dwell, _ in site.events("s") if dwell} <= {0, 1_000}
    assert [y for _, _, y, dwell, _ in site.events("s") if not dwell] == [0, 1_000]
    assert {(beacon.page_h, beacon.sections[0]) for beacon in site.accepted} == {(4_000, ("one", 0, 4_000))}


async def test_a_quirks_page_without_a_scrolling_element_has_true_places(site: Site, visit: Visit) -> None:
    style = "<style>html, body { margin: 0; overflow-x: hidden }</style>"
    page = await visit(html=HEAD.removeprefix("<!doctype html>") + style + "<div style='height:5000px'></div>")
    await scroll_to(page, 1_000)
    await page.mouse.click(300, 300)
    await page.goto(site.url() + "/other")
    await site.until(lambda: site.events("crd"))
    assert [event[1:3] for event in site.events("crd")] == [(300, 1_300)]
    assert {(beacon.viewport_h, beacon.page_h) for beacon in site.accepted} == {(HEIGHT, 5_000)}


async def test_a_box_that_scrolls_by_itself_hides_no_scrolling(site: Site, visit: Visit) -> None:
    marquee = (
        "<body style='margin:0'><div id=m style='width:300px;overflow:hidden'><div style='width:90000px;height:40px'>"
        "</div></div><div style='height:4000px'></div><script>setInterval(() => { m.scrollLeft += 1 }, 30)</script>"
    )
    page = await visit(html=HEAD + marquee)
    for y in (1_000, 2_000):
        await scroll_to(page, y)
    await flush(page, site)
    assert [y for _, _, y, dwell, _ in site.events("s") if not dwell] == [0, 1_000, 2_000]


async def test_a_bar_around_the_scrolling_element_is_fixed(site: Site, visit: Visit) -> None:
    shell = (
        "<body style='margin:0'><div style='position:fixed;inset:0'>"
        "<header style='height:60px'>帯</header><main style='height:calc(100% - 60px);overflow:auto'>"
        "<nav style='position:sticky;top:0;height:40px'>章</nav><div style='height:4960px'></div></main></div>"
    )
    page = await visit(html=HEAD + shell)
    await page.evaluate(SCROLL_SHELL)
    await wait_in(page, 0.5)
    for y in (30, 80, 300):
        await page.mouse.click(400, y)
    await page.goto(site.url() + "/other")
    await site.until(lambda: site.events("crd"))
    expected = [(400, 30, True), (400, 80, True), (400, 2_300, False)]
    assert [event[1:3] + event[4:] for event in site.events("crd")] == expected
    assert site.accepted[-1].page_h == 5_060


WIDE = {
    "wide": "<div style='width:1000px;height:3000px'></div>",
    "drawer": "<style>body{overflow-x:hidden}</style><div style='height:3000px'></div>"
    "<nav style='position:absolute;top:0;left:100%;width:300px;height:500px'></nav>",
}


@pytest.mark.chromium_only("Playwright emulates phones in Chromium only")
@pytest.mark.parametrize("kind", WIDE)
async def test_wide_content_makes_no_tablet_of_a_phone(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(html=HEAD + "<body style='margin:0'>" + WIDE[kind], device=PHONE)
    await flush(page, site)
    beacon = site.accepted[0]
    assert (beacon.device, beacon.viewport_w, beacon.viewport_h) == ("mobile", 390, 844)
    assert beacon.page_w in ((1_000, 1_001) if kind == "wide" else (390,)), "the browser rounds the zoomed width"


@pytest.mark.chromium_only("Playwright emulates phones in Chromium only")
async def test_a_phone_stays_a_phone_when_it_is_turned(site: Site, visit: Visit) -> None:
    page = await visit(html=HEAD + "<body style='margin:0;height:3000px'>", device=PHONE)
    await page.touchscreen.tap(200, 600)
    await page.set_viewport_size({"width": 844, "height": 390})
    await wait_in(page, 0.5)
    await flush(page, site)
    assert {beacon.device for beacon in site.accepted} == {"mobile"}
    assert (site.accepted[0].viewport_w, site.accepted[0].viewport_h) == (390, 844)
    assert (site.accepted[-1].viewport_w, site.accepted[-1].viewport_h) == (844, 390)
    lying = await visit(html=HEAD, device=PHONE | {"viewport": {"width": 844, "height": 390}})
    await flush(lying, site)
    assert site.accepted[-1].device == "mobile"


LATE = "addEventListener('resize', (event) => event.stopImmediatePropagation(), true)"


@pytest.mark.parametrize("init", ["", LATE], ids=["event", "no event yet"])
async def test_events_before_a_new_size_belong_to_the_old_size(site: Site, visit: Visit, init: str) -> None:
    page = await visit(html=HEAD + "<body style='margin:0;height:3000px'>", init=init)
    before = await page.evaluate("document.documentElement.clientWidth")  # some browsers' scroll bars take 12 px
    await page.mouse.click(1_200, 300)
    await page.set_viewport_size({"width": 500, "height": HEIGHT})
    await wait_in(page, 0.5)
    await flush(page, site)
    [clicked] = [beacon for beacon in site.accepted if set(beacon.type) & set("crd")]
    assert (clicked.viewport_w, clicked.device) == (before, "desktop")
    after = await page.evaluate("document.documentElement.clientWidth")
    await site.until(lambda: site.accepted[-1].viewport_w == after)
    assert {beacon.device for beacon in site.accepted} == {"desktop"}


async def test_attention_before_a_new_size_belongs_to_the_old_size(site: Site, visit: Visit) -> None:
    page = await visit(html=HEAD + "<body style='margin:0;height:3000px'>", clock=True)
    await flush(page, site)
    await page.clock.run_for(4_000)
    await page.set_viewport_size({"width": 500, "height": HEIGHT})
    await site.posted(2)
    first = site.accepted[1]
    assert first.viewport_w > 1_000 and sum(first.dwell) >= 4_000


BACKWARDS = {
    "rtl": "<html dir=rtl><body style='margin:0'><div style='width:3000px;height:2000px'></div>",
    "rtl body": "<body dir=rtl style='margin:0'><div style='width:3000px;height:2000px'></div>",
    "vertical": "<html style='writing-mode:vertical-rl'><body style='margin:0'><div style='width:3000px;height:500px'>",
}


@pytest.mark.parametrize("kind", BACKWARDS)
async def test_pages_that_begin_at_the_right_have_true_columns(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(html=HEAD + BACKWARDS[kind])
    width = await page.evaluate("document.documentElement.scrollWidth")
    await page.mouse.click(1_000, 200)
    await page.evaluate("scrollTo(-500, 0)")
    await wait_in(page, 1.2)
    await page.mouse.click(1_000, 200)
    await wait_in(page, 2.6)
    await flush(page, site)
    assert width == site.accepted[0].page_w == 3_000
    start = width - await page.evaluate("document.documentElement.clientWidth")
    assert [event[1] for event in site.events("crd")] == [start + 1_000, start + 500]


async def test_half_a_character_in_a_name_loses_no_beacon(site: Site, visit: Visit) -> None:
    sections = "<section id=a style='height:99px'></section><section id=b style='height:99px'></section>"
    script = "<script>a.dataset.section = '価\\ud83d'; b.dataset.section = '\\ude00'</script>"
    page = await visit(html=HEAD + sections + script)
    await flush(page, site)
    assert [name for name, _, _ in site.accepted[0].sections] == ["価"]


async def test_a_section_is_new_once_in_a_pageview(site: Site, visit: Visit) -> None:
    body = (
        "<body style='margin:0'><nav data-section=bar style='position:fixed;top:0;width:100%;height:50px'></nav>"
        "<div id=lazy></div><section id=hero style='height:1000px'></section>"
        "<section id=price style='height:3000px'></section>"
    )
    page = await visit(html=HEAD + body)
    await flush(page, site)
    await scroll_to(page, 500)
    await flush(page, site)
    await page.evaluate("lazy.style.height = '2000px'")
    await scroll_to(page, 2_600)
    await flush(page, site)
    names = [name for beacon in site.accepted for name in beacon.new_sections or ()]
    assert sorted(names) == ["bar", "hero", "price"]
