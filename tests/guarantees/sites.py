"""Pages with arms and their visitors, for tests of experiments on the real stack."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
from beacons import analyst, example_beacon, post
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.runtime.stores import open_objects

RATES = (0.05, 0.08, 0.2)


@dataclass
class Site:
    """A page with arms, its visitors, and their own record of what they saw and did."""

    stack: Stack
    services: Installation
    session: aiohttp.ClientSession
    arms: list[str]
    seen: Counter[str] = field(default_factory=Counter)
    goals: Counter[str] = field(default_factory=Counter)
    cookies: list[str] = field(default_factory=list)
    moved: int = 0

    @property
    def lp_id(self) -> str:
        return self.arms[0]

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Ask the private listener; return status and answer."""
        headers = {"Authorization": f"Bearer {self.services.token}"}
        async with self.session.request(method, self.services.api_url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def start(self, **design: Any) -> str:
        """Start the experiment; return its id once it runs."""
        status, answer = await self.api("POST", "/experiments", {"lp_id": self.lp_id, "arms": self.arms, **design})
        assert status == 202, answer
        await self.state("running", answer["experiment_id"])
        return str(answer["experiment_id"])

    async def state(self, status: str | None = None, experiment_id: str | None = None) -> dict[str, Any]:
        """Return the state of the experiment, once it has that status."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                code, state = await self.api("GET", f"/experiments/{self.lp_id}")
                wanted = {"status": status or state.get("status"), "id": experiment_id or state.get("experiment_id")}
                if code == 200 and wanted == {"status": state["status"], "id": state["experiment_id"]}:
                    return state
            await asyncio.sleep(0.2)
        raise AssertionError(f"no state {status} of {self.lp_id}")

    async def served(self) -> None:
        """Wait until the edge serves arms."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            async with self.session.get(f"{self.services.edge_url}/lp/{self.lp_id}") as answer:
                if "no-store" in answer.headers["Cache-Control"]:
                    return
            await asyncio.sleep(0.2)
        raise AssertionError("the edge serves no arms")

    async def visit(self, rng: random.Random) -> None:
        """Visit the page, a third of the times as a visitor who returns; send what the snippet would send."""
        cookie = rng.choice(self.cookies) if self.cookies and rng.random() < 0.3 else None
        arm, given, running = await self._page(cookie)
        if cookie is not None and running:
            self.moved += arm != cookie
        elif given is not None:
            self.cookies.append(given)
        goal = rng.random() < RATES[self.arms.index(arm)]
        kinds = "svg" if goal else "s"
        beacon = example_beacon(
            lp_id=arm, pageview_id=str(uuid4()), t0=int(time.time() * 1000), type=kinds, fixed=[],
            **{name: [0] * len(kinds) for name in ("dt", "x", "y", "dwell")},
        )  # fmt: skip
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if await post(self.session, self.services, beacon) == 204:
                    break
            await asyncio.sleep(0.3)
        self.seen[arm] += 1
        self.goals[arm] += goal

    async def _page(self, cookie: str | None) -> tuple[str, str | None, bool]:
        """Return the arm that the page is, the arm in a new cookie, and whether the experiment runs."""
        headers = {"Cookie": f"lpa={cookie}"} if cookie else {}
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = f"{self.services.edge_url}/lp/{self.lp_id}"
                async with self.session.get(url, headers=headers) as answer:
                    if answer.status == 200:
                        arm = (await answer.text()).partition("data-lp-id=")[2].partition(">")[0]
                        given = answer.headers.get("Set-Cookie", "").partition(";")[0].removeprefix("lpa=") or None
                        return arm, given, "no-store" in answer.headers["Cache-Control"]
            await asyncio.sleep(0.3)

    async def counted(self) -> dict[str, tuple[int, int]]:
        """Return pageviews and conversions by arm, once ClickHouse has as many as the visitors have made."""
        clickhouse = analyst(self.stack)
        sql = "SELECT lp_id, sum(pageviews) AS views, sum(conversions) AS hits FROM lp_windows GROUP BY lp_id"
        until = time.monotonic() + PATIENCE_S
        try:
            while True:
                rows = {row["lp_id"]: row for row in await clickhouse.rows(sql)}
                found = {arm: (int(rows[arm]["views"]), int(rows[arm]["hits"])) for arm in self.arms if arm in rows}
                if found == self.record or time.monotonic() > until:
                    return found
                await asyncio.sleep(0.5)
        finally:
            await clickhouse.close()

    async def learned(self) -> dict[str, Any]:
        """Return the state once it has all visits, or has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while (state := await self.state())["status"] == "running":
                if sum(state["pageviews"]) == self.seen.total():
                    break
                await asyncio.sleep(0.3)
        return state

    @property
    def record(self) -> dict[str, tuple[int, int]]:
        return {arm: (self.seen[arm], self.goals[arm]) for arm in self.arms if self.seen[arm]}


async def publish(stack: Stack, lp_id: str) -> None:
    """Put a page with its snippet on S3."""
    html = f"<html><head><title>{lp_id}</title><script src=/t.js data-lp-id={lp_id}></script></head></html>"
    objects = open_objects(settings_of(stack))
    await objects.put(f"pages/{lp_id}/index.html", html.encode(), "text/html; charset=utf-8", "no-store")


@contextlib.asynccontextmanager
async def site(stack: Stack, services: Installation, arms: int = 3) -> AsyncIterator[Site]:
    """Publish pages; yield the site."""
    name = uuid4().hex[:8]
    ids = [f"demo-{name}{letter}" for letter in "abcdef"[:arms]]
    for lp_id in ids:
        await publish(stack, lp_id)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield Site(stack, services, session, ids)


async def records(kafka: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Return all committed records of the topic, each partition in order."""
    consumer, found = build_consumer(kafka), []
    await consumer.start()
    try:
        places = await partitions_of(kafka, topic)
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for tp in places:
            async for part in stretch(Reader(consumer), tp, begins[tp], ends[tp], pass_over):
                found += [(record.key or b"", record.value or b"") for record in part]
    finally:
        await consumer.stop()
    return found
