"""A browser with only the cards' fonts, so that layouts are the same on every machine."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fontTools.ttLib import TTFont
from playwright.async_api import Browser, async_playwright

import processors

WHOLE = shutil.which("chromium")
# The same browser without windows, tabs and menus takes a fifth of the processor time. The full run has the whole one.
SHELL = shutil.which("chromium-headless-shell")
CHROMIUM = (WHOLE or SHELL) if os.environ.get("LPSTREAM_GUARANTEES") == "full" else (SHELL or WHOLE)
CONFIG = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>{fonts}</dir>
<cachedir>{fonts}/cache</cachedir></fontconfig>"""


def write_fonts(folder: Path) -> dict[str, str]:
    """Write the fonts to the folder; return the environment variables that make a browser use only these."""
    for source in (Path(processors.__file__).parent / "templates" / "fonts").glob("*.woff2"):
        font = TTFont(source)
        font.flavor = None
        font.save(folder / f"{source.stem}.ttf")
    (folder / "fonts.conf").write_text(CONFIG.format(fonts=folder), encoding="utf-8")
    return {"FONTCONFIG_FILE": str(folder / "fonts.conf")}


@asynccontextmanager
async def launched(fonts: dict[str, str]) -> AsyncIterator[Browser]:
    """Run Chromium with these environment variables."""
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, env={**os.environ, **fonts}
        )
        yield running
        await running.close()
