"""Screenshots of pages with a real Chromium.

Storage, and no access to other addresses than the page's files.
"""

import asyncio
import io
import shutil

import numpy as np
import pytest
from harness import full_only
from PIL import Image

from infra.redis.line import RedisLine
from infra.s3.objects import Objects
from infra.screenshots import PageFiles, assets_in, find_chromium, take
from schemas.errors import LpstreamError
from streams.pictures.drawing import DrawingProcess
from streams.pictures.screenshots import Shots

CHROMIUM = find_chromium("auto")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0)
PAGE = """<!doctype html><html><head><style>body{margin:0;background:#f00}
#below{position:absolute;top:1500px;width:100%;
height:100px;background:#000}#bar{position:fixed;bottom:0;left:0;right:0;height:40px;background:#00f}
img{position:absolute;
top:100px;left:0;width:50px;height:50px}</style></head><body><div style="height:2000px"></div><div id="below"></div>
<img src="http://edge.test/assets/green.png"><img style="left:200px" loading="lazy" src="EVIL/secret.png">
<img style="top:1800px" loading="lazy" src="http://edge.test/assets/green.png">
<div id="bar"></div><script>document.body.style.background = "#fff"</script></body></html>"""


def green() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), GREEN).save(out, "PNG")
    return out.getvalue()


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@needs_chromium
async def test_a_screenshot_is_full_height_without_scripts_or_network() -> None:
    foreign_requests: list[bytes] = []

    async def evil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        foreign_requests.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(evil, "127.0.0.1", 0)
    html = PAGE.replace("EVIL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}").encode()
    assert assets_in(html) == ["assets/green.png"]
    files = PageFiles(html, {"assets/green.png": (green(), "image/png")})
    shot = pixels(await asyncio.to_thread(take, files, 400, 700, CHROMIUM or ""))
    server.close()
    assert shot.shape[:2] == (2_000, 400) and foreign_requests == []
    assert tuple(shot[400, 200]) == RED, "the script did not run"
    assert tuple(shot[125, 25]) == GREEN == tuple(shot[1_825, 25]), "the page's own files are shown, also far below"
    assert tuple(shot[1_550, 200]) == BLACK
    assert tuple(shot[680, 200]) == BLUE, "the fixed bar is at the bottom of the first view"
    assert tuple(shot[1_980, 200]) == RED, "the fixed bar is drawn once"


@needs_chromium
async def test_a_picture_far_below_is_loaded() -> None:
    """Browsers load such a picture late, and decode it beside the page."""
    picture = '<img loading="lazy" decoding="async" style="position:absolute;top:8000px" width="50" height="50" src='
    html = f'<!doctype html><body style="height:9000px">{picture}"../assets/green.webp">'.encode()
    out = io.BytesIO()
    Image.new("RGB", (2_000, 2_000), GREEN).save(out, "WEBP", lossless=True)
    files = PageFiles(html, {"assets/green.webp": (out.getvalue(), "image/webp")})
    shot = pixels(await asyncio.to_thread(take, files, 400, 700, CHROMIUM or ""))
    assert tuple(shot[8_025, 25]) == GREEN


async def finished_screenshot(shots: Shots) -> bytes | str:
    """Return the screenshot; ask again while a busy machine takes longer than a request waits."""
    while (found := await shots.get("demo-1", 400, 700)) == "no_shot_late":
        await asyncio.sleep(0.1)
    return found


@needs_chromium
async def test_a_screenshot_is_stored_until_the_page_changes(objects: Objects, line: RedisLine) -> None:
    process = DrawingProcess()
    shots = Shots(objects, line, process, "auto")
    try:
        assert await shots.get("demo-1", 400, 700) == "no_shot_foreign"
        await objects.put("pages/demo-1/index.html", PAGE.encode(), "text/html", "")
        first, second = await asyncio.gather(*(finished_screenshot(shots) for _ in range(2)))
        assert isinstance(first, bytes) and first == second
        assert len(await objects.keys("shots/")) == 1
        without = Shots(objects, line, process, "off")
        assert await without.get("demo-1", 400, 700) == first, "a stored screenshot needs no browser"
        assert await without.get("demo-1", 500, 700) == "no_shot_browser"
        await objects.put("pages/demo-1/index.html", PAGE.replace("#f00", "#00f").encode(), "text/html", "")
        assert await without.get("demo-1", 400, 700) == "no_shot_browser", "a changed page needs a new screenshot"
    finally:
        process.close()


@full_only
async def test_a_failing_browser_is_not_retried_at_once(objects: Objects, line: RedisLine) -> None:
    process = DrawingProcess()
    shots = Shots(objects, line, process, shutil.which("false") or "")
    try:
        await objects.put("pages/demo-2/index.html", PAGE.encode(), "text/html", "")
        while await shots.get("demo-2", 400, 700) == "no_shot_late":  # a busy machine takes long to start it
            await asyncio.sleep(0.1)
        assert await shots.get("demo-2", 400, 700) == "no_shot_failed"
    finally:
        process.close()
    with pytest.raises(LpstreamError, match="Chromium"):
        await asyncio.to_thread(take, PageFiles(b"", {}), 400, 700, "/nowhere/chromium")
