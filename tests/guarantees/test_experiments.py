"""Experiments under kills: visitors keep their arm, and no visit or decision counts twice."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from beacons import analyst, example_beacon, post
from harness import full_only, kill_and_launch, scaled

from infra.embedded.stack import Stack
from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from infra.redis.line import open_redis
from schemas.errors import DecodeError
from schemas.experiments import EXPERIMENTS, ExperimentState, result_id_of
from schemas.generation import RESULTS, decode_model
from streams.experiments.worker import LEASE
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.runtime.stores import open_objects

pytestmark = pytest.mark.stack
RATES = (0.05, 0.08, 0.2)
WITHIN_S = 90.0


@pytest.fixture(scope="module")
def installation(stack: Stack) -> Iterator[Installation]:
    with Installation(stack, print, {"LPSTREAM_EXPERIMENT_INTERVAL_S": "1"}) as services:
        yield services


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
        until = time.monotonic() + WITHIN_S
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
        until = time.monotonic() + WITHIN_S
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
        until = time.monotonic() + WITHIN_S
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
        async with asyncio.timeout(WITHIN_S):
            while (state := await self.state())["status"] == "running":
                if sum(state["pageviews"]) == self.seen.total():
                    break
                await asyncio.sleep(0.3)
        return state

    @property
    def record(self) -> dict[str, tuple[int, int]]:
        return {arm: (self.seen[arm], self.goals[arm]) for arm in self.arms if self.seen[arm]}


@contextlib.asynccontextmanager
async def site(stack: Stack, services: Installation, arms: int = 3) -> AsyncIterator[Site]:
    """Publish pages; yield the site."""
    name = uuid4().hex[:8]
    ids = [f"demo-{name}{letter}" for letter in "abcdef"[:arms]]
    objects = open_objects(settings_of(stack))
    for lp_id in ids:
        html = f"<html><head><title>{lp_id}</title><script src=/t.js data-lp-id={lp_id}></script></head></html>"
        await objects.put(f"pages/{lp_id}/index.html", html.encode(), "text/html; charset=utf-8", "no-store")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
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


async def states_of(stack: Stack, experiment_id: str) -> list[ExperimentState]:
    """Return all states of an experiment in the order of the log."""
    states = []
    for _, value in await records(stack.addresses.kafka, EXPERIMENTS):
        with contextlib.suppress(DecodeError):
            states.append(decode_model(ExperimentState, value))
    return [state for state in states if str(state.experiment_id) == experiment_id]


async def assert_no_decision_twice(stack: Stack, experiment_id: str) -> list[ExperimentState]:
    """Assert that numbers follow each other without holes, and that a decision and its result exist once."""
    states = await states_of(stack, experiment_id)
    assert [state.number for state in states] == list(range(len(states)))
    assert [state.epoch for state in states] == sorted(state.epoch for state in states)
    ended = [state for state in states if state.status != "running"]
    assert len(ended) <= 1 and ended == states[len(states) - len(ended) :]
    keys = [key for key, _ in await records(stack.addresses.kafka, RESULTS)]
    assert keys.count(str(result_id_of(UUID(experiment_id))).encode()) == sum(
        state.status == "decided" for state in ended
    )
    return states


@pytest.mark.timeout(900)
async def test_kills_move_no_visitor_and_lose_no_visit(stack: Stack, installation: Installation) -> None:
    visits, rng, began = int(scaled(240, 20_000)), random.Random(23), time.monotonic()
    async with site(stack, installation) as page:
        experiment_id = await page.start()
        await page.served()
        faults = asyncio.create_task(_kill_on_the_way(stack, installation, page, visits))
        doors = asyncio.Semaphore(int(scaled(8, 32)))

        async def visit() -> None:
            async with doors:
                await page.visit(rng)
                await asyncio.sleep(scaled(0.3, 0.01))
            if page.seen.total() % 1_000 == 0:
                print(f"{time.monotonic() - began:.0f} s: {page.seen.total()} visits")

        await asyncio.gather(*(visit() for _ in range(visits)))
        await faults
        assert await page.counted() == page.record
        assert page.moved == 0
        await page.learned()
        states = await assert_no_decision_twice(stack, experiment_id)
        print(
            f"{visits} visits {dict(page.record)}, {len(states)} states, last {states[-1].status}: {states[-1].reason}"
        )
        assert states[-1].status != "running" or states[-1].epoch > 1


async def _kill_on_the_way(stack: Stack, installation: Installation, page: Site, visits: int) -> None:
    async def until(share: float) -> None:
        while page.seen.total() < share * visits:
            await asyncio.sleep(0.1)

    await until(0.15)
    await kill_and_launch(installation, "optimizer")
    await until(0.3)
    await asyncio.to_thread(stack.kill, "redis")
    await until(0.4)
    await kill_and_launch(installation, "edge")  # it reads the topic, because Redis is away
    await until(0.55)
    await asyncio.to_thread(stack.restart, "redis")
    await until(0.7)
    await kill_and_launch(installation, "edge")
    await kill_and_launch(installation, "optimizer")


KILLED_AT = {
    "before the first write": "patch(AIOKafkaProducer, 'begin_transaction', before)",
    "within a transaction": "patch(AIOKafkaProducer, 'send', after)",
    "before the commit": "patch(AIOKafkaProducer, 'commit_transaction', before)",
    "after the commit": "patch(AIOKafkaProducer, 'commit_transaction', after)",
    "before the view": "patch(ExperimentStore, 'put', before)",
    "after the view": "patch(ExperimentStore, 'put', after)",
}
SCRIPT = """
import os, sys
from aiokafka import AIOKafkaProducer
from infra.redis.experiments import ExperimentStore
from streams.experiments.optimizer import Optimizer
from streams.experiments.worker import run_optimizer
from streams.runtime.settings import load_settings

