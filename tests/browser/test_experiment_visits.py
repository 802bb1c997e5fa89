"""Fifty visits by Chromium with the real snippet through an experiment.

Each counts once, for the arm that the visitor saw.
"""

import asyncio
import random
import time
from collections import Counter

import aiohttp
import pytest
from beacons import analyst
from conftest import person
from harness import full_only
from patience import PATIENCE_S
from playwright.async_api import Browser, BrowserContext
from visited_page import publish

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
VISITS, RETURNING, GOALS, AT_ONCE = 50, 15, 0.4, 5
ARM = 'document.querySelector("script[data-lp-id]").dataset.lpId'
COUNTS = "SELECT lp_id, sum(pageviews) AS views, sum(conversions) AS goals, sum(clicks) AS clicks FROM lp_windows"


async def started(installation: Installation, arms: list[str]) -> None:
    """Start the experiment, and wait until the edge serves it."""
    headers = {"Authorization": f"Bearer {installation.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(PATIENCE_S):
        body = {"lp_id": arms[0], "arms": arms}
        async with session.post(f"{installation.api_url}/experiments", json=body) as answer:
            assert answer.status == 202, await answer.text()
        while True:
            async with session.get(f"{installation.edge_url}/lp/{arms[0]}") as answer:
                if "no-store" in answer.headers["Cache-Control"]:
                    return
            await asyncio.sleep(0.2)


async def counted(stack: Stack, expected: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
    """Return pageviews, conversions and clicks by arm, once they are as expected or after PATIENCE_S."""
    clickhouse = analyst(stack)
    until = time.monotonic() + PATIENCE_S
    try:
        while True:
            rows = await clickhouse.rows(f"{COUNTS} GROUP BY lp_id")
            found = {
                row["lp_id"]: (int(row["views"]), int(row["goals"]), int(row["clicks"]))
                for row in rows
                if row["lp_id"] in expected
            }
            if found == expected or time.monotonic() > until:
                return found
            await asyncio.sleep(0.5)
    finally:
        await clickhouse.close()


async def visited(context: BrowserContext, url: str, *, goal: bool) -> str:
    """Visit the page, and click its telephone number for a goal. Return the arm that was shown.

    The visit ends when the edge has acknowledged its beacon: a context that closes would take a beacon with it.
    """
    page = await context.new_page()
    async with page.expect_response(
        lambda answer: "/e/heatmap.events" in answer.url, timeout=1_000 * PATIENCE_S
    ) as acknowledged:
        await page.goto(url)
        while not await page.evaluate("window.lpstream?.running"):
            await asyncio.sleep(0.02)
        arm: str = await page.evaluate(ARM)
        if goal:
            await page.locator("a.top-tel").click()
    assert (await acknowledged.value).status == 204
    await page.close()
    return arm


async def visitor(browser: Browser, url: str, goals: list[bool], seen: list[tuple[str, bool]]) -> bool:
    """Visit the page once for each of the goals, as one person. Return whether the arm stayed the same."""
    context = await person(browser)
    arms = [await visited(context, url, goal=goal) for goal in goals]
    seen += zip(arms, goals, strict=True)
    kept = [(one["name"], one["value"]) for one in await context.cookies(url)]
    await context.close()
    return set(arms) == {arms[0]} and kept == [("lpa", arms[0])]


@full_only
@pytest.mark.chromium_only("counts visits by arm; test_snippet.py compares the engines")
async def test_fifty_visits_by_a_browser_count_for_their_arms(
    stack: Stack, installation: Installation, browser: Browser
) -> None:
    arms = [(await publish(installation, keywords=[word]))[1] for word in ("カット", "カラー")]
    await started(installation, arms)
    rng, url, seen = random.Random(50), f"{installation.edge_url}/lp/{arms[0]}", list[tuple[str, bool]]()
    people = [[rng.random() < GOALS for _ in range(1 + (number < RETURNING))] for number in range(VISITS - RETURNING)]
    doors = asyncio.Semaphore(AT_ONCE)

    async def come(goals: list[bool]) -> bool:
        async with doors:
            return await visitor(browser, url, goals, seen)

    stayed = await asyncio.gather(*(come(goals) for goals in people))
    views, goals = Counter(arm for arm, _ in seen), Counter(arm for arm, goal in seen if goal)
    expected = {arm: (views[arm], goals[arm], goals[arm]) for arm in arms if views[arm]}
    assert len(seen) == VISITS and all(stayed)
    assert await counted(stack, expected) == expected
