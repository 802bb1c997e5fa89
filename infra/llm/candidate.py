"""A provider's model for the router: whether to call it, how long to wait for it, its health."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from openai import AsyncOpenAI

from infra.llm.breaker import Breaker, State
from infra.llm.dialect import Dialect
from infra.llm.endpoint import Endpoint
from infra.llm.hedging import FirstTokens
from infra.llm.refusals import Refusal
from infra.llm.stream import Limits, Reply, open_client
from schemas.generation import Attempt

LEAST_S = 0.8
# the time that the next provider needs for an answer, and the time before the deadline for ending a call
ANSWER_S, END_S = 3.0, 0.15
MOST_PAUSE_S, PAUSE_EACH_S = 0.2, 0.002
MOST_DOUBLINGS = 4
MOST_TOLD = 50
# the share of the token limit that an answer has used if it ended for that
USED_UP = 0.8
ABOUT_INPUT = ("refused_input", "finish_content_filter")
NEUTRAL = (*ABOUT_INPUT, "finish_call_filter")
GOOD = ("ok", "finish_length")


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of calls, s. `cap_s` bounds one call, also if the deadline is later.

    `first_token_s` and `idle_s` apply while another provider can be asked. `first_token_s` is for a model whose first
    tokens are not known yet. A model that is silent for `silent_s` has failed.
    """

    first_token_s: float = 3.0
    idle_s: float = 2.0
    silent_s: float = 5.0
    cap_s: float = 30.0
    breaker_failures: int = 5
    breaker_open_s: float = 60.0
    hedge_share: float = 0.1


@dataclass(frozen=True, slots=True)
class Watchers:
    """The callbacks for attempts, breakers, hedges, new refusals and learned options."""

    attempt: Callable[[Attempt], None] = lambda _: None
    breaker: Callable[[Endpoint, State], None] = lambda *_: None
    hedge: Callable[[Endpoint], None] = lambda _: None
    refusal: Callable[[Endpoint, Refusal], None] = lambda *_: None
    learned: Callable[[Endpoint, str], None] = lambda *_: None


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


class Health:
    """The cool-down and the breaker of a model. The model's endpoints share both."""

    def __init__(self, endpoint: Endpoint, patience: Patience, watchers: Watchers) -> None:
        self.cool_until = 0.0
        self.breaker = Breaker(
            failures=patience.breaker_failures,
            open_s=patience.breaker_open_s,
            on_change=lambda state: watchers.breaker(endpoint, state),
        )


class Candidate:
    """An endpoint with its pool, dialect, first-token times and health.

    `health` is given if another endpoint of the same model shares it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        pool: ProviderPool,
        patience: Patience,
        watchers: Watchers,
        health: Health | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.dialect = Dialect(endpoint)
        self.first_tokens = FirstTokens()
        self.health = health or Health(endpoint, patience, watchers)
        self.breaker = self.health.breaker
        self._patience = patience
        self._watchers = watchers
        self._silences = 0
        self._told: set[str] = set()

    def ready(self, now: float) -> bool:
        """Return whether a call may start at once."""
        return self.pool.free > 0 and now >= self.health.cool_until and self.breaker.allows()

    def hopeful(self, until: float) -> bool:
        """Return whether a call may start early enough for an answer.

        A running probe counts, because it ends soon.
        """
        return (self.breaker.allows() or self.breaker.probing) and self.health.cool_until + LEAST_S < until

    def limits(self, left_s: float, *, others: bool) -> Limits:
        """Return the limits of a call that begins now. `others` says whether another provider can be asked.

        Without another provider, the call may wait as long as the deadline allows. Else it waits for a first token
        for longer than nine of ten calls needed, twice as long after each silence, and leaves time for the other.
        """
        patience = self._patience
        total_s = min(left_s - END_S, patience.cap_s)
        if not others:
            return Limits(total_s, patience.idle_s, total_s, keep_s=ANSWER_S)
        p90 = self.first_tokens.p90()
        longest = self.first_tokens.longest()
        usual_s = max(patience.first_token_s, 1.5 * longest) if p90 is None else 1.0 + 1.5 * p90
        first_s = patience.silent_s if self.breaker.probing else usual_s * 2 ** min(self._silences, MOST_DOUBLINGS)
        spare_s = max(total_s / 2, total_s - ANSWER_S)
        return Limits(min(first_s, patience.silent_s, spare_s), patience.idle_s, total_s)

    def judge(self, reply: Reply, limits: Limits) -> bool | None:
        """Learn from a reply. Return whether the service works, None if the reply does not show it.

        Refusals of the input or of a field, limits of rates, and a first token that was not awaited for long say
        nothing about the service.
        """
        if reply.first_token_s is not None:
            self.first_tokens.learn(reply.first_token_s)
            self._silences = 0
        if reply.retry_after_s is not None:
            self.health.cool_until = max(self.health.cool_until, time.monotonic() + reply.retry_after_s)
        self._tell(reply)
        if reply.outcome in GOOD:
            return True
        if reply.outcome in NEUTRAL or (reply.refusal and reply.refusal.about in ("input", "request", "load")):
            return None
        if reply.outcome == "first_token_timeout":
            self._silences += 1
            return False if limits.first_token_s >= self._patience.silent_s else None
        return None if reply.outcome == "total_timeout" and limits.total_s < self._patience.silent_s else False

    def give_room(self, reply: Reply, most_tokens: int) -> bool:
        """Raise the token limit if the answer used it up. Return whether another try may end better.

        `most_tokens` is for the answer alone. Another call may have raised the limit meanwhile.
        """
        used = reply.tokens if reply.usage is None else reply.usage.completion_tokens
        if reply.outcome != "finish_length" or (used < USED_UP * reply.limit and reply.text.strip()):
            return False
        return self.dialect.most_tokens(most_tokens) > reply.limit or self.dialect.give_room(most_tokens)

    def _tell(self, reply: Reply) -> None:
        """Report news: a provider's words once for each status and code, and each learned option once."""
        if (refusal := reply.refusal) is not None and self._new(f"{refusal.status} {refusal.code}"):
            self._watchers.refusal(self.endpoint, refusal)
        for change in self.dialect.learned:
            if self._new(change):
                self._watchers.learned(self.endpoint, change)

    def _new(self, what: str) -> bool:
        if what in self._told or len(self._told) >= MOST_TOLD:
            return False
        self._told.add(what)
        return True
