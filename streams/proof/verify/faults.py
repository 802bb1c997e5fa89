"""Trials of a stack of our own: a fault a minute from a seeded list, or a restart of each service in turn."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from schemas.errors import LpstreamError
from streams.proof.verify.place import COPY_3_S, Place
from streams.proof.verify.resources import listening, port_of
from streams.proof.verify.scenarios import AWAY_S, FAULT_EVERY_S, FIRST_FAULT_S, ROLL_EVERY_S, FaultName, ServiceName

READY_WITHIN_S, LOOK_S = 60.0, 0.1
LAST_BEFORE_END_S = 15.0
SERVICES: tuple[ServiceName, ...] = ("edge", "heatmap", "generation")


@dataclass(slots=True)
class Fault:
    """What is done, and when, s after the start; `healed_s` is when it answered again.

    `victim` is who of several was killed.

    A `planned` one is no fault but a restart as for a new version: the successor first, then SIGTERM.
    """

    at_s: float
    name: FaultName
    planned: bool = False
    healed_s: float | None = None
    victim: str = ""

    @property
    def text(self) -> str:
        """For a reader."""
        if self.planned:
            return f"{self.name}: successor started, then SIGTERM"
        how = "SIGKILL, started again" if self.name in SERVICES else f"SIGKILL, away for {AWAY_S[self.name]:g} s"
        return f"{self.victim or self.name}: {how}"


def planned(seed: int, seconds: float, names: Iterable[FaultName] = tuple(AWAY_S)) -> list[Fault]:
    """Faults for so long: each kind once in a random order, then all again in another."""
    rng, names, waiting, found = random.Random(seed), list(names), list[FaultName](), list[Fault]()
    at = FIRST_FAULT_S
    while at <= seconds - LAST_BEFORE_END_S:
        if not waiting:
            waiting = rng.sample(names, len(names))
        found.append(Fault(at, waiting.pop()))
        at += FAULT_EVERY_S
    return found


def rolling(seconds: float) -> list[Fault]:
    """Restarts for so long: the services in turn."""
    count = int((seconds - LAST_BEFORE_END_S - FIRST_FAULT_S) // ROLL_EVERY_S) + 1
    return [
        Fault(FIRST_FAULT_S + number * ROLL_EVERY_S, SERVICES[number % len(SERVICES)], planned=True)
        for number in range(max(0, count))
    ]


async def inject(place: Place, fault: Fault, began: float) -> None:
    """Do it and wait until it is healed; times are s after `began`, of the monotonic clock."""
    fault.at_s = time.monotonic() - began
    if fault.planned:
        await _replace(place, fault.name)
    elif fault.name == "edge" and place.settings.edge_processes > 1:
        await _one_of_the_edges(place, fault)
    elif fault.name in SERVICES:
        await _service(place, fault.name)
    elif fault.name == "provider":
        await _provider(place)
    else:
        await _store(place, fault)
    fault.healed_s = time.monotonic() - began


async def _replace(place: Place, name: str) -> None:
    if place.services is None:
        raise LpstreamError("only services of our own stack are restarted")
    await asyncio.to_thread(place.services.replace, name)


async def _service(place: Place, name: str) -> None:
    if place.services is None:
        raise LpstreamError("only services of our own stack are killed")
    await asyncio.to_thread(place.services.children[name].kill)
    await asyncio.to_thread(place.services.launch, name)
    if name == "edge":
        await _answers(f"{place.edge}/readyz")


async def _one_of_the_edges(place: Place, fault: Fault) -> None:
    """Kill one process; its parent starts another. It is healed when as many listen as before."""
    port, count = port_of(place.edge), place.settings.edge_processes
    before = await asyncio.to_thread(listening, port)
    if len(before) < count:
        raise LpstreamError(f"ss(8) tells {len(before)} processes that listen at port {port}, not {count}")
    fault.victim = f"one of {len(before)} edge processes"
    os.kill(min(before), signal.SIGKILL)
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            now = await asyncio.to_thread(listening, port)
            if len(now - {min(before)}) >= len(before):
                return
            await asyncio.sleep(LOOK_S)


async def _provider(place: Place) -> None:
    if place.provider is not None:
        await asyncio.to_thread(place.provider.process.kill)
        await asyncio.sleep(AWAY_S["provider"])
        await asyncio.to_thread(place.provider.start, COPY_3_S)


async def _store(place: Place, fault: Fault) -> None:
    if place.stack is None:
        raise LpstreamError("only stores of our own stack are killed")
    # of several brokers one, and one is as good as another
    name = [one for one in place.stack.processes if one.startswith(fault.name)][-1]
    fault.victim = name
    await asyncio.to_thread(place.stack.kill, name)
    await asyncio.sleep(AWAY_S[fault.name])
    await asyncio.to_thread(place.stack.restart, name)


async def _answers(url: str) -> None:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
        asyncio.timeout(READY_WITHIN_S),
    ):
        while True:
            # until it answers it is not healed: that is what is waited for
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(LOOK_S)
