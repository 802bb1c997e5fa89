"""The demo: pages, visits over HTTP, counts in ClickHouse and pictures.

Every acknowledged event must be counted once.
"""

import asyncio
import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from rich.progress import Progress, TaskID
from rich.table import Table

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from schemas.generation import Business, GenerationRequest, encode_model
from streams.client import over_http
from streams.local.console import err, out
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.proof.gallery import save_page, write_gallery
from streams.proof.verify.counts import BY_KIND, STORED
from streams.proof.visitors import DEVICES, tally, visits
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
COUNTED_WITHIN_S = 60
MAPS = ("click", "attention", "scroll")
TOTALS = f"SELECT {BY_KIND} FROM lpstream.lp_daily WHERE lp_id IN {{lp_ids:Array(String)}}"


async def run(stack: Stack, services: Installation, target: Path, *, visits: int, seed: int) -> None:
    """Send visits, wait for their counts, draw the heatmaps and write the gallery.

    Raise LpstreamError if acknowledged and counted events differ.
    """
    for old in ("pages", "assets", "heatmaps"):
        shutil.rmtree(target / old, ignore_errors=True)
    pages = await _request_pages(services, target)
    lp_ids = [page["lp_id"] for page in pages]
    beacons = _beacons(lp_ids, visits, seed)
    clickhouse = open_analyst(settings_of(stack))
    with Progress(console=err) as progress:
        acknowledged = await _send(services.edge_url, beacons, progress)
        counted = await _wait(clickhouse, lp_ids, acknowledged, progress)
        await _pictures(services, lp_ids, target, progress)
    await clickhouse.close()
    sent = tally(beacons)
    events = {
        str(kind): {"sent": sent[kind], "acknowledged": acknowledged[kind], "counted": counted[kind]} for kind in STORED
    }
    summary = {
        "events": events,
        "pages": [{key: value for key, value in page.items() if key != "lp_id"} for page in pages],
        "broker": stack.addresses.broker_kind,
        "versions": stack.versions(),
    }
    (target / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2), encoding="utf-8")
    write_gallery(target)
    _show(events, target)
    if counted != acknowledged:
        raise LpstreamError("acknowledged and counted events differ; see the table above")


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


def _beacons(lp_ids: list[str], count: int, seed: int) -> list[dict[str, Any]]:
    start = int(time.time() * 1_000) - SPAN_MS
    return [beacon for visit in visits(seed, lp_ids, count, start, SPAN_MS) for beacon in visit.beacons()]


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
            if await _post(session, f"{edge_url}/e/heatmap.events", body):
                acknowledged.update(tally([beacon]))
            if at % RETRIED_EVERY == 0:
                await _post(session, f"{edge_url}/e/heatmap.events", body)
            progress.advance(task)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    return acknowledged


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> bool:
    """Post a beacon with retries, as the snippet does. Return whether the edge acknowledged it."""
    for attempt in range(8):
        try:
            async with session.post(url, data=body, headers={"Content-Type": "text/plain"}) as answer:
                if answer.status == 204:
                    return True
                if answer.status not in (408, 429, 503):
                    raise LpstreamError(f"the edge answered {answer.status}: {(await answer.text())[:300]}")
        except aiohttp.ClientError as error:
            err.log(f"{type(error).__name__}, trying again")
        await asyncio.sleep(0.2 * 2**attempt)
    return False


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
    headers = {"Authorization": f"Bearer {services.token}"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        for lp_id, kind, device in maps:
            address = f"{services.api_url}/heatmaps/{lp_id}.png"
            async with session.get(address, params={"kind": kind, "device": device}) as answer:
                (folder / f"{lp_id}-{kind}-{device}.png").write_bytes(await answer.read())
            progress.advance(task)


def _show(events: dict[str, dict[str, int]], target: Path) -> None:
    table = Table("event", "sent", "acknowledged", "counted", title="Every acknowledged event is counted once")
    for kind, row in events.items():
        table.add_row(kind, *(f"{number:,}" for number in row.values()))
    out.print(table)
    out.print(f"Open {target / 'index.html'}", highlight=False)
