"""Layouts of published pages in a real browser: elements that visitors click, and their names."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processors
from infra.screenshots import FACES
from processors.experiments.assignment import COOKIE
from streams.proof.visitors import HotSpot, Page, page_of

if TYPE_CHECKING:
    from playwright.async_api import Browser, Route
    from playwright.async_api import Page as Tab

SCREENS = {"mobile": (390, 844), "tablet": (820, 1_180), "desktop": (1_440, 900)}
# Links, buttons and pictures that can be seen: kind, box, whether it stays on screen, and the name that the snippet
# gives it (`nameOf` in streams/edge/tracker/t.js).
ELEMENTS = """() => {
  const stays = (one) => one && (getComputedStyle(one).position === "fixed" || stays(one.parentElement));
  const nameOf = (one) => {
    const around = one.closest("[data-section],[id],html");
    const place = [...around.getElementsByTagName(one.localName)].indexOf(one) + 1;
    return one.dataset.element || one.id || `${around.dataset.section || around.id}>${one.localName}:${place}`;
  };
  return [...document.querySelectorAll("[data-element],main img")].map((one) => {
    const { x, y, width, height } = one.getBoundingClientRect(), fixed = stays(one) || false;
    const kind = one.matches(".call") ? "call" : one.localName === "img" ? "picture" : "link";
    return { kind, x, y: y + (fixed ? 0 : scrollY), width, height, fixed, name: nameOf(one) };
  }).filter(({ x, y, width, height }) => width > 4 && height > 4 && x >= 0 && y >= 0);
}"""
SECTIONS = """() => [...document.querySelectorAll("[data-section]")].map(one => [one.dataset.section,
  Math.round(one.getBoundingClientRect().top + scrollY), Math.round(one.getBoundingClientRect().bottom + scrollY)])"""
# bars that stay on screen may hide in the first view
SCROLL = "scrollTo({ top: document.documentElement.scrollHeight / 2, behavior: 'instant' })"
# `add_style_tag` waits for an event that a page without scripts never gets
ADD_FONTS = """(css) => { const style = document.createElement("style"); style.textContent = css;
  document.head.append(style); return document.body.offsetHeight && document.fonts.ready.then(() => true) }"""
TALL = "document.documentElement.scrollHeight"
SETTLE_MS = 100
FONT_FOLDER = Path(processors.__file__).parent / "templates" / "fonts"
# clicks per view, twice
FIRST_CALL, CALL, LINK, PICTURE, BAR = 0.6, 0.3, 0.05, 0.008, 0.06
USUAL_DEAD, NEVER_WORKS = 0.03, 1.0


async def layouts(
    chromium: str | None, url: str, lp_ids: list[str], page: str | None = None
) -> dict[str, dict[str, Page]]:
    """Return the layouts of pages by page and device, as a Chromium shows them.

    Without a Chromium, they are those of the model. `page` is the page whose experiment has the others as arms.
    """
    if chromium is None:
        return {lp_id: {device: page_of(lp_id, device) for device in SCREENS} for lp_id in lp_ids}
    from playwright.async_api import async_playwright  # it is an extra

    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        try:
            return await _measured(browser, url, lp_ids, page)
        finally:
            await browser.close()


async def places_of(browser: "Browser", url: str, lp_id: str) -> dict[str, Page]:
    """Return the page's layout in a browser for each device.

    Hot spots are its links, buttons and pictures; the first call to action comes first.
    """
    return (await _measured(browser, url, [lp_id], None))[lp_id]


async def _measured(browser: "Browser", url: str, lp_ids: list[str], page_id: str | None) -> dict[str, dict[str, Page]]:
    found: dict[str, dict[str, Page]] = {lp_id: {} for lp_id in lp_ids}
    for device, (width, height) in SCREENS.items():
        # Without scripts, so that the measurement is not counted as a visit, and with the fonts of the screenshots.
        context = await browser.new_context(
            viewport={"width": width, "height": height}, java_script_enabled=False, bypass_csp=True
        )
        await context.route("**/fonts/*.woff2", _font)
        tab = await context.new_page()
        for lp_id in lp_ids:
            address = f"{url}/lp/{page_id or lp_id}"
            await context.add_cookies([{"name": COOKIE, "value": lp_id, "url": address}])
            await tab.goto(address, wait_until="domcontentloaded")
            found[lp_id][device] = await _layout(tab, page_of(lp_id, device), width, height)
        await context.close()
    return found


async def _layout(tab: "Tab", model: Page, width: int, height: int) -> Page:
    """Return the model of a page with the places of the page in the tab."""
    await tab.evaluate(ADD_FONTS, FACES)
    await tab.evaluate(SCROLL)
    await tab.wait_for_timeout(SETTLE_MS)
    elements = await tab.evaluate(ELEMENTS)
    sections = await tab.evaluate(SECTIONS)
    return replace(
        model,
        width=width,
        viewport_h=height,
        height=await tab.evaluate(TALL),
        hot_spots=tuple(_spots([one for one in elements if not one["fixed"]])),
        bar=tuple(_spot(one, BAR, 0.0) for one in elements if one["fixed"]),
        sections=tuple((name, top, bottom) for name, top, bottom in sections if bottom > top),
    )


async def _font(route: "Route") -> None:
    font = FONT_FOLDER / route.request.url.rpartition("/")[2]
    await route.fulfill(path=font, content_type="font/woff2", headers={"Access-Control-Allow-Origin": "*"})


def _spots(elements: list[dict[str, Any]]) -> list[HotSpot]:
    """Return hot spots, calls to action first. Pictures do nothing when they are clicked."""
    calls = [one for one in elements if one["kind"] == "call"]
    spots = [_spot(one, CALL if at else FIRST_CALL, USUAL_DEAD) for at, one in enumerate(calls)]
    spots += [_spot(one, LINK, USUAL_DEAD) for one in elements if one["kind"] == "link"]
    return spots + [_spot(one, PICTURE, NEVER_WORKS) for one in elements if one["kind"] == "picture"]


def _spot(element: dict[str, Any], share: float, dead: float) -> HotSpot:
    spread = min(element["width"], element["height"]) / 6
    middle = (element["x"] + element["width"] / 2, element["y"] + element["height"] / 2)
    return HotSpot(round(middle[0]), round(middle[1]), spread, share, element["name"], dead)
