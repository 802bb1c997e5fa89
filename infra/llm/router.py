"""The router of model calls: it chooses a provider, hedges, falls back, waits, and gives up in time."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from infra.llm.call_log import CallLog
from infra.llm.candidate import ABOUT_INPUT, LEAST_S, Candidate, Patience, Watchers
from infra.llm.endpoint import Endpoint
from infra.llm.hedging import Allowance
from infra.llm.stream import Call, Reply
from infra.llm.usage import Usage
from infra.redis.budget import CapReached, Ledger, Payer, Reservation
from schemas.errors import LpstreamError, Retryable
from schemas.generation import Attempt

Messages = Sequence[Mapping[str, str]]
MOST_TRIES, TRIES_EACH = 4, 2
POLL_S, LATE_S = 0.05, 0.25


class NoAnswer(LpstreamError):  # noqa: N818 - named for what happened
    """The error that no provider gave an answer.

    `cause` is one of: none_configured, refused_input, cap_lp, cap_day, cap_month, no_ledger, out_of_time,
    providers_failed.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Running:
    """A running call. It holds a slot of its pool and a permit of its breaker until it ends in any way."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.succeeded: bool | None = None
        self.reply: Reply | None = None
        # True at the first token; False if the call ends without a token
        self.first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Reply]
        self._permit = candidate.breaker.begin()
        candidate.pool.free -= 1

    def start(self, work: Coroutine[Any, Any, Reply]) -> None:
        """Start the task."""
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(self._ended)

    def resolve(self, token: bool = True) -> None:
        """Set the result of `first`, once."""
        if not self.first.done():
            self.first.set_result(token)

    def _ended(self, task: "asyncio.Task[Reply]") -> None:
        self.candidate.pool.free += 1
        if self._permit is not None:
            self.candidate.breaker.end(self._permit, self.succeeded)
        if not task.cancelled():
            task.exception()  # marks it as retrieved; the waiter for the call gets it too
        self.resolve(token=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A request: messages, deadline `until` (monotonic clock), payer and call log.

    `again_after` is the provider whose answer was unusable. It is called again only if no other provider can be.
    `schema` is the answer's JSON Schema, for providers that are asked by it.
    """

    messages: Messages
    most_tokens: int
    until: float
    payer: Payer
    trail: CallLog
    again_after: str | None = None
    schema: Mapping[str, Any] | None = None


