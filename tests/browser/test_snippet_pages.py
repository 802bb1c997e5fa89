"""The snippet on unusual pages: they refuse a press, hide forms, replace functions, answer for us."""

import pytest
from conftest import TAG, Site, Visit, wait_in
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLANK = f"<!doctype html><meta charset=utf-8>{TAG}<body style='margin:0;height:3000px'>"


async def letters(site: Site, page: Page, wanted: str = "vgfeot") -> str:
    """Return the types of the events that the page has posted after a moment."""
    await wait_in(page, 0.1)
    before = len(site.posts)
    await page.evaluate("lpstream.flush()")
    await site.posted(before + 1)
    return "".join(event[0] for event in site.events(wanted))


def form(attributes: str) -> str:
    """Return a form with a button."""
    return f"<form method=post {attributes}><button id=it>送る</button></form>"


AWAY = "http://shop.test:PORT/other"
LEADS = {
    "a form to another host": (form(f"action='{AWAY}'"), "vf"),
    "a button to another host": (form("").replace("<button", f"<button formaction='{AWAY}'"), "vf"),
    "a form that a script sends on": (form(f"action='{AWAY}' onsubmit='event.preventDefault(); this.submit()'"), "vf"),
    "a goal and a redirect": (
        f"<button id=it onclick='lpstream.goal(); location.href = `{AWAY}`'>申し込む</button>",
        "vg",
    ),
}


def goals(site: Site, name: str) -> str:
    """Return the goals of the page, whose next page may send its beacons again."""
    types = "".join(beacon.type for beacon in site.accepted if beacon.lp_id == name.replace(" ", "_"))
    return "".join(letter for letter in types if letter in "vgfeot")


@pytest.mark.chromium_only("this Firefox has no Navigation API")
async def test_a_counted_goal_leads_to_no_second_goal(site: Site, visit: Visit) -> None:
    for name, (body, expected) in LEADS.items():
        page = await visit(html=BLANK.replace("lp_test", name.replace(" ", "_")) + body.replace("PORT", str(site.port)))
        box = await page.locator("#it").bounding_box()
        assert box is not None
        await page.mouse.click(box["x"] + 5, box["y"] + 5)
        await site.until(lambda name=name: "v" in goals(site, name))  # the page is left, and posts
        assert goals(site, name) == expected, name


REFUSED = (
    "<a id=tel href='tel:0312345678'>電話</a> <a id=line href='https://lin.ee/x'>LINE</a> <a id=key href='tel:1'>鍵</a>"
    "<script>tel.onclick = (event) => event.preventDefault(); line.onclick = () => false;"
    "key.onclick = (event) => event.preventDefault()</script>"
)


@pytest.mark.firefox_too
async def test_a_link_that_the_page_refuses_is_no_goal(site: Site, visit: Visit) -> None:
    page = await visit(html=BLANK + REFUSED)
    await page.click("#tel")
    await page.click("#line")
    await page.focus("#key")
    await page.keyboard.press("Enter")
    assert await letters(site, page) == ""


@pytest.mark.firefox_too
async def test_a_form_in_an_open_shadow_tree_is_a_goal(site: Site, visit: Visit) -> None:
    script = (
        "<div id=host></div><script>host.attachShadow({mode: 'open'}).innerHTML = '<x-b></x-b>';"
        "const inner = host.shadowRoot.firstChild.attachShadow({mode: 'open'});"
        "inner.innerHTML = '<form><input id=field></form>';"
        "inner.firstChild.onsubmit = (event) => event.preventDefault()</script>"
    )
    page = await visit(html=BLANK.replace("async ", "defer ") + script)
    await page.evaluate("inner.querySelector('input').focus()")
    await page.keyboard.press("Enter")
    assert await letters(site, page) == "vf"


SHADOWS = {
    "details": "<details><summary id=it>詳しく</summary>中身</details>",
    "scrolling": "<button id=it>次</button><div style='width:90px;overflow:auto'><p style='width:900px'>絵</p></div>"
    "<script>root.querySelector('button').onclick = () => { root.querySelector('div').scrollLeft = 90 }</script>",
}


@pytest.mark.parametrize("kind", SHADOWS)
async def test_an_effect_in_a_shadow_tree_is_not_dead(site: Site, visit: Visit, kind: str) -> None:
    content, _, script = SHADOWS[kind].partition("<script>")
    page = await visit(
        html=f"{BLANK}<div id=host></div><script>const root = host.attachShadow({{mode: 'open'}});"
        f"root.innerHTML = `{content}`; {script or '</script>'}"
    )
    await page.click("#it")
    await wait_in(page, 2.6)
    assert await letters(site, page, "crd") == "c"


