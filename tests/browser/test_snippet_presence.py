"""The snippet counts people who look: no robots, no unseen pages, no absence."""

import asyncio

import pytest
from conftest import TAG, Site, Visit, wait_in
from engines import context_of
from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = "<body style='margin:0;height:3000px'>"
PLAIN = "<!doctype html><meta charset=utf-8>" + TAG + BODY
HIDDEN = (
    "Object.defineProperty(document, 'visibilityState', { get: () => window.state || 'hidden', configurable: true });"
)


async def test_an_unseen_page_is_no_pageview(site: Site, visit: Visit) -> None:
    page = await visit(html=PLAIN, init=HIDDEN)
    await page.evaluate("lpstream.goal(); lpstream.flush()")
    await page.evaluate("history.pushState({}, '', '/b'); dispatchEvent(new Event('pagehide'))")
    await asyncio.sleep(0.5)
    assert site.posts == []
    await page.evaluate(
        "window.state = 'visible'; document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"
    )
    await wait_in(page, 3.2)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    # on a busy machine, the page flushes again before the test looks
    assert (site.accepted[0].seq, site.accepted[0].depth) == (0, 0)
    assert len({beacon.pageview_id for beacon in site.accepted}) == 1


async def test_a_robot_is_not_counted(site: Site, browser: Browser) -> None:
    context = await context_of(browser)
    page = await context.new_page()
    site.html = PLAIN
    await page.goto(site.url() + "/page")
    await page.wait_for_function("window.lpstream && lpstream.running")
    await page.evaluate("lpstream.goal(); lpstream.flush()")
    await asyncio.sleep(0.5)
    await context.close()
    assert site.posts == []


@pytest.mark.parametrize("asleep_s", [25, 8 * 3_600])
async def test_a_gap_counts_one_flush_at_most(site: Site, visit: Visit, asleep_s: int) -> None:
    page = await visit(html=PLAIN, clock=True)
    now_s = await page.evaluate("Date.now()") / 1_000 + 1
    await page.clock.pause_at(now_s)
    await page.mouse.move(300, 200)
    await page.clock.run_for(800)
    await page.clock.set_system_time(now_s + asleep_s)
    await page.clock.run_for(1_000)
    await page.mouse.move(320, 300)
    await page.clock.run_for(5_000)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    await asyncio.sleep(0.3)
    assert sum(event[3] for event in site.events("s")) <= 13_500
    assert all(event[3] <= 7_000 for event in site.events("m"))


async def test_attention_ends_thirty_seconds_after_the_last_input(site: Site, visit: Visit) -> None:
    page = await visit(html=PLAIN, clock=True)
    await page.clock.pause_at(await page.evaluate("Date.now()") / 1_000 + 1)
    await page.mouse.move(300, 200)
    for _ in range(30):
        await page.clock.run_for(5_000)
    await page.mouse.move(310, 210)
    await page.clock.run_for(600)
    await page.evaluate("lpstream.flush()")
    await page.clock.run_for(1)
    await site.until(lambda: site.events("m"))
    await asyncio.sleep(0.3)
    assert 29_000 <= sum(event[3] for event in site.events("s")) <= 33_000
    assert 29_000 <= max(event[3] for event in site.events("m")) <= 31_000


PROTOTYPES = {
    "toJSON": "Array.prototype.toJSON = function () { return 'x' }; Object.prototype.toJSON = () => 1;",
    "enumerable": "Object.prototype.each = function () {}; Array.prototype.last = function () {};",
    "listener options": "Object.prototype.once = true;",
    "globals": "var URL = location.href, navigation = 0, Intl = 0, crypto = 0, WeakSet = 0;",
    "lexical globals": "const URL = location.href; let navigation = [];",
    "element": "addEventListener('DOMContentLoaded', () => {});",
    "stringify": "const original = JSON.stringify; JSON.stringify = (value) => original(value);",
}


@pytest.mark.parametrize("kind", PROTOTYPES)
async def test_changed_prototypes_of_the_page_break_nothing(site: Site, visit: Visit, kind: str) -> None:
    element = "<div id=lpstream></div>" if kind == "element" else ""
    html = f"<!doctype html><meta charset=utf-8>{element}<script>{PROTOTYPES[kind]}</script>{TAG.replace('async', '')}"
    page = await visit(html=html + BODY)
    for x in (100, 300):
        await page.mouse.click(x, 200)
    await wait_in(page, 2.6)
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: len(site.events("crd")) == 2)


LOADERS = {
    "stub": "<script>window.lpstream={q:[]};['consent','goal','page','flush'].forEach((name)=>"
    "lpstream[name]=(value)=>lpstream.q.push([name,value]));lpstream.goal()</script>" + TAG,
    "config": "<script>window.lpstreamConfig={lpId:'lp_test'}</script><script async src=SCRIPT></script>",
    "module": "<script>window.lpstreamConfig={lpId:'lp_test'}</script><script type=module src=SCRIPT></script>",
    "injected": "<script>window.lpstreamConfig={lpId:'lp_test'};const tag=document.createElement('script');"
    "tag.src='SCRIPT';document.head.append(tag)</script>",
}


@pytest.mark.parametrize("kind", LOADERS)
async def test_every_way_to_load_the_snippet_counts(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(html="<!doctype html><meta charset=utf-8>" + LOADERS[kind] + BODY)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    assert site.accepted[0].lp_id == "lp_test"
    assert site.letters.startswith("svg" if kind == "stub" else "s")


async def test_a_tag_without_an_id_warns_once(site: Site, visit: Visit) -> None:
    init = "window.said = []; console.warn = (text) => said.push(text);"
    page = await visit(html="<!doctype html><script async src=SCRIPT></script>" + BODY, init=init)
    said = await page.evaluate("said")
    assert len(said) == 1 and "data-lp-id" in said[0]


async def test_a_backlog_in_japanese_leaves_with_the_newest_first(site: Site, visit: Visit) -> None:
    sections = "".join(f"<section id='{'名' * 40}{number}' style='height:100px'></section>" for number in range(30))
    page = await visit(html=PLAIN + sections)
    site.always = 503
    for _ in range(40):
        await page.evaluate("lpstream.goal(); lpstream.flush()")
        await page.mouse.move(100, 100)
        await wait_in(page, 0.03)
    before = len(site.posts)
    site.always = 204
    await page.goto(site.url() + "/other")
    await site.until(lambda: len(site.posts) > before + 3)
    await asyncio.sleep(0.5)
    seqs = [seq for _, seq in site.identities[before:]]
    newest = max(seqs)
    assert newest in seqs[:2], "the newest beacon goes first"
    assert sorted(seqs, reverse=True)[: len(seqs) // 2] == list(range(newest, newest - len(seqs) // 2, -1))
