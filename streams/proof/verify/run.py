"""The run of a scenario: drivers, probes, faults and the resource monitor, then the counting.

Ctrl-C or the end of a store ends the load early. The run still counts and reports the load until then. The end of a
driver, or of a task beside the load, ends the run with an error.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from infra.clickhouse.client import ClickHouse
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from streams.client import over_http
from streams.generation.mix import Mix
from streams.proof.beside import beside, must_run
from streams.proof.verify import faults
from streams.proof.verify.counts import Difference, answers, settled
from streams.proof.verify.faults import Fault
from streams.proof.verify.fleet import POLL_S, READY_WITHIN_S, Fleet, Part, Seen
from streams.proof.verify.place import Place
from streams.proof.verify.probes import Probes
from streams.proof.verify.resources import Watch
from streams.proof.verify.scenarios import AWAY_S, Scenario
from streams.runtime.stores import open_analyst

PAGES = 8
DRAIN_S, COUNTED_WITHIN_S, ANSWERED_WITHIN_S = 60.0, 120.0, 60.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A scenario with the scale and the times of a run.

    `by_locust` says whether Locust drives the visitors. `seed` decides visits, requests and faults; `run` makes the
    ids of this run unique.
    """

    scenario: Scenario
    scale: float
    seconds: float
    ramp_s: float
    by_locust: bool
    seed: int
    run: int = field(default_factory=lambda: random.SystemRandom().randrange(2**31))

    @property
    def connections(self) -> int:
        """The number of connections: the scenario's number times the scale."""
        return max(1, round(self.scenario.connections * self.scale))

    @property
    def per_minute(self) -> float:
        """The number of LPs per minute: the scenario's number times the scale."""
        return self.scenario.per_minute * self.scale


@dataclass(slots=True)
class Measured:
    """All results of a run. Events and LP counts are None if they could not be counted."""

    asked: Asked
    seen: Seen
    probes: Probes
    watch: Watch
    span: tuple[float, float]
    faults: list[Fault]
    events: Difference | None = None
    lps_lost: int | None = None
    lps_doubled: int | None = None
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False


async def carry_out(place: Place, asked: Asked, folder: Path, stop: asyncio.Event, tell: Tell) -> Measured:
    """Run the scenario.

    `stop` ends the load early, `folder` is for the drivers' files, `tell` receives the progress line.
    """
    tell("making pages for the visitors")
    lp_ids = await _pages(place, asked.seed)
    part = Part(
        place.edge, place.api, place.token, place.tenant, lp_ids, asked.connections, asked.ramp_s, asked.seconds,
        asked.per_minute, 0, asked.seed, asked.run, str(folder), DRAIN_S, asked.by_locust,
    )  # fmt: skip
    fleet = Fleet(part, folder)
    clickhouse = open_analyst(place.settings)
    try:
        async with contextlib.AsyncExitStack() as opened:
            run = _Run(place, asked, fleet, clickhouse, lp_ids[0], stop, tell, opened)
            await run.read_answers()
            await run.load()
            return await run.count()
    finally:
        await asyncio.to_thread(fleet.end)
        await clickhouse.close()


async def _pages(place: Place, seed: int) -> list[str]:
    """Make new pages for the visitors, so that their counts hold only this run's events."""
    rng, mix = random.Random(seed), Mix.load()
    async with over_http(place.api, place.token) as pages:
        requests = [
            mix.draw(rng).request(number, seed, place.tenant) | {"request_id": str(uuid4())} for number in range(PAGES)
        ]
        ids = [await pages.request(GenerationRequest.model_validate(request)) for request in requests]
        results = await asyncio.gather(*map(pages.result, ids))
    lp_ids = [result.lp_id for result in results if result.lp_id is not None and result.page_url is not None]
    if not lp_ids:
        raise LpstreamError("no page could be made for the visitors; see the generation worker's log")
    return lp_ids


