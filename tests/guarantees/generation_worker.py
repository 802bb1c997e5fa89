"""A generation worker that calls two simulated model providers, and a record of its answers."""

import asyncio
import contextlib
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cost_audit import Audit, audit, forget_open_calls, total
from harness import FULL, metrics_of, scaled
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.embedded.stack import Stack
from schemas.generation import GenerationRequest
from streams.generation.mix import Pattern
from streams.local.installation import Installation, answers
from streams.proof.beside import beside
from streams.proof.orders import Answer, Orders, orders
from streams.proof.percentiles import spread
from streams.proof.provider.remote import RemoteProvider, provider_settings
from streams.proof.provider.script import Script

OPEN_S = 1.5
DEADLINE_MS = 10_000
# In the short run, two other test processes share the cores.
LATE_MS = scaled(3_000, 300)
BREAKER = re.compile(r'lpstream_lp_breaker_open\{model="[^"]+-fast",provider="([^"]+)"\} ([0-9.]+)')


class GenerationWorker:
    """A generation worker that calls two simulated model providers."""

    def __init__(self, stack: Stack, services: Installation, providers: list[RemoteProvider]) -> None:
        self.stack = stack
        self.services = services
        self.providers = providers
        self.env = provider_settings(providers) | {"LPSTREAM_LLM_BREAKER_OPEN_S": f"{OPEN_S}"}

    def launch(self, **more: str) -> None:
        """Start the worker and wait until it has partitions."""
        self.services.launch("generation", self.env | more)
        child = self.services.children["generation"]
        child.wait_ready(lambda: answers(self.services.ready_url("generation")), 60)

    def replace(self) -> None:
        """Replace the worker without downtime, and wait until its successor has partitions."""
        self.services.replace("generation", self.env)

    def kill(self) -> None:
        self.services.children["generation"].kill()

    def play(self, *scripts: Script) -> None:
        """Set the providers' scripts. A single script is for both."""
        for provider, script in zip(self.providers, scripts * 2 if len(scripts) == 1 else scripts, strict=True):
            provider.play(script)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["Watch"]:
        """Yield a Watch that sends requests. At the end of the block, wait for their answers."""
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
                async with beside(watch.look(), "the watch over breakers and lag"):
                    yield watch
                    await sent.wait(60)
        finally:
            await redis.aclose()


class Watch:
    """The requests, answers, breaker states and costs of a test."""

    def __init__(self, worker: GenerationWorker, sent: Orders, redis: Redis, before: int) -> None:
        self.worker = worker
        self.sent = sent
        self.redis = redis
        self._before = before
        self._started = time.monotonic()
        self.requests: list[GenerationRequest] = []
        self.breakers: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.lag_ms = 0.0

    async def empty_redis(self) -> None:
        """Remove all data. The worker restores the costs of earlier tests from their results."""
        names = [name async for name in self.redis.scan_iter(match="lp:result:*", count=1_000)]
        results = await self.redis.mget(names) if names else []
        self._before = sum(json.loads(result)["cost_micro_jpy"] for result in results)
        await self.redis.flushall()

    async def flow(self, patterns: Sequence[Pattern], per_minute: float) -> None:
        bodies = requests_of(patterns)
        self.requests += [GenerationRequest.model_validate(one) for one in bodies]
        await self.sent.flow(bodies, per_minute)

    async def look(self) -> None:
        """Record each change of a breaker with its time (s), and the lag of this machine (ms)."""
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.25)
            self.lag_ms += max(0.0, time.monotonic() - slept - 0.25) * 1000
            page = await asyncio.to_thread(metrics_of, self.worker.services, "generation")
            for provider, state in BREAKER.findall(page):
                known = self.breakers[provider]
                if not known or known[-1][1] != float(state):
                    known.append((round(time.monotonic() - self._started, 1), float(state)))

    async def assert_stored(self, within_s: float) -> None:
        """Assert that every result on the topic is in Redis with the same bytes."""
        until = time.monotonic() + within_s
        missing = list(self.sent.answers)
        while missing:
            assert time.monotonic() < until, f"{len(missing)} results are on the topic and not in Redis"
            with contextlib.suppress(RedisError):
                values = {name: await self.redis.get(f"lp:result:{name}") for name in missing}
                missing = [name for name, value in values.items() if value != self.sent.answers[name].values[0]]
            await asyncio.sleep(0.2)

    async def assert_books_right(self) -> Audit:
        """Assert that the ledger equals the providers' bills; print and return both."""
        books = await self.books()
        print(f"  {books}")
        assert books.right
        return books

    async def books(self) -> Audit:
        await asyncio.sleep(0.5)  # let cancelled calls be recorded
        bills = [await asyncio.to_thread(one.bill) for one in self.worker.providers if one.process.alive]
        return await audit(self.redis, bills, self._before)

    def answers(self) -> list[Answer]:
        return list(self.sent.answers.values())

    def print_summary(self, title: str) -> None:
        answers = self.answers()
        status = Counter(one.result["status"] for one in answers)
        share = status["degraded"] / len(answers)
        times = spread([one.total_ms for one in answers])
        print(f"{title}: {len(answers)} requests, {dict(status)}, degraded {share:.0%}, total ms {times}")
        causes = Counter(
            warning["detail"].rpartition(": ")[2]
            for one in answers
            for warning in one.result["warnings"]
            if warning["code"] in ("template_copy", "near_copy")
        )
        calls = Counter(each["outcome"] for one in answers for each in one.result["attempts"])
        print(f"  built-in copy because: {dict(causes)}; calls: {dict(calls)}")
        if self.breakers:
            print(f"  breakers (s, state): {dict(self.breakers)}")

    def assert_in_time(self) -> None:
        """Assert that every request has one result and a page.

        The full run, which has the machine for itself, also asserts the deadline, plus the lag of the machine.
        """
        for one in self.answers():
            assert one.result["status"] in ("completed", "degraded"), one.result
            assert len(set(one.values)) == 1, "two different results"
        late = [one.total_ms for one in self.answers() if one.total_ms > DEADLINE_MS + LATE_MS + self.lag_ms]
        assert not (FULL and late), late


def requests_of(patterns: Sequence[Pattern]) -> list[dict[str, Any]]:
    """Return a request for each pattern, with ids that are unique to this run."""
    seed = random.SystemRandom().randrange(2**32)
    return [one.request(number, seed) for number, one in enumerate(patterns)]
