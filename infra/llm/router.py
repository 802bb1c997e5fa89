"""The router of model calls: it chooses a provider, hedges, falls back, waits, and gives up in time."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openai import AsyncOpenAI

from infra.llm.breaker import Breaker, State
from infra.llm.call_log import CallLog
from infra.llm.endpoint import Endpoint
from infra.llm.hedging import Allowance, FirstTokens
from infra.llm.stream import Call, Limits, Reply, open_client
from infra.redis.budget import CapReached, Ledger, Payer, Reservation
from schemas.errors import LpstreamError, Retryable
from schemas.generation import Attempt

Messages = Sequence[Mapping[str, str]]
MOST_TRIES, TRIES_EACH = 4, 2
LEAST_S, LOOK_S, LATE_S = 0.8, 0.05, 0.25
MOST_PAUSE_S, PAUSE_EACH_S = 0.2, 0.0008
# prefixes of outcomes that show a healthy provider: it answered
ANSWERED = ("ok", "finish_")


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of calls, s. `cap_s` bounds one call whatever the deadline."""

    first_token_s: float = 1.5
    idle_s: float = 1.0
    cap_s: float = 30.0
    breaker_failures: int = 5
    breaker_open_s: float = 60.0
    hedge_share: float = 0.1


class NoAnswer(LpstreamError):  # noqa: N818 - named for what happened
    """The error that no provider gave an answer.

    `cause` is one of: none_configured, refused_input, cap_lp, cap_day, cap_month, no_ledger, out_of_time,
    providers_failed.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Watchers:
    """The callbacks for each attempt, each change of a breaker and each hedge."""

    attempt: Callable[[Attempt], None] = lambda _: None
    breaker: Callable[[Endpoint, State], None] = lambda *_: None
    hedge: Callable[[Endpoint], None] = lambda _: None


class ProviderPool:
    """A provider: its client and its limit of concurrent calls. Its models share both."""

    def __init__(self, endpoint: Endpoint, concurrency: int, patience: Patience) -> None:
        self.free = self._room = concurrency
        self.client: AsyncOpenAI = open_client(
            endpoint, connections=concurrency, cap_s=patience.cap_s, pause=self.pause
        )

    def pause(self) -> float:
        """Return the pause between two reads of a stream, s. It grows with the number of open streams."""
        return min(MOST_PAUSE_S, (self._room - self.free) * PAUSE_EACH_S)


class Candidate:
    """An endpoint with its pool, first-token times, cool-down and breaker."""

    def __init__(self, endpoint: Endpoint, pool: ProviderPool, patience: Patience, watchers: Watchers) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.first_tokens = FirstTokens()
        self.cool_until = 0.0
        self.breaker = Breaker(
            failures=patience.breaker_failures,
            open_s=patience.breaker_open_s,
            on_change=lambda state: watchers.breaker(endpoint, state),
        )

    def ready(self, now: float) -> bool:
        """Return whether a call may start at once."""
        return self.pool.free > 0 and now >= self.cool_until and self.breaker.allows()

    def hopeful(self, until: float) -> bool:
        """Return whether a call may start early enough for an answer.

        A running probe counts, because it ends soon.
        """
        return (self.breaker.allows() or self.breaker.probing) and self.cool_until + LEAST_S < until


class _Running:
    """A running call. It holds a slot of its pool and a permit of its breaker until it ends in any way."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.succeeded: bool | None = None
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
    """

    messages: Messages
    most_tokens: int
    until: float
    payer: Payer
    trail: CallLog
    again_after: str | None = None


class Router:
    """A tier of models: its endpoints in order of preference."""

    def __init__(self, candidates: Sequence[Candidate], ledger: Ledger, patience: Patience, watchers: Watchers) -> None:
        self._candidates = list(candidates)
        self._ledger = ledger
        self._patience = patience
        self._watchers = watchers
        self._allowance = Allowance(patience.hedge_share)

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
            last = number == MOST_TRIES - 1 or self._choose(tried, question.until) is None
            reply = await self._race(candidate, question, patient=last)
            if reply.outcome == "ok":
                return reply.text
            if reply.outcome.startswith("finish_"):
                tried[candidate] = TRIES_EACH  # a retry would end the same way
            if reply.outcome == "finish_content_filter":
                cause = "refused_input"
        raise NoAnswer(cause)

    # -- the choice of the provider --------------------------------------------------------------------

    async def _next(self, tried: Counter[Candidate], until: float) -> Candidate | None:
        """Return a ready candidate; wait while one may become ready in time, else return None."""
        while (now := time.monotonic()) + LEAST_S < until:
            if (candidate := self._choose(tried, until, ready_at=now)) is not None:
                return candidate
            if self._choose(tried, until) is None:
                return None
            await asyncio.sleep(LOOK_S)
        return None

    def _choose(self, tried: Counter[Candidate], until: float, ready_at: float | None = None) -> Candidate | None:
        """Return the first candidate in order among those with the fewest tries."""
        fit = [
            each
            for each in self._candidates
            if tried[each] < TRIES_EACH and (each.hopeful(until) if ready_at is None else each.ready(ready_at))
        ]
        return min(fit, key=lambda each: tried[each], default=None)

    # -- one try, and its hedge ------------------------------------------------------------------------

    async def _race(self, candidate: Candidate, question: Question, *, patient: bool) -> Reply:
        """Return the reply of the call with the earliest first token, and cancel the other call."""
        self._allowance.earn()
        running = [self._begin(candidate, question, patient)]
        try:
            on_time = await _wait_for(running[0].first, candidate.first_tokens.p90())
            if not running[0].first.done() and on_time and (spare := self._spare(candidate)) is not None:
                self._watchers.hedge(spare.endpoint)
                running.append(self._begin(spare, question, patient))
            reply = await _leader(running)
            await _call_off([call for call in running if not call.task.done()])
            return reply
        finally:
            for call in running:
                call.task.cancel()

    def _spare(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate for a hedge: another, else the same; None if no hedge is allowed."""
        now = time.monotonic()
        others = [each for each in self._candidates if each is not candidate and each.ready(now)]
        same = [candidate] if candidate.ready(now) else []
        spares = others + same
        return spares[0] if spares and self._allowance.take() else None

    def _begin(self, candidate: Candidate, question: Question, patient: bool) -> _Running:
        running = _Running(candidate)
        running.start(self._call(running, question, patient))
        return running

    async def _call(self, running: _Running, question: Question, patient: bool) -> Reply:
        """Reserve the cost, make the call, record the outcome, settle.

        Without a known price the call stays at its reservation.
        """
        candidate, endpoint = running.candidate, running.candidate.endpoint
        total = min(question.until - time.monotonic(), self._patience.cap_s)
        limits = Limits(total if patient else self._patience.first_token_s, self._patience.idle_s, total)
        call = Call(candidate.pool.client, endpoint, limits, running.resolve)
        call_id = str(uuid4())
        reservation = await self._reserve(call_id, endpoint, question)
        try:
            with question.trail.calling():
                reply = await call.run(question.messages, question.most_tokens, call_id)
        except asyncio.CancelledError:
            self._note(endpoint, call.called_off(), reservation, question.trail)
            raise
        running.succeeded = self._judge(candidate, reply)
        self._note(endpoint, reply, reservation, question.trail)
        if reply.billing != "unknown":
            await self._ledger.settle(reservation, _billed(endpoint, reply, reservation))
        return reply

    async def _reserve(self, call_id: str, endpoint: Endpoint, question: Question) -> Reservation:
        try:
            amount = endpoint.most(question.messages, question.most_tokens)
            return await self._ledger.reserve(call_id, question.payer, amount)
        except CapReached as error:
            raise NoAnswer(f"cap_{error.scope}") from error
        except Retryable as error:
            raise NoAnswer("no_ledger") from error

    def _judge(self, candidate: Candidate, reply: Reply) -> bool | None:
        """Return whether the provider is healthy, None if the call does not show it."""
        if reply.first_token_s is not None:
            candidate.first_tokens.learn(reply.first_token_s)
        if reply.retry_after_s is not None:
            candidate.cool_until = time.monotonic() + reply.retry_after_s
        if reply.outcome == "http_429":
            return None
        if reply.outcome == "total_timeout" and reply.total_s < self._patience.first_token_s:
            return None
        return reply.outcome.startswith(ANSWERED)

    def _note(self, endpoint: Endpoint, reply: Reply, reservation: Reservation, trail: CallLog) -> None:
        first = reply.first_token_s
        attempt = Attempt(
            provider=endpoint.provider,
            model=endpoint.model,
            outcome=reply.outcome,
            first_token_ms=None if first is None else round(first * 1000),
            total_ms=round(reply.total_s * 1000),
            cost_micro_jpy=_billed(endpoint, reply, reservation),
        )
        trail.attempts.append(attempt)
        self._watchers.attempt(attempt)


