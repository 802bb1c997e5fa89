"""The snippet's share of a page's main thread, measured with the browser's profiler.

Short for every change; LPSTREAM_GUARANTEES=full takes a minute. The figures are printed: `pytest -s`.
"""

import asyncio
import os
import random
import time
from typing import Any

import pytest
from conftest import HEIGHT, WIDTH, Site, Visit
from playwright.async_api import CDPSession, Page

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.chromium_only("reads Chromium's profiler by CDP"),
]

FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
SECONDS, ROUNDS, LONG_MS = (60 if FULL else 6), 4, 50
MOVES_A_S, SAMPLE_US = 60, 100
MOST_SHARE = 0.01
# A heavier page: 3,000 elements, up to 12 levels deep.
CROWD = """() => {
  for (let row = 0; row < 250; row++) {
    let box = document.querySelector("main");
    for (let depth = 0; depth < 12; depth++) box = box.appendChild(document.createElement("div"));
    box.textContent = "行 " + row;
  }
}"""


async def test_the_snippet_uses_under_one_percent_of_the_main_thread(site: Site, visit: Visit) -> None:
    page = await visit()
    await page.evaluate(CROWD)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("Profiler.enable")
    await session.send("Profiler.setSamplingInterval", {"interval": SAMPLE_US})
    before = await _task_s(session)
    await session.send("Profiler.start")
    moves = await _busy(page)
    profile = (await session.send("Profiler.stop"))["profile"]
    all_tasks = await _task_s(session) - before
    took, seconds = _took_s(profile, "/t.js"), (profile["endTime"] - profile["startTime"]) / 1e6
    a_minute = 60_000 * took / seconds
    print(
        f"\nt.js: {a_minute:.0f} ms of the main thread a minute at {moves / seconds:.0f} mouse moves/s,"
        f" of {60_000 * all_tasks / seconds:,.0f} ms that the page takes in all"
    )
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: site.events("m") and site.events("crd"))
    assert 0 < took < (MOST_SHARE if FULL else 3 * MOST_SHARE) * seconds, "a busy machine makes the share larger"


LISTENERS = """window.active = [];
const original = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function (name, work, options) {
  if (new Error().stack.includes("/t.js") && !(options && options.passive)) active.push(name);
  return original.call(this, name, work, options);
};"""
# the longest script of each frame that took more than 50 ms, by its address
LONG = """window.long = [];
new PerformanceObserver((list) => {
  for (const { scripts } of list.getEntries()) for (const one of scripts) long.push([one.sourceURL, one.duration]);
}).observe({ type: "long-animation-frame", buffered: true });"""


async def test_every_listener_of_the_snippet_is_passive(site: Site, visit: Visit) -> None:
    page = await visit(init=LISTENERS)
    assert await page.evaluate("active") == []


async def test_the_snippet_makes_no_long_task_on_a_slow_processor(site: Site, visit: Visit) -> None:
    page = await visit(init=LONG)
    await page.evaluate(CROWD)
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    longest = []
    for _ in range(ROUNDS if FULL else 1):  # other programs make tasks longer, never shorter
        await page.evaluate("long = []")
        moves = await _busy(page)
        await page.evaluate("lpstream.flush()")
        ours = [duration for url, duration in await page.evaluate("long") if "/t.js" in url]
        longest.append(round(max(ours, default=0)))
        if longest[-1] <= LONG_MS:
            break
    print(f"\nt.js on a processor slowed 6 times: {moves} mouse moves a round, longest tasks {longest} ms")
    assert site.events("m") or site.events("crd")
    assert not FULL or longest[-1] <= LONG_MS


async def _busy(page: Page) -> int:
    """Move the mouse, and click, scroll or rest every second; return the number of moves."""
    rng, started, moves, x, y = random.Random(1), time.monotonic(), 0, WIDTH / 2, HEIGHT / 2
    for second in range(SECONDS):
        while (now := time.monotonic() - started) < second + 1:
            x, y = (min(max(5, at + rng.gauss(0, 25)), most - 5) for at, most in ((x, WIDTH), (y, HEIGHT)))
            await page.mouse.move(x, y)
            moves += 1
            await asyncio.sleep(1 / MOVES_A_S - (time.monotonic() - started - now))
        if second % 3 == 0:
            await page.mouse.click(x, y)
        elif second % 3 == 1:
            await page.mouse.wheel(0, rng.choice([-300, 300]))
        else:
            await asyncio.sleep(0.7)
    return moves


async def _task_s(session: CDPSession) -> float:
    """Return the seconds that the page's main thread has worked."""
    metrics = await session.send("Performance.getMetrics")
    return float(next(one["value"] for one in metrics["metrics"] if one["name"] == "TaskDuration"))


def _took_s(profile: dict[str, Any], script: str) -> float:
    """Return the seconds of all samples that have a function of the script on the stack."""
    parents = {child: node["id"] for node in profile["nodes"] for child in node.get("children", [])}
    own = {node["id"] for node in profile["nodes"] if node["callFrame"]["url"].endswith(script)}

    def is_ours(node: int | None) -> bool:
        while node is not None and node not in own:
            node = parents.get(node)
        return node is not None

    return (
        sum(delta for node, delta in zip(profile["samples"], profile["timeDeltas"], strict=True) if is_ours(node)) / 1e6
    )
