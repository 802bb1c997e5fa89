"""Experiments under kills: visitors keep their arm, and no visit or decision counts twice."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from beacons import example_beacon, post
from harness import full_only, kill_and_launch, scaled
from killed_optimizer import KILLED_AT, die, free_lease
from patience import PATIENCE_S
from sites import Site, records, site

from infra.embedded.stack import Stack
from schemas.errors import DecodeError
from schemas.experiments import EXPERIMENTS, ExperimentState, result_id_of
from schemas.generation import RESULTS, decode_model
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.runtime.stores import open_objects

pytestmark = pytest.mark.stack
OWN_STACK = True  # its optimizer has another interval


@pytest.fixture(scope="module")
def installation(stack: Stack) -> Iterator[Installation]:
    with Installation(stack, print, {"LPSTREAM_EXPERIMENT_INTERVAL_S": "1"}) as services:
        yield services


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
    result_id = str(result_id_of(UUID(experiment_id), states[0].lp_id)).encode()
    assert keys.count(result_id) == sum(state.status == "decided" for state in ended)
    return states


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
            await die(stack, installation, "_commit", *KILLED_AT[step])
        await free_lease(stack)
        installation.launch("optimizer")
        await page.learned()
        states = await assert_no_decision_twice(stack, experiment_id)
        assert states[-1].pageviews == [page.seen[arm] for arm in page.arms]


async def test_a_second_optimizer_is_fenced(stack: Stack, installation: Installation) -> None:
    async with site(stack, installation, arms=2) as page:
        experiment_id = await page.start()
        first = (await page.state())["epoch"]
        await free_lease(stack)  # as if it had expired while its holder slept
        other = installation.spare("optimizer", 2)
        other.start()
        try:
            await page.served()
            async with asyncio.timeout(PATIENCE_S):
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
        async with asyncio.timeout(PATIENCE_S):
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
        async with asyncio.timeout(PATIENCE_S):
            for lp_id in ids[::2]:
                while (await page.api("GET", f"/experiments/{lp_id}"))[0] != 200:
                    await asyncio.sleep(0.2)
        print(json.dumps({"asked_s": round(asked_s, 1), "running_after_s": round(time.monotonic() - began, 1)}))
