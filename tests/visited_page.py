"""A published page with visits that click its calls to action."""

import asyncio
import random
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from beacons import assert_counted, post
from page_requests import full
from playwright.async_api import Browser

from infra.embedded.stack import Stack
from streams.client import over_http
from streams.local.installation import Installation
from streams.proof.visitors import DEVICE_WEIGHTS, HotSpot, Page, Visit, page_of, tally

SCREENS = {"mobile": (390, 844), "tablet": (820, 1_180), "desktop": (1_440, 900)}
CALLS = """() => [...document.querySelectorAll("main .call")].map(one => one.getBoundingClientRect())
  .filter(box => box.width).map(box => [box.x + box.width / 2, box.y + scrollY + box.height / 2])"""
SECTIONS = """() => [...document.querySelectorAll("[data-section]")].map(one => [one.dataset.section,
  Math.round(one.getBoundingClientRect().top + scrollY), Math.round(one.getBoundingClientRect().bottom + scrollY)])"""
CONNECTIONS = 16


@dataclass(frozen=True)
class VisitedPage:
    """A published page: its ids, its layout by device, and the number of events sent."""

    lp_id: str
    request_id: UUID
    places: dict[str, Page]
    events: int


async def publish(services: Installation, **rest: Any) -> tuple[UUID, str]:
    """Request a page and wait for it; return the request id and the lp_id."""
    request = full(rest.pop("industry", "美容"), request_id=uuid4(), tenant_id="demo", **rest)
    async with over_http(services.api_url, services.token) as pages:
        await pages.request(request)
        result = await pages.result(request.request_id)
    assert result.lp_id is not None, result
    return request.request_id, result.lp_id


async def places_of(browser: Browser, url: str, lp_id: str) -> dict[str, Page]:
    """Return the page's layout in a browser for each device, with its calls to action as hot spots."""
    found = {}
    for device, (width, height) in SCREENS.items():
        # Without scripts, so that the measurement is not counted as a visit.
        context = await browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{url}/lp/{lp_id}")
        calls = await page.evaluate(CALLS)
        tall = await page.evaluate("document.documentElement.scrollHeight")
        sections = await page.evaluate(SECTIONS)
        await context.close()
        shares = [0.6, *[0.3] * (len(calls) - 1)]
        spots = tuple(
            HotSpot(round(x), round(y), 9, share, f"call-{at}")
            for at, ((x, y), share) in enumerate(zip(calls, shares, strict=True))
        )
        layout = page_of(lp_id, device)
        found[device] = replace(
            layout,
            width=width,
            viewport_h=height,
            height=tall,
            hot_spots=spots,
            sections=tuple((name, top, bottom) for name, top, bottom in sections if bottom > top),
        )
    return found


async def visit(
    stack: Stack, services: Installation, places: dict[str, Page], count: int, *, ago_ms: int = 0, seed: int = 5
) -> int:
    """Post `count` visits of the ten minutes that end `ago_ms` ago; return the number of their events."""
    rng = random.Random(seed)
    start = int(time.time() * 1000) - ago_ms - 600_000
    beacons = [
        beacon
        for _ in range(count)
        for beacon in Visit(
            rng, places[rng.choices(list(places), DEVICE_WEIGHTS)[0]], start + rng.randrange(540_000)
        ).beacons()
    ]
    waiting = iter(beacons)

    async def worker(session: aiohttp.ClientSession) -> None:
        for beacon in waiting:
            assert await post(session, services, beacon) == 204

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    return tally(beacons).total()


async def visited_page(stack: Stack, services: Installation, browser: Browser, count: int, **rest: Any) -> VisitedPage:
    """Publish a page, send that many visits, and wait until they are counted."""
    request_id, lp_id = await publish(services, **rest)
    places = await places_of(browser, services.edge_url, lp_id)
    events = await visit(stack, services, places, count)
    await assert_counted(stack, lp_id, events)
    return VisitedPage(lp_id, request_id, places, events)
