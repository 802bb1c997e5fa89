"""The contrast of focus rings, measured in pixels: with the focus and without it."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.async_api import Page

LEAST, MOST = 3.0, 80
FOCUSED = """() => { const one = document.activeElement, box = one.getBoundingClientRect();
  const [left, top, right, bottom] = [Math.max(0, box.left), Math.max(0, box.top),
    Math.min(innerWidth, box.right), Math.min(innerHeight, box.bottom)];
  const place = [...document.querySelectorAll("body *")].indexOf(one);
  return [place, one.outerHTML.slice(0, 90), (right - left + bottom - top) * 2]; }"""


async def luminances(page: Page) -> npt.NDArray[np.float64]:
    """Return the relative luminance (WCAG 2) of each pixel in view."""
    picture = np.asarray(Image.open(io.BytesIO(await page.screenshot(caret="hide"))).convert("RGB")) / 255
    linear = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]))


async def weak_rings(page: Page) -> tuple[int, list[str]]:
    """Press Tab through the page. Return the number of stops, and those whose ring is weak.

    A ring is strong if pixels of two thirds of its length, two pixels wide, change by 3:1 (WCAG 2.2, 2.4.13).
    """
    stops, weak = 0, []
    # an autofocused field would hide the stops before it
    await page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    seen = {-1}  # the body: the end of the page
    while stops < MOST:
        await page.keyboard.press("Tab")
        place, name, length = await page.evaluate(FOCUSED)
        if place in seen:
            break
        seen.add(place)
        stops += 1
        on = await luminances(page)
        await page.evaluate("document.activeElement.blur()")
        off = await luminances(page)
        contrast = (np.maximum(on, off) + 0.05) / (np.minimum(on, off) + 0.05)
        if np.count_nonzero(contrast >= LEAST) < length * 2 * 0.66:
            weak.append(name)
    return stops, weak
