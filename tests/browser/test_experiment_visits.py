"""Fifty visits by Chromium with the real snippet through an experiment.

Each counts once, for the arm that the visitor saw.
"""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest
from beacons import analyst
from conftest import person
from harness import full_only
from playwright.async_api import Browser, BrowserContext
from visited_page import publish

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
VISITS, RETURNING, GOALS, WITHIN_S = 50, 0.3, 0.4, 60
ARM = 'document.querySelector("script[data-lp-id]").dataset.lpId'
COUNTS = "SELECT lp_id, sum(pageviews) AS views, sum(conversions) AS goals, sum(clicks) AS clicks FROM lp_windows"


async def started(installation: Installation, arms: list[str]) -> None:
    """Start the experiment, and wait until the edge serves it."""
    headers = {"Authorization": f"Bearer {installation.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(WITHIN_S):
        body = {"lp_id": arms[0], "arms": arms}
        async with session.post(f"{installation.api_url}/experiments", json=body) as answer:
            assert answer.status == 202, await answer.text()
        while True:
            async with session.get(f"{installation.edge_url}/lp/{arms[0]}") as answer:
                if "no-store" in answer.headers["Cache-Control"]:
                    return
            await asyncio.sleep(0.2)


async def counted(stack: Stack, expected: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
    """Return pageviews, conversions and clicks by arm, once they are as expected or after WITHIN_S."""
    clickhouse = analyst(stack)
    until = time.monotonic() + WITHIN_S
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
    """Visit the page, and click its telephone number for a goal. Return the arm that was shown."""
    page = await context.new_page()
    await page.goto(url)
    while not await page.evaluate("window.lpstream?.running"):
        await asyncio.sleep(0.02)
    arm: str = await page.evaluate(ARM)
    if goal:
        await page.locator("a.top-tel").click()
    # another page in its place: the snippet sends the rest
    await page.goto("about:blank")
    await page.close()
    return arm


@full_only
@pytest.mark.chromium_only("counts visits by arm; test_snippet.py compares the engines")
async def test_fifty_visits_by_a_browser_count_for_their_arms(
    stack: Stack, installation: Installation, browser: Browser
) -> None:
    arms = [(await publish(installation, keywords=[word]))[1] for word in ("カット", "カラー")]
    await started(installation, arms)
    rng, url = random.Random(50), f"{installation.edge_url}/lp/{arms[0]}"
    known: list[tuple[BrowserContext, str]] = []
    views: Counter[str] = Counter()
    goals: Counter[str] = Counter()
    moved = 0
    for _ in range(VISITS):
        goal = rng.random() < GOALS
        if known and rng.random() < RETURNING:
            context, before = rng.choice(known)
            arm = await visited(context, url, goal=goal)
            moved += arm != before
        else:
            context = await person(browser)
            arm = await visited(context, url, goal=goal)
            cookies: list[Any] = await context.cookies(url)
            assert [(one["name"], one["value"]) for one in cookies] == [("lpa", arm)]
            known.append((context, arm))
        views[arm] += 1
        goals[arm] += goal
    for context, _ in known:
        await context.close()
    expected = {arm: (views[arm], goals[arm], goals[arm]) for arm in arms if views[arm]}
    found = await counted(stack, expected)
    assert found == expected and moved == 0 and views.total() == VISITS
