"""The browsers of the snippet's tests: Debian's Chromium and Firefox, both driven by Playwright.

Playwright drives Chromium by CDP and an unpatched Firefox by WebDriver BiDi. Neither is downloaded.
Mouse, wheel and keyboard give trusted events in both. In Firefox `touchscreen.tap` does nothing.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from font_browser import CHROMIUM, WHOLE
from patience import PATIENCE_S
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
MEDIA_FIX = Path(__file__).with_name("firefox_media.cjs")
PREFERENCES: dict[str, str | float | bool] = {
    "network.dns.forceResolve": "127.0.0.1",  # so *.test is the test site, and no request leaves the machine
    "ui.useOverlayScrollbars": 1,  # so the page is as wide as the window, as in headless Chromium
    "network.proxy.type": 0,  # the machine's proxy does not know *.test
}

expect.set_options(timeout=1_000 * PATIENCE_S)


async def context_of(browser: Browser, **options: Any) -> BrowserContext:
    """Return a new context, whose pages wait as long as a busy machine may need."""
    context = await browser.new_context(**options)
    context.set_default_timeout(1_000 * PATIENCE_S)
    return context


@asynccontextmanager
async def chromium(program: str | None = CHROMIUM) -> AsyncIterator[Browser]:
    """Run Chromium, or skip the test."""
    if program is None:
        pytest.skip("no chromium on the path: install Debian's package chromium")
    arguments = ["--host-resolver-rules=MAP *.test 127.0.0.1", *(["--no-sandbox"] if os.getuid() == 0 else [])]
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=program, args=arguments, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield running
        await running.close()


@asynccontextmanager
async def firefox() -> AsyncIterator[Browser]:
    """Run Firefox by WebDriver BiDi, which the channel's name selects, or skip the test."""
    if FIREFOX is None:
        pytest.skip("no firefox-esr on the path: install Debian's package firefox-esr")
    with mock.patch.dict(os.environ, NODE_OPTIONS=f'--require "{MEDIA_FIX}"'):
        playwright = await async_playwright().start()
    try:
        running = await playwright.firefox.launch(
            executable_path=FIREFOX, channel="moz-firefox", firefox_user_prefs=PREFERENCES
        )
        yield running
        await running.close()
    finally:
        await playwright.stop()


LAUNCHED = {"chromium": chromium, "whole": partial(chromium, WHOLE), "firefox": firefox}
