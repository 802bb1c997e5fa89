"""Screenshots of published pages, made by a headless Chromium without network access.

Scripts are off, because a screenshot must not count as a visit. Every request is answered from local files or aborted.
The browser sees only five variables of our environment. Needs the extra `screenshots` and an installed Chromium.
"""

import io
import os
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from schemas.errors import LpstreamError

# `lpstream up` and the demo put a Chromium here if the machine has none (infra/embedded/browser.py)
FETCHED = Path(__file__).resolve().parents[1] / ".lpstream" / "chromium" / "chromium"
# kernel settings, and the value by which users may make no namespaces (Ubuntu, Debian, all)
NO_NAMESPACES = {
    Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"): "1",
    Path("/proc/sys/kernel/unprivileged_userns_clone"): "0",
    Path("/proc/sys/user/max_user_namespaces"): "0",
}
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ASSET = re.compile(rb"/(assets/[A-Za-z0-9._-]{1,200})")
MOST_ASSETS, MOST_H, PATIENCE_MS = 64, 12_000, 15_000
ORIGIN = "http://page.invalid"
ARGUMENTS = ("--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars")
# a machine without Japanese fonts would show boxes; these fonts ship with the package
FONTS = {
    "Noto Sans JP": ("NotoSansJP-Bold", "Noto Sans CJK JP"),
    "Noto Serif JP": ("NotoSerifJP-SemiBold", "Noto Serif CJK JP"),
}
FACES = "".join(
    f'@font-face{{font-family:"{family}";src:local("{family}"),local("{system}"),url("{ORIGIN}/fonts/{name}.woff2")}}'
    for family, (name, system) in FONTS.items()
)
HIDE_FIXED = """() => { for (const one of document.querySelectorAll("body *"))
  if (getComputedStyle(one).position === "fixed") one.style.setProperty("visibility", "hidden", "important") }"""
# a lazy picture far below would be loaded and decoded only after the screenshot
LOAD = """() => Promise.all([...document.images].map(one => {
  one.loading = "eager"; return one.decode().catch(() => {}) })).then(() => true)"""
HEIGHT = "() => document.documentElement.scrollHeight"


@dataclass(frozen=True, slots=True)
class PageFiles:
    """A page: its HTML, and its files and media types by path, such as `assets/1f.avif`."""

    html: bytes
    assets: dict[str, tuple[bytes, str]]


def find_chromium(setting: str) -> str | None:
    """Return the browser's path, or None for `off` or if there is none.

    `auto` searches PATH, then FETCHED.
    """
    if setting == "off" or find_spec("playwright") is None:
        return None
    if setting != "auto":
        return shutil.which(setting)
    return next((path for name in (*NAMES, str(FETCHED)) if (path := shutil.which(name))), None)


def assets_in(html: bytes) -> list[str]:
    """Return the paths of the files that a page refers to, at most MOST_ASSETS."""
    return list(dict.fromkeys(name.decode() for name in ASSET.findall(html)))[:MOST_ASSETS]


def take(page: PageFiles, width: int, viewport_h: int, chromium: str) -> bytes:
    """Return a PNG of the page at that width, at most MOST_H px high. Blocks for seconds.

    An element that is fixed to the viewport appears only where a visitor first sees it. Raise LpstreamError if Chromium
    fails.
    """
    from playwright.sync_api import Error, sync_playwright  # the extra `screenshots`

    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "FONTCONFIG_FILE") if name in os.environ
    }
    arguments = [*ARGUMENTS, *([] if _sandboxed(chromium) else ["--no-sandbox"])]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=arguments, env=dict(environment), timeout=PATIENCE_MS
            )
            try:
                return _taken(browser, page, width, viewport_h)
            finally:
                browser.close()
    except Error as error:
        raise LpstreamError(f"Chromium: {str(error).splitlines()[0][:200]}") from error


def _sandboxed(chromium: str) -> bool:
    """Return whether Chromium can start with its sandbox.

    It cannot as root. A fetched one, which has no setuid helper, also cannot where the kernel refuses namespaces.
    """
    refused = any(file.exists() and file.read_text().strip() == value for file, value in NO_NAMESPACES.items())
    return os.getuid() != 0 and not (chromium == str(FETCHED) and refused)


def _taken(browser: Any, page: PageFiles, width: int, viewport_h: int) -> bytes:
    context = browser.new_context(
        viewport={"width": width, "height": viewport_h}, java_script_enabled=False, service_workers="block"
    )
    context.set_default_timeout(PATIENCE_MS)
    context.route("**/*", lambda route: _answer(route, page))
    tab = context.new_page()
    tab.goto(f"{ORIGIN}/", wait_until="load")
    tab.evaluate(LOAD)
    first = tab.screenshot()  # with animations: the place in the page moves them
    tab.evaluate(HIDE_FIXED)
    height = min(MOST_H, max(viewport_h, int(tab.evaluate(HEIGHT))))
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    whole = Image.open(io.BytesIO(tab.screenshot(full_page=True, clip=clip, animations="disabled")))
    whole.paste(Image.open(io.BytesIO(first)), (0, 0))
    out = io.BytesIO()
    whole.convert("RGB").save(out, "PNG", compress_level=6)
    return out.getvalue()


def _answer(route: Any, page: PageFiles) -> None:
    parts = urlsplit(route.request.url)
    path = parts.path.removeprefix("/")
    if f"{parts.scheme}://{parts.netloc}" == ORIGIN and not path:
        # browsers accept a style element anywhere, even after </html>
        body = page.html + f"<style>{FACES}</style>".encode()
        route.fulfill(status=200, content_type="text/html; charset=utf-8", body=body)
    elif path in page.assets:
        body, content_type = page.assets[path]
        route.fulfill(status=200, content_type=content_type, body=body)
    elif path in {f"fonts/{name}.woff2" for name, _ in FONTS.values()}:
        body = files("processors").joinpath("templates", path).read_bytes()
        route.fulfill(status=200, content_type="font/woff2", body=body, headers={"Access-Control-Allow-Origin": "*"})
    else:
        route.abort()
