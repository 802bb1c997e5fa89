"""The snippet's local storage: the next page sends unsent beacons, once, and only for a limited time."""

import asyncio
import json

import pytest
from conftest import CUT, HANG, Site, Visit
from harness import full_only
from patience import PATIENCE_S
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORED = """() => Object.entries(localStorage).filter(([key]) => key.includes('heatmap.events')).sort()"""
FORBID = """Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden') } })"""
FULL = """Storage.prototype.setItem = () => { throw new Error('full') };
Object.defineProperty(window, 'localStorage', { value: new Proxy({}, {
  set() { throw new Error('full') }, get() { return undefined } }) });"""


async def flush(page: Page) -> None:
    await page.evaluate("lpstream.flush()")


async def stored(page: Page) -> dict[str, str]:
    """Return the bodies of stored beacons by key, oldest first, without the 13 digits before them."""
    return {key: value[13:] for key, value in await page.evaluate(STORED)}


async def until_empty(page: Page) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await stored(page):
            await asyncio.sleep(0.05)


async def test_an_acknowledged_beacon_is_removed_from_the_store(site: Site, visit: Visit) -> None:
    page = await visit()
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.posted(1)
    await until_empty(page)


@pytest.mark.parametrize("answer", [503, 429, CUT])
async def test_the_next_page_sends_unsent_beacons(site: Site, visit: Visit, answer: object) -> None:
    page = await visit()
    site.always = answer
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.posted(1)
    await page.close(run_before_unload=True)
    await asyncio.sleep(0.3)
    failed = set(site.identities)
    site.always = 204
    other = await visit()
    await flush(other)
    await site.until(lambda: failed <= {(one.pageview_id, one.seq) for one in site.accepted})
    assert site.letters.count("g") == 1
    await until_empty(other)


async def test_a_reload_during_a_hanging_request_loses_no_event(site: Site, visit: Visit) -> None:
    page = await visit()
    site.answers.append(HANG)
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.posted(1)
    await page.reload()
    await page.wait_for_function("window.lpstream")
    await flush(page)
    await site.until(lambda: site.letters.count("g") == 1)
    await until_empty(page)


async def test_a_beacon_sent_by_another_tab_is_not_sent_again(site: Site, visit: Visit) -> None:
    first, second = await visit(), await visit()
    site.always = 503
    await first.evaluate("lpstream.goal()")
    await flush(first)
    await site.posted(1)
    site.always = 204
    await flush(second)
    await until_empty(second)
    taken = len(site.posts)
    await asyncio.sleep(1.2)  # the first tab's retry delay
    await flush(first)
    await site.posted(taken + 1)
    await until_empty(first)
    sent = [identity for identity, post in zip(site.identities, site.posts, strict=True) if post.status == 204]
    assert len(sent) == len(set(sent)), "no beacon may be accepted twice"


async def test_any_page_drops_tried_beacons_after_twenty_minutes(site: Site, visit: Visit) -> None:
    page = await visit(clock=True)
    site.always = 503
    await flush(page)
    await site.posted(1)
    await page.close()
    await asyncio.sleep(0.3)
    tried = len(site.posts)
    site.always = 204
    other = await visit(clock=True)
    await other.clock.fast_forward(21 * 60_000)
    await flush(other)
    await site.posted(tried + 1)
    await asyncio.sleep(0.3)
    assert not set(site.identities[:tried]) & set(site.identities[tried:])
    assert await stored(other) == {}


@full_only
async def test_the_store_is_bounded_and_keeps_the_newest(site: Site, visit: Visit) -> None:
    silence = "window.fetch = () => new Promise(() => {})"  # 400 departures would post thousands of times
    page = await visit(init=silence)
    await page.evaluate("""async () => { for (let at = 0; at < 400; at++) {
        history.pushState({}, "", "/" + at);
        await new Promise((done) => setTimeout(done, 2));
    } }""")
    content = await stored(page)
    assert 100_000 < sum(map(len, content.values())) <= 250_000
    newest = json.loads(list(content.values())[-1])["t0"]
    assert all(json.loads(body)["t0"] > newest - 60_000 for body in content.values())


async def test_tabs_that_write_at_once_lose_nothing(site: Site, visit: Visit) -> None:
    pages = [await visit() for _ in range(3)]
    site.always = 503
    for _ in range(6):
        await asyncio.gather(*(page.evaluate("lpstream.flush()") for page in pages))
        await asyncio.sleep(0.05)
    identities = {json.loads(body)["pageview_id"] for body in (await stored(pages[0])).values()}
    assert len(identities) == 3
    site.always = 204
    for page in pages:
        await page.close(run_before_unload=True)
    last = await visit()
    await flush(last)
    await site.until(lambda: len({identity[0] for identity in site.identities}) >= 4)
    for pageview in identities:
        seqs = sorted({beacon.seq for beacon in site.accepted if beacon.pageview_id == pageview})
        assert seqs == list(range(len(seqs))) and len(seqs) >= 6


@pytest.mark.parametrize("init", [FORBID, FULL])
async def test_a_page_without_storage_still_sends_and_retries(site: Site, visit: Visit, init: str) -> None:
    page = await visit(init=init)
    site.answers.append(503)
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.posted(1)
    await asyncio.sleep(1.2)
    await flush(page)
    await site.until(lambda: site.letters.count("g") == 1)
    assert site.identities[1] == site.identities[0]


@pytest.mark.parametrize("text", ["{", "5", "null", '"x"', "[]", '{"a":5}', '{"a":["x"]}'])
async def test_foreign_data_in_the_store_is_ignored(site: Site, visit: Visit, text: str) -> None:
    page = await visit()
    await page.evaluate("text => { localStorage[location.origin + '/e/heatmap.events'] = text }", text)
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.until(lambda: site.letters.count("g") == 1)


async def test_the_store_is_empty_without_consent(site: Site, visit: Visit) -> None:
    page = await visit(options='data-consent="required"')
    await page.evaluate("lpstream.goal()")
    await flush(page)
    assert await page.evaluate(STORED) == []
    site.always = 503
    await page.evaluate("lpstream.consent(true)")
    await flush(page)
    await site.posted(1)
    assert await stored(page)
    await page.evaluate("lpstream.consent(false)")
    assert await stored(page) == {}
