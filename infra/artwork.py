"""`make pictures`: the drawings rendered by Chromium, encoded, and laid among the templates; fonts cut to size.

Run as `python -m infra.artwork DRAWINGS TARGET`: DRAWINGS holds `<design>-<role>.svg`. Needs the `dev` extra and a
Chromium on the path.
"""

import asyncio
import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.async_api import async_playwright

WIDTHS = {"hero": (640, 1080, 1600), "detail": (480, 960)}
QUALITY = {"avif": 58, "webp": 76}


async def render(drawings: list[Path], target: Path) -> None:
    """Each drawing as AVIF and WebP in its widths."""
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for drawing in drawings:
            page = await browser.new_page()
            await page.set_content(f"<style>body{{margin:0}}svg{{display:block}}</style>{drawing.read_text('utf-8')}")
            shot = await page.locator("svg").screenshot()
            await page.close()
            encode(Image.open(io.BytesIO(shot)).convert("RGB"), drawing.stem, target)
        await browser.close()


def encode(picture: Image.Image, name: str, target: Path) -> None:
    """One picture in all widths and formats."""
    for width in WIDTHS[name.rpartition("-")[2]]:
        small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        for suffix, quality in QUALITY.items():
            small.save(target / f"{name}-{width}.{suffix}", quality=quality, speed=4, method=6)


if __name__ == "__main__":
    asyncio.run(render(sorted(Path(sys.argv[1]).glob("*.svg")), Path(sys.argv[2])))
