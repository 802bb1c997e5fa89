"""A published page with visits that click its calls to action."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from beacons import assert_counted, post
from page_requests import full
from playwright.async_api import Browser

from infra.embedded.stack import Stack
from streams.client import over_http
from streams.local.installation import Installation
from streams.proof.layouts import places_of
from streams.proof.visitors import DEVICE_WEIGHTS, Page, Visit, tally

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
