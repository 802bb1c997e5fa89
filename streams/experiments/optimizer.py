"""The optimizer: it carries out commands, learns from counts each minute, and writes states.

One optimizer works at a time, under a lease. A second fence holds even if the lease fails: all optimizers use one
`transactional.id`, so the broker refuses the writes of every optimizer but the last that started. What an optimizer
does is on the topic or it has not happened, so an optimizer that starts reads the topic and goes on from there.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.experiment_counts import MOST_PAGES
from infra.redis.experiments import ExperimentStore
from infra.redis.lease import Lease
from infra.tenants import Tenants
from processors.experiments.autopilot import Next
from processors.experiments.decisions import (
    begun,
    carried_out,
    handled,
    learned,
    obstacle,
    refused,
    rules_of,
    stopped,
    stopped_by_person,
    undecided,
)
from processors.experiments.evidence import evidence_of, with_point
from processors.experiments.learning import learn
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import LpstreamError, Refused, Retryable
from schemas.experiments import (
    EXPERIMENTS,
    ExperimentCommand,
    ExperimentState,
    PageCounts,
    PastWeights,
    result_id_of,
)
from schemas.generation import REQUESTS, RESULTS, Decision, Result, encode_model
from streams.experiments.autopilots import Autopilots, Sources
from streams.experiments.counting import Counting
from streams.experiments.topic import TopicReader
from streams.runtime import metrics
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

WAIT_S, HEAL_S, SHOW_ALL_S = 0.2, 2.0, 60.0
LAG_S, SEND_S = 1, 20.0
AT_ONCE = 100  # states of one transaction
Message = tuple[str, bytes, bytes]
ORDERS, WRITTEN = (ExperimentCommand, AutopilotCommand), (ExperimentState, AutopilotState)


class Optimizer:
    """The work of one epoch: from the start of a producer until the lease or the producer is lost."""

    def __init__(
        self,
        settings: Settings,
        tenants: Tenants,
        store: ExperimentStore,
        clickhouse: ClickHouse,
        held: Lease,
        topic: TopicReader,
        producer: AIOKafkaProducer,
        sources: Sources,
        epoch: int,
    ) -> None:
        self._settings, self._tenants, self._store, self._held = settings, tenants, store, held
        self._topic, self._known, self._producer, self._epoch = topic, topic.known, producer, epoch
        self._counting = Counting(clickhouse, settings.experiment_interval_s)
        self._autopilots = Autopilots(topic.known, sources, tenants, epoch)
        self._shown, self._shown_at = False, 0.0

    async def run(self) -> None:
        """Work until an error ends the epoch. KafkaError or LpstreamError says why."""
        await self._carry_out(self._known.orders)
        look_at = heal_at = 0.0
        interval_s = self._settings.experiment_interval_s
        while True:
            if _due(now := time.time(), heal_at, HEAL_S):
                await self._heal()
                heal_at = now + HEAL_S
            if _due(now, look_at, interval_s):
                await self._look()
                async for step in self._autopilots.steps():
                    await self._take(step)
                look_at = (time.time() // interval_s + 1) * interval_s
            taken = await self._topic.more(WAIT_S)
            if any(isinstance(each, WRITTEN) and each.epoch > self._epoch for each in taken):
                raise LpstreamError("a newer optimizer has taken over")
            await self._carry_out([each for each in taken if isinstance(each, ORDERS)])

    # -- commands --------------------------------------------------------------------------------------

    async def _carry_out(self, commands: Sequence[ExperimentCommand | AutopilotCommand]) -> None:
        for command in commands:
            if isinstance(command, AutopilotCommand):
                if (step := self._autopilots.after(command)) is not None:
                    await self._take(step)
                continue
            before = self._known.states.get(command.lp_id)
            if not handled(command, before):
                await self._commit(self._after(command, before))

    def _after(self, command: ExperimentCommand, before: ExperimentState | None) -> list[ExperimentState]:
        """Return the states that follow from a command. A start ends the experiment that runs on the page."""
        now_ms, epoch = round(time.time() * 1000), self._epoch
        if command.command == "stop":
            state = before or self._begun(command, None, now_ms)
            return [stopped_by_person(state, command, epoch=epoch, now_ms=now_ms)]
        if why := obstacle(command, self._known.states, self._tenants.owns):
            log.warning("experiment %s does not start: %s", command.experiment_id, why)
            return [refused(command, before, why, epoch=epoch, now_ms=now_ms)]
        if before is None or before.status != "running":
            return [self._begun(command, before, now_ms)]
        ended = stopped(before, f"replaced by experiment {command.experiment_id}", epoch=epoch, now_ms=now_ms)
        return [ended, self._begun(command, ended, now_ms)]

    def _begun(self, command: ExperimentCommand, before: ExperimentState | None, now_ms: int) -> ExperimentState:
        settle_s = self._settings.experiment_settle_s
        return begun(command, before, epoch=self._epoch, now_ms=now_ms, settle_s=settle_s)

    async def _take(self, step: Next) -> None:
        """Write a step of an autopilot, with its request, start or stop, in one transaction."""
        pilot, now_ms = step.state, round(time.time() * 1000)
        await self._topic.catch_up()
        if not self._known.has(pilot.lp_id):
            return  # the page was erased while the step was computed
        before, commands = self._known.states.get(pilot.lp_id), self._known.commands.get(pilot.lp_id, [])
        states: list[ExperimentState] = []
        others: list[Message] = [(EXPERIMENTS, pilot.key, encode_model(pilot))]
        if step.request is not None:
            others.append((REQUESTS, str(step.request.request_id).encode(), encode_model(step.request)))
        if step.starts is not None:
            # a person's command that is carried out is not carried out again, and one that comes now goes before
            after = next((each.experiment_id for each in commands if carried_out(each, before)), None)
            states.append(self._begun(step.starts, before, now_ms).model_copy(update={"after": after}))
        if step.stops is not None and before is not None:
            states.append(stopped(before, f"stopped by autopilot: {step.stops}", epoch=self._epoch, now_ms=now_ms))
        await self._commit(states, others)

    # -- looks -----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """End old experiments, learn from the counts of the others, and commit the new states."""
        began = time.perf_counter()
        now_ms = round(time.time() * 1000)
        days, epoch = self._settings.tier_warm_days, self._epoch
        ends = [undecided(state, days, epoch=epoch, now_ms=now_ms) for state in self._running()]
        await self._commit([end for end in ends if end is not None])
        running = self._running()
        self._counting.forget_all_but(running)
        for group in _groups([state for state in running if state.counted_from_ms <= now_ms]):
            try:
                points = {state.lp_id: self._points(state) for state in group}
                rows = await self._counting.rows(group, now_ms // 1000, points)
            except (Retryable, Refused) as error:
                log.warning("experiments learn nothing now, their weights stay: %s", error)
                break
            await self._commit(await asyncio.to_thread(self._learned, group, rows, now_ms))
        metrics.LOOK_SECONDS.observe(time.perf_counter() - began)

    def _running(self) -> list[ExperimentState]:
        return [state for state in self._known.states.values() if state.status == "running"]

    def _learned(
        self, group: Sequence[ExperimentState], rows: dict[str, list[PageCounts]], now_ms: int
    ) -> list[ExperimentState]:
        """Return the new states of the experiments that have changed."""
        states = []
        for state in group:
            try:
                points = self._points(state)
                evidence = evidence_of(state, rows[state.lp_id], points, now_ms // 1000)
                # within an experiment the seed stays the same, so that weights move by evidence alone
                outcome = learn(rules_of(state, self._settings.experiment_loss), evidence, state.experiment_id.int)
                following = learned(state, evidence, outcome, epoch=self._epoch, now_ms=now_ms)
            except Exception:
                log.exception("experiment %s learns nothing, its weights stay", state.experiment_id)
                continue
            if following is not None:
                states.append(following)
        return states

    def _points(self, state: ExperimentState) -> list[tuple[int, list[float]]]:
        past = self._known.weights.get(state.lp_id)
        return past.points if past is not None and past.experiment_id == state.experiment_id else []

    # -- writing ---------------------------------------------------------------------------------------

    async def _commit(self, states: Sequence[ExperimentState], others: Sequence[Message] = ()) -> None:
        """Write the states in transactions, the other messages with the first, then show them.

        A state is written whole or not at all. A state of a page without records is not written: the page was erased
        while the state was computed, and the state would bring the experiment back.
        """
        for at in range(0, max(len(states), min(1, len(others))), AT_ONCE):
            await self._topic.catch_up()
            await self._held.check()
            part = [state for state in states[at : at + AT_ONCE] if self._known.has(state.lp_id)]
            messages = [message for state in part for message in self._messages(state)]
            messages = [*others, *messages] if at == 0 else messages
            if not messages:
                continue
            await self._send(messages)
            taken = [self._known.take(key, value) for topic, key, value in messages if topic == EXPERIMENTS]
            for state in part:
                metrics.EXPERIMENT_STATES.labels(state.status).inc()
                if state.number == 0 or state.status != "running":
                    log.info("experiment %s of %s: %s", state.experiment_id, state.lp_id, state.reason)
            await self._show(part, [each for each in taken if isinstance(each, AutopilotState)])

    def _messages(self, state: ExperimentState) -> Iterator[Message]:
        yield EXPERIMENTS, state.key, encode_model(state)
        points = self._points(state)
        if not points or points[-1][1] != state.weights:
            # edges read new weights every 2 s, so on average they are in force a second later
            since_s = int(time.time()) + (LAG_S if points else 0)
            points = with_point(points, since_s, state.weights)
            past = PastWeights(experiment_id=state.experiment_id, lp_id=state.lp_id, points=points)
            yield EXPERIMENTS, past.key, encode_model(past)
        before = self._known.states.get(state.lp_id)
        known = before is not None and (before.experiment_id, before.status) == (state.experiment_id, "decided")
        if state.status == "decided" and state.winner is not None and not known:  # a refusal later decides nothing
            result = _result(state, state.winner, self._settings.page_base_url)
            yield RESULTS, str(result.request_id).encode(), encode_model(result)

    async def _send(self, messages: Sequence[Message]) -> None:
        if self._settings.broker == "tansu":  # it has no transactions: a state goes last, so that none says too much
            for topic, key, value in reversed(messages):
                await self._producer.send_and_wait(topic, value, key=key)
            return
        async with asyncio.timeout(SEND_S), self._producer.transaction():
            for topic, key, value in messages:
                await self._producer.send(topic, value, key=key)

    # -- the view --------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        """Show all states if Redis lacks some, and each minute.

        A replica of Redis that takes over may have older states.
        """
        for status in ("running", "stopped", "decided"):
            count = sum(state.status == status for state in self._known.states.values())
            metrics.EXPERIMENTS.labels(status).set(count)
        with suppress(Retryable):
            all_there = self._shown and await self._store.size() >= len(self._known.states)
            if not all_there or time.monotonic() - self._shown_at >= SHOW_ALL_S:
                self._shown, self._shown_at = True, time.monotonic()
                await self._show(list(self._known.states.values()), list(self._known.pilots.values()))

    async def _show(self, states: Sequence[ExperimentState], pilots: Sequence[AutopilotState]) -> None:
        try:
            for at in range(0, len(pilots), AT_ONCE):
                await self._store.put_pilots(pilots[at : at + AT_ONCE])
            for at in range(0, len(states), AT_ONCE):
                part = states[at : at + AT_ONCE]
                past = [self._known.weights[state.lp_id] for state in part if state.lp_id in self._known.weights]
                await self._store.put(part, past)
        except Retryable as error:
            self._shown = False
            log.warning("Redis does not have the newest states of experiments yet: %s", error)


def _due(now: float, at: float, every_s: float) -> bool:
    """Return whether it is time. After the clock was set back, nothing waits for longer than `every_s`."""
    return not at - every_s <= now < at


def _groups(states: Sequence[ExperimentState]) -> Iterator[list[ExperimentState]]:
    """Yield groups of experiments whose arms fit into one query."""
    group: list[ExperimentState] = []
    for state in states:
        if sum(len(each.arms) for each in group) + len(state.arms) > MOST_PAGES:
            yield group
            group = []
        group.append(state)
    if group:
        yield group


def _result(state: ExperimentState, winner: str, base_url: str) -> Result:
    """Return the result of a decided experiment for readers of `lp.results`."""
    return Result(
        request_id=result_id_of(state.experiment_id, state.lp_id),
        tenant_id=state.tenant_id,
        status="completed",
        lp_id=state.lp_id,
        page_url=f"{base_url}/lp/{state.lp_id}",
        experiment=Decision(
            experiment_id=state.experiment_id, winner=winner, reason=state.reason, decided_ms=state.decided_ms
        ),
    )
