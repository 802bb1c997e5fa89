"""The autopilots of all pages: they read the facts for each next step, one page after the other.

The optimizer writes the steps: in its transaction, with its epoch, under its lease.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import msgspec

from infra.redis.results import ResultStore
from infra.s3.objects import Objects
from infra.tenants import Tenants
from processors.experiments.autopilot import Facts, Next, needs, next_step, recent, shown, step_after
from processors.experiments.decisions import obstacle
from processors.experiments.known import Known
from processors.findings.report import Finding
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import LpstreamError
from schemas.generation import Result, decode_model
from streams.pictures.findings import Findings, FindingsQuery, PageReport
from streams.pictures.stored import html_key, html_of

log = logging.getLogger(__name__)

NEVER = float("-inf")
EVERY_S = 3_600.0  # how often a page is looked up and its findings are read
AGAIN_S = 10.0  # after a store did not answer
MOST_READ = 2  # pages in one look, because the optimizer's other work waits meanwhile
READ_S = 20.0


class Sources(Protocol):
    """The stores that a step may need. Each method raises LpstreamError if its store does not answer."""

    async def published(self, lp_id: str) -> bool:
        """Return whether the page is published."""

    async def stored(self, lp_id: str) -> bool:
        """Return whether there is such a page or an unpublished variant."""

    async def findings(self, lp_id: str) -> list[Finding]:
        """Return the certain findings of the last seven days."""

    async def result(self, request_id: UUID) -> Result | None:
        """Return the result of a request, or None."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of an installation."""

    objects: Objects
    reports: Findings
    results: ResultStore

    async def published(self, lp_id: str) -> bool:
        """Return whether the page is published."""
        return await self.objects.get(html_key(lp_id)) is not None

    async def stored(self, lp_id: str) -> bool:
        """Return whether there is such a page or an unpublished variant."""
        return await html_of(self.objects, lp_id) is not None

    async def findings(self, lp_id: str) -> list[Finding]:
        """Return the certain findings of the last seven days, in the language of the pages."""
        report = await self.reports.get(FindingsQuery(lp_id, language="ja"))
        return msgspec.json.decode(report.body, type=PageReport).findings

    async def result(self, request_id: UUID) -> Result | None:
        """Return the result of a request, or None."""
        stored = await self.results.get(request_id)
        return decode_model(Result, stored) if stored is not None else None


class Autopilots:
    """The next steps of all pages, in one epoch of the optimizer."""

    def __init__(self, known: Known, sources: Sources, tenants: Tenants, epoch: int) -> None:
        self._known, self._sources, self._tenants, self._epoch = known, sources, tenants, epoch
        self._read_at: dict[str, float] = {}
        self._away = False  # a store did not answer in this look: no other page waits for it

    def after(self, command: AutopilotCommand) -> Next | None:
        """Return the step after a command; None if it was carried out before, or is another tenant's."""
        if not self._tenants.owns(command.tenant_id, command.lp_id):
            log.warning("autopilot of %s: tenant %s does not own the page", command.lp_id, command.tenant_id)
            return None
        self._read_at.pop(command.lp_id, None)  # the page is read again at once
        before, facts = self._known.pilots.get(command.lp_id), self._facts(command.lp_id, {})
        return step_after(command, before, facts, epoch=self._epoch, now_ms=_now_ms())

    async def steps(self) -> AsyncIterator[Next]:
        """Yield the next step of each page that has one. Write it before you go on."""
        on = [state for state in self._known.pilots.values() if state.on]
        self._read_at = {state.lp_id: self._read_at.get(state.lp_id, NEVER) for state in on}
        order = sorted(on, key=lambda state: self._read_at[state.lp_id])
        due = time.monotonic() - EVERY_S
        arms, self._away = self._arms(), False
        for place, state in enumerate(order):
            deep = not self._away and place < MOST_READ and self._read_at[state.lp_id] < due
            step = await self._step(state, arms, deep=deep)
            if step is not None:
                log.info("autopilot of %s: %s: %r", state.lp_id, step.state.step, step.state.reason)
                self._read_at[state.lp_id] = NEVER
                yield step

    async def _step(self, state: AutopilotState, arms: Mapping[str, str], *, deep: bool) -> Next | None:
        try:
            async with asyncio.timeout(READ_S):
                facts = await self._read(state, arms, deep=deep)
            return next_step(state, facts, epoch=self._epoch, now_ms=_now_ms())
        except (LpstreamError, TimeoutError) as error:
            self._away = True
            self._read_at[state.lp_id] -= EVERY_S - AGAIN_S
            log.warning("autopilot of %s waits: %s: %s", state.lp_id, type(error).__name__, error)
        except Exception:
            log.exception("autopilot of %s takes no step", state.lp_id)
        return None

    async def _read(self, state: AutopilotState, arms: Mapping[str, str], *, deep: bool) -> Facts:
        """Return the facts about a page; `deep` also looks the page up and reads its findings."""
        facts = self._facts(state.lp_id, arms)
        if deep:
            self._read_at[state.lp_id] = time.monotonic()
            facts = replace(facts, page=await self._published(state), left=self._left(state.tenant_id))
        wants = needs(state, facts, _now_ms())
        if wants == "result" and state.variant_request_id is not None:
            return replace(facts, result=await self._sources.result(state.variant_request_id))
        if wants == "pages" and state.variant_lp_id is not None:
            variant = await self._sources.stored(state.variant_lp_id)
            return replace(facts, page=await self._published(state), variant=variant)
        if wants == "findings" and deep and facts.page:
            return replace(facts, findings=await self._sources.findings(shown(state.lp_id, facts.experiment)))
        return facts

    def _facts(self, lp_id: str, arms: Mapping[str, str]) -> Facts:
        states = self._known.states
        return Facts(
            experiment=states.get(lp_id),
            elsewhere=arms.get(lp_id),
            obstacle=lambda command: obstacle(command, states, self._tenants.owns),
        )

    def _arms(self) -> dict[str, str]:
        """Return the page to which each arm is bound."""
        states = self._known.states.values()
        return {arm: state.lp_id for state in states for arm in state.bound if arm != state.lp_id}

    def _left(self, tenant_id: str) -> int:
        """Return how many variants the tenant may still ask for this week."""
        tenant, now_ms = self._tenants.named(tenant_id), _now_ms()
        mine = (state for state in self._known.pilots.values() if state.tenant_id == tenant_id)
        asked = sum(len(recent(state, now_ms)) for state in mine)
        return tenant.week_variants - asked if tenant is not None else 0

    async def _published(self, state: AutopilotState) -> bool:
        return self._tenants.owns(state.tenant_id, state.lp_id) and await self._sources.published(state.lp_id)


def _now_ms() -> int:
    return round(time.time() * 1000)
