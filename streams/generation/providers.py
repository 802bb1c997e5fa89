"""The routers that the settings describe: one for each tier, over the same providers."""

from dataclasses import dataclass

from infra.llm.candidate import Candidate, Patience, ProviderPool, Watchers
from infra.llm.endpoint import Endpoint
from infra.llm.router import Router
from infra.redis.budget import Ledger
from streams.runtime.settings import LlmModel, LlmProvider, Settings

MICRO = 1_000_000
TIERS = ("fast", "high")


@dataclass(frozen=True, slots=True)
class Routers:
    """The routers by tier, and the provider pools that they share."""

    by_tier: dict[str, Router]
    pools: list[ProviderPool]

    async def close(self) -> None:
        """Close the providers' connections."""
        for pool in self.pools:
            await pool.client.close()


def open_routers(settings: Settings, ledger: Ledger, watchers: Watchers) -> Routers:
    """Open all routers inside a running loop; raise SettingError if a provider's key is missing."""
    patience = Patience(
        first_token_s=settings.llm_first_token_s,
        idle_s=settings.llm_idle_s,
        silent_s=settings.llm_silent_s,
        cap_s=settings.llm_call_cap_s,
        breaker_failures=settings.llm_breaker_failures,
        breaker_open_s=settings.llm_breaker_open_s,
        hedge_share=settings.llm_hedge_share,
    )
    tiers: dict[str, list[Candidate]] = {tier: [] for tier in TIERS}
    pools = []
    for provider in settings.llm_providers:
        endpoints = {"fast": endpoint_of(settings, provider, provider.fast)}
        endpoints["high"] = endpoint_of(settings, provider, provider.high)
        pool = ProviderPool(endpoints["fast"], provider.concurrency, patience)
        pools.append(pool)
        first = Candidate(endpoints["fast"], pool, patience, watchers)
        tiers["fast"].append(first)
        tiers["high"].append(_of_high(endpoints["high"], first, patience, watchers))
    routers = {tier: Router(candidates, ledger, patience, watchers) for tier, candidates in tiers.items()}
    return Routers(routers, pools)


def _of_high(endpoint: Endpoint, first: Candidate, patience: Patience, watchers: Watchers) -> Candidate:
    """Return the candidate of the tier `high` beside that of `fast`.

    A model that serves both tiers has one circuit breaker, but prices and options of its own in each.
    """
    if endpoint == first.endpoint:
        return first
    health = first.health if endpoint.model == first.endpoint.model else None
    return Candidate(endpoint, first.pool, patience, watchers, health)


def endpoint_of(settings: Settings, provider: LlmProvider, model: LlmModel) -> Endpoint:
    """Return the endpoint of a provider's model, with its prices in yen."""

    def price(usd: float) -> int:
        return round(usd * settings.jpy_per_usd * MICRO)

    cached, reasoning = model.usd_per_million_cached, model.usd_per_million_reasoning
    return Endpoint(
        provider.name,
        provider.base_url,
        provider.key(),
        model.id,
        price(model.usd_per_million_input),
        price(model.usd_per_million_output),
        provider.limit_field,
        provider.json_mode,
        model.options,
        micro_jpy_cached=None if cached is None else price(cached),
        micro_jpy_reasoning=None if reasoning is None else price(reasoning),
        head_room=provider.head_room if model.head_room is None else model.head_room,
        headers=provider.headers,
        query=provider.query,
        omit=tuple(provider.omit),
        micro_jpy_usd=price(1.0),
    )
