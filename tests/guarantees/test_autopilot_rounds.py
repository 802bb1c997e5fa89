"""Autopilot on the real stack: from findings to an experiment, off again, and under kills.

The tests take the part of the generation worker: they answer the request for a variant, and put its page on S3.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from beacons import assert_counted, produce_all
from cached_finding import VISITS, find
from harness import full_only
from killed_optimizer import KILLED_AT, die, free_lease
from patience import PATIENCE_S
from sites import Site, publish, records

from infra.embedded.stack import Stack
from infra.redis.line import RedisLine, open_redis
from infra.redis.results import ResultStore
from schemas.autopilot import AutopilotState
from schemas.errors import DecodeError
from schemas.experiments import EXPERIMENTS, ExperimentState
from schemas.generation import REQUESTS, Result, VariantRequest, decode_model, lp_id_of
from streams.local.installation import Installation
from streams.proof.planted import habit_visits, planted
from streams.proof.visitors import tally

pytestmark = [full_only, pytest.mark.stack]
SPAN_MS = 3_000_000


@pytest.fixture(scope="module")
def installation(stack: Stack) -> Iterator[Installation]:
    with Installation(stack, print, {"LPSTREAM_EXPERIMENT_INTERVAL_S": "1"}) as services:
        services.children["generation"].stop()
        yield services


@dataclass
class Piloted(Site):
    """A page whose first button does nothing, and its autopilot."""

    async def order(self, command: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return await self.api("POST", f"/autopilot/{self.lp_id}", {"command": command, **fields})

    async def step(self, step: str, *, on: bool = True) -> dict[str, Any]:
        """Return the state of autopilot, once it is at this step."""
        state: dict[str, Any] = {}
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, state = await self.api("GET", f"/autopilot/{self.lp_id}")
                if status == 200 and (state["step"], state["on"]) == (step, on):
                    return state
            await asyncio.sleep(0.2)
        raise AssertionError(f"autopilot is not at {step}: {state}")

    async def requests(self) -> list[VariantRequest]:
        """Return the requests for variants of the page, each record."""
        asked = []
        for _, value in await records(self.stack.addresses.kafka, REQUESTS):
            with contextlib.suppress(DecodeError):
                asked.append(decode_model(VariantRequest, value))
        return [request for request in asked if request.variant.of == self.lp_id]

    async def answer(self) -> str:
        """Make the variant that was asked for, as the generation worker would. Return its id."""
        [request] = await self.requests()
        variant = lp_id_of(request.tenant_id, request.request_id)
        await publish(self.stack, variant)
        result = Result(
            request_id=request.request_id, tenant_id=request.tenant_id, status="completed", lp_id=variant,
            preview_url=f"{self.services.api_url}/lp/requests/{request.request_id}/preview",
        )  # fmt: skip
        redis = open_redis(self.stack.addresses.redis_url)
        await ResultStore(RedisLine(redis)).first(result)
        await redis.aclose()
        return variant

    async def states(self) -> tuple[list[AutopilotState], list[ExperimentState]]:
        """Return all states of autopilot and of experiments on the page, in the order of the log."""
        log = await records(self.stack.addresses.kafka, EXPERIMENTS)
        pilots = [value for key, value in log if key == f"autopilot:{self.lp_id}".encode()]
        states = [value for key, value in log if key == self.lp_id.encode()]
        return [decode_model(AutopilotState, value) for value in pilots], [
            decode_model(ExperimentState, value) for value in states
        ]


def lpstream(services: Installation, *arguments: str) -> str:
    """Run `lpstream autopilot` with these arguments; return what it prints."""
    command = [sys.executable, "-m", "streams", "autopilot", *arguments]
    env = os.environ | services.settings()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout


async def visit(stack: Stack, services: Installation, lp_id: str) -> None:
    """Send visits whose clicks on the first button do nothing, and wait until they are counted."""
    start_ms = int(time.time() * 1000) - SPAN_MS
    visits = habit_visits(planted(1)[0].model, lp_id, 1, VISITS, start_ms, SPAN_MS - 300_000)
    beacons = [beacon for visit in visits for beacon in visit.beacons()]
    await produce_all(services, beacons)
    await assert_counted(stack, lp_id, tally(beacons).total())


@contextlib.asynccontextmanager
async def piloted(stack: Stack, services: Installation, *, visits: bool = True) -> AsyncIterator[Piloted]:
    """Publish a page with a finding, from visits or from the cache, and yield it."""
    lp_id = f"demo-{uuid4().hex[:8]}"
    await publish(stack, lp_id)
    await (visit(stack, services, lp_id) if visits else find(stack, lp_id))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield Piloted(stack, services, session, [lp_id])


async def test_autopilot_goes_from_a_finding_to_an_experiment_and_off(stack: Stack, installation: Installation) -> None:
    async with piloted(stack, installation) as page:
        assert (await page.order("on", approval=True))[0] == 202
        asked = await page.step("asked")
        assert "dead_clicks" in asked["reason"] and asked["finding"]
        [request] = await page.requests()
        assert str(request.request_id) == asked["variant_request_id"] and request.variant.change == "design"
        variant = await page.answer()
        waiting = await page.step("waiting_approval")
        assert waiting["preview_url"].endswith(f"/lp/requests/{request.request_id}/preview")
        assert (await page.api("GET", f"/experiments/{page.lp_id}"))[0] == 404, "nobody sees it before the approval"
        assert (await page.order("approve"))[0] == 202
        testing = await page.step("testing")
        state = await page.state("running", testing["experiment_id"])
        assert state["arms"] == [page.lp_id, variant]
        shown = await asyncio.to_thread(lpstream, installation, "show", page.lp_id)
        assert f"{page.lp_id}: on, testing." in shown and f"variant: {variant}" in shown
        off = json.loads(await asyncio.to_thread(lpstream, installation, "off", page.lp_id, "--json"))
        assert (off["on"], off["step"]) == (False, "resting")
        assert "autopilot" in (await page.state("stopped", testing["experiment_id"]))["reason"]
        pilots, _ = await page.states()
        assert [pilot.number for pilot in pilots] == list(range(1, len(pilots) + 1))


@pytest.mark.parametrize("point", KILLED_AT)
async def test_kills_at_each_step_ask_for_one_variant(stack: Stack, installation: Installation, point: str) -> None:
    """Kill the optimizer at this point of each step; after each kill another makes a step and dies."""
    async with piloted(stack, installation, visits=False) as page:
        await asyncio.to_thread(installation.children["optimizer"].stop)
        assert (await page.order("on"))[0] == 202
        for step in ("watching", "asked", "ready", "testing"):
            if step == "ready":
                await page.answer()
            call, when = KILLED_AT[point]
            await die(stack, installation, "_take", "put_pilots" if call == "put" else call, when)
            pilots, _ = await page.states()
            if not pilots or pilots[-1].step != step:
                await die(stack, installation, "_take", *KILLED_AT["after the commit"])
                pilots, _ = await page.states()
            assert pilots[-1].step == step, point
        await free_lease(stack)
        installation.launch("optimizer")
        state = await page.state("running")
        pilots, experiments = await page.states()
        assert [pilot.number for pilot in pilots] == [1, 2, 3, 4]
        assert len(await page.requests()) == 1
        assert {str(each.experiment_id) for each in experiments} == {state["experiment_id"]}
        assert [each.number for each in experiments].count(0) == 1
        assert (await page.order("off"))[0] == 202
        await page.state("stopped")