class Router:
    """A tier of models: its endpoints in order of preference."""

    def __init__(self, candidates: Sequence[Candidate], ledger: Ledger, patience: Patience, watchers: Watchers) -> None:
        self._candidates = list(candidates)
        self._ledger = ledger
        self._patience = patience
        self._watchers = watchers
        self._allowance = Allowance(patience.hedge_share)
        self._releasing: set[asyncio.Task[None]] = set()

    @property
    def configured(self) -> bool:
        """Whether the tier has any provider."""
        return bool(self._candidates)

    async def ask(self, question: Question) -> str:
        """Return the first complete answer. Raise NoAnswer if there is none in time.

        The question's trail gets every attempt.
        """
        tried = Counter(each for each in self._candidates if each.endpoint.provider == question.again_after)
        cause = "providers_failed" if self._candidates else "none_configured"
        for number in range(MOST_TRIES):
            candidate = await self._next(tried, question.until)
            if candidate is None:
                out_of_time = question.until - time.monotonic() < LEAST_S
                raise NoAnswer("out_of_time" if out_of_time and cause == "providers_failed" else cause)
            tried[candidate] += 1
            others = number < MOST_TRIES - 1 and self._others(candidate, tried, question.until)
            replies = await self._race(candidate, question, tried, others=others)
            if replies[-1][1].outcome == "ok":
                return replies[-1][1].text
            for asked, reply in replies:
                tried[asked] += asked is not candidate
                if reply.outcome in ABOUT_INPUT:
                    cause = "refused_input"
                if _lasts(reply) and not asked.give_room(reply, question.most_tokens):
                    tried[asked] = TRIES_EACH  # a retry would end the same way
        raise NoAnswer(cause)

    # -- the choice of the provider --------------------------------------------------------------------

    async def _next(self, tried: Counter[Candidate], until: float) -> Candidate | None:
        """Return a ready candidate; wait while one may become ready in time, else return None."""
        while (now := time.monotonic()) + LEAST_S < until:
            if (candidate := self._choose(tried, until, ready_at=now)) is not None:
                return candidate
            if self._choose(tried, until) is None:
                return None
            await asyncio.sleep(POLL_S)
        return None

    def _choose(self, tried: Counter[Candidate], until: float, ready_at: float | None = None) -> Candidate | None:
        """Return the first candidate in order among those with the fewest tries."""
        fit = [
            each
            for each in self._candidates
            if tried[each] < TRIES_EACH and (each.hopeful(until) if ready_at is None else each.ready(ready_at))
        ]
        return min(fit, key=lambda each: tried[each], default=None)

    def _others(self, candidate: Candidate, tried: Counter[Candidate], until: float) -> bool:
        """Return whether another provider can be asked after the candidate."""
        rest = (each for each in self._candidates if each is not candidate and tried[each] < TRIES_EACH)
        return any(each.hopeful(until) for each in rest)

    # -- one try, and its hedge ------------------------------------------------------------------------

    async def _race(
        self, candidate: Candidate, question: Question, tried: Counter[Candidate], *, others: bool
    ) -> list[tuple[Candidate, Reply]]:
        """Return the replies of the call and its hedge; the last is that with the earliest first token.

        The other call is cancelled, and has no reply unless it ended before.
        """
        self._allowance.earn()
        running = [self._begin(candidate, question, others)]
        hedge_s = candidate.first_tokens.p90() or (None if others else self._patience.first_token_s)
        try:
            on_time = await _wait_for(running[0].first, hedge_s)
            if not running[0].first.done() and on_time:
                spare = self._spare(candidate, tried, question.again_after)
                if spare is not None:
                    self._watchers.hedge(spare.endpoint)
                    running.append(self._begin(spare, question, others))
            leader = await _leader(running)
            await _call_off([call for call in running if not call.task.done()])
            ended = sorted(running, key=lambda call: call is leader)
            return [(call.candidate, call.reply) for call in ended if call.reply is not None]
        finally:
            for call in running:
                call.task.cancel()

    def _spare(self, candidate: Candidate, tried: Counter[Candidate], again_after: str | None) -> Candidate | None:
        """Return the candidate for a hedge: another, else the same; None if no hedge is allowed.

        Another is not asked if a further answer from it would be as bad as its last.
        """
        now = time.monotonic()
        others = [
            each
            for each in self._candidates
            if each is not candidate and tried[each] < TRIES_EACH and each.endpoint.provider != again_after
        ]
        spares = [each for each in (*sorted(others, key=lambda each: tried[each]), candidate) if each.ready(now)]
        return spares[0] if spares and self._allowance.take() else None

    def _begin(self, candidate: Candidate, question: Question, others: bool) -> _Running:
        running = _Running(candidate)
        running.start(self._call(running, question, others))
        return running

    async def _call(self, running: _Running, question: Question, others: bool) -> Reply:
        """Reserve the cost, make the call, record the outcome, settle.

        Without a known price the call stays at its reservation.
        """
        candidate, messages = running.candidate, question.messages
        limits = candidate.limits(question.until - time.monotonic(), others=others)
        most_tokens = candidate.dialect.most_tokens(question.most_tokens)
        call = Call(candidate.pool.client, candidate.endpoint, candidate.dialect, limits, running.resolve)
        call_id = str(uuid4())
        amount = candidate.endpoint.most(messages, most_tokens)
        reservation = await self._reserve_or_release(candidate.endpoint, call_id, amount, question)
        try:
            with question.trail.calling():
                reply = await call.run(messages, most_tokens, call_id, question.schema)
        except asyncio.CancelledError:
            reply = call.called_off()
            cost = _cost(candidate.endpoint, reply, messages, most_tokens)
            self._note(candidate.endpoint, reply, cost, question.trail)
            if cost > reservation.amount:
                await self._ledger.settle(reservation, cost)
            raise
        running.succeeded, running.reply = candidate.judge(reply, limits), reply
        cost = _cost(candidate.endpoint, reply, messages, most_tokens)
        self._note(candidate.endpoint, reply, cost, question.trail)
        if reply.billing != "unknown" or cost > reservation.amount:
            await self._ledger.settle(reservation, cost)
        return reply

    async def _reserve_or_release(
        self, endpoint: Endpoint, call_id: str, amount: int, question: Question
    ) -> Reservation:
        """Reserve the amount. If the call is cancelled meanwhile, release it: nothing was sent."""
        reserving = asyncio.ensure_future(self._reserve(call_id, amount, question.payer))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            self._note(endpoint, Reply("called_off", billing="nothing"), 0, question.trail)
            task = asyncio.create_task(self._release(reserving))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)
            raise

    async def _release(self, reserving: "asyncio.Future[Reservation]") -> None:
        with contextlib.suppress(NoAnswer):
            await self._ledger.settle(await reserving, 0)

    async def _reserve(self, call_id: str, amount: int, payer: Payer) -> Reservation:
        try:
            return await self._ledger.reserve(call_id, payer, amount)
        except CapReached as error:
            raise NoAnswer(f"cap_{error.scope}") from error
        except Retryable as error:
            raise NoAnswer("no_ledger") from error

    def _note(self, endpoint: Endpoint, reply: Reply, cost: int, trail: CallLog) -> None:
        first = reply.first_token_s
        attempt = Attempt(
            provider=endpoint.provider,
            model=endpoint.model,
            outcome=reply.outcome,
            first_token_ms=None if first is None else round(first * 1000),
            total_ms=round(reply.total_s * 1000),
            cost_micro_jpy=cost,
        )
        trail.attempts.append(attempt)
        self._watchers.attempt(attempt)


