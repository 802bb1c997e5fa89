"""The copy of a request, always in time: cached, written by providers, or built in.

Single flight: one task (a flight) makes the copy of a key; other requests for the key wait for it, in this process or
another. Nothing here depends on a customer's name, address or facts. Requests with the same words share locks, refused
input and copy. Costs and caps belong to each payer alone.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec

from infra.llm.call_log import CallLog
from infra.llm.router import NoAnswer, Question, Router
from infra.redis.budget import Payer
from infra.redis.locks import FlightLocks
from infra.redis.page_cache import Found, PageCache
from infra.redis.results import ResultStore
from infra.single_flight import SingleFlight
from processors.pages.cache_keys import key_of, near_names, near_names_of, pattern_of, shared
from processors.pages.copywriting import (
    PROMPT_VERSION,
    Unusable,
    Whole,
    ask_again,
    most_tokens,
    strict_schema,
)
from processors.pages.near import lent
from processors.pages.page import TEMPLATE_VERSION
from processors.pages.rewriting import Rewrite
from schemas.copywriting import Copy
from schemas.errors import LpstreamError, Retryable
from schemas.generation import Attempt, CacheLayer, Failure, Warning_
from schemas.page_cache import CachedCopy
from schemas.plan import Brief
from schemas.sections import BY_NAME
from streams.runtime import metrics

log = logging.getLogger(__name__)

ASK_AGAIN_S, LEAST_S, POLL_S, GRACE_S = 1.5, 1.0, 0.1, 0.3
REFRESH_S, REFRESHES = 20.0, 4
CAUSES = {
    "none_configured": "no provider is configured",
    "refused_input": "the providers refuse this input",
    "cap_lp": "the cost cap per page is reached",
    "cap_day": "the tenant's daily cost cap is reached",
    "cap_month": "the tenant's monthly cost cap is reached",
    "no_ledger": "the cost ledger does not answer, and no money is spent without it",
    "out_of_time": "no time was left",
    "providers_failed": "no provider answered",
    "invalid": "the provider's answer was invalid",
    "alike": "the provider wrote nearly the same text again",
}
# causes that concern only the request that started the flight, not the requests that wait for it
LEADERS_OWN = {"cap_lp", "cap_day", "cap_month", "out_of_time"}
most_of = cache(most_tokens)
OnSection = Callable[[str, int, int], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """The copy to write, who pays, and `until`: the deadline in seconds of the monotonic clock.

    `step_id` identifies the order across redeliveries; it is None for an order that no record asks for. `rewrite` is
    set for a variant. No other order has its key: its copy is not cached, because no other page may have it, and a
    second variant needs another text.
    """

    brief: Brief
    payer: Payer
    step_id: UUID | None
    until: float
    finished: Mapping[str, bytes] = field(default_factory=dict)
    on_section: OnSection | None = None
    rewrite: Rewrite | None = None

    @cached_property
    def key(self) -> str:
        """The key in the cache, of the flight and of refused input."""
        if self.rewrite is not None:
            return f"variant-{self.step_id}"
        return key_of(self.brief.fields, TEMPLATE_VERSION, PROMPT_VERSION)

    @cached_property
    def owner(self) -> str:
        """The owner of the flight's lock.

        A redelivered step may enter its own lock again. Every other order has a new owner.
        """
        return str(self.step_id or uuid4())

    @cached_property
    def text(self) -> Whole | Rewrite:
        """The text to write."""
        return self.rewrite or Whole(self.brief)

    @cached_property
    def pattern(self) -> str:
        """The name that similar copy in the cache shares."""
        return pattern_of(self.brief.fields)


@dataclass(slots=True)
class Draft:
    """The outcome of a flight: the sections that models wrote, and the cause of each missing section.

    Each request fills the missing sections with its own built-in copy, which may name its ways of contact.
    """

    written: Mapping[str, Any]
    warnings: list[Warning_]
    causes: dict[str, str]
    trail: CallLog


@dataclass(frozen=True, slots=True)
class Written:
    """The copy for one request, and its part of the result. `refusal`: it is too like its parent."""

    copy: Copy
    status: Literal["ok", "fallback"]
    cache: CacheLayer
    warnings: list[Warning_]
    attempts: list[Attempt]
    provider_ms: int | None
    refusal: Failure | None = None


class Part(msgspec.Struct):
    """A finished group, stored in Redis until its step is finished."""

    value: dict[str, Any]
    attempts: list[dict[str, Any]]


class Copywriter:
    """The copywriter of one process, with its flights."""

    def __init__(
        self,
        routers: Mapping[str, Router],
        cache: PageCache,
        locks: FlightLocks,
        results: ResultStore,
        refresher: Payer,
    ) -> None:
        """Take the services that copywriting needs. `refresher` pays for the renewal of stale copy."""
        self._routers = routers
        self._cache = cache
        self._locks = locks
        self._results = results
        self._refresher = refresher
        self._flights: SingleFlight[Draft] = SingleFlight()
        self._storing: set[asyncio.Task[None]] = set()
        self._refreshing: set[asyncio.Task[Draft]] = set()

    # -- the cache -------------------------------------------------------------------------------------

    async def lookup(self, brief: Brief) -> Found | None:
        """Return cached copy, or None. Stale copy is renewed in the background."""
        order = self.background_order(brief)
        hit = await self._cache.get(order.key, order.pattern)
        if self._routers[brief.fields.quality].configured:  # otherwise no copy is ever stored, and each lookup misses
            metrics.COPY_LOOKUPS.labels("miss" if hit is None else "stale" if hit.stale else hit.layer).inc()
        if hit is not None and hit.stale and order.key not in self._flights and len(self._refreshing) < REFRESHES:
            flight = self._flight(order, CallLog())
            self._refreshing.add(flight)
            flight.add_done_callback(self._refreshing.discard)
        return hit

    def background_order(self, brief: Brief) -> Order:
        """Return an order that no customer waits for, for warming and refreshing."""
        key = key_of(brief.fields, TEMPLATE_VERSION, PROMPT_VERSION)
        payer = Payer(self._refresher.tenant_id, f"{self._refresher.lp}-{key[:16]}", self._refresher.caps)
        return Order(brief, payer, None, time.monotonic() + REFRESH_S)

    # -- writing ---------------------------------------------------------------------------------------

    async def write(self, order: Order) -> Written:
        """Return copy in every case, shortly after `order.until` at the latest."""
        if not self._routers[order.brief.fields.quality].configured:
            return _written(order, _built_in(order, "none_configured"))
        if await self._cache.refused(order.key):
            return await self._without_model(order, "refused_input", CallLog())
        started, trail = time.monotonic(), CallLog()
        while order.until - time.monotonic() >= LEAST_S:
            own = order.key not in self._flights
            flight = self._flight(order, trail)
            await asyncio.wait({flight}, timeout=max(0.0, order.until + GRACE_S - time.monotonic()))
            if not flight.done():
                break
            draft = flight.result()
            if not own and not LEADERS_OWN.isdisjoint(draft.causes.values()):
                continue  # the cap or deadline of the other request, not of this one
            if draft.causes.keys() >= set(order.text.sections) and "alike" not in draft.causes.values():
                return await self._without_model(order, next(iter(draft.causes.values())), trail)
            return _written(order, draft, None if own else round((time.monotonic() - started) * 1000))
        return await self._without_model(order, "out_of_time", trail)

    async def make(self, order: Order) -> Draft:
        """Make copy for the cache: join the open flight of the key, or start one."""
        return await self._flights.run(order.key, lambda: self._fly(order, CallLog()))

    async def _without_model(self, order: Order, cause: str, trail: CallLog) -> Written:
        """Return similar cached copy, or else built-in copy."""
        near = await self._near(order) if order.rewrite is None else None
        if near is None:
            return _written(order, _built_in(order, cause, trail))
        metrics.COPY_LOOKUPS.labels("near").inc()
        notice = Warning_(code="near_copy", detail=f"copy of a similar page was used: {CAUSES.get(cause, cause)}")
        return Written(near, "fallback", "near", [notice], trail.attempts, trail.provider_ms or None)

    async def _near(self, order: Order) -> Copy | None:
        """Return similar copy that the order's page may use, or None."""
        async for donor in self._cache.near(order.pattern, near_names(order.brief.fields, order.payer.tenant_id)):
            if (copy := lent(order.brief, donor)) is not None:
                return copy
        return None

    # -- flights -------------------------------------------------------------------------------------

    def _flight(self, order: Order, trail: CallLog) -> "asyncio.Task[Draft]":
        """Return the open flight of the key, or start one that logs its calls in `trail`."""
        return self._flights.task(order.key, lambda: self._fly(order, trail))

    async def _fly(self, order: Order, trail: CallLog) -> Draft:
        try:
            draft = await self._wait_for_lock(order, trail)
        except Retryable:
            return await self._draft(order, trail)  # without Redis there is no ledger either
        if draft is not None:
            return draft
        try:
            return await self._draft(order, trail)
        finally:
            with contextlib.suppress(Retryable):
                await self._locks.release(order.key, order.owner)

    async def _wait_for_lock(self, order: Order, trail: CallLog) -> Draft | None:
        """Take the lock and return None, or return the draft that another worker has made.

        If the time is over before the lock is free, return built-in copy.
        """
        while not await self._locks.take(order.key, order.owner, max(LEAST_S, order.until - time.monotonic())):
            if order.until - time.monotonic() < LEAST_S:
                return _built_in(order, "out_of_time", trail)
            with trail.calling():  # the other worker's call counts as provider time
                await asyncio.sleep(POLL_S)
        hit = await self._cache.get(order.key, order.pattern, lasting=False)
        if hit is None or hit.stale:
            return None
        with contextlib.suppress(Retryable):
            await self._locks.release(order.key, order.owner)
        return Draft(hit.cached.copy_.model_dump(exclude_none=True), list(hit.cached.warnings), {}, trail)

    async def settle_down(self) -> None:
        """Wait until open flights have ended and their copy is stored."""
        await self._flights.settle()
        await asyncio.gather(*self._storing)

    # -- one draft -------------------------------------------------------------------------------------

    async def _draft(self, order: Order, trail: CallLog) -> Draft:
        """Let models write all groups in parallel. The call for the hero starts first."""
        causes: dict[str, str] = {}
        done: list[str] = []

        async def write_group(name: str) -> dict[str, Any]:
            part = await self._group(order, name, trail, causes)
            done.append(name)
            if order.on_section is not None:
                await order.on_section(name, len(done), len(order.text.groups))
            return part

        parts = await asyncio.gather(*(write_group(name) for name in order.text.groups))
        written = {name: values for part in parts for name, values in part.items()}
        draft = Draft(written, [], causes, trail)
        if "refused_input" in causes.values():
            await self._cache.refuse(order.key)
        if not causes and order.rewrite is None:
            await self._keep(order, draft)
        return draft

    async def _keep(self, order: Order, draft: Draft) -> None:
        """Cache copy that models wrote completely.

        Built-in copy is not cached: it would outlive the outage that caused it.
        """
        models = Counter(f"{call.provider}/{call.model}" for call in draft.trail.attempts if call.outcome == "ok")
        cached = CachedCopy(
            key=order.key,
            pattern=order.pattern,
            fields=shared(order.brief.fields),
            copy_=order.text.copy(draft.written, {}),
            warnings=tuple(draft.warnings),
            made_ms=int(time.time() * 1000),
            model=next((name for name, _ in models.most_common(1)), ""),
        )
        await self._cache.put(cached, near_names_of(order.brief.fields, order.payer.tenant_id))
        task = asyncio.create_task(self._store(cached))  # requests that wait for the copy do not wait for S3
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, cached: CachedCopy) -> None:
        try:
            await self._cache.store(cached)
        except LpstreamError as error:
            log.warning("copy is not stored on S3: %s", error)

    async def _group(self, order: Order, name: str, trail: CallLog, causes: dict[str, str]) -> dict[str, Any]:
        """Return the sections of a group that are finished or that a provider writes.

        `causes` gets the cause for each other section. Of an invalid answer, only the sections that a page may show
        count.
        """
        if (stored := order.finished.get(name)) is not None:
            part = msgspec.json.decode(stored, type=Part)
            trail.attempts += [Attempt.model_validate(attempt) for attempt in part.attempts]
            return part.value
        branch = trail.branch()
        usable: dict[str, Any] = {}
        try:
            usable = await self._ask(order, name, branch, usable)
        except NoAnswer as error:
            causes |= {each: error.cause for each in order.text.wanted(name) if each not in usable}
        else:
            await self._finish(order, name, usable, branch)
        trail.attempts += branch.attempts
        return usable

    async def _ask(self, order: Order, name: str, trail: CallLog, usable: dict[str, Any]) -> dict[str, Any]:
        """Return a valid answer. If the first answer is invalid, ask again and name the error.

        Add the sections that a page may show to `usable`. Raise NoAnswer without a valid answer in time.
        """
        fields, prompt = order.brief.fields, order.text.messages(name)
        question = Question(prompt, most_of(name), order.until, order.payer, trail, schema=strict_schema(name))
        while True:
            text = await self._routers[fields.quality].ask(question)
            try:
                return order.text.read(name, text)
            except Unusable as error:
                spoilt_by = trail.spoil(f"{error.cause}: {error.field}"[:80])
                usable |= error.usable
                if len(usable) == len(order.text.wanted(name)):
                    return usable
                if question.again_after is not None or order.until - time.monotonic() < ASK_AGAIN_S:
                    raise NoAnswer("invalid" if question.again_after is None else error.cause) from error
                again = ask_again(question.messages, text, str(error))
                question = replace(question, messages=again, again_after=spoilt_by)

    async def _finish(self, order: Order, name: str, value: dict[str, Any], trail: CallLog) -> None:
        """Store a finished group for a redelivery of the order's step."""
        if order.step_id is None:
            return
        part = Part(value, [attempt.model_dump(mode="json") for attempt in trail.attempts])
        with contextlib.suppress(Retryable):
            await self._results.finish_part(order.step_id, name, msgspec.json.encode(part))


