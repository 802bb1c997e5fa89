"""The settings of model providers: presets, fields that replace a preset's, and what is refused."""

import json

import pytest
from pydantic import ValidationError

from schemas.errors import SettingError
from streams.runtime.llm_settings import LOCAL_KEY, PRESETS, LlmProvider
from streams.runtime.settings import load_settings

MODEL = {"id": "m", "usd_per_million_input": 1, "usd_per_million_output": 2}
MODELS = {"fast": MODEL, "high": MODEL}


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "azure"])
def test_a_preset_needs_only_models(preset: str) -> None:
    provider = LlmProvider(preset=preset, **MODELS)
    assert provider.base_url.startswith("http") and provider.name == preset.replace(".", "")


def test_fields_replace_those_of_the_preset() -> None:
    provider = LlmProvider(preset="mistral", name="own", json_mode=False, omit=[], limit_field="max_tokens", **MODELS)
    assert (provider.name, provider.json_mode, provider.omit) == ("own", "off", [])
    assert provider.base_url == PRESETS["mistral"]["base_url"]


def test_azure_needs_its_address() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        LlmProvider(preset="azure", **MODELS)
    azure = LlmProvider(preset="azure", base_url="https://x.openai.azure.com/openai/v1", **MODELS)
    assert azure.headers == {"api-key": "{key}"}


def test_an_unknown_preset_or_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="give one of openai, azure"):
        LlmProvider(preset="opnai", **MODELS)
    with pytest.raises(ValidationError, match="limit_filed"):
        LlmProvider(preset="openai", limit_filed="max_tokens", **MODELS)


@pytest.mark.parametrize("own", ["max_tokens", "max_completion_tokens", "n", "messages"])
def test_options_cannot_override_the_reserved_amount(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {**MODEL, "options": {"temperature": 0.7, own: 16_000}}
    monkeypatch.setenv("LPSTREAM_LLM_PROVIDERS", json.dumps([{"preset": "ollama", "fast": MODEL, "high": bad}]))
    with pytest.raises(SettingError, match=rf"high\.options.*{own}: the worker sets this itself"):
        load_settings()


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_KEY, raising=False)
    assert LlmProvider(preset="ollama", **MODELS).key() == "none"
    assert "none" not in repr(LlmProvider(preset="ollama", **MODELS))