@pytest.mark.parametrize("name", ["alert", "open"])
async def test_a_page_keeps_its_own_values_of_watched_functions(site: Site, visit: Visit, name: str) -> None:
    own = f"<p id=box class=box>文</p><script>var {name} = document.querySelector('.box')</script>"
    page = await visit(html=BLANK.replace(TAG, "") + own + TAG)
    assert await page.evaluate(f"{name}.className") == "box"


async def test_a_replaced_function_keeps_its_properties(site: Site, visit: Visit) -> None:
    own = "<script>window.alert = (text) => text + '!'; alert.close = () => 7</script>"
    page = await visit(html=BLANK.replace(TAG, "") + own + TAG)
    assert await page.evaluate("alert.close()") == 7
    assert await page.evaluate("alert('a')") == "a!"


async def test_new_sizes_and_routes_wait_as_long_as_the_server_asks(site: Site, visit: Visit) -> None:
    site.always = (503, {"Retry-After": "60", "Access-Control-Expose-Headers": "Retry-After"})
    page = await visit(html=BLANK)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    await wait_in(page, 0.3)
    for at in range(4):
        await page.set_viewport_size({"width": 1_200 - at, "height": 700})
        await page.mouse.click(300, 300 + 50 * at)
        await page.evaluate(f"history.pushState({{}}, '', '/route{at}')")
        await wait_in(page, 0.3)
    assert len(site.posts) == 1
    site.always = 204
    await page.goto(site.url() + "/other")
    await site.until(lambda: len({pageview for pageview, _ in site.identities}) == 5)


async def test_a_frame_without_a_height_counts_once_it_has_one(site: Site, visit: Visit) -> None:
    page = await visit(html=BLANK)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    site.html = BLANK.replace("lp_test", "lp_frame")
    await page.evaluate("""async () => {
      const frame = Object.assign(document.createElement("iframe"), { id: "f", src: "/page" });
      frame.style.cssText = "width:800px;height:0;border:0";
      document.body.append(frame);
      await new Promise((done) => { frame.onload = done });
    }""")
    inner = page.frames[1]
    await inner.wait_for_function("window.lpstream && lpstream.running")
    await inner.evaluate("lpstream.flush()")
    await page.evaluate("f.style.height = '900px'")
    await wait_in(page, 0.3)
    await inner.evaluate("lpstream.flush()")
    await site.until(lambda: any(post.beacon.lp_id == "lp_frame" for post in site.posts))
    assert {post.beacon.viewport_h for post in site.posts if post.beacon.lp_id == "lp_frame"} == {900}


@pytest.mark.parametrize("transport", ["beacon", "kafka-rest"])
async def test_an_answer_of_a_service_worker_is_no_acknowledgement(site: Site, visit: Visit, transport: str) -> None:
    page = await visit(options=f"data-transport={transport}")
    site.answers.append((200, {"Content-Type": "text/html"}, "<h1>offline</h1>"))
    await page.evaluate("lpstream.goal(); lpstream.flush()")
    await site.posted(1)
    await wait_in(page, 0.2)
    assert await page.evaluate("Object.keys(localStorage).length") >= 1
    site.always = 204 if transport == "beacon" else (200, {}, '{"offsets":[{"partition":0,"offset":7}]}')
    await wait_in(page, 1.1)
    await page.evaluate("lpstream.flush()")
    await site.posted(2)
    assert site.posts[1].body == site.posts[0].body


OLD = "localStorage[location.origin + '/e/heatmap.events' + 'x'] = '{}' + '{{}}'"
VISITORS = {
    "no consent": ("data-consent=required", "", "1700000000000"),
    "left out": ("data-sample=0", "", "1700000000000"),
    "refused": (
        "",
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })",
        "1700000000000",
    ),
}


@pytest.mark.parametrize("kind", VISITORS)
async def test_every_page_removes_beacons_of_the_day_before(site: Site, visit: Visit, kind: str) -> None:
    options, init, until = VISITORS[kind]
    once = f"if (location.host && !window.done) {OLD.format(until)}; window.done = 1"
    page = await visit(options=options, init=f"{init}; {once}")
    assert await page.evaluate("Object.keys(localStorage)") == []
    assert site.posts == []
