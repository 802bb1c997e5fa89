"""Copy on real stores and simulated providers: flights, the ladder, what is near, what is built in."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from providers import QUICK, simulated
from stores import Bucket

from infra.embedded.process import Server
from infra.redis import budget
from infra.redis.budget import Caps, Payer
from infra.redis.line import RedisLine
from infra.s3.objects import Objects
from processors.pages.copywriting import copy_fields, groups
from schemas.generation import GenerationRequest
from streams.generation.copywriting import Order, Written
from streams.generation.mix import Mix
from streams.generation.services import CopyServices
from streams.proof.audit import total
from streams.proof.provider.remote import KEY_VARIABLE, USD
from streams.proof.provider.script import Script
from streams.proof.provider.server import Provider
from streams.runtime.settings import LlmProvider, Settings

ROOMY = Caps(10**12, 10**12, 10**12)
FIRST = Mix.load().patterns()[0]
TENANTS = '[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n'


class Room:
    """Desks, each as a worker of its own, over the same stores and one provider."""

    def __init__(self, make: Callable[..., CopyServices], provider: Provider) -> None:
        self.make = make
        self.provider = provider
        self.one = make()

    def order(
        self, *keywords: str, within_s: float = 6.0, caps: Caps = ROOMY, tenant: str = "demo", **rest: Any
    ) -> Order:
        request = FIRST.request(1) | {"keywords": list(keywords) or [str(uuid4())]}
        fields = copy_fields(GenerationRequest.model_validate(request))
        step_id = uuid4()
        return Order(fields, Payer(tenant, str(step_id), caps), step_id, time.monotonic() + within_s, **rest)

    def calls(self) -> int:
        return len(self.provider.bill.lines)


@contextlib.asynccontextmanager
async def room(
    valkey: tuple[Server, str], bucket: Bucket, folder: Path, script: Script, **changes: Any
) -> AsyncIterator[Room]:
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
            return desks[-1]

        yield Room(make, one.provider)
        for desk in desks:
            await desk.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "simulated")


@pytest.fixture
def stores(valkey: tuple[Server, str], bucket: Bucket, line: RedisLine, objects: Objects, tmp_path: Path) -> Any:
    """Emptied stores, as the first arguments of `room`."""
    return valkey, bucket, tmp_path


def faulty(fault: str, share: float = 1.0) -> Script:
    return Script(total_s=0.25, first_token_s=0.08, faults={fault: share}, retry_after_s=0.3)  # type: ignore[dict-item]


def built_in(written: Written) -> list[str]:
    return [one.detail for one in written.warnings if one.code == "template_copy"]


async def test_copy_is_written_by_groups_at_once_and_kept_in_all_layers(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        told: list[tuple[str, int, int]] = []

        async def on_section(name: str, done: int, of: int) -> None:
            told.append((name, done, of))

        order = it.order(on_section=on_section)
        names = groups(order.fields)
        written = await it.one.copywriter.write(order)
        assert (written.status, written.cache, built_in(written)) == ("ok", "miss", [])
        assert it.calls() == len(names) == len(written.attempts) and it.provider.bill.most_open == len(names)
        assert {name for name, _, _ in told} == set(names) and [done for _, done, _ in told] == [1, 2, 3, 4][
            : len(names)
        ]
        assert written.provider_ms is not None and 200 < written.provider_ms < 1_500
        await it.one.copywriter.settle_down()
        for layer, desk in (("l1", it.one), ("l2", it.make())):
            found = await desk.cache.get(order.key, order.pattern)
            assert found is not None and found.layer == layer and found.cached.copy_ == written.copy
        assert it.calls() == len(names)
        assert "麺屋" not in str(it.provider.bill.lines)


async def test_ten_who_ask_for_the_same_share_one_flight_and_one_pays(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        orders = [it.order("ラーメン") for _ in range(10)]
        done = await asyncio.gather(*(it.one.copywriter.write(order) for order in orders))
        assert it.calls() == len(groups(orders[0].fields))
        assert len({one.copy.model_dump_json() for one in done}) == 1
        assert [bool(one.attempts) for one in done].count(True) == 1
        spent = [(await it.one.ledger.spent(order.payer))["lp"] for order in orders]
        assert sorted(map(bool, spent)) == [False] * 9 + [True]


async def test_workers_share_a_flight(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        desks = [it.make() for _ in range(4)]
        orders = [it.order("ラーメン") for _ in desks]
        done = await asyncio.gather(*(desk.copywriter.write(order) for desk, order in zip(desks, orders, strict=True)))
        assert it.calls() == len(groups(orders[0].fields))
        assert len({one.copy.model_dump_json() for one in done}) == 1 and {one.status for one in done} == {"ok"}


async def test_a_waiter_that_gives_up_takes_nobody_down(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        tasks = [asyncio.create_task(it.one.copywriter.write(it.order("ラーメン"))) for _ in range(5)]
        await asyncio.sleep(0.15)
        tasks[0].cancel()  # the one who took off
        rest = await asyncio.gather(*tasks[1:])
        assert {one.status for one in rest} == {"ok"}


async def test_one_who_waits_is_not_held_to_the_leaders_cap(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        poor, rich = it.order("ラーメン", caps=Caps(1, 1, 1)), it.order("ラーメン")
        leading = asyncio.create_task(it.one.copywriter.write(poor))
        while not it.one.copywriter._flights:
            await asyncio.sleep(0)
        first, second = await asyncio.gather(leading, it.one.copywriter.write(rich))
        assert first.status == "fallback" and "cap" in built_in(first)[0]
        assert second.status == "ok"


async def test_finished_groups_are_not_asked_for_again(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        order = it.order()
        await it.one.copywriter.write(order)
        state = await it.one.results.step(uuid4(), order.step_id)
        names = groups(order.fields)
        assert set(state.parts) == set(names)
        await it.one.copywriter.settle_down()
        await it.one.cache.forget()
        kept = {name: value for name, value in state.parts.items() if name != "story"}
        again = Order(order.fields, order.payer, order.step_id, time.monotonic() + 6, kept)
        written = await it.make().copywriter.write(again)
        assert it.calls() == len(names) + 1 and written.status == "ok" and len(written.attempts) == len(names)


async def test_a_step_delivered_again_takes_over_the_lock_of_its_first_try(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        order = it.order()
        await it.one.results._line.redis.set(f"lp:flight:{order.key}", str(order.step_id), px=60_000)
        assert (await it.one.copywriter.write(order)).status == "ok"


async def test_a_lock_that_nobody_gives_back_costs_its_time_and_no_more(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        order = it.order(within_s=4)
        await it.one.results._line.redis.set(f"lp:flight:{order.key}", "dead", px=1_500)
        started = time.monotonic()
        written = await it.one.copywriter.write(order)
        assert written.status == "ok" and time.monotonic() - started < 5


@pytest.mark.parametrize("fault", ["malformed", "wrong_schema"])
async def test_what_cannot_be_used_is_asked_for_once_more_then_built_in(stores: Any, fault: str) -> None:
    async with room(*stores, faulty(fault)) as it:
        order = it.order()
        names = groups(order.fields)
        written = await it.one.copywriter.write(order)
        assert it.calls() == 2 * len(names) and written.status == "fallback"
        assert built_in(written) == [f"built-in copy for {', '.join(names)}: what came back could not be used"]
        assert all(one.outcome.startswith("invalid") for one in written.attempts)
        assert await it.one.cache.get(order.key, order.pattern) is None, "what is built in is not cached"


async def test_one_group_may_be_built_in_while_the_others_are_written(stores: Any) -> None:
    async with room(*stores, faulty("wrong_schema", 0.55)) as it:
        kinds: set[bool] = set()
        for _ in range(12):
            if True in kinds:
                return
            written = await it.one.copywriter.write(it.order())
            missing = built_in(written)[0].split(":")[0].count(",") + 1 if built_in(written) else 0
            kinds.add(0 < missing < len(groups(it.order().fields)))
            assert (written.status == "fallback") is bool(missing)
        assert True in kinds


async def test_refused_input_is_asked_for_once_in_ten_minutes(stores: Any) -> None:
    async with room(*stores, faulty("content_filter")) as it:
        order = it.order("ひどい言葉")
        first = await it.one.copywriter.write(order)
        calls = it.calls()
        assert first.status == "fallback" and "refuse" in built_in(first)[0]
        again = await it.make().copywriter.write(it.order("ひどい言葉"))
        assert it.calls() == calls and "refuse" in built_in(again)[0]


async def test_with_the_provider_away_what_is_near_is_used_else_what_is_built_in(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order("ラーメン"))
        it.provider.script = faulty("http_500")
        near = await it.one.copywriter.write(it.order("居酒屋"))
        assert (near.status, near.cache) == ("fallback", "near")
        assert near.warnings[0].code == "near_copy"
        await it.one.copywriter.settle_down()
        await it.one.cache.forget()
        none = await it.one.copywriter.write(it.order("居酒屋"))
        assert (none.status, none.cache) == ("fallback", "miss") and built_in(none)


async def test_copy_of_another_tenant_is_lent_to_whoever_typed_its_words(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order("ラーメン", "秘密の新商品", tenant="theirs"))
        it.provider.script = faulty("http_500")
        for desk in (it.one, it.make()):
            stranger = await desk.copywriter.write(it.order("ラーメン"))
            assert (stranger.status, stranger.cache) == ("fallback", "miss"), "it has a word that was not typed here"
            same = await desk.copywriter.write(it.order("ラーメン", "秘密の新商品", "個室"))
            assert (same.status, same.cache) == ("fallback", "near")


async def test_late_orders_ask_nobody(stores: Any) -> None:
    async with room(*stores, QUICK) as it:
        written = await it.one.copywriter.write(it.order(within_s=0.5))
        assert it.calls() == 0 and "no time" in built_in(written)[0]


@pytest.mark.parametrize("fault", ["hang_headers", "drip", "stall"])
async def test_copy_comes_in_time_whatever_hangs(stores: Any, fault: str) -> None:
    async with room(*stores, faulty(fault)) as it:
        started = time.monotonic()
        written = await it.one.copywriter.write(it.order(within_s=2.5))
        assert written.status == "fallback" and time.monotonic() - started < 5


async def test_groups_that_came_are_used_when_time_ran_out_for_the_others(stores: Any) -> None:
    async with room(*stores, faulty("hang_first", 0.5), llm_first_token_s=20.0) as it:
        written = await it.one.copywriter.write(it.order(within_s=2.0))
        assert written.status == "fallback"
        assert sum(one.outcome == "ok" for one in written.attempts) >= 1
        assert 1 <= len(built_in(written)[0].split(":")[0].split(",")) < len(groups(it.order().fields))


async def test_old_copy_is_served_and_made_anew_behind_the_readers_back(stores: Any) -> None:
    async with room(*stores, QUICK, copy_fresh_s=1, copy_stale_s=600) as it:
        request = GenerationRequest.model_validate(FIRST.request(1))
        assert await it.one.copywriter.lookup(request) is None
        order = it.one.copywriter.background_order(copy_fields(request))
        await it.one.copywriter.make(order)
        first = await it.one.copywriter.lookup(request)
        assert first is not None and not first.stale
        await asyncio.sleep(1.2)
        calls = it.calls()
        old = [await it.one.copywriter.lookup(request) for _ in range(5)]
        assert all(one is not None and one.stale and one.cached == first.cached for one in old)
        await it.one.copywriter.settle_down()
        assert it.calls() == calls + len(groups(order.fields)), "made anew once"
        new = await it.one.copywriter.lookup(request)
        assert new is not None and new.cached.made_ms > first.cached.made_ms


async def test_with_redis_away_nothing_is_spent_and_copy_is_built_in_at_once(stores: Any) -> None:
    server: Server = stores[0][0]
    async with room(*stores, QUICK) as it:
        server.kill()
        try:
            started = time.monotonic()
            written = await it.one.copywriter.write(it.order())
            assert "ledger" in built_in(written)[0] and it.calls() == 0 and time.monotonic() - started < 5
        finally:
            await asyncio.to_thread(server.restart)


async def test_costs_that_redis_lost_come_back_while_the_worker_runs(
    stores: Any, line: RedisLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "CONFIRM_S", 1.0)
    async with room(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order())
        await line.redis.flushall()
        billed, until = it.provider.bill.sums()["micro_jpy"], time.monotonic() + 10
        while await total(line.redis) < billed:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    assert await total(line.redis) == billed > 0


async def test_costs_that_redis_lost_come_back_when_the_worker_stops(stores: Any, line: RedisLine) -> None:
    async with room(*stores, QUICK) as it:
        await it.one.copywriter.write(it.order())
        await line.redis.flushall()
    assert await total(line.redis) == it.provider.bill.sums()["micro_jpy"] > 0


async def test_without_a_provider_built_in_copy_is_what_was_asked_for(stores: Any) -> None:
    async with room(*stores, QUICK, llm_providers=[]) as it:
        written = await it.one.copywriter.write(it.order())
        assert built_in(written) and it.calls() == 0
