"""The encoder of drawings: Chromium renders them, Pillow encodes them, fonttools subsets the fonts.

For developers only: needs the `dev` extra and a Chromium on PATH.
"""

import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.async_api import async_playwright

from schemas.errors import LpstreamError

FOLDER = Path(__file__).parent
QUALITY = {"avif": 58, "webp": 76}


def drawings() -> dict[str, str]:
    """Return every drawing (SVG) by its name, `<design>-<role>`."""
    return {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.svg"))}


async def render(drawings: dict[str, str], widths: dict[str, tuple[int, ...]], target: Path) -> None:
    """Write each drawing (SVG by `<design>-<role>`) as AVIF and WebP in the widths of its role.

    Raise LpstreamError if there is no Chromium.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise LpstreamError("there is no chromium on PATH; install Debian's package chromium")
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        for name, drawing in drawings.items():
            page = await browser.new_page(viewport={"width": 1_600, "height": 1_000})
            await page.set_content(f"<style>body{{margin:0}}svg{{display:block}}</style>{drawing}")
            shot = await page.locator("body > svg").screenshot()
            await page.close()
            encode(Image.open(io.BytesIO(shot)).convert("RGB"), name, widths[name.rpartition("-")[2]], target)
        await browser.close()


def encode(picture: Image.Image, name: str, widths: tuple[int, ...], target: Path) -> None:
    """Write a picture in all widths and formats, as `<name>-<width>.<format>`."""
    for width in widths:
        small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        for suffix, quality in QUALITY.items():
            small.save(target / f"{name}-{width}.{suffix}", quality=quality, speed=4, method=6)


def cut_font(source: Path, target: Path) -> None:
    """Write a font subset as WOFF2: Latin and the letters of cp932 (JIS X 0208 with extensions)."""
    from fontTools import subset

    options = subset.Options()
    options.flavor, options.hinting, options.desubroutinize = "woff2", False, True
    options.layout_features = ["kern", "palt", "vert", "vrt2", "ccmp", "liga", "locl"]
    font = subset.load_font(source, options)
    cutter = subset.Subsetter(options)
    cutter.populate(text=_letters())
    cutter.subset(font)
    subset.save_font(font, target, options)


def _letters() -> str:
    letters = {chr(code) for code in range(0x20, 0x17F)} | set("〜−―–—‖¥€©®™•·")
    for lead in range(0x81, 0xFD):
        letters |= set(bytes(byte for low in range(0x40, 0xFD) for byte in (lead, low)).decode("cp932", "ignore"))
    return "".join(sorted(letters))
