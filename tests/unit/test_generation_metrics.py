"""Metrics of the generation worker that alerts read: they say the same in every installation."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from page_requests import least
from prometheus_client import REGISTRY

from infra.redis.budget import Caps, Payer
from processors.pages.brief import brief_of
from streams.generation.copywriting import Copywriter
from streams.generation.services import CopyServices
from streams.runtime.settings import Settings

USD = {"usd_per_million_input": 1, "usd_per_million_output": 2}


def breaker_level(provider: str, model: str) -> float | None:
    return REGISTRY.get_sample_value("lpstream_lp_breaker_open", {"provider": provider, "model": model})


def misses() -> float:
    return REGISTRY.get_sample_value("lpstream_lp_copy_lookups_total", {"outcome": "miss"}) or 0.0


async def test_every_breaker_is_shown_before_its_first_change() -> None:
    provider = {"preset": "ollama", "name": "of-this-test", "fast": {"id": "f", **USD}, "high": {"id": "h", **USD}}
    services = CopyServices(Settings(llm_providers=[provider], s3_access_key_id="key", s3_secret_access_key="secret"))
    await services.close()
    assert [breaker_level("of-this-test", model) for model in ("f", "h")] == [0.0, 0.0]


@pytest.mark.parametrize("configured", [False, True])
async def test_lookups_count_only_if_a_model_can_write_the_copy(configured: bool) -> None:
    async def nothing(*_: object) -> None:
        return None

    stores = cast(Any, SimpleNamespace(get=nothing))
    routers = {"fast": cast(Any, SimpleNamespace(configured=configured))}
    writer = Copywriter(routers, stores, stores, stores, Payer("t", "x", Caps(1, 1, 1)))
    before = misses()
    assert await writer.lookup(brief_of(least())) is None
    assert misses() - before == configured
