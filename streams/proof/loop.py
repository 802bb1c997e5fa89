"""The last act of the demo: a page that improves itself, from its findings to a proven winner.

The page's visitors have met a difficulty, and the findings name it. A variant is made for it, and an experiment gives
both pages to visitors whose rates of goals are known. Every visit and goal must be counted for the right arm.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp

from infra.clickhouse.client import ClickHouse
from schemas.errors import LpstreamError
from schemas.generation import Result, Variant, VariantRequest
from streams.client import over_http
from streams.local.console import err
from streams.local.installation import Installation
from streams.proof.layouts import layouts
from streams.proof.loop_visits import Layouts, Seen, Visitors

# a look every 5 s and no settling time: the demo cannot wait for a minute or for caches
SETTINGS = {"LPSTREAM_EXPERIMENT_INTERVAL_S": "5", "LPSTREAM_EXPERIMENT_SETTLE_S": "0"}
VISITS = 2_000
RATES = (0.05, 0.12)  # the true goals a visit of the page and of its variant
# the difficulty: a section that drives visitors away, with this probability more than others
DIFFICULTY = {"problems": 0.5}
NO_ADVICE: dict[str, Any] = {"sections": [], "text": ""}
WITHIN_S, POLL_S = 60.0, 0.3
COUNTS = """
SELECT lp_id, sum(pageviews) AS views, sum(conversions) AS goals FROM lpstream.lp_windows
WHERE has({lp_ids:Array(String)}, lp_id) GROUP BY lp_id"""
Answer = dict[str, Any]
Record = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Loop:
    """The outcome: findings by language, variant, last state of the experiment, and visitors' record."""

    findings: dict[str, Answer]
    variant: Result
    state: Answer
    seen: list[Seen]
    record: Record
    counted: Record
    moved: int

    @property
    def holds(self) -> bool:
        """Whether every visit and goal is counted for its arm, and no visitor has changed the arm."""
        return self.counted == self.record and self.moved == 0

    def summary(self) -> Answer:
        """Return the outcome for `summary.json`."""
        arms = {
            arm: {
                "true_rate": RATES[place],
                "visits": {"seen": self.record[arm][0], "counted": self.counted[arm][0]},
                "goals": {"seen": self.record[arm][1], "counted": self.counted[arm][1]},
            }
            for place, arm in enumerate(self.record)
        }
        names = ("status", "winner", "reason", "pageviews", "conversions", "rates", "history")
        found = [each["text"] for each in self.findings["en"]["findings"]]
        return {"findings": found, "arms": arms, "moved": self.moved, **{name: self.state[name] for name in names}}


async def improve(
    services: Installation, clickhouse: ClickHouse, chromium: str | None, lp_id: str, places: Layouts, seed: int
) -> Loop:
    """Improve a page that has been visited: findings, a variant, an experiment.

    `places` has the page's layouts. Raise LpstreamError if a step fails.
    """
    headers = {"Authorization": f"Bearer {services.token}"}
    async with aiohttp.ClientSession(services.api_url, headers=headers) as api:
        findings = {
            language: await _asked(api, "GET", f"/lp/{lp_id}/findings?lang={language}") for language in ("en", "ja")
        }
        variant = await _variant(services, lp_id, findings["ja"]["findings"])
        arms = [lp_id, variant.lp_id or ""]
        before = await _counts(clickhouse, arms)
        await _start(api, services.edge_url, arms)
        places |= await layouts(chromium, services.edge_url, arms[1:], page=lp_id)
        rates = dict(zip(arms, RATES, strict=True))
        # another seed than that of the visits before: equal ids of pageviews would be retries
        visitors = Visitors(services.edge_url, lp_id, places, rates, random.Random(f"loop {seed}"))
        err.print(f"{VISITS:,} visits to {lp_id} and its variant {variant.lp_id}", highlight=False)
        await visitors.come(VISITS)
        record = visitors.record()
        counted = await _counted(clickhouse, record, before)
        state = await _state(api, lp_id, visitors.record())
    return Loop(findings, variant, state, visitors.seen, record, counted, visitors.moved)


async def _variant(services: Installation, lp_id: str, found: list[Answer]) -> Result:
    """Make a variant that answers the heaviest finding whose advice is to write anew. Return its result."""
    advice = next((each["suggestion"] for each in found if each["suggestion"]["change"] == "copy"), NO_ADVICE)
    variant = Variant(of=lp_id, change="copy", sections=advice["sections"], brief=advice["text"])
    request = VariantRequest(request_id=uuid4(), tenant_id="demo", variant=variant)
    async with over_http(services.api_url, services.token) as client:
        await client.request(request)
        result = await client.result(request.request_id, WITHIN_S)
    if result.lp_id is None or result.variant is None:
        raise LpstreamError(f"the variant ended as {result.status}: {result.error}")
    return result


async def _start(api: aiohttp.ClientSession, edge_url: str, arms: list[str]) -> None:
    """Start the experiment, and wait until the edge serves it."""
    await _asked(api, "POST", "/experiments", {"lp_id": arms[0], "arms": arms})
    async with _within("the edge does not serve the experiment; is the optimizer running?"):
        while True:
            async with api.get(f"{edge_url}/lp/{arms[0]}") as answer:
                if "no-store" in answer.headers.get("Cache-Control", ""):
                    return
            await asyncio.sleep(POLL_S)


async def _state(api: aiohttp.ClientSession, lp_id: str, record: Record) -> Answer:
    """Return the experiment's state once it has ended, or once it knows all visits and has no verdict."""
    visits = sum(views for views, _ in record.values())
    async with _within("the optimizer does not learn from the visits; see the log of the optimizer"):
        while True:
            state = await _asked(api, "GET", f"/experiments/{lp_id}")
            if state["status"] != "running" or sum(state["pageviews"]) == visits:
                return state
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def _within(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WITHIN_S):
            yield
    except TimeoutError as error:
        raise LpstreamError(f"after {WITHIN_S:g} s: {what}") from error


async def _counts(clickhouse: ClickHouse, arms: list[str]) -> Record:
    rows = {row["lp_id"]: row for row in await clickhouse.rows(COUNTS, {"lp_ids": arms})}
    return {arm: (int(rows[arm]["views"]), int(rows[arm]["goals"])) if arm in rows else (0, 0) for arm in arms}


async def _counted(clickhouse: ClickHouse, record: Record, before: Record) -> Record:
    """Return the visits and goals counted since `before`, once they equal the record or after WITHIN_S."""
    until = time.monotonic() + WITHIN_S
    while True:
        now = await _counts(clickhouse, list(record))
        counted = {arm: (now[arm][0] - before[arm][0], now[arm][1] - before[arm][1]) for arm in record}
        if counted == record or time.monotonic() > until:
            return counted
        await asyncio.sleep(POLL_S)


async def _asked(api: aiohttp.ClientSession, method: str, path: str, body: Answer | None = None) -> Answer:
    async with api.request(method, path, json=body) as response:
        answer: Answer = await response.json()
    if response.status >= 400:
        raise LpstreamError(f"{path}: {response.status}: {answer.get('message', '')}")
    return answer
