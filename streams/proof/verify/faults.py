"""The trials of an embedded stack: a fault every minute from a seeded list, or rolling restarts."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import LpstreamError
from streams.local.installation import Installation, answers
from streams.proof.verify.place import Place
from streams.proof.verify.resources import listening, port_of
from streams.proof.verify.scenarios import AWAY_S, FAULT_EVERY_S, FIRST_FAULT_S, ROLL_EVERY_S, FaultName, ServiceName

READY_WITHIN_S, POLL_S = 60.0, 0.1
LAST_BEFORE_END_S = 15.0
SERVICES: tuple[ServiceName, ...] = ("edge", "heatmap", "generation")


@dataclass(slots=True)
class Fault:
    """A fault at `at_s` seconds after the start; the killed process answers again at `healed_s`.

    `victim` names the killed process if there are several. A `planned` fault is a restart as for a new version: the
    successor starts first, then the old process gets SIGTERM.
    """

    at_s: float
    name: FaultName
    planned: bool = False
    healed_s: float | None = None
    victim: str = ""

    @property
    def text(self) -> str:
        """The description for the report."""
        if self.planned:
            return f"{self.name}: successor started, then SIGTERM"
        how = "SIGKILL, started again" if self.name in SERVICES else f"SIGKILL, away for {AWAY_S[self.name]:g} s"
        return f"{self.victim or self.name}: {how}"


def planned(seed: int, seconds: float, names: Iterable[FaultName] = tuple(AWAY_S)) -> list[Fault]:
    """Return the faults for a run of `seconds`: each kind once in random order, then all again."""
    rng, names, queue, faults = random.Random(seed), list(names), list[FaultName](), list[Fault]()
    at = FIRST_FAULT_S
    while at <= seconds - LAST_BEFORE_END_S:
        if not queue:
            queue = rng.sample(names, len(names))
        faults.append(Fault(at, queue.pop()))
        at += FAULT_EVERY_S
    return faults


def rolling(seconds: float) -> list[Fault]:
    """Return the restarts for a run of `seconds`: each service in turn."""
    count = int((seconds - LAST_BEFORE_END_S - FIRST_FAULT_S) // ROLL_EVERY_S) + 1
    return [
        Fault(FIRST_FAULT_S + number * ROLL_EVERY_S, SERVICES[number % len(SERVICES)], planned=True)
        for number in range(max(0, count))
    ]


async def inject(place: Place, fault: Fault, began: float) -> None:
    """Inject a fault and wait until it is healed. `began` is the start on the monotonic clock."""
    fault.at_s = time.monotonic() - began
    if fault.planned:
        await asyncio.to_thread(_services(place).replace, fault.name)
    elif fault.name == "edge" and place.settings.edge_processes > 1:
        await _one_of_the_edges(place, fault)
    elif fault.name in SERVICES:
        await _service(place, fault.name)
    elif fault.name == "provider":
        await _provider(place)
    else:
        await _store(place, fault)
    fault.healed_s = time.monotonic() - began


def _services(place: Place) -> Installation:
    if place.services is None:
        raise LpstreamError("services can be killed on an embedded stack only; leave out --data and addresses")
    return place.services


async def _service(place: Place, name: str) -> None:
    services = _services(place)
    await asyncio.to_thread(services.children[name].kill)
    await asyncio.to_thread(services.launch, name)
    if name == "edge":
        edge, url = services.children[name], services.ready_url(name)
        await asyncio.to_thread(edge.wait_ready, lambda: answers(url), READY_WITHIN_S)


async def _one_of_the_edges(place: Place, fault: Fault) -> None:
    """Kill one edge process; its parent starts another. Return when as many listen as before."""
    port, count = port_of(place.edge), place.settings.edge_processes
    before = await asyncio.to_thread(listening, port)
    if len(before) < count:
        raise LpstreamError(f"ss(8) shows {len(before)} edge processes on port {port}, but {count} should listen")
    fault.victim = f"one of {len(before)} edge processes"
    os.kill(min(before), signal.SIGKILL)
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            now = await asyncio.to_thread(listening, port)
            if len(now - {min(before)}) >= len(before):
                return
            await asyncio.sleep(POLL_S)


async def _provider(place: Place) -> None:
    if place.provider is not None:
        await asyncio.to_thread(place.provider.process.kill)
        await asyncio.sleep(AWAY_S["provider"])
        await asyncio.to_thread(place.provider.start, place.script)


async def _store(place: Place, fault: Fault) -> None:
    if place.stack is None:
        raise LpstreamError("stores can be killed on an embedded stack only; leave out --data and addresses")
    # with several brokers, kill the last
    name = [process for process in place.stack.processes if process.startswith(fault.name)][-1]
    fault.victim = name
    await asyncio.to_thread(place.stack.kill, name)
    await asyncio.sleep(AWAY_S[fault.name])
    await asyncio.to_thread(place.stack.restart, name)