class _Run:
    """The run. Closing `opened` ends the tasks beside the load."""

    def __init__(
        self, place: Place, asked: Asked, fleet: Fleet, clickhouse: ClickHouse, lp_id: str, stop: asyncio.Event,
        tell: Tell, opened: contextlib.AsyncExitStack,
    ) -> None:  # fmt: skip
        self.place, self.asked, self.fleet, self.clickhouse = place, asked, fleet, clickhouse
        self.stop, self.tell = stop, tell
        self.probes = Probes(place, lp_id, f"{place.tenant}-verify{asked.run:08x}-probe", time.monotonic())
        self.watch = Watch(lambda: place.pids() | fleet.pids, place.ports)
        self.faults = self._planned()
        self.problems: list[str] = []
        self._opened = opened
        self._tasks: list[asyncio.Task[None]] = []
        self._span = (0.0, 0.0)

    def _planned(self) -> list[Fault]:
        trial = self.asked.scenario.trial
        if trial == "none":
            return []
        if self.place.stack is None:
            raise LpstreamError(f"{trial} ends processes and needs an embedded stack; leave out --data and addresses")
        if trial == "rolling":
            return faults.rolling(self.asked.seconds)
        names = [name for name in AWAY_S if name != "provider" or self.place.provider is not None]
        # Tansu keeps its log in memory: killing it loses acknowledged records, as its documentation says
        if self.place.stack.addresses.broker_kind == "tansu":
            names.remove("kafka")
        return faults.planned(self.asked.seed, self.asked.seconds, names)

    async def read_answers(self) -> None:
        """Begin to read results."""
        reading = answers(self.place.settings.kafka_bootstrap_servers)
        async with asyncio.timeout(READY_WITHIN_S):
            self.answers = await self._opened.enter_async_context(reading)
        self._tasks.append(self.answers.reading)

    async def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(await self._opened.enter_async_context(beside(work, name)))

    async def load(self) -> None:
        """Ramp up, measure, stop and drain."""
        self.fleet.start()
        until = time.monotonic() + READY_WITHIN_S
        while not self.fleet.ready():
            self.tell(f"{self.fleet.now()['users']:,} of {self.asked.connections:,} connections")
            if time.monotonic() > until:
                raise LpstreamError(f"the load drivers were not ready within {READY_WITHIN_S:g} s")
            if self.stop.is_set():
                break
            await asyncio.sleep(POLL_S)
        began = self.probes.began = time.monotonic()
        await self._start(self.watch.run(), "the resource monitor")
        await self._start(self.probes.ask(), "the probes of the edge")
        await self._start(self.probes.look(self.clickhouse), "the queries for the probes' beacons")
        await self._start(self.probes.count_connections(), "the counting of connections")
        self.fleet.go()
        await self._watch_over(began)
        self._span = (began, time.monotonic())
        self.fleet.stop()
        await self._drain()

    async def _watch_over(self, began: float) -> None:
        """Inject due faults and restart dead services until the time is over or `stop` is set.

        Raise LpstreamError if a task beside the load ends, because its figures would be wrong.
        """
        pending = list(self.faults)
        injecting: asyncio.Task[None] | None = None
        while (at := time.monotonic() - began) < self.asked.seconds and not self.stop.is_set():
            for task in self._tasks:
                must_run(task)
            if pending and at >= pending[0].at_s and (injecting is None or injecting.done()):
                injecting = asyncio.create_task(self._inject(pending.pop(0), began))
            if injecting is None or injecting.done():
                self._revive()
            now = self.fleet.now()
            healed = sum(fault.healed_s is not None for fault in self.faults)
            self.tell(
                f"{at:,.0f} of {self.asked.seconds:,.0f} s: {now['requests']:,} requests, {now['errors']:,} errors, "
                f"{now['answered']:,} of {now['lps']:,} LPs"
                + (f", {healed} of {len(self.faults)} trials over" if self.faults else "")
            )
            await asyncio.sleep(0.5)
        self.faults = [fault for fault in self.faults if fault not in pending]
        if injecting is not None:
            await injecting

    async def _inject(self, fault: Fault, began: float) -> None:
        try:
            await faults.inject(self.place, fault, began)
        except (LpstreamError, TimeoutError) as error:
            self.problems.append(f"after {fault.text}: {error or type(error).__name__}")

    def _revive(self) -> None:
        services, stack = self.place.services, self.place.stack
        if stack is not None and (dead := stack.dead()):
            self.problems.append(f"{', '.join(dead)} ended unexpectedly, which ended the run")
            self.stop.set()
            return
        for name, child in services.children.items() if services is not None else ():
            if not child.alive:
                self.problems.append(f"{name} ended unexpectedly with code {child.returncode} and was started again")
                services.launch(name)  # type: ignore[union-attr]
                return

    async def _drain(self) -> None:
        self.tell("waiting for open requests")
        until = time.monotonic() + DRAIN_S + READY_WITHIN_S
        while time.monotonic() < until:
            if self.fleet.done:
                return
            await asyncio.sleep(POLL_S)

    async def count(self) -> Measured:
        """Compare acknowledged events and LPs with the counts. Return all results of the run."""
        self.tell("counting")
        seen = self.fleet.collect()
        measured = Measured(
            self.asked, seen, self.probes, self.watch, self._span, self.faults, problems=self.problems,
            interrupted=self.stop.is_set(),
        )  # fmt: skip
        asked = [lp["id"] for lp in seen.lps if lp["asked"]]
        measured.lps_lost, measured.lps_doubled = await self.answers.wait(asked, ANSWERED_WITHIN_S)
        with contextlib.suppress(LpstreamError):
            measured.events = await settled(self.clickhouse, seen.acknowledged, seen.unresolved, COUNTED_WITHIN_S)
        return measured