def _built_in(order: Order, cause: str, trail: CallLog | None = None) -> Draft:
    causes = dict.fromkeys(order.text.sections, cause)
    return Draft({}, [], causes, trail or CallLog())


def _notice(cause: str, names: list[str]) -> Warning_:
    code, text = ("parent_copy", "the parent's text") if cause == "alike" else ("template_copy", "built-in copy")
    return Warning_(code=code, detail=f"{text} for {', '.join(names)}: {CAUSES.get(cause, cause)}")


def _written(order: Order, draft: Draft, waited_ms: int | None = None) -> Written:
    """Return the draft as copy for one request.

    A request that waited for another's flight (`waited_ms`) is not billed; its provider time is the time it waited.
    """
    by_cause: dict[str, list[str]] = {}
    for section, cause in draft.causes.items():
        by_cause.setdefault(cause, []).append(section)
    for cause, names in by_cause.items():
        metrics.FALLBACKS.labels(cause).inc(len({BY_NAME[name].group for name in names}))
    notices = [_notice(cause, names) for cause, names in by_cause.items()]
    attempts = draft.trail.attempts if waited_ms is None else []
    provider_ms = (draft.trail.provider_ms or None) if waited_ms is None else waited_ms
    status: Literal["ok", "fallback"] = "fallback" if draft.causes else "ok"
    copy = order.text.copy(draft.written, draft.causes)
    refusal = order.rewrite.refusal(copy, draft.causes) if order.rewrite is not None else None
    return Written(copy, status, "miss", [*notices, *draft.warnings], attempts, provider_ms, refusal)
