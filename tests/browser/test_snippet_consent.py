"""Visitors that the snippet must not measure: refusals, consent and sampling, in a real browser."""

import asyncio

import pytest
from conftest import Site, Visit, scroll_to
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def flush(page: Page) -> None:
    await page.evaluate("lpstream.flush()")


@pytest.mark.parametrize(
    "refusal",
    [
        "Object.defineProperty(navigator, 'doNotTrack', { get: () => '1' })",
        "Object.defineProperty(navigator, 'globalPrivacyControl', { get: () => true })",
    ],
)
async def test_do_not_track_and_gpc_override_consent(site: Site, visit: Visit, refusal: str) -> None:
    page = await visit(init=refusal)
    await page.evaluate("lpstream.consent(true)")
    await use_and_leave(page)
    assert site.posts == []


async def test_a_sample_of_zero_sends_no_beacons(site: Site, visit: Visit) -> None:
    page = await visit(options="data-sample=0")
    await page.evaluate("lpstream.consent(true)")
    await use_and_leave(page)
    assert site.posts == []


@pytest.mark.parametrize(("sample", "rate"), [("0.999999", 0.999999), ("7", 1.0), ("all", 1.0)])
async def test_the_sampling_rate_is_sent(site: Site, visit: Visit, sample: str, rate: float) -> None:
    page = await visit(options=f"data-sample={sample}")
    await flush(page)
    await site.posted(1)
    assert site.accepted[0].rate == rate


async def use_and_leave(page: Page) -> None:
    await page.mouse.click(200, 700)
    await page.evaluate("lpstream.goal(); lpstream.page('lp_b'); history.pushState({}, '', '/c')")
    await scroll_to(page, 300)
    await flush(page)
    await page.goto("about:blank")
    await asyncio.sleep(0.5)


async def test_events_without_consent_are_not_measured(site: Site, visit: Visit) -> None:
    page = await visit(options='data-consent="required"')
    await page.mouse.click(200, 700)
    await scroll_to(page, 300)
    await flush(page)
    await asyncio.sleep(0.3)
    assert site.posts == []
    await page.evaluate("lpstream.consent(true); lpstream.consent(true)")
    await flush(page)
    await site.posted(1)
    await page.evaluate("lpstream.consent(false)")
    await page.mouse.click(200, 700)
    await scroll_to(page, 900)
    await flush(page)
    await page.evaluate("lpstream.goal(); lpstream.consent(true)")
    await flush(page)
    await site.posted(2)
    assert [event[0] for event in site.events("crdmg")] == []
    first = [(beacon.type[0], beacon.y[0]) for beacon in site.accepted if beacon.seq == 0]
    assert first == [("s", 300), ("s", 900)]
