"""Every request is answered within its deadline, once, at a price that the books know, whatever the providers do.

The short run is for every change; LPSTREAM_GUARANTEES=full has every fault by itself, and the larger numbers.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import re
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from harness import FULL, full_only, scaled
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.embedded.ports import Ports
from infra.embedded.stack import Stack
from processors.copywriting import copy_fields, groups, messages
from schemas.generation import GenerationRequest, StepName, step_id_of
from streams.mix import Pattern
from streams.proof.audit import Audit, audit, forget_open_calls, total
from streams.proof.bench.pages_lab import cold, spread
from streams.proof.orders import Answer, Orders, orders
from streams.proof.provider.remote import RemoteProvider, settings_of
from streams.proof.provider.script import FAULTS, Script
from streams.services import Installation

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
DEADLINE_MS, LATE_MS = 10_000, 300
OPEN_S = 1.5
PACE = scaled(180, 300)  # requests a minute
QUICK = Script(total_s=1.0, first_token_s=0.3)
COPY_3_S = Script(total_s=3.0, first_token_s=0.6)
BREAKER = re.compile(r'lpstream_lp_breaker_open\{model="[^"]+-fast",provider="([^"]+)"\} ([0-9.]+)')


class Works:
    """The generation worker on two simulated providers."""

    def __init__(self, stack: Stack, services: Installation, providers: list[RemoteProvider]) -> None:
        self.stack = stack
        self.services = services
        self.providers = providers
        self.env = settings_of(providers) | {"LPSTREAM_LLM_BREAKER_OPEN_S": f"{OPEN_S}"}

    def launch(self, **more: str) -> None:
        """Start the worker, and return when it has partitions."""
        self.services.launch("generation", self.env | more)
        child = self.services.children["generation"]
        child.wait_ready(lambda: _ready(self.services), 60)

    def kill(self) -> None:
        self.services.children["generation"].kill()

    def play(self, *scripts: Script) -> None:
        """Both providers behave so from now on; one script is for both."""
        for provider, script in zip(self.providers, scripts * 2 if len(scripts) == 1 else scripts, strict=True):
            provider.play(script)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["Watch"]:
        """Requests sent in the block are answered when it ends; then books and breakers can be looked at."""
        redis = Redis.from_url(self.stack.addresses.redis_url)
        for provider in self.providers:
            if provider.process.alive:
                await asyncio.to_thread(provider.reset)
        await forget_open_calls(redis)
        before = await total(redis)
        at = self.stack.addresses
        try:
            async with orders(at.kafka, at.broker_kind) as sent:
                watch = Watch(self, sent, redis, before)
                looking = asyncio.create_task(watch.look())
                try:
                    yield watch
                    await sent.wait(60)
                finally:
                    looking.cancel()
                    await asyncio.gather(looking, return_exceptions=True)
        finally:
            await redis.aclose()


class Watch:
    """What is seen while requests are answered."""

    def __init__(self, works: Works, sent: Orders, redis: Redis, before: int) -> None:
        self.works = works
        self.sent = sent
        self.redis = redis
        self._before = before
        self._started = time.monotonic()
        self.requests: list[GenerationRequest] = []
        self.breakers: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.lag_ms = 0.0

    async def flow(self, patterns: Sequence[Pattern], per_minute: float) -> None:
        bodies = requests_of(patterns)
        self.requests += [GenerationRequest.model_validate(one) for one in bodies]
        await self.sent.flow(bodies, per_minute)

    async def look(self) -> None:
        """Note each change of a breaker, with its time, s; and how far this machine lags behind."""
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.25)
            self.lag_ms += max(0.0, time.monotonic() - slept - 0.25) * 1000
            page = await asyncio.to_thread(_metrics, self.works.services)
            for provider, state in BREAKER.findall(page):
                known = self.breakers[provider]
                if not known or known[-1][1] != float(state):
                    known.append((round(time.monotonic() - self._started, 1), float(state)))

    async def assert_stored(self, within_s: float) -> None:
        """Every result that is on the topic is in Redis, with the same bytes."""
        until = time.monotonic() + within_s
        missing = list(self.sent.answers)
        while missing:
            assert time.monotonic() < until, f"{len(missing)} results are on the topic and not in Redis"
            with contextlib.suppress(RedisError):
                values = {name: await self.redis.get(f"lp:result:{name}") for name in missing}
                missing = [name for name, value in values.items() if value != self.sent.answers[name].values[0]]
            await asyncio.sleep(0.2)

    async def books(self) -> Audit:
        await asyncio.sleep(0.5)  # what was called off a moment ago is noted
        bills = [await asyncio.to_thread(one.bill) for one in self.works.providers if one.process.alive]
        return await audit(self.redis, bills, self._before)

    def answers(self) -> list[Answer]:
        return list(self.sent.answers.values())

    def tell(self, what: str) -> None:
        answers = self.answers()
        status = Counter(one.result["status"] for one in answers)
        share = status["degraded"] / len(answers)
        times = spread([one.total_ms for one in answers])
        print(f"{what}: {len(answers)} requests, {dict(status)}, degraded {share:.0%}, total ms {times}")
        causes = Counter(
            warning["detail"].rpartition(": ")[2]
            for one in answers
            for warning in one.result["warnings"]
            if warning["code"] in ("template_copy", "near_copy")
        )
        calls = Counter(each["outcome"] for one in answers for each in one.result["attempts"])
        print(f"  built in because: {dict(causes)}; calls: {dict(calls)}")
        if self.breakers:
            print(f"  breakers (s, state): {dict(self.breakers)}")

    def assert_in_time(self) -> None:
        """All answered, each with one result and a page, within the deadline (and the lag of a busy machine)."""
        for one in self.answers():
            assert one.result["status"] in ("completed", "degraded"), one.result
            assert len(set(one.values)) == 1, "two different results"
        late = [one.total_ms for one in self.answers() if one.total_ms > DEADLINE_MS + LATE_MS + self.lag_ms]
        assert not late


def requests_of(patterns: Sequence[Pattern]) -> list[dict[str, Any]]:
    """A request for each, with an id that no other run has."""
    seed = random.SystemRandom().randrange(2**32)
    return [one.request(number, seed) for number, one in enumerate(patterns)]


def _url(services: Installation, path: str) -> str:
    return services._ready_url("generation").replace("/readyz", path)


def _ready(services: Installation) -> bool:
    try:
        with urllib.request.urlopen(_url(services, "/readyz"), timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _metrics(services: Installation) -> str:
    try:
        with urllib.request.urlopen(_url(services, "/metrics"), timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.fixture(scope="module")
def works(stack: Stack, installation: Installation) -> Iterator[Works]:
    ports = Ports(stack.data)
    providers = []
    for name in ("one", "two"):
        provider = RemoteProvider(name, ports.get(f"provider-{name}"), stack.data / "logs" / f"provider-{name}.log")
        provider.start(QUICK)
        providers.append(provider)
    installation.children["generation"].stop()
    made = Works(stack, installation, providers)
    made.launch()
    yield made
    installation.children["generation"].stop()
    installation.launch("generation")
    for provider in providers:
        provider.process.stop()


@pytest.fixture(autouse=True)
def calm(works: Works) -> Iterator[None]:
    """Both providers well, and breakers closed, before each test."""
    yield
    for provider in works.providers:
        if not provider.process.alive:
            provider.start()
    works.play(QUICK)
    if any(float(state) for _, state in BREAKER.findall(_metrics(works.services))):
        time.sleep(OPEN_S + 0.1)


def faulty(fault: str, share: float = 1.0) -> Script:
    return Script(total_s=1.0, first_token_s=0.3, faults={fault: share}, retry_after_s=1.0)  # type: ignore[dict-item]


# -- what providers do -------------------------------------------------------------------------------------


async def test_every_fault_at_once(works: Works) -> None:
    shares: dict[Any, float] = dict.fromkeys(FAULTS, 0.015)
    works.play(Script(total_s=1.0, first_token_s=0.3, faults=shares, retry_after_s=1.0))
    async with works.watched() as watch:
        await watch.flow(cold(int(scaled(30, 600))), PACE)
    watch.tell("every fault, 1.5 % each, at both providers")
    watch.assert_in_time()
    books = await watch.books()
    print(f"  {books}")
    assert books.right


@pytest.mark.parametrize("fault", FAULTS if FULL else ["hang_headers", "http_500"])
async def test_a_provider_with_one_fault_is_stood_in_for(works: Works, fault: str) -> None:
    works.play(faulty(fault), QUICK)
    async with works.watched() as watch:
        await watch.flow(cold(int(scaled(12, 100))), PACE)
    watch.tell(f"{fault} at the first provider")
    watch.assert_in_time()
    books = await watch.books()
    print(f"  {books}")
    assert books.right
    degraded = sum(one.result["status"] == "degraded" for one in watch.answers())
    assert degraded <= 0.1 * len(watch.answers()) or fault in ("malformed", "wrong_schema", "drip")


@pytest.mark.parametrize("fault", FAULTS if FULL else ["drip"])
async def test_a_fault_everywhere_leaves_built_in_copy_in_time(works: Works, fault: str) -> None:
    works.play(faulty(fault))
    async with works.watched() as watch:
        await watch.flow(cold(int(scaled(8, 60))), PACE)
    watch.tell(f"{fault} at both providers")
    watch.assert_in_time()
    assert {one.result["status"] for one in watch.answers()} == {"degraded"}
    books = await watch.books()
    print(f"  {books}")
    assert books.right


@full_only
async def test_a_provider_goes_away_and_comes_back(works: Works) -> None:
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(30, 300))), PACE))
        await asyncio.sleep(2)
        await asyncio.to_thread(works.providers[0].process.kill)
        await asyncio.sleep(scaled(3, 20))
        await asyncio.to_thread(works.providers[0].start, QUICK)
        await flowing
    watch.tell("the first provider refuses connections for a while")
    watch.assert_in_time()
    states = [state for _, state in watch.breakers["one"]]
    assert 1.0 in states, "its breaker opened"
    by_provider = Counter(one["provider"] for each in watch.answers()[-5:] for one in each.result["attempts"])
    assert by_provider["one"] > 0, "and it is asked again"
    assert not any(one.result["status"] == "degraded" for one in watch.answers())


async def test_with_no_provider_at_all_every_page_comes_from_built_in_copy(works: Works) -> None:
    async with works.watched() as watch:
        for provider in works.providers:
            await asyncio.to_thread(provider.process.kill)
        await watch.flow(cold(int(scaled(10, 100))), PACE)
    watch.tell("both providers refuse connections")
    watch.assert_in_time()
    assert {one.result["status"] for one in watch.answers()} == {"degraded"}
    assert await total(watch.redis) == watch._before, "nothing was billed"


# -- what happens to the worker and to Redis ---------------------------------------------------------------


async def test_a_killed_worker_leaves_one_result_each_and_repeats_nothing_that_is_finished(works: Works) -> None:
    kills = int(scaled(1, 8))
    noted: list[Counter[str]] = []
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(25, 500))), PACE))
        for _ in range(kills):
            await asyncio.sleep(random.uniform(2.5, 4.5))
            await asyncio.to_thread(works.kill)
            noted.append(await _calls_of_finished_groups(watch))
            await asyncio.to_thread(works.launch)
        await flowing
    watch.tell(f"{kills} × SIGKILL")
    for name, one in watch.sent.answers.items():
        assert len(set(one.values)) == 1, "redelivery publishes the same bytes"
        assert await watch.redis.get(f"lp:result:{name}") == one.values[0], "and they are those that are stored"
        assert one.result["status"] in ("completed", "degraded")
    books = await watch.books()
    print(f"  {books}; groups finished before a kill: {sum(map(len, noted))}")
    assert books.right and books.cut_off > 0
    asked = await _asked(works)
    assert all(noted), "some groups were finished before each kill"
    for before in noted:
        assert before == Counter({digest: asked[digest] for digest in before}), "a finished group was asked for again"


async def _calls_of_finished_groups(watch: Watch) -> Counter[str]:
    """How often each question was put so far whose answer is noted as finished, by the question's digest."""
    finished: set[str] = set()
    for request in watch.requests:
        step_id = step_id_of(request.request_id, StepName.COPY)
        fields = copy_fields(request)
        names = {name.decode() for name in await watch.redis.hkeys(f"lp:parts:{step_id}")}
        if await watch.redis.exists(f"lp:step:{step_id}"):
            names = set(groups(fields))
        finished |= {hashlib.sha256(msgspec.json.encode(messages(fields, name))).hexdigest()[:16] for name in names}
    asked = await _asked(watch.works)
    return Counter({digest: asked[digest] for digest in finished})