deciding = False
look = Optimizer._commit

async def commit(self, states):
    global deciding
    deciding = bool(states)
    await look(self, states)

Optimizer._commit = commit

async def before(work, *args, **rest):
    os._exit(9)

async def after(work, *args, **rest):
    await work(*args, **rest)
    os._exit(9)

def patch(owner, name, when):
    work = getattr(owner, name)
    async def patched(*args, **rest):
        return await (when(work, *args, **rest) if deciding else work(*args, **rest))
    setattr(owner, name, patched)

{patch}
run_optimizer(load_settings())
"""


@full_only
@pytest.mark.parametrize("step", ["within a transaction", "after the commit"])
async def test_a_kill_at_a_step_doubles_and_loses_nothing(stack: Stack, installation: Installation, step: str) -> None:
    await _killed_at(stack, installation, [step])


@full_only
async def test_kills_at_each_step_double_and_lose_nothing(stack: Stack, installation: Installation) -> None:
    await _killed_at(stack, installation, list(KILLED_AT) * 2)


async def _killed_at(stack: Stack, installation: Installation, steps: list[str]) -> None:
    """Kill an optimizer at each step in turn, each time with new counts to learn from."""
    rng = random.Random(7)
    async with site(stack, installation, arms=2) as page:
        experiment_id = await page.start()
        await page.served()
        await asyncio.to_thread(installation.children["optimizer"].stop)
        for step in steps:
            await page.visit(rng)
            await page.counted()
            await _free_lease(stack)
            code = await asyncio.to_thread(_optimize, installation, KILLED_AT[step])
            assert code == 9, step
        await _free_lease(stack)
        installation.launch("optimizer")
        await page.learned()
        states = await assert_no_decision_twice(stack, experiment_id)
        assert states[-1].pageviews == [page.seen[arm] for arm in page.arms]


async def _free_lease(stack: Stack) -> None:
    """Let the lease of a dead optimizer expire at once."""
    redis = open_redis(stack.addresses.redis_url)
    await redis.delete(LEASE)
    await redis.aclose()


def _optimize(installation: Installation, patch: str) -> int:
    env = os.environ | installation.settings() | {"LPSTREAM_WORKER_METRICS_PORT": "0"}
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(patch=patch)], env=env, timeout=WITHIN_S, check=False)
    return done.returncode


async def test_a_second_optimizer_is_fenced(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page:
        experiment_id = await page.start()
        first = (await page.state())["epoch"]
        await _free_lease(stack)  # as if it had expired while its holder slept
        other = installation.spare("optimizer", 2)
        other.start()
        try:
            await page.served()
            async with asyncio.timeout(WITHIN_S):
                while (await page.state())["epoch"] == first:
                    await page.visit(random.Random())
                    await asyncio.sleep(0.5)
            await assert_no_decision_twice(stack, experiment_id)
        finally:
            other.stop()


@full_only
async def test_hostile_commands_start_nothing(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page, site(stack, installation, arms=2) as other:
        wrong: list[tuple[dict[str, Any], int]] = [
            ({"arms": [page.lp_id]}, 422),
            ({"arms": [page.lp_id, "acme-nothing"]}, 422),
            ({"arms": [page.lp_id, page.lp_id]}, 422),
            ({"arms": list(reversed(page.arms))}, 422),
            ({"arms": page.arms, "goals": ["sale"]}, 422),
            ({"arms": page.arms, "floor": 0.6}, 422),
            ({"arms": page.arms, "tenant_id": "acme"}, 403),
            ({"arms": page.arms, "experiment_id": "x"}, 422),
        ]
        for change, status in wrong:
            found, answer = await page.api("POST", "/experiments", {"lp_id": page.lp_id, **change})
            assert found == status and answer["message"], change
        assert (await page.api("GET", f"/experiments/{page.lp_id}"))[0] == 404
        assert (await page.api("POST", f"/experiments/{page.lp_id}/stop"))[0] == 404
        await page.start()
        await page.served()
        assert (await page.api("POST", "/experiments", {"lp_id": page.lp_id, "arms": page.arms}))[0] == 409
        body = {"lp_id": other.lp_id, "arms": [other.lp_id, page.arms[1]]}
        assert (await page.api("POST", "/experiments", body))[0] == 409


async def test_a_stopped_experiment_leaves_the_page_as_it_was(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page:
        await page.start(policy="fixed", goals=["form"])
        await page.served()
        assert (await page.api("POST", f"/experiments/{page.lp_id}/stop"))[0] == 202
        state = await page.state("stopped")
        assert state["weights"] == [1, 0] and state["history"]
        async with asyncio.timeout(WITHIN_S):
            while (await page._page(None))[2]:
                await asyncio.sleep(0.2)
        assert {(await page._page(page.arms[1]))[0] for _ in range(10)} == {page.lp_id}


@full_only
async def test_goals_without_a_visit_are_bounded_by_pageviews(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page:
        await page.start()
        await page.served()
        for _ in range(6):
            await page.visit(random.Random(1))
        for _ in range(30):
            beacon = example_beacon(
                lp_id=page.arms[1], pageview_id=str(uuid4()), seq=1, t0=int(time.time() * 1000), type="vg", fixed=[],
                **{name: [0, 0] for name in ("dt", "x", "y", "dwell")},
            )  # fmt: skip
            assert await post(page.session, installation, beacon) == 204
        state = await page.learned()
        assert all(goals <= views for goals, views in zip(state["conversions"], state["pageviews"], strict=True))


@full_only
async def test_a_thousand_experiments_at_once(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page:
        objects, html = open_objects(settings_of(stack)), b"<html><head></head></html>"
        ids = [f"demo-m{number}-{letter}" for number in range(1_000) for letter in "ab"]
        for lp_id in ids:
            await objects.put(f"pages/{lp_id}/index.html", html, "text/html; charset=utf-8", "no-store")
        began = time.monotonic()
        for at in range(0, len(ids), 2):
            code, answer = await page.api("POST", "/experiments", {"lp_id": ids[at], "arms": ids[at : at + 2]})
            assert code == 202, answer
        asked_s = time.monotonic() - began
        async with asyncio.timeout(WITHIN_S):
            for lp_id in ids[::2]:
                while (await page.api("GET", f"/experiments/{lp_id}"))[0] != 200:
                    await asyncio.sleep(0.2)
        print(json.dumps({"asked_s": round(asked_s, 1), "running_after_s": round(time.monotonic() - began, 1)}))
