"""The snippet in a real browser: which events it posts, when, and which data it never posts."""

import asyncio
import json
import re
import time
from typing import Any

import pytest
from conftest import CUT, DEAD_S, HANG, HEIGHT, SETTLED_S, WIDTH, Site, Visit, leave_and_return, scroll_to, wait_in
from patience import SLACK_S
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Waits for the scroll event itself, so that it works while the page's clock is paused.
SCROLLED = """y => new Promise((done) => {
  addEventListener("scroll", () => done(), { capture: true, once: true });
  scrollTo(0, y);
})"""
HIDE = """state => {
  Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def flush(page: Page) -> None:
    await page.evaluate("lpstream.flush()")


async def click(page: Page, selector: str, times: int = 1) -> None:
    box = await page.locator(selector).bounding_box()
    assert box is not None
    for _ in range(times):
        await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


async def test_a_pageview_starts_with_a_scroll_and_numbers_its_beacons(site: Site, visit: Visit) -> None:
    began = int(time.time() * 1000)
    page = await visit()
    for number in (1, 2, 3):
        await flush(page)
        await site.posted(number)
    first, second, third = site.accepted
    assert (first.type[0], first.depth, first.x[0], first.y[0], first.dwell[0]) == ("s", 0, 0, 0, 0)
    assert [first.seq, second.seq, third.seq] == [0, 1, 2]
    assert len({beacon.pageview_id for beacon in site.accepted}) == 1
    assert (first.lp_id, first.device, first.rate) == ("lp_test", "desktop", 1.0)
    assert (first.viewport_w, first.viewport_h) == (WIDTH, HEIGHT)
    height = await page.evaluate("document.documentElement.scrollHeight")
    assert (first.page_h, first.depth, second.depth) == (height, 0, HEIGHT)
    assert began - 1000 <= first.t0 <= int(time.time() * 1000)


async def test_beacons_are_sent_every_five_seconds_without_preflight(site: Site, visit: Visit) -> None:
    await visit(host="shop.test", script=f"{site.url()}/t.js")
    await site.posted(1, within_s=5 + SLACK_S)
    assert site.posts[0].path == "/e/heatmap.events"
    assert not site.posts[0].preflight, "text/plain across origins needs no preflight"
    assert 4_000 < sum(event[3] for event in site.events("s")) < 6_500
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", site.identities[0][0])


@pytest.mark.parametrize("host", ["127.0.0.1", "shop.test"])
async def test_beacons_do_not_say_which_page_sends_them(site: Site, visit: Visit, host: str) -> None:
    page = await visit(host=host, script=f"{site.url()}/t.js", utm_content="secret")
    await flush(page)
    await site.posted(1)
    await page.goto("about:blank")
    assert {post.referer for post in site.posts} == {None}


@pytest.mark.parametrize(("width", "device"), [(390, "mobile"), (820, "tablet")])
async def test_the_device_follows_from_the_width(site: Site, visit: Visit, width: int, device: str) -> None:
    page = await visit(device={"viewport": {"width": width, "height": 600}})
    await flush(page)
    await site.posted(1)
    assert (site.accepted[0].device, site.accepted[0].viewport_w, site.accepted[0].viewport_h) == (device, width, 600)


async def test_clicks_use_page_pixels_or_viewport_pixels_if_fixed(site: Site, visit: Visit) -> None:
    page = await visit()
    await scroll_to(page, 700)
    await page.mouse.click(321, 234)
    await page.mouse.click(40, 20)
    await page.evaluate("document.querySelector('#works').click()")
    await page.goto("about:blank")
    await site.posted(1)
    assert [event[:3] + event[4:] for event in site.events("crd")] == [("c", 321, 934, False), ("c", 40, 20, True)]
    assert all(beacon.type[at] in "cm" for beacon in site.accepted for at in beacon.fixed)


async def test_a_mouse_click_is_one_event_and_a_key_press_is_no_event(site: Site, visit: Visit) -> None:
    page = await visit()
    await click(page, "#label")
    assert await page.locator("#box").is_checked()
    await page.focus("#works")
    await page.keyboard.press("Enter")
    await page.goto("about:blank")
    await site.posted(1)
    assert len(site.events("crd")) == 1


async def test_the_third_click_at_a_place_within_a_second_is_rage(site: Site, visit: Visit) -> None:
    page = await visit()
    for x, y in ((400, 700), (410, 700), (900, 700), (400, 715), (405, 710), (425, 745)):
        await page.mouse.click(x, y)
    await asyncio.sleep(1.1)
    await page.mouse.click(400, 700)
    await page.goto("about:blank")
    await site.posted(1)
    # on a busy machine the first clicks have been found dead before the page is left
    clicks = [("c" if kind == "d" else kind, x, y) for kind, x, y, *_ in site.events("crd")]
    assert clicks == [
        ("c", 400, 700), ("c", 410, 700), ("c", 900, 700), ("r", 400, 715), ("r", 405, 710), ("c", 425, 745),
        ("c", 400, 700),
    ]  # fmt: skip


async def test_clicks_without_effect_are_sent_later_as_dead(site: Site, visit: Visit) -> None:
    page = await visit()
    await click(page, "#dead")
    await asyncio.sleep(0.2)
    await flush(page)
    await site.posted(1)
    assert "c" not in site.letters
    await wait_in(page, DEAD_S)
    await flush(page)
    await site.posted(2)
    assert [event[:3] for event in site.events("crd")] == [("d", 200, 240)]


@pytest.mark.parametrize("selector", ["#works", "#types", "#name", "#box", "#moves"])
async def test_a_click_that_changes_page_or_focus_is_not_dead(site: Site, visit: Visit, selector: str) -> None:
    page = await visit()
    box = await page.locator(selector).bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 5, box["y"] + 5)
    await page.mouse.down()
    await asyncio.sleep(0.1)  # a press takes some time, and the focus changes at its start
    await page.mouse.up()
    await wait_in(page, DEAD_S)
    await flush(page)
    await site.posted(1)
    assert [event[0] for event in site.events("crd")] == ["c"]


async def test_a_resting_pointer_is_sent_once_with_its_duration(site: Site, visit: Visit) -> None:
    page = await visit(clock=True)
    await page.clock.pause_at(
        await page.evaluate("Date.now()") / 1_000 + 1
    )  # otherwise a busy machine lengthens each rest
    await page.mouse.move(500, 600)
    await page.clock.run_for(1_200)
    await page.mouse.move(700, 640)
    await page.clock.run_for(200)
    await page.mouse.move(300, 25)
    await page.clock.run_for(800)
    await page.evaluate(SCROLLED, 300)
    await flush(page)
    await page.clock.run_for(1)
    await site.posted(1)
    rests = site.events("m")
    assert [(x, y, fixed) for _, x, y, _, fixed in rests] == [(500, 600, False), (300, 25, True)]
    assert 1_150 <= rests[0][3] < 1_600
    assert 750 <= rests[1][3] < 1_200


async def test_scroll_events_have_dwell_time_and_depth(site: Site, visit: Visit) -> None:
    began = time.monotonic()
    page = await visit()
    await wait_in(page, 0.6)
    await scroll_to(page, 900)
    dwell_ms = 1_000 * (time.monotonic() - began)
    await flush(page)
    await site.posted(1)
    await scroll_to(page, 400)
    await page.evaluate("document.querySelector('#inner').scrollTop = 300")
    await wait_in(page, SETTLED_S)
    await flush(page)
    await site.posted(2)
    first, second = site.accepted
    assert [(kind, y) for kind, _, y, _, _ in site.events("s")] == [
        ("s", 0), ("s", 0), ("s", 900), ("s", 900), ("s", 900), ("s", 400), ("s", 400)
    ]  # fmt: skip
    assert (first.depth, second.depth) == (0, 900 + HEIGHT)
    assert [event[3] > 0 for event in site.events("s")] == [False, True, False, True, True, False, True]
    assert 600 <= site.events("s")[1][3] < dwell_ms


async def test_sections_are_named_and_measured_in_page_pixels(site: Site, visit: Visit) -> None:
    page = await visit()
    await scroll_to(page, 500)
    await flush(page)
    await site.posted(1)
    long_name = "名" * 63 + "🍜"
    assert site.accepted[0].sections == [("hero", 0, 1000), ("price", 1000, 2000), (long_name, 2000, 3000)]


async def test_submitted_forms_and_goal_calls_are_goals(site: Site, visit: Visit) -> None:
    page = await visit()
    await page.evaluate("lpstream.goal('reserved')")
    await page.fill("#name", "secret-name")
    await page.locator("#name").press_sequentially("@example.jp")
    await page.click("#form button")
    await page.wait_for_url("**/thanks*")
    await flush(page)
    await site.until(lambda: {"v", "g", "f"} <= set(site.letters))
    assert [site.letters.count(letter) for letter in "vgf"] == [1, 1, 1]
    await site.until(lambda: len({identity[0] for identity in site.identities}) == 2)
    for post in site.posts:
        assert not re.search(rb"secret|example|reserved|thanks|http", post.body)


async def test_a_route_change_starts_a_pageview(site: Site, visit: Visit) -> None:
    page = await visit()
    await page.evaluate("history.pushState({}, '', '/plans')")
    await page.evaluate("history.replaceState({}, '', '/plans?tab=2')")
    await page.go_back()
    await flush(page)
    await site.until(lambda: len({identity[0] for identity in site.identities}) == 3)
    assert [(beacon.seq, beacon.type[0], beacon.depth, beacon.lp_id) for beacon in site.accepted] == [
        (0, "s", 0, "lp_test")
    ] * 3


@pytest.mark.parametrize("first", ["route", "page"])
async def test_a_route_named_by_the_application_is_one_pageview(site: Site, visit: Visit, first: str) -> None:
    page = await visit()
    calls = ["history.pushState({}, '', '/plans')", "lpstream.page('lp_plans')"]
    for call in calls if first == "route" else reversed(calls):
        await page.evaluate(call)
    await flush(page)
    await site.posted(2)
    await asyncio.sleep(0.3)
    assert [(beacon.seq, beacon.lp_id) for beacon in site.accepted] == [(0, "lp_test"), (0, "lp_plans")]


@pytest.mark.firefox_too
async def test_closing_the_page_sends_the_last_events(site: Site, visit: Visit) -> None:
    page = await visit()
    await scroll_to(page, 600)
    await page.mouse.click(200, 700)
    await page.close(run_before_unload=True)
    await site.until(lambda: "c" in site.letters)  # on a busy machine the snippet's timer has posted before
    assert site.events("s")[-1][2] == 600


async def test_hiding_the_page_sends_events_and_stops_the_dwell_time(site: Site, visit: Visit) -> None:
    page = await visit(clock=True)
    await page.clock.pause_at(await page.evaluate("Date.now()") / 1_000 + 1)
    await page.evaluate(HIDE, "hidden")
    await site.until(lambda: len(site.accepted) == 1)
    seen = sum(event[3] for event in site.events("s"))
    assert seen >= 1_000
    await page.clock.run_for(1_500)
    await page.evaluate(HIDE, "visible")
    await page.clock.run_for(300)
    await page.evaluate(HIDE, "hidden")
    await page.close(run_before_unload=True)
    await site.until(lambda: len(site.accepted) == 2)
    assert sum(event[3] for event in site.events("s")) == seen + 300


@pytest.mark.firefox_too
@pytest.mark.whole_chromium
async def test_returning_from_the_back_forward_cache_is_a_pageview(site: Site, visit: Visit) -> None:
    page = await visit()
    await leave_and_return(page, site.url() + "/other")
    await flush(page)
    await site.until(lambda: len(site.accepted) >= 2)  # Firefox drops the first answer, so the snippet sends again
    assert [(beacon.seq, beacon.type[0]) for beacon in site.accepted] == [(0, "s"), (0, "s")]
    assert len({beacon.pageview_id for beacon in site.accepted}) == 2


@pytest.mark.parametrize("answer", [503, 500, 429, 408, CUT])
async def test_a_failed_beacon_is_retried_unchanged(site: Site, visit: Visit, answer: object) -> None:
    page = await visit()
    site.answers.append(answer)
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await site.posted(1)
    await flush(page)
    await asyncio.sleep(1.1)
    await flush(page)
    await site.until(lambda: len(site.accepted) >= 3)
    assert site.posts[1].body == site.posts[0].body
    assert [beacon.seq for beacon in site.accepted] == list(range(len(site.accepted)))
    assert site.letters.count("g") == 1


async def test_retry_after_delays_the_retry(site: Site, visit: Visit) -> None:
    page = await visit()
    site.answers.append((503, {"Retry-After": "3"}))
    await flush(page)
    await site.posted(1)
    while len(site.posts) < 2:
        assert time.monotonic() - site.posts[0].at < 3 + SLACK_S
        await flush(page)
        await asyncio.sleep(0.1)
    assert 2.9 < site.posts[1].at - site.posts[0].at < 6
    assert site.identities[1] == site.identities[0]
    await site.until(lambda: len(site.accepted) > 10)
    assert [beacon.seq for beacon in site.accepted] == list(range(len(site.accepted)))


async def test_a_hanging_request_times_out_and_is_retried(site: Site, visit: Visit) -> None:
    timer = "const cut = new AbortController(); setTimeout(() => cut.abort(), ms); return cut.signal"
    page = await visit(clock=True, init=f"AbortSignal.timeout = (ms) => {{ {timer} }}")  # Playwright's clock has none
    site.answers.append(HANG)
    await flush(page)
    await site.posted(1)
    await page.clock.run_for(16_000)
    await asyncio.sleep(0.2)
    await page.clock.run_for(6_000)
    await site.until(lambda: len(site.accepted) >= 3)
    assert site.identities[1] == site.identities[0]
    assert [beacon.seq for beacon in site.accepted] == list(range(len(site.accepted)))


async def test_leaving_during_a_hanging_request_sends_the_rest(site: Site, visit: Visit) -> None:
    page = await visit()
    site.answers.append(HANG)
    await flush(page)
    await site.posted(1)
    await flush(page)
    await page.mouse.click(200, 700)
    await page.goto(site.url() + "/other")
    await site.until(lambda: len(site.posts) >= 3 and "c" in site.letters)
    sent = {seq for _, seq in site.identities}  # the beacon of the request that hangs may come again
    assert sorted(sent) == list(range(len(sent)))


@pytest.mark.parametrize("status", [400, 403, 413, 422])
async def test_a_refused_beacon_is_not_retried(site: Site, visit: Visit, status: int) -> None:
    page = await visit()
    site.answers.append(status)
    await flush(page)
    await site.posted(1)
    await asyncio.sleep(1.1)
    await flush(page)
    await site.posted(2)
    assert [seq for _, seq in site.identities] == list(range(len(site.posts))), "none twice"


async def test_a_tried_beacon_is_dropped_after_twenty_minutes(site: Site, visit: Visit) -> None:
    page = await visit(clock=True)
    site.always = 503
    await flush(page)
    await site.posted(1)
    await flush(page)
    for minutes, expected in ((19, 0), (2, 1)):
        await asyncio.sleep(0.3)
        before = len(site.posts)
        await page.clock.fast_forward(minutes * 60_000)
        await flush(page)
        await site.posted(before + 1)
        assert [seq for _, seq in site.identities[before:]] == [expected]


@pytest.mark.parametrize("broken", ["throw new Error('ours')", "return Promise.reject(new Error('ours'))"])
async def test_a_broken_fetch_causes_no_error_in_the_page(site: Site, visit: Visit, broken: str) -> None:
    watch = "addEventListener('unhandledrejection', () => { window.seen = true });"
    page = await visit(init=f"{watch} window.fetch = () => {{ {broken} }}")
    await flush(page)
    await page.evaluate("lpstream.goal()")
    await flush(page)
    await asyncio.sleep(0.3)
    assert not await page.evaluate("window.seen")
    assert site.posts == []


async def test_the_kafka_rest_transport_retries_record_errors(site: Site, visit: Visit) -> None:
    def rest_answer(error: int | None) -> tuple[int, dict[str, str], str]:
        offset: dict[str, Any] = {"partition": 0, "offset": 7, "error_code": error, "error": error and "not now"}
        headers = {"Content-Type": "application/vnd.kafka.v2+json"}
        return 200, headers, json.dumps({"offsets": [offset]})

    page = await visit(host="shop.test", options=f'data-transport="kafka-rest" data-endpoint="{site.url()}/"')
    site.answers.append(rest_answer(50003))
    site.always = rest_answer(None)
    await flush(page)
    await site.posted(1)
    await asyncio.sleep(1.2)
    await flush(page)
    await site.posted(3)
    assert {post.path for post in site.posts} == {"/topics/heatmap.events"}
    seqs = [seq for _, seq in site.identities]
    assert seqs[:3] == [0, 0, 1]
    assert seqs[3:] == list(range(2, len(seqs) - 1)), "the snippet's timer may send more on a busy machine"


async def test_a_sleep_of_the_machine_is_not_counted_as_dwell(site: Site, visit: Visit) -> None:
    page = await visit(clock=True)
    now_s = await page.evaluate("Date.now()") / 1_000 + 1
    await page.clock.pause_at(now_s)
    await page.mouse.move(300, 200)
    await page.clock.run_for(800)
    await page.mouse.click(300, 200)
    await page.clock.set_system_time(now_s + 4 * 3_600)
    await page.clock.run_for(1)  # two clicks at the same time would be one
    await page.mouse.click(320, 210)
    await page.evaluate(SCROLLED, 600)
    await page.clock.run_for(300)
    await flush(page)
    await page.goto("about:blank")
    await site.until(lambda: len(site.events("cd")) == 2)
    assert sorted(event[:3] for event in site.events("cd")) == [("c", 300, 200), ("c", 320, 210)]
    assert max(max(beacon.dt) for beacon in site.accepted) <= 60_000
    assert max(max(beacon.dwell) for beacon in site.accepted) <= 60_000
