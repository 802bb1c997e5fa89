"""Copy for a request: from the cache, from providers section group by section group, or built in, always in time.

One flight makes the copy of a key; whoever asks for the same meanwhile waits for it, in this process or in another.
Nothing here depends on a customer's name, address or facts. CopyLocks, refused input and copy are shared by those who
typed the same words; a bill, a cap and its cause are the payer's own.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from uuid import UUID

import msgspec

from infra.llm.call_log import CallLog
from infra.llm.router import NoAnswer, Question, Router
from infra.redis.budget import Payer
from infra.redis.locks import CopyLocks
from infra.redis.page_cache import Found, PageCache
from infra.redis.results import ResultStore
from processors.pages.cache_keys import key_of, near_names, near_names_of, pattern_of
from processors.pages.copywriting import (
    PROMPT_VERSION,
    ask_again,
    assemble,
    copy_fields,
    groups,
    lint,
    messages,
    most_tokens,
    parse,
    template_part,
)
from processors.pages.near import lent
from processors.pages.page import TEMPLATE_VERSION
from schemas.copywriting import Copy, CopyFields
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import Attempt, CacheLayer, GenerationRequest, Warning_
from schemas.page_cache import CachedCopy
from streams.runtime import metrics

log = logging.getLogger(__name__)

ASK_AGAIN_S, LEAST_S, LOOK_S, GRACE_S = 1.5, 1.0, 0.1, 0.3
REFRESH_S, REFRESHES = 20.0, 4
CAUSES = {
    "none_configured": "no provider is configured",
    "refused_input": "the providers refuse this input",
    "cap_lp": "the cost cap of one page is reached",
    "cap_day": "the tenant's cost cap of a day is reached",
    "cap_month": "the tenant's cost cap of a month is reached",
    "no_ledger": "the cost ledger does not answer, and nothing is spent without it",
    "out_of_time": "no time was left",
    "providers_failed": "no provider answered",
    "invalid": "what came back could not be used",
}
# why a flight may fail for the request that took off, and not for one that waits for it
LEADERS_OWN = {"cap_lp", "cap_day", "cap_month", "out_of_time"}
most_of = cache(most_tokens)
OnSection = Callable[[str, int, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written, for whom, and until when (monotonic clock). `step_id` names it over redeliveries."""

    fields: CopyFields
    payer: Payer
    step_id: UUID
    until: float
    finished: Mapping[str, bytes] = field(default_factory=dict)
    on_section: OnSection | None = None

    @property
    def key(self) -> str:
        """Name in the cache."""
        return key_of(self.fields, TEMPLATE_VERSION, PROMPT_VERSION)

    @property
    def pattern(self) -> str:
        """Name of what is near."""
        return pattern_of(self.fields)


@dataclass(slots=True)
class Draft:
    """Copy as it came out. `causes` says why groups got built-in copy, by group."""

    copy: Copy
    warnings: list[Warning_]
    causes: dict[str, str]
    trail: CallLog


@dataclass(frozen=True, slots=True)
class Written:
    """Copy for one request, and what is told of it in the result."""

    copy: Copy
    status: Literal["ok", "fallback"]
    cache: CacheLayer
    warnings: list[Warning_]
    attempts: list[Attempt]
    provider_ms: int | None


class Part(msgspec.Struct):
    """A finished group, as it is kept in Redis until its step is finished."""

    value: dict[str, Any]
    attempts: list[dict[str, Any]]