async def _asked(works: Works) -> Counter[str]:
    """Calls by question, of both providers."""
    bills = [await asyncio.to_thread(provider.bill) for provider in works.providers]
    return Counter(line["asked"] for bill in bills for line in bill["lines"])


@full_only
async def test_a_worker_that_is_told_to_stop_finishes_what_it_has(works: Works) -> None:
    works.play(COPY_3_S)
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(12, 200))), PACE))
        await asyncio.sleep(3)
        started = time.monotonic()
        await asyncio.to_thread(works.services.children["generation"].stop)
        took = time.monotonic() - started
        await asyncio.to_thread(works.launch)
        await flowing
    watch.tell(f"SIGTERM, which took {took:.1f} s")
    assert took < 12
    for one in watch.answers():
        assert len(set(one.values)) == 1
    assert (await watch.books()).right


@full_only
async def test_with_redis_away_pages_still_come_and_their_results_are_restored(works: Works) -> None:
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(20, 300))), PACE))
        await asyncio.sleep(1.5)
        await asyncio.to_thread(works.stack.kill, "redis")
        await asyncio.sleep(scaled(3, 30))
        await asyncio.to_thread(works.stack.restart, "redis")
        await flowing
        await watch.sent.wait(60)
        watch.tell("Redis away for a while")
        watch.assert_in_time()
        await watch.assert_stored(within_s=20)


