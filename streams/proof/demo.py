"""The demo: pages, visits over HTTP, counts in ClickHouse, pictures, and a page that improves itself.

Every acknowledged event must be counted once, and every visit of the experiment for its arm.
"""

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from rich.progress import Progress, TaskID
from rich.table import Table

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from infra.screenshots import find_chromium
from schemas.errors import LpstreamError
from schemas.generation import Business, GenerationRequest, encode_model
from schemas.heatmap import DEVICES
from streams.client import over_http
from streams.local.console import err, out
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.pictures.screenshots import WITHIN_S
from streams.proof.gallery import save_page, write_gallery
from streams.proof.layouts import layouts
from streams.proof.loop import DIFFICULTY, RATES, Loop, improve
from streams.proof.loop_picture import verdict
from streams.proof.loop_visits import Layouts
from streams.proof.posting import post
from streams.proof.verify.counts import BY_KIND, STORED
from streams.proof.visitors import DEVICE_WEIGHTS, Visit, tally
from streams.runtime.stores import open_analyst

REQUESTS = (
    ("飲食", "集客", ["ラーメン", "深夜営業"], "麺屋 一"),
    ("美容", "予約", ["ヘアサロン", "髪質改善"], "サロン 凪"),
    ("不動産", "問い合わせ", ["賃貸", "駅近"], "みなと住まい"),
)
PAGE_WITHIN_S = 30
SPAN_MS = 10 * 60 * 1_000
CONNECTIONS = 32
RETRIED_EVERY = 20
COUNTED_WITHIN_S, PICTURE_TRIES = 60, 4
MAPS = ("click", "attention", "scroll")
TOTALS = f"SELECT {BY_KIND} FROM lpstream.lp_daily WHERE lp_id IN {{lp_ids:Array(String)}}"


async def run(stack: Stack, services: Installation, target: Path, *, visits: int, seed: int) -> None:
    """Send visits, wait for their counts, draw heatmaps, improve a page, and write the gallery.

    Raise LpstreamError if anything is counted more or less often than it happened.
    """
    for old in ("pages", "assets", "heatmaps", "loop"):
        shutil.rmtree(target / old, ignore_errors=True)
    pages = await _request_pages(services, target)
    lp_ids = [page["lp_id"] for page in pages]
    chromium = find_chromium(settings_of(stack).chromium)
    places = await layouts(chromium, services.edge_url, lp_ids)
    places[lp_ids[0]] = {device: replace(page, leave=DIFFICULTY) for device, page in places[lp_ids[0]].items()}
    beacons = _beacons(places, visits, seed)
    clickhouse = open_analyst(settings_of(stack))
    with Progress(console=err) as progress:
        acknowledged = await _send(services.edge_url, beacons, progress)
        counted = await _wait(clickhouse, lp_ids, acknowledged, progress)
        await _pictures(services, lp_ids, target, progress)
    improved = await improve(services, clickhouse, chromium, lp_ids[0], places, seed)
    await clickhouse.close()
    sent = tally(beacons)
    events = {
        str(kind): {"sent": sent[kind], "acknowledged": acknowledged[kind], "counted": counted[kind]} for kind in STORED
    }
    summary = {
        "events": events,
        "pages": [{key: value for key, value in page.items() if key != "lp_id"} for page in pages],
        "loop": improved.summary(),
        "broker": stack.addresses.broker_kind,
        "versions": stack.versions(),
    }
    (target / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2), encoding="utf-8")
    write_gallery(target, improved)
    _show(events)
    _show_loop(improved)
    out.print(f"Open {target / 'index.html'}", highlight=False)
    if counted != acknowledged:
        raise LpstreamError("acknowledged and counted events differ; see the table above")
    if not improved.holds:
        raise LpstreamError("the experiment's visits and its counts differ; see the table above")


async def _request_pages(services: Installation, target: Path) -> list[dict[str, Any]]:
    """Request three pages by the private API and save them. Raise LpstreamError if a page fails."""
    folder = target / "pages"
    folder.mkdir(exist_ok=True)
    pages = []
    async with over_http(services.api_url, services.token) as client:
        for industry, purpose, keywords, name in REQUESTS:
            page_request = GenerationRequest(
                request_id=uuid4(),
                tenant_id="demo",
                industry=industry,
                purpose=purpose,
                keywords=keywords,
                business=Business(name=name, phone="03-0000-0000"),
            )
            await client.request(page_request)
            result = json.loads(encode_model(await client.result(page_request.request_id, PAGE_WITHIN_S)))
            if result["status"] != "completed":
                raise LpstreamError(f"a page ended as {result['status']}: {result['error']}")
            await save_page(services.edge_url, result["page_url"], folder / f"{result['lp_id']}.html")
            summary = {key: result[key] for key in ("request_id", "status", "page_url", "timings_ms", "lp_id")}
            pages.append({**summary, "industry": industry})
            err.print(f"{industry}: {result['page_url']} in {result['timings_ms']['total']} ms", highlight=False)
    return pages