class Copywriter:
    """All that writes copy in one process."""

    def __init__(
        self,
        routers: Mapping[str, Router],
        cache: PageCache,
        locks: CopyLocks,
        results: ResultStore,
        refresher: Payer,
    ) -> None:
        """`refresher` pays for copy that is made anew because it has grown old."""
        self._routers = routers
        self._cache = cache
        self._locks = locks
        self._results = results
        self._refresher = refresher
        self._open: dict[str, asyncio.Task[Draft]] = {}
        self._storing: set[asyncio.Task[None]] = set()
        self._refreshing: set[asyncio.Task[Draft]] = set()

    # -- the cache -------------------------------------------------------------------------------------

    async def lookup(self, request: GenerationRequest) -> Found | None:
        """Copy that is there already. What has grown old is served, and made anew behind the reader's back."""
        order = self.background_order(copy_fields(request))
        found = await self._cache.get(order.key, order.pattern)
        metrics.COPY_LOOKUPS.labels("miss" if found is None else "stale" if found.stale else found.layer).inc()
        if found is not None and found.stale and order.key not in self._open and len(self._refreshing) < REFRESHES:
            flight = self._take_off(order)
            self._refreshing.add(flight)
            flight.add_done_callback(self._refreshing.discard)
        return found

    def background_order(self, fields: CopyFields) -> Order:
        """An order that no customer waits for: warming and refreshing."""
        key = key_of(fields, TEMPLATE_VERSION, PROMPT_VERSION)
        payer = Payer(self._refresher.tenant_id, f"{self._refresher.lp}-{key[:16]}", self._refresher.caps)
        return Order(fields, payer, UUID(key[:32]), time.monotonic() + REFRESH_S)

    # -- writing ---------------------------------------------------------------------------------------

    async def write(self, order: Order) -> Written:
        """Copy soon after `order.until` at the latest, whatever happens."""
        if not self._routers[order.fields.quality].configured:
            return _written(_built_in(order.fields, "none_configured"))
        if await self._cache.refused(order.key):
            return await self._without_model(order, "refused_input", CallLog())
        started = time.monotonic()
        while order.until - time.monotonic() >= LEAST_S:
            flight = self._open.get(order.key)
            own = flight is None
            flight = flight or self._take_off(order)
            await asyncio.wait({flight}, timeout=max(0.0, order.until + GRACE_S - time.monotonic()))
            if not flight.done():
                break
            draft = flight.result()
            if not own and not LEADERS_OWN.isdisjoint(draft.causes.values()):
                continue  # its payer's cap or its deadline, and not ours
            trail = draft.trail if own else CallLog()
            if len(draft.causes) == len(groups(order.fields)):
                return await self._without_model(order, next(iter(draft.causes.values())), trail)
            return _written(draft, None if own else round((time.monotonic() - started) * 1000))
        return await self._without_model(order, "out_of_time", CallLog())

    async def make(self, order: Order) -> Draft:
        """Copy for the cache, by the flight that there is or by one of its own."""
        return await asyncio.shield(self._open.get(order.key) or self._take_off(order))

    async def _without_model(self, order: Order, cause: str, trail: CallLog) -> Written:
        """What is near, else what is built in."""
        near = await self._near(order)
        if near is None:
            return _written(_built_in(order.fields, cause, trail))
        metrics.COPY_LOOKUPS.labels("near").inc()
        told = Warning_(code="near_copy", detail=f"copy of a like page was used: {CAUSES.get(cause, cause)}")
        copy, warnings = near
        return Written(copy, "fallback", "near", [told, *warnings], trail.attempts, trail.provider_ms or None)

    async def _near(self, order: Order) -> tuple[Copy, list[Warning_]] | None:
        """Copy that may be lent to the order's page, and what lint says of it."""
        async for donor in self._cache.near(order.pattern, near_names(order.fields, order.payer.tenant_id)):
            if (copy := lent(order.fields, donor)) is not None:
                return lint(order.fields, copy)
        return None

    # -- locks ---------------------------------------------------------------------------------------

    def _take_off(self, order: Order) -> "asyncio.Task[Draft]":
        """One flight for the key: a task of its own, which no waiting request can call off."""
        flight = self._open[order.key] = asyncio.create_task(self._fly(order))
        flight.add_done_callback(lambda _: self._open.pop(order.key, None))
        return flight

    async def _fly(self, order: Order) -> Draft:
        trail = CallLog()
        try:
            landed = await self._wait_for_lock(order, trail)
        except Retryable:
            return await self._draft(order, trail)  # without Redis there is no ledger either
        if landed is not None:
            return landed
        try:
            return await self._draft(order, trail)
        finally:
            with contextlib.suppress(Retryable):
                await self._locks.release(order.key, str(order.step_id))

    async def _wait_for_lock(self, order: Order, trail: CallLog) -> Draft | None:
        """None: the lock is ours, and there is nothing new in the cache. A draft: another worker made it meanwhile."""
        owner = str(order.step_id)
        while not await self._locks.take(order.key, owner, max(LEAST_S, order.until - time.monotonic())):
            if order.until - time.monotonic() < LEAST_S:
                return _built_in(order.fields, "out_of_time", trail)
            with trail.calling():  # the other's call
                await asyncio.sleep(LOOK_S)
        found = await self._cache.get(order.key, order.pattern, lasting=False)
        if found is None or found.stale:
            return None
        with contextlib.suppress(Retryable):
            await self._locks.release(order.key, owner)
        return Draft(found.cached.copy_, list(found.cached.warnings), {}, trail)

    async def settle_down(self) -> None:
        """Wait for the locks that are in the air, and for what they brought to be stored."""
        await asyncio.gather(*self._open.values(), return_exceptions=True)
        await asyncio.gather(*self._storing)

    # -- one draft -------------------------------------------------------------------------------------

    async def _draft(self, order: Order, trail: CallLog) -> Draft:
        """All groups at once, the hero's call first; each by a model, or built in."""
        names = groups(order.fields)
        causes: dict[str, str] = {}
        done: list[str] = []

        async def one(name: str) -> dict[str, Any]:
            part = await self._group(order, name, trail, causes)
            done.append(name)
            if order.on_section is not None:
                await order.on_section(name, len(done), len(names))
            return part

        parts = await asyncio.gather(*(one(name) for name in names))
        copy, warnings = lint(order.fields, assemble(order.fields, dict(zip(names, parts, strict=True))))
        draft = Draft(copy, warnings, causes, trail)
        if "refused_input" in causes.values():
            await self._cache.refuse(order.key)
        if not causes:
            await self._keep(order, draft)
        return draft

    async def _keep(self, order: Order, draft: Draft) -> None:
        """Only what models have written whole: built-in copy in the cache would outlive the outage that caused it."""
        by = Counter(f"{one.provider}/{one.model}" for one in draft.trail.attempts if one.outcome == "ok")
        cached = CachedCopy(
            key=order.key,
            pattern=order.pattern,
            fields=order.fields,
            copy_=draft.copy,
            warnings=tuple(draft.warnings),
            made_ms=int(time.time() * 1000),
            model=next((name for name, _ in by.most_common(1)), ""),
        )
        await self._cache.put(cached, near_names_of(order.fields, order.payer.tenant_id))
        task = asyncio.create_task(self._store(cached))  # nobody who waits for the copy waits for S3
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, cached: CachedCopy) -> None:
        try:
            await self._cache.store(cached)
        except LpstreamError as error:
            log.warning("copy is not kept on S3: %s", error)

    async def _group(self, order: Order, name: str, trail: CallLog, causes: dict[str, str]) -> dict[str, Any]:
        """One section group, by the ladder: what is finished, an answer, a second one, what is built in."""
        if (kept := order.finished.get(name)) is not None:
            part = msgspec.json.decode(kept, type=Part)
            trail.attempts += [Attempt.model_validate(one) for one in part.attempts]
            return part.value
        branch = trail.branch()
        try:
            value = await self._ask(order, name, branch)
        except NoAnswer as error:
            causes[name] = error.cause
            value = template_part(order.fields, name)
        else:
            await self._finish(order, name, value, branch)
        trail.attempts += branch.attempts
        return value

    async def _ask(self, order: Order, name: str, trail: CallLog) -> dict[str, Any]:
        """A valid answer; the second time the question holds what was wrong with the first."""
        asked, router = messages(order.fields, name), self._routers[order.fields.quality]
        text = await router.ask(Question(asked, most_of(name), order.until, order.payer, trail))
        try:
            return parse(order.fields, name, text)
        except DecodeError as error:
            spoilt_by = trail.spoil(f"invalid: {error.field}"[:80])
            if order.until - time.monotonic() < ASK_AGAIN_S:
                raise NoAnswer("invalid") from error
            asked = ask_again(asked, text, str(error))
        text = await router.ask(Question(asked, most_of(name), order.until, order.payer, trail, spoilt_by))
        try:
            return parse(order.fields, name, text)
        except DecodeError as error:
            trail.spoil(f"invalid: {error.field}"[:80])
            raise NoAnswer("invalid") from error

    async def _finish(self, order: Order, name: str, value: dict[str, Any], trail: CallLog) -> None:
        part = Part(value, [one.model_dump(mode="json") for one in trail.attempts])
        with contextlib.suppress(Retryable):
            await self._results.finish_part(order.step_id, name, msgspec.json.encode(part))


def _built_in(fields: CopyFields, cause: str, trail: CallLog | None = None) -> Draft:
    names = groups(fields)
    copy, warnings = lint(fields, assemble(fields, {name: template_part(fields, name) for name in names}))
    return Draft(copy, warnings, dict.fromkeys(names, cause), trail or CallLog())


def _written(draft: Draft, waited_ms: int | None = None) -> Written:
    """One who waited for another's flight is not billed for it; its provider's time is what it waited."""
    by_cause: dict[str, list[str]] = {}
    for group, cause in draft.causes.items():
        metrics.FALLBACKS.labels(cause).inc()
        by_cause.setdefault(cause, []).append(group)
    told = [
        Warning_(code="template_copy", detail=f"built-in copy for {', '.join(names)}: {CAUSES.get(cause, cause)}")
        for cause, names in by_cause.items()
    ]
    attempts = draft.trail.attempts if waited_ms is None else []
    provider_ms = (draft.trail.provider_ms or None) if waited_ms is None else waited_ms
    status: Literal["ok", "fallback"] = "fallback" if draft.causes else "ok"
    return Written(draft.copy, status, "miss", [*told, *draft.warnings], attempts, provider_ms)