async def test_an_emptied_redis_is_filled_from_the_topic(works: Works) -> None:
    async with works.watched() as watch:
        await watch.flow(cold(5), 600)
        await watch.sent.wait(30)
        await asyncio.sleep(3)
        await watch.redis.flushall()
        await watch.assert_stored(within_s=30)
        spent = sum(one.result["cost_micro_jpy"] for one in watch.answers())
        until = time.monotonic() + 10
        while await total(watch.redis) < spent:
            assert time.monotonic() < until, "the ledger is below what results tell"
            await asyncio.sleep(0.2)
        assert spent > 0


# -- load --------------------------------------------------------------------------------------------------


async def test_slow_calls_never_block_a_partition(works: Works) -> None:
    works.play(COPY_3_S)
    async with works.watched() as watch:
        requests = requests_of(cold(20))
        started = time.monotonic()
        await asyncio.gather(*(watch.sent.ask(one, partition=3) for one in requests))
        await watch.sent.wait(30)
        took = time.monotonic() - started
    watch.tell(f"20 requests of one partition at once, {took:.1f} s")
    watch.assert_in_time()
    assert took < 8


@full_only
async def test_a_thousand_a_minute_with_copy_of_3_s(works: Works) -> None:
    works.play(COPY_3_S)
    async with works.watched() as watch:
        await watch.flow(cold(int(scaled(60, 1_000))), 1_000)
    watch.tell("1,000 a minute")
    for one in watch.answers():
        assert len(set(one.values)) == 1 and one.result["status"] in ("completed", "degraded")
    within = sum(one.total_ms <= 15_000 for one in watch.answers()) / len(watch.answers())
    assert within >= 0.9
    assert (await watch.books()).right


async def test_what_waited_too_long_is_answered_at_once_and_asks_nobody(works: Works) -> None:
    async with works.watched() as watch:
        since = time.monotonic()
        for one in requests_of(cold(10)):
            await watch.sent.ask(one, asked_ms=int(time.time() * 1000) - DEADLINE_MS - 1_000)
        await watch.sent.wait(20)
        took = time.monotonic() - since
    watch.tell(f"asked for 11 s ago, answered within {took:.1f} s")
    assert took < 5
    assert {one.result["status"] for one in watch.answers()} == {"degraded"}
    assert all("no time" in json.dumps(one.result["warnings"], ensure_ascii=False) for one in watch.answers())
    assert (await watch.books()).calls == 0