def _beacons(places: Layouts, count: int, seed: int) -> list[dict[str, Any]]:
    """Return the beacons of visits within the last ten minutes, in the pages' true layouts."""
    start, rng = int(time.time() * 1_000) - SPAN_MS, random.Random(seed)
    found: list[dict[str, Any]] = []
    for _ in range(count):
        page = places[rng.choice(list(places))][rng.choices(DEVICES, DEVICE_WEIGHTS)[0]]
        found += Visit(rng, page, start + rng.randrange(SPAN_MS)).beacons()
    return found


async def _send(edge_url: str, beacons: list[dict[str, Any]], progress: Progress) -> Counter[str]:
    """Post every beacon, and return the events of acknowledged beacons, each counted once.

    Some beacons are posted twice, as a browser does after a lost answer.
    """
    task = progress.add_task("beacons", total=len(beacons))
    queue = iter(enumerate(beacons))
    acknowledged: Counter[str] = Counter()

    async def worker(session: aiohttp.ClientSession) -> None:
        for at, beacon in queue:
            body = msgspec.json.encode(beacon)
            if await post(session, f"{edge_url}/e/heatmap.events", body):
                acknowledged.update(tally([beacon]))
            if at % RETRIED_EVERY == 0:
                await post(session, f"{edge_url}/e/heatmap.events", body)
            progress.advance(task)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    return acknowledged


async def _wait(clickhouse: ClickHouse, lp_ids: list[str], expected: Counter[str], progress: Progress) -> Counter[str]:
    """Return the totals in ClickHouse, once they are as expected or after COUNTED_WITHIN_S."""
    task: TaskID = progress.add_task("counted", total=expected.total())
    deadline = time.monotonic() + COUNTED_WITHIN_S
    while True:
        row = (await clickhouse.rows(TOTALS, {"lp_ids": lp_ids}))[0]
        counted = Counter({kind: int(number) for kind, number in row.items()})
        progress.update(task, completed=counted.total())
        if counted == expected or counted.total() > expected.total() or time.monotonic() > deadline:
            return counted
        await asyncio.sleep(0.5)


async def _pictures(services: Installation, lp_ids: list[str], target: Path, progress: Progress) -> None:
    folder = target / "heatmaps"
    folder.mkdir(exist_ok=True)
    maps = [(lp_id, kind, device) for lp_id in lp_ids for kind in MAPS for device in DEVICES]
    task = progress.add_task("pictures", total=len(maps))
    headers = {"Authorization": f"Bearer {services.token}", "Cache-Control": "no-cache"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        for lp_id, kind, device in maps:
            address = f"{services.api_url}/heatmaps/{lp_id}.png?kind={kind}&device={device}"
            (folder / f"{lp_id}-{kind}-{device}.png").write_bytes(await _picture(session, address))
            progress.advance(task)


async def _picture(session: aiohttp.ClientSession, address: str) -> bytes:
    """Return a map. If it took as long as maps wait for a screenshot, it may have none: ask again."""
    body = b""
    for _ in range(PICTURE_TRIES):
        began = time.monotonic()
        async with session.get(address) as answer:
            body = await answer.read()
        if time.monotonic() - began < WITHIN_S:
            break
    return body


def _show(events: dict[str, dict[str, int]]) -> None:
    table = Table("event", "sent", "acknowledged", "counted", title="Every acknowledged event is counted once")
    for kind, row in events.items():
        table.add_row(kind, *(f"{number:,}" for number in row.values()))
    out.print(table)


def _show_loop(improved: Loop) -> None:
    table = Table(
        "arm",
        "visits seen",
        "visits counted",
        "goals seen",
        "goals counted",
        "true rate",
        title="A page improves itself",
    )
    for place, arm in enumerate(improved.record):
        pairs = zip(improved.record[arm], improved.counted[arm], strict=True)
        table.add_row(arm, *(f"{number:,}" for pair in pairs for number in pair), f"{RATES[place]:.0%}")
    out.print(table)
    out.print(verdict(improved)[0], highlight=False)