def _lasts(reply: Reply) -> bool:
    """Return whether the same call would end the same way."""
    refused = reply.refusal is not None and reply.refusal.about in ("input", "request", "account")
    return refused or reply.outcome.startswith("finish_")


def _cost(endpoint: Endpoint, reply: Reply, messages: Messages, most_tokens: int) -> int:
    """Return the cost of a call in micro-yen, for ledger and result: never below the bill.

    Behind the limit, twice the received tokens count: the provider sends more until it notices the end.
    """
    if reply.billing == "nothing":
        return 0
    if reply.billing == "usage" and reply.usage is not None:
        return endpoint.cost(reply.usage)
    if reply.billing == "prompt":
        return endpoint.most(messages, 0)
    most = endpoint.most(messages, most_tokens if reply.tokens <= most_tokens else 2 * reply.tokens)
    return max(most, endpoint.cost(Usage(usd=reply.usd)))


async def _wait_for(first: "asyncio.Future[bool]", seconds: float | None) -> bool:
    """Wait for `first` for at most `seconds`. Return False if the event loop woke up late.

    In that case this process is slow, not the provider.
    """
    due = math.inf if seconds is None else time.monotonic() + seconds
    await asyncio.wait({first}, timeout=seconds)
    return time.monotonic() < due + LATE_S


async def _leader(running: list[_Running]) -> _Running:
    """Return the call with the first token when it has ended, or the last call to end if none had one."""
    waiting = list(running)
    while True:
        await asyncio.wait({call.first for call in waiting}, return_when=asyncio.FIRST_COMPLETED)
        ahead = next(call for call in waiting if call.first.done())
        if len(waiting) == 1 or ahead.first.result():
            break
        waiting.remove(ahead)
    await _call_off([call for call in waiting if call is not ahead])
    await ahead.task
    return ahead


async def _call_off(running: list[_Running]) -> None:
    """Cancel calls, and wait until they have recorded it in their trail."""
    for call in running:
        call.task.cancel()
    if running:
        await asyncio.wait([call.task for call in running])
