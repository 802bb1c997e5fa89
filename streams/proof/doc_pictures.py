"""The pictures of README and docs, made anew. It needs Chromium and Japanese fonts.

    python -m streams.proof.doc_pictures

It makes docs/heatmap.png, docs/studio.png and docs/pages.png from pages of an embedded stack. Each page's name, trade,
keywords and facts belong together.
"""

import argparse
import asyncio
import io
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
from PIL import Image
from playwright.async_api import Browser, async_playwright

from infra.screenshots import find_chromium
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from schemas.heatmap import DEVICES
from streams.client import over_http
from streams.local.installation import Installation
from streams.local.prepare import new_stack, prepare, settings_of
from streams.proof.layouts import places_of
from streams.proof.visitors import DEVICE_WEIGHTS, Page, Visit

DOCS = Path(__file__).parents[2] / "docs"
HOUR_MS, COUNTED_S, GAP = 3_600_000, 30, 10
PHONE = (390, 844)
GROUND = "#e9e8f0"
# trade, purpose, name, keywords
PAGES = (
    ("飲食", "集客", "麺屋 一", ["ラーメン", "深夜営業"]),
    ("美容", "予約", "サロン 凪", ["髪質改善", "完全個室"]),
    ("不動産", "問い合わせ", "みなと住まい", ["賃貸", "駅近"]),
    ("医療", "予約", "あおば内科クリニック", ["内科", "発熱外来"]),
    ("教育", "予約", "まなびの森", ["中学受験", "個別指導"]),
    ("EC", "販売", "木と暮らす店", ["木の器", "ギフト"]),
    ("士業", "問い合わせ", "山野行政書士事務所", ["相続", "遺言"]),
    ("造園", "問い合わせ", "みどり造園", ["庭の手入れ", "剪定"]),
)
SHOWN = 1  # the page of heatmap.png and studio.png
FACTS: dict[str, Any] = {
    "prices": [{"label": "カット", "yen": 5_500}, {"label": "髪質改善トリートメント", "text": "12,000円〜（税込）"}],
    "hours": "10:00〜19:00（火曜定休）",
    "access": "中央駅 2番出口から徒歩4分",
}
CONTACT = {"phone": "03-0000-0000", "form_url": "https://example.com/form"}


def request_of(number: int) -> GenerationRequest:
    """Return the request of a page of PAGES."""
    industry, purpose, name, keywords = PAGES[number]
    return GenerationRequest.model_validate(
        {
            "request_id": UUID(int=number + 1),
            "tenant_id": "demo",
            "industry": industry,
            "purpose": purpose,
            "keywords": keywords,
            "business": {"name": name, **CONTACT, "address": "東京都港区芝1-2-3" if number == SHOWN else None},
            "facts": FACTS if number == SHOWN else {},
        }
    )


async def publish(services: Installation) -> list[str]:
    """Publish the pages; return their ids."""
    requests = [request_of(number) for number in range(len(PAGES))]
    async with over_http(services.api_url, services.token) as pages:
        for request in requests:
            await pages.request(request)
        results = [await pages.result(request.request_id) for request in requests]
    return [result.lp_id or "" for result in results]


async def visit(services: Installation, places: dict[str, Page], count: int, ago_ms: int) -> None:
    """Post visits of the ten minutes that end `ago_ms` ago."""
    rng, start = random.Random(ago_ms), int(time.time() * 1000) - ago_ms - 600_000
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for _ in range(count):
            place = places[rng.choices(DEVICES, DEVICE_WEIGHTS)[0]]
            for beacon in Visit(rng, place, start + rng.randrange(540_000)).beacons():
                body = msgspec.json.encode(beacon)
                async with session.post(f"{services.edge_url}/e/heatmap.events", data=body):
                    pass


def beside(pictures: list[Image.Image], width: int) -> Image.Image:
    """Return the pictures side by side, scaled to a width in all."""
    whole = Image.new("RGB", (sum(one.width + GAP for one in pictures) - GAP, pictures[0].height), GROUND)
    left = 0
    for one in pictures:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)


def save(picture: Image.Image, name: str) -> None:
    """Save a picture of the docs with 256 colours."""
    picture.quantize(256, Image.Quantize.MEDIANCUT).save(DOCS / name, optimize=True)


async def maps(services: Installation, lp_id: str) -> None:
    """Make heatmap.png: the first view of the three maps on a phone."""
    headers = {"Authorization": f"Bearer {services.token}", "Cache-Control": "no-cache"}
    pictures = []
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        for kind in ("click", "attention", "scroll"):
            address = f"{services.api_url}/heatmaps/{lp_id}.png?kind={kind}&device=mobile&lang=ja"
            async with session.get(address) as first:  # a busy machine may take the screenshot too late for this one
                await first.read()
            async with session.get(address) as answer:
                pictures.append(Image.open(io.BytesIO(await answer.read())).convert("RGB").crop((0, 0, 390, 1_240)))
    save(beside(pictures, 640), "heatmap.png")


async def studio(services: Installation, browser: Browser, lp_id: str) -> None:
    """Make studio.png: clicks of an hour beside those of the hour before."""
    page = await browser.new_page(viewport={"width": 1_360, "height": 1_240}, locale="ja-JP")
    await page.goto(f"{services.api_url}/studio")
    await page.locator("#token").fill(services.token)
    await page.locator("form .call").click()
    await page.locator(".nav").wait_for()
    query = "kind=click&device=mobile&range=1h&compare=previous"
    await page.goto(f"{services.api_url}/studio/maps/{lp_id}?{query}", wait_until="networkidle")
    for one in await page.locator(".view").all():
        await one.evaluate("one => { one.scrollTop = 260 }")
    picture = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
    await page.close()
    save(picture.resize((960, 875), Image.Resampling.LANCZOS), "studio.png")


async def first_views(services: Installation, browser: Browser, lp_ids: list[str]) -> None:
    """Make pages.png: the first view of each design on a phone."""
    pictures = []
    for lp_id in lp_ids:
        context = await browser.new_context(
            viewport={"width": PHONE[0], "height": PHONE[1]}, device_scale_factor=1, java_script_enabled=False
        )
        page = await context.new_page()
        await page.goto(f"{services.edge_url}/lp/{lp_id}", wait_until="networkidle")
        pictures.append(Image.open(io.BytesIO(await page.screenshot())).convert("RGB"))
        await context.close()
    save(beside(pictures, 1_684), "pages.png")


async def make(services: Installation, chromium: str) -> None:
    """Publish the pages, send visits of two hours, and make the pictures."""
    lp_ids = await publish(services)
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        await first_views(services, browser, lp_ids)
        places = await places_of(browser, services.edge_url, lp_ids[SHOWN])
        await visit(services, places, 800, HOUR_MS)
        await visit(services, places, 1_500, 0)
        await asyncio.sleep(COUNTED_S)
        await maps(services, lp_ids[SHOWN])
        await studio(services, browser, lp_ids[SHOWN])
        await browser.close()


def main() -> None:
    """Make all pictures on an embedded stack."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    chromium = find_chromium("auto")
    if chromium is None:
        raise LpstreamError("there is no Chromium; run `lpstream demo` once, which fetches one")
    with tempfile.TemporaryDirectory(prefix="lpstream-") as folder, new_stack(Path(folder), "tansu", print) as stack:
        asyncio.run(prepare(settings_of(stack)))
        with Installation(stack, print) as services:
            asyncio.run(make(services, chromium))


if __name__ == "__main__":
    main()
