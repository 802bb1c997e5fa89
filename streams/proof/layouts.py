"""Layouts of published pages in a real browser: where visitors of the model click."""

from dataclasses import replace
from typing import TYPE_CHECKING

from streams.proof.visitors import HotSpot, Page, page_of

if TYPE_CHECKING:
    from playwright.async_api import Browser

SCREENS = {"mobile": (390, 844), "tablet": (820, 1_180), "desktop": (1_440, 900)}
CALLS = """() => [...document.querySelectorAll("main .call")].map(one => [one.getBoundingClientRect(), one])
  .filter(([box]) => box.width)
  .map(([box, one]) => [box.x + box.width / 2, box.y + scrollY + box.height / 2, one.dataset.element])"""
SECTIONS = """() => [...document.querySelectorAll("[data-section]")].map(one => [one.dataset.section,
  Math.round(one.getBoundingClientRect().top + scrollY), Math.round(one.getBoundingClientRect().bottom + scrollY)])"""


async def places_of(browser: "Browser", url: str, lp_id: str) -> dict[str, Page]:
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
            HotSpot(round(x), round(y), 9, share, element) for (x, y, element), share in zip(calls, shares, strict=True)
        )
        found[device] = replace(
            page_of(lp_id, device),
            width=width,
            viewport_h=height,
            height=tall,
            hot_spots=spots,
            sections=tuple((name, top, bottom) for name, top, bottom in sections if bottom > top),
        )
    return found
