"""The settings of model providers, with presets by name for the known services.

A preset gives what a service needs; each field beside it replaces the preset's. `lpstream providers check` asks each
model and says what else to set.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from infra.llm.endpoint import JsonMode
from schemas.errors import SettingError
from streams.runtime.store_settings import Url

OFF, OBJECT, SCHEMA = "off", "json_object", "json_schema"
NEW, OLD = "max_completion_tokens", "max_tokens"
LOCAL_KEY = "LPSTREAM_LOCAL_KEY"


def _preset(url: str, key: str, limit: str, json_mode: str, **rest: Any) -> dict[str, Any]:
    return {"base_url": url, "key_variable": key, "limit_field": limit, "json_mode": json_mode, **rest}


# From the services' own documents. docs/generation.md lists the presets.
PRESETS: dict[str, dict[str, Any]] = {
    "openai": _preset("https://api.openai.com/v1", "OPENAI_API_KEY", NEW, SCHEMA),
    "azure": _preset("", "AZURE_OPENAI_API_KEY", NEW, SCHEMA, headers={"api-key": "{key}"}),
    "gemini": _preset(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", OLD, SCHEMA, head_room=2_000
    ),
    "anthropic": _preset("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", OLD, OFF),
    "deepseek": _preset("https://api.deepseek.com", "DEEPSEEK_API_KEY", OLD, OBJECT, head_room=2_000),
    "openrouter": _preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", OLD, OBJECT),
    "groq": _preset("https://api.groq.com/openai/v1", "GROQ_API_KEY", NEW, OBJECT),
    "mistral": _preset("https://api.mistral.ai/v1", "MISTRAL_API_KEY", OLD, OBJECT, omit=["stream_options"]),
    "together": _preset("https://api.together.xyz/v1", "TOGETHER_API_KEY", OLD, OBJECT),
    "xai": _preset("https://api.x.ai/v1", "XAI_API_KEY", NEW, SCHEMA, head_room=2_000),
    "qwen": _preset("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", OLD, OBJECT),
    "vllm": _preset("http://127.0.0.1:8000/v1", LOCAL_KEY, OLD, SCHEMA),
    "ollama": _preset("http://127.0.0.1:11434/v1", LOCAL_KEY, OLD, SCHEMA),
    "llama.cpp": _preset("http://127.0.0.1:8080/v1", LOCAL_KEY, OLD, SCHEMA),
    "lmstudio": _preset("http://127.0.0.1:1234/v1", LOCAL_KEY, OLD, SCHEMA),
}
# fields that the worker sets itself; in `options` they would override the reserved amount
OWN = {NEW, OLD, "max_output_tokens", "max_new_tokens", "n", "best_of", "messages", "model", "stream"}


def _options(options: dict[str, Any]) -> dict[str, Any]:
    if own := sorted(OWN & options.keys()):
        raise ValueError(f"{', '.join(own)}: the worker sets this itself; use head_room to raise the token limit")
    return options


Tokens = Annotated[int, Field(ge=0, le=20_000)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]


class LlmModel(BaseModel):
    """A model of a provider, with its prices in US dollars per million tokens.

    `options` are added to every request unchanged, such as `{"reasoning_effort": "minimal"}` or `{"temperature": 0.7}`.
    The token limit and other fields that the worker sets itself cannot be among them.
    `head_room` is added to the token limit of an answer, for reasoning; it replaces the provider's. Cached and
    reasoning tokens cost as much as other tokens if they have no price of their own.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    id: str
    usd_per_million_input: Price
    usd_per_million_output: Price
    usd_per_million_cached: Price | None = None
    usd_per_million_reasoning: Price | None = None
    options: Annotated[dict[str, Any], AfterValidator(_options)] = {}
    head_room: Tokens | None = None


class LlmProvider(BaseModel):
    """An OpenAI-compatible endpoint. Its key stays in the environment variable `key_variable`.

    `concurrency` bounds its open calls in one worker. `limit_field` is its field for the most tokens of an answer.
    `headers` and `query` go with every request; `{key}` in a header becomes the key. Fields in `omit` are not sent.
    """

    model_config = ConfigDict(extra="forbid")

    preset: str | None = None
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    base_url: Url
    key_variable: str
    fast: LlmModel
    high: LlmModel
    concurrency: Annotated[int, Field(ge=1, le=5_000)] = 500
    limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    json_mode: JsonMode = "json_object"
    head_room: Tokens = 0
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    omit: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        """Return the fields with those of the preset, and with `json_mode` by name where it is true or false."""
        if not isinstance(values, dict):
            return values
        preset = values.get("preset")
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"preset {preset!r} is unknown; give one of {', '.join(PRESETS)}")
        merged = {**PRESETS.get(preset or "", {}), "name": (preset or "").replace(".", ""), **values}
        if isinstance(merged.get("json_mode"), bool):
            merged["json_mode"] = OBJECT if merged["json_mode"] else OFF
        return {name: value for name, value in merged.items() if value != ""}

    def key(self) -> str:
        """Return the provider's key. Raise SettingError if its variable is not set; servers here need no key."""
        if value := os.environ.get(self.key_variable):
            return value
        if self.key_variable == LOCAL_KEY:
            return "none"
        raise SettingError(f"{self.key_variable}: is not set; set it to the key of provider {self.name!r}")
