"""Copywriting on real stores and simulated providers.

Shared flights, retries, near copy and built-in copy.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cost_audit import total
from harness import full_only
from providers import QUICK, simulated
from seaweedfs_bucket import Bucket

from infra.caps import Caps
from infra.embedded.process import Server
from infra.redis import budget
from infra.redis.budget import Payer
from infra.redis.line import RedisLine
from infra.s3.objects import Objects
from processors.pages.brief import brief_of
from processors.pages.copywriting import assemble, sections_of
from schemas.generation import GenerationRequest
from schemas.page_cache import CachedCopy
from streams.generation.copywriting import Order, Written
from streams.generation.mix import Mix
from streams.generation.services import CopyServices
from streams.proof.provider.remote import KEY_VARIABLE, USD
from streams.proof.provider.script import Script
from streams.proof.provider.server import Provider
from streams.runtime.settings import LlmProvider, Settings

ROOMY = Caps(10**12, 10**12, 10**12)
FIRST = Mix.load().patterns()[0]
TENANTS = '[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n'


class Workers:
    """Copy services, each as in its own worker, over the same stores and one provider."""

    def __init__(self, make: Callable[..., CopyServices], provider: Provider) -> None:
        self.make = make
        self.provider = provider
        self.one = make()

    def order(
        self, *keywords: str, within_s: float = 20.0, caps: Caps = ROOMY, tenant: str = "demo", **rest: Any
    ) -> Order:
        request = FIRST.request(1) | {"keywords": list(keywords) or [str(uuid4())]}
        brief = brief_of(GenerationRequest.model_validate(request))
        step_id = uuid4()
        return Order(brief, Payer(tenant, str(step_id), caps), step_id, time.monotonic() + within_s, **rest)

    def calls(self) -> int:
        return len(self.provider.bill.lines)


@contextlib.asynccontextmanager
async def workers(
    valkey: tuple[Server, str], bucket: Bucket, folder: Path, script: Script, **changes: Any
) -> AsyncIterator[Workers]:
    tenants = folder / "tenants.toml"
    tenants.write_text(TENANTS, encoding="utf-8")
    desks: list[CopyServices] = []
    async with simulated(script) as one:
        provider = LlmProvider(
            name="one",
            base_url=f"{one.url}/v1",
            key_variable=KEY_VARIABLE,
            fast={"id": "fast-1", **USD},
            high={"id": "high-1", **USD},
        )
        settings = {
            "redis_url": valkey[1],
            "s3_endpoint_url": bucket.url,
            "s3_access_key_id": bucket.key,
            "s3_secret_access_key": bucket.secret,
            "tenants_file": tenants,
            "llm_providers": [provider],
            "llm_hedge_share": 0.0,
            **changes,
        }

        def make(**more: Any) -> CopyServices:
            desks.append(CopyServices(Settings(**{**settings, **more})))
            desks[-1].line._patience_s = 10.0  # the machine may be busy; other tests cover the timeout
            return desks[-1]

        yield Workers(make, one.provider)
        for desk in desks:
            await desk.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "simulated")


@pytest.fixture
def stores(valkey: tuple[Server, str], bucket: Bucket, line: RedisLine, objects: Objects, tmp_path: Path) -> Any:
    """Return empty stores, as the first arguments of `workers`."""
    return valkey, bucket, tmp_path


def faulty(fault: str, share: float = 1.0) -> Script:
    return Script(total_s=0.25, first_token_s=0.08, profiles={fault: share}, retry_after_s=0.3)


def built_in(written: Written) -> list[str]:
    return [one.detail for one in written.warnings if one.code == "template_copy"]


def built_in_sections(written: Written) -> set[str]:
    details = [detail.removeprefix("built-in copy for ").split(":")[0] for detail in built_in(written)]
    return {name for detail in details for name in detail.split(", ")}


async def test_copy_is_written_in_parallel_groups_and_cached(stores: Any) -> None:
    async with workers(*stores, Script(total_s=1.5, first_token_s=0.08)) as it:  # so long that calls overlap under load
        sections: list[tuple[str, int, int]] = []

        async def on_section(name: str, done: int, of: int) -> None:
            sections.append((name, done, of))

        order = it.order(on_section=on_section)
        names = order.brief.groups
        written = await it.one.copywriter.write(order)
        assert (written.status, written.cache, built_in(written)) == ("ok", "miss", [])
        assert it.calls() == len(names) == len(written.attempts) and it.provider.bill.most_open == len(names)
        assert {name for name, _, _ in sections} == set(names) and [done for _, done, _ in sections] == [1, 2, 3, 4][
            : len(names)
        ]
        assert written.provider_ms is not None and written.provider_ms > 200
        await it.one.copywriter.settle_down()
        for layer, desk in (("l1", it.one), ("l2", it.make())):
            found = await desk.cache.get(order.key, order.pattern)
            assert found is not None and found.layer == layer and found.cached.copy_ == written.copy
        assert it.calls() == len(names)
        assert "麺屋" not in str(it.provider.bill.lines)


async def test_ten_equal_orders_share_one_flight_and_one_pays(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        orders = [it.order("ラーメン") for _ in range(10)]
        done = await asyncio.gather(*(it.one.copywriter.write(order) for order in orders))
        assert it.calls() == len(orders[0].brief.groups)
        assert len({one.copy.model_dump_json() for one in done}) == 1
        assert [bool(one.attempts) for one in done].count(True) == 1
        spent = [(await it.one.ledger.spent(order.payer))["lp"] for order in orders]
        assert sorted(map(bool, spent)) == [False] * 9 + [True]


async def test_equal_orders_of_several_workers_share_a_flight(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        desks = [it.make() for _ in range(4)]
        orders = [it.order("ラーメン") for _ in desks]
        done = await asyncio.gather(*(desk.copywriter.write(order) for desk, order in zip(desks, orders, strict=True)))
        assert it.calls() == len(orders[0].brief.groups)
        assert len({one.copy.model_dump_json() for one in done}) == 1 and {one.status for one in done} == {"ok"}


async def test_cancelling_the_leader_does_not_cancel_waiters(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        tasks = [asyncio.create_task(it.one.copywriter.write(it.order("ラーメン"))) for _ in range(5)]
        await asyncio.sleep(0.15)
        tasks[0].cancel()  # the leader of the flight
        rest = await asyncio.gather(*tasks[1:])
        assert {one.status for one in rest} == {"ok"}


async def test_a_waiter_is_not_limited_by_the_leaders_cap(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        poor, rich = it.order("ラーメン", caps=Caps(1, 1, 1)), it.order("ラーメン")
        leading = asyncio.create_task(it.one.copywriter.write(poor))
        while poor.key not in it.one.copywriter._flights:
            await asyncio.sleep(0)
        first, second = await asyncio.gather(leading, it.one.copywriter.write(rich))
        assert first.status == "fallback" and "cap" in built_in(first)[0]
        assert second.status == "ok"


async def test_finished_groups_are_not_requested_again(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        order = it.order()
        await it.one.copywriter.write(order)
        state = await it.one.results.step(uuid4(), order.step_id)
        names = order.brief.groups
        assert set(state.parts) == set(names)
        await it.one.copywriter.settle_down()
        await it.one.cache.forget()
        kept = {name: value for name, value in state.parts.items() if name != "story"}
        again = Order(order.brief, order.payer, order.step_id, time.monotonic() + 20, kept)
        written = await it.make().copywriter.write(again)
        assert it.calls() == len(names) + 1 and written.status == "ok" and len(written.attempts) == len(names)


async def test_a_redelivered_step_takes_over_its_own_lock(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        order = it.order()
        await it.one.results._line.redis.set(f"lp:flight:{order.key}", str(order.step_id), px=60_000)
        assert (await it.one.copywriter.write(order)).status == "ok"


async def test_an_abandoned_lock_costs_only_its_expiry(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        order = it.order()
        await it.one.results._line.redis.set(f"lp:flight:{order.key}", "dead", px=1_500)
        written = await it.one.copywriter.write(order)
        assert written.status == "ok"


@pytest.mark.parametrize("fault", ["malformed", "wrong_schema"])
async def test_unusable_answers_are_retried_once_then_built_in(stores: Any, fault: str) -> None:
    async with workers(*stores, faulty(fault)) as it:
        order = it.order()
        names = order.brief.groups
        written = await it.one.copywriter.write(order)
        assert it.calls() == 2 * len(names) and written.status == "fallback"
        sections = [name for name in sections_of(order.brief) if name in built_in_sections(written)]
        assert sections and {"solution", "faq"} <= set(sections)
        assert built_in(written) == [f"built-in copy for {', '.join(sections)}: the provider's answer was invalid"]
        assert all(one.outcome.startswith("invalid") for one in written.attempts)
        assert await it.one.cache.get(order.key, order.pattern) is None, "built-in copy is not cached"


async def test_single_groups_may_fall_back_to_built_in_copy(stores: Any) -> None:
    async with workers(*stores, faulty("wrong_schema", 0.55)) as it:
        kinds: set[bool] = set()
        for _ in range(12):
            if True in kinds:
                return
            written = await it.one.copywriter.write(it.order())
            missing = len(built_in_sections(written))
            kinds.add(0 < missing < len(sections_of(it.order().brief)))
            assert (written.status == "fallback") is bool(missing)
        assert True in kinds


async def test_refused_input_is_sent_once_in_ten_minutes(stores: Any) -> None:
    async with workers(*stores, faulty("content_filter")) as it:
        order = it.order("ひどい言葉")
        first = await it.one.copywriter.write(order)
        calls = it.calls()
        assert first.status == "fallback" and "refuse" in built_in(first)[0]
        again = await it.make().copywriter.write(it.order("ひどい言葉"))
        assert it.calls() == calls and "refuse" in built_in(again)[0]


async def test_without_a_provider_near_copy_is_used_then_built_in(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order("ラーメン"))
        it.provider.script = faulty("http_500")
        near = await it.one.copywriter.write(it.order("居酒屋"))
        assert (near.status, near.cache) == ("fallback", "near")
        assert near.warnings[0].code == "near_copy"
        await it.one.copywriter.settle_down()
        await it.one.cache.forget()
        none = await it.one.copywriter.write(it.order("居酒屋"))
        assert (none.status, none.cache) == ("fallback", "miss") and built_in(none)


async def test_copy_is_shared_only_with_pages_of_the_same_keywords(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order("ラーメン", "秘密の新商品", tenant="theirs"))
        it.provider.script = faulty("http_500")
        for desk in (it.one, it.make()):
            stranger = await desk.copywriter.write(it.order("ラーメン"))
            assert (stranger.status, stranger.cache) == ("fallback", "miss"), (
                "the copy has a keyword that this page lacks"
            )
            same = await desk.copywriter.write(it.order("ラーメン", "秘密の新商品", "個室"))
            assert (same.status, same.cache) == ("fallback", "near")


async def test_late_orders_call_no_provider(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        written = await it.one.copywriter.write(it.order(within_s=0.5))
        assert it.calls() == 0 and "no time" in built_in(written)[0]


@pytest.mark.parametrize("fault", ["hang_headers", "drip", "stall"])
async def test_copy_arrives_in_time_when_the_provider_hangs(stores: Any, fault: str) -> None:
    async with workers(*stores, faulty(fault)) as it:
        started = time.monotonic()
        written = await it.one.copywriter.write(it.order(within_s=2.5))
        assert written.status == "fallback" and time.monotonic() - started < 30


@full_only  # which calls hang is drawn, so it may take many pages
async def test_finished_groups_are_used_when_time_runs_out(stores: Any) -> None:
    async with workers(*stores, faulty("hang_first", 0.6), llm_first_token_s=20.0) as it:
        mixed = []
        for number in range(12):  # which calls hang is drawn: in some of the orders a part of the groups is finished
            written = await it.one.copywriter.write(it.order(f"鍵{number}", within_s=4.0))
            groups = built_in(written)[0].split(":")[0].split(",") if written.status == "fallback" else []
            if any(one.outcome == "ok" for one in written.attempts) and groups:
                mixed.append(len(groups))
            if any(number < len(it.order().brief.groups) for number in mixed):
                return
        pytest.fail(f"no page has both, in pages with finished groups: {mixed} built-in groups")


async def test_stale_copy_is_served_and_refreshed_in_background(stores: Any) -> None:
    async with workers(*stores, QUICK, copy_fresh_s=1, copy_stale_s=600) as it:
        brief = brief_of(GenerationRequest.model_validate(FIRST.request(1)))
        assert await it.one.copywriter.lookup(brief) is None
        order = it.one.copywriter.background_order(brief)
        await it.one.copywriter.make(order)
        first = await it.one.copywriter.lookup(brief)
        assert first is not None and not first.stale
        await asyncio.sleep(1.2)
        calls = it.calls()
        old = [await it.one.copywriter.lookup(brief) for _ in range(5)]
        assert all(one is not None and one.stale and one.cached == first.cached for one in old)
        await it.one.copywriter.settle_down()
        assert it.calls() == calls + len(order.brief.groups), "refreshed once"
        new = await it.one.copywriter.lookup(brief)
        assert new is not None and new.cached.made_ms > first.cached.made_ms


@pytest.mark.parametrize("at_once", [True, False])
async def test_all_workers_together_refresh_stale_copy_once(stores: Any, at_once: bool) -> None:
    async with workers(*stores, QUICK, copy_fresh_s=10_000, copy_stale_s=90_000) as it:
        order = it.order()
        copy, made_ms = assemble(order.brief, {}), round((time.time() - 20_000) * 1000)
        old = CachedCopy(key=order.key, pattern=order.pattern, copy_=copy, made_ms=made_ms, model="")
        desks = [it.one, it.make(), it.make()]
        for desk in desks:
            await desk.cache.put(old)
        if at_once:
            found = await asyncio.gather(*(desk.copywriter.lookup(order.brief) for desk in desks))
            assert all(one is not None and one.stale for one in found)
        for desk in desks:
            assert await desk.copywriter.lookup(order.brief) is not None
            await desk.copywriter.settle_down()
        assert it.calls() == len(order.brief.groups)


async def test_two_runs_of_warming_and_a_worker_make_copy_once(stores: Any) -> None:
    async with workers(*stores, QUICK) as it:
        desks, brief = [it.one, it.make()], it.order().brief
        orders = [desk.copywriter.background_order(brief) for desk in desks]
        page = it.order(*brief.fields.keywords)
        assert page.key == orders[0].key
        made = [desk.copywriter.make(order) for desk, order in zip(desks, orders, strict=True)]
        *drafts, written = await asyncio.gather(*made, it.make().copywriter.write(page))
        assert it.calls() == len(brief.groups)
        assert all(one.written == written.copy.model_dump(exclude_none=True) for one in drafts)


async def test_without_redis_copy_is_built_in_and_free(stores: Any) -> None:
    server: Server = stores[0][0]
    async with workers(*stores, QUICK) as it:
        server.kill()
        try:
            started = time.monotonic()
            written = await it.one.copywriter.write(it.order())
            assert "ledger" in built_in(written)[0] and it.calls() == 0 and time.monotonic() - started < 30
        finally:
            await asyncio.to_thread(server.restart)


async def test_costs_lost_by_redis_return_while_the_worker_runs(
    stores: Any, line: RedisLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "CONFIRM_S", 1.0)
    async with workers(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order())
        await line.redis.flushall()
        billed, until = it.provider.bill.sums()["micro_jpy"], time.monotonic() + 10
        while await total(line.redis) < billed:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    assert await total(line.redis) == billed > 0


async def test_costs_lost_by_redis_return_when_the_worker_stops(stores: Any, line: RedisLine) -> None:
    async with workers(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order())
        await line.redis.flushall()
    assert await total(line.redis) == it.provider.bill.sums()["micro_jpy"] > 0


async def test_without_providers_copy_is_built_in(stores: Any) -> None:
    async with workers(*stores, QUICK, llm_providers=[]) as it:
        written = await it.one.copywriter.write(it.order())
        assert built_in(written) and it.calls() == 0
