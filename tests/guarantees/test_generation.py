"""Every request is answered within its deadline, once, at a price that the books know, whatever the providers do.

The short run is for every change; LPSTREAM_GUARANTEES=full has every fault by itself, and the larger numbers.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
from generation_worker import BREAKER, DEADLINE_MS, OPEN_S, Watch, Works, metrics_of, requests_of
from harness import FULL, full_only, scaled

from infra.embedded.ports import Ports
from infra.embedded.stack import Stack
from infra.redis.budget import CONFIRM_S
from processors.pages.copywriting import copy_fields, groups, messages
from schemas.generation import StepName, step_id_of
from streams.edge.site.object_cache import FRESH_S
from streams.local.installation import Installation
from streams.proof.audit import total
from streams.proof.bench.pages_lab import cold
from streams.proof.provider.remote import RemoteProvider
from streams.proof.provider.script import FAULTS, Script

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
PACE = scaled(180, 300)  # requests a minute
QUICK = Script(total_s=1.0, first_token_s=0.3)
COPY_3_S = Script(total_s=3.0, first_token_s=0.6)


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
    if any(float(state) for _, state in BREAKER.findall(metrics_of(works.services))):
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


async def test_a_worker_that_is_replaced_keeps_nobody_waiting(works: Works) -> None:
    """The group forms anew while the old one finishes its work, which it must neither hold up nor be lost in."""
    works.play(COPY_3_S)
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(24, 120))), PACE))
        for _ in range(int(scaled(1, 5))):
            await asyncio.sleep(3)
            await asyncio.to_thread(works.replace)
        await flowing
        await watch.sent.wait(60)
        watch.tell("replaced")
        watch.assert_in_time()
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


async def test_with_s3_away_pages_that_were_read_are_given_and_new_ones_say_that_they_failed(works: Works) -> None:
    stack = works.stack
    async with aiohttp.ClientSession() as visitor, works.watched() as watch:
        await watch.flow(cold(1), 600)
        await watch.sent.wait(30)
        [made] = watch.answers()
        page = f"{works.services.edge_url}/lp/{made.result['lp_id']}"
        async with visitor.get(page) as answer:
            before = await answer.read()
            assert answer.status == 200
        await asyncio.to_thread(stack.kill, "s3")
        try:
            await asyncio.sleep(FRESH_S + 1)
            async with visitor.get(page) as answer:
                assert (answer.status, await answer.read()) == (200, before)
                assert int(answer.headers["Age"]) > FRESH_S
            async with visitor.get(f"{page}x") as answer:
                assert answer.status == 503, "nobody knows whether it is there"
            await watch.flow(cold(1), 600)
            await watch.sent.wait(30)
        finally:
            await asyncio.to_thread(stack.restart, "s3")
        assert [one.result["status"] for one in watch.answers() if one is not made] == ["failed"]
        until = time.monotonic() + FRESH_S + 5
        while int((await visitor.get(page)).headers["Age"]) > FRESH_S:
            assert time.monotonic() < until, "it is read again once S3 answers"
            await asyncio.sleep(0.5)


async def test_an_emptied_redis_is_filled_from_the_topic(works: Works) -> None:
    async with works.watched() as watch:
        await watch.flow(cold(5), 600)
        await watch.sent.wait(30)
        await asyncio.sleep(CONFIRM_S + 1)  # the worker remembers no call, and results alone fill the ledger
        await watch.redis.flushall()
        await watch.assert_stored(within_s=30)
        spent = sum(one.result["cost_micro_jpy"] for one in watch.answers())
        until = time.monotonic() + 10
        while await total(watch.redis) < spent:
            assert time.monotonic() < until, "the ledger is below what results tell"
            await asyncio.sleep(0.2)
        assert spent > 0


async def test_a_redis_emptied_under_load_leaves_the_ledger_above_the_bill(works: Works) -> None:
    works.play(COPY_3_S)
    async with works.watched() as watch:
        flowing = asyncio.create_task(watch.flow(cold(int(scaled(30, 120))), PACE))
        await asyncio.sleep(5)
        await watch.redis.flushall()
        await flowing
        await watch.sent.wait(30)
        await asyncio.sleep(CONFIRM_S + 1)
        books = await watch.books()
        print(f"  {books}")
    assert books.ledger >= books.billed


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
    assert took < 30, "one after another they would take 60 s"


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