def _billed(endpoint: Endpoint, reply: Reply, reservation: Reservation) -> int:
    if reply.billing == "nothing":
        return 0
    if reply.usage is None:
        return reservation.amount
    return endpoint.cost(reply.usage.prompt_tokens, reply.usage.completion_tokens)


async def _wait_for(first: "asyncio.Future[bool]", seconds: float | None) -> bool:
    """Wait for `first` for at most `seconds`. Return False if the event loop woke up late.

    In that case this process is slow, not the provider.
    """
    due = math.inf if seconds is None else time.monotonic() + seconds
    await asyncio.wait({first}, timeout=seconds)
    return time.monotonic() < due + LATE_S


async def _leader(running: list[_Running]) -> Reply:
    """Return the reply of the call with the first token, or of the last call to end if none had one."""
    waiting = list(running)
    while True:
        await asyncio.wait({call.first for call in waiting}, return_when=asyncio.FIRST_COMPLETED)
        ahead = next(call for call in waiting if call.first.done())
        if len(waiting) == 1 or ahead.first.result():
            break
        waiting.remove(ahead)
    await _call_off([call for call in waiting if call is not ahead])
    return await ahead.task


async def _call_off(running: list[_Running]) -> None:
    """Cancel calls, and wait until they have recorded it in their trail."""
    for call in running:
        call.task.cancel()
    if running:
        await asyncio.wait([call.task for call in running])
