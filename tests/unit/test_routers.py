"""The candidates of the tiers: prices, options, breakers and cool-downs of their models."""

import time
from typing import Any

import pytest

from infra.llm.candidate import Candidate, Watchers
from infra.llm.refusals import Refusal
from infra.llm.stream import Limits, Reply
from streams.generation.provider_check import _models
from streams.generation.providers import open_routers
from streams.runtime.llm_settings import LlmProvider
from streams.runtime.settings import Settings

FAST = {"id": "m", "usd_per_million_input": 1, "usd_per_million_output": 2}
LIMITS = Limits(1, 1, 1)


def provider(**high: Any) -> LlmProvider:
    return LlmProvider(preset="ollama", fast=FAST, high={**FAST, **high})


async def tiers(**high: Any) -> tuple[Candidate, Candidate]:
    """Return the candidates of a provider's two tiers."""
    settings = Settings(llm_providers=[provider(**high)], jpy_per_usd=150)
    routers = open_routers(settings, None, Watchers())  # type: ignore[arg-type]  # no call is made
    await routers.close()
    [fast], [high_one] = (routers.by_tier[tier]._candidates for tier in ("fast", "high"))
    return fast, high_one


async def test_equal_tiers_share_all() -> None:
    fast, high = await tiers()
    assert fast is high and fast.endpoint.micro_jpy_usd == 150_000_000


@pytest.mark.parametrize(
    "other", [{"usd_per_million_output": 9}, {"options": {"reasoning_effort": "high"}}, {"head_room": 4_000}]
)
async def test_a_model_in_both_tiers_has_its_own_settings_in_each(other: dict[str, Any]) -> None:
    fast, high = await tiers(**other)
    assert fast.endpoint != high.endpoint
    assert high.endpoint.micro_jpy_output == 150_000_000 * other.get("usd_per_million_output", 2)
    assert high.dialect.body([], 10, None).get("reasoning_effort") == ("high" if "options" in other else None)
    assert high.dialect.most_tokens(10) == 10 + other.get("head_room", 0)
    assert fast.breaker is high.breaker and fast.pool is high.pool
    high.judge(Reply("http_429", retry_after_s=9), LIMITS)
    assert not fast.ready(time.monotonic()), "the cool-down is shared"
    assert [tiers for _, tiers in _models(provider(**other))] == [["fast"], ["high"]], "both are checked"


async def test_two_models_have_two_breakers() -> None:
    fast, high = await tiers(id="other")
    assert fast.breaker is not high.breaker and fast.health is not high.health


async def test_a_later_answer_does_not_shorten_a_cool_down() -> None:
    candidate, _ = await tiers()
    busy = Refusal(429, "busy")
    assert candidate.judge(Reply("http_429", retry_after_s=9, refusal=busy), LIMITS) is None
    assert candidate.judge(Reply("http_429", retry_after_s=1, refusal=busy), LIMITS) is None
    assert candidate.health.cool_until > time.monotonic() + 8


@pytest.mark.parametrize("outcome", ["finish_call_filter", "finish_content_filter", "refused_input"])
async def test_an_ending_of_a_filter_says_nothing_about_the_service(outcome: str) -> None:
    candidate, _ = await tiers()
    assert candidate.judge(Reply(outcome), LIMITS) is None
