"""`lpstream providers check` on simulated providers: its findings and its advice."""

import pytest
from providers import simulated

from streams.generation.provider_check import MEANINGS, Finding, check_providers
from streams.proof.provider.profiles import profiles
from streams.proof.provider.remote import KEY_VARIABLE, USD
from streams.proof.provider.script import Script
from streams.runtime.settings import LlmProvider, Settings


async def checked(profile: str, **changes: object) -> Finding:
    async with simulated(Script(total_s=0.4, first_token_s=0.1, profiles={profile: 1.0})) as one:
        provider = LlmProvider(
            name="one",
            base_url=f"{one.url}/v1",
            key_variable=KEY_VARIABLE,
            fast={"id": "m-1", **USD},
            high={"id": "m-1", **USD},
            **changes,
        )
        [finding] = await check_providers(Settings(llm_providers=[provider]))
        return finding


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "simulated")


async def test_a_good_model_shows_time_tokens_and_cost() -> None:
    found = await checked("plain")
    assert found.ok and found.tiers == ["fast", "high"] and not found.settings and not found.notes
    assert found.first_token_ms and found.total_ms >= found.first_token_ms and found.output_tokens
    assert found.cost_jpy is not None and found.cost_jpy > 0


@pytest.mark.parametrize(
    ("profile", "changes", "setting"),
    [
        ("wants_max_completion_tokens", {"limit_field": "max_tokens"}, '"limit_field": "max_completion_tokens"'),
        ("wants_max_tokens", {}, '"limit_field": "max_tokens"'),
        ("no_stream_options", {}, '"omit": ["stream_options"]'),
        ("no_json_object", {}, '"json_mode": "json_schema"'),
        ("no_response_format", {}, '"json_mode": "off"'),
        ("needs_room", {}, '"head_room": 2000'),
    ],
)
async def test_needed_settings_are_named(profile: str, changes: dict[str, object], setting: str) -> None:
    found = await checked(profile, **changes)
    assert found.ok and setting in found.settings


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("http_401", "key"), ("http_404", "check id"), ("http_403", "permissions"), ("http_402", "balance"),
        ("html_200", "base_url"), ("refused_content_filter", "filter"), ("empty", "head_room"),
        ("wrong_schema", "no valid section"), ("usage_none", "no usable token counts"),
    ],
)  # fmt: skip
async def test_each_refusal_is_explained(profile: str, words: str) -> None:
    found = await checked(profile)
    assert words in " ".join([found.meaning, *found.notes])
    assert found.ok == (profile in profiles().healthy)
    assert "sk-proj" not in found.model_dump_json(), "a repeated key is not shown"


async def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    found = await checked("plain")
    assert not found.ok and KEY_VARIABLE in found.meaning


def test_meanings_end_without_a_full_stop() -> None:
    assert not any(meaning.endswith(".") for meaning in MEANINGS.values())
