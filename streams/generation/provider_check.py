"""The check of configured models: each is asked for one section of an ordinary page.

Its calls are not in the ledger.
"""

from collections.abc import Iterator
from uuid import UUID, uuid4

from pydantic import BaseModel

from infra.llm.candidate import Candidate, Patience, ProviderPool, Watchers
from infra.llm.endpoint import Endpoint
from infra.llm.stream import Call, Limits, Reply
from processors.pages.brief import brief_of
from processors.pages.copywriting import messages, most_tokens, parse, strict_schema
from schemas.errors import DecodeError, SettingError
from schemas.generation import GenerationRequest
from schemas.plan import Brief
from streams.generation.deadline import PUBLISH_S
from streams.generation.providers import MICRO, TIERS, endpoint_of
from streams.runtime.settings import LlmModel, LlmProvider, Settings

SECTION = "solution"
LONGEST_S, TRIES = 60.0, 4
REQUEST = {
    "request_id": UUID(int=1),
    "tenant_id": "check",
    "industry": "飲食",
    "purpose": "集客",
    "keywords": ["ラーメン"],
    "business": {"name": "麺屋"},
}
# the meaning of each outcome and the advice; the beginning of the outcome counts
MEANINGS = {
    "refused_input": "its filter refuses an ordinary page; look at the filter's settings of your account",
    "refused": "no connection; check base_url",
    "http_400": "it refuses the request; see its own words",
    "http_401": "the key is wrong; check the variable that key_variable names",
    "http_402": "the account has no balance",
    "http_403": "the key may not use this model; check the permissions of the key or the project",
    "http_404": "there is no such model or address; check id, and whether base_url ends in /v1",
    "http_413": "the request is too large for it",
    "http_422": "it refuses the request; see its own words",
    "http_429": "too many requests, or the quota is used up; lower concurrency or raise the quota",
    "http_5": "the service has a failure or is overloaded; try again later",
    "http_": "it refuses the request; see its own words",
    "first_token_timeout": "no token within a minute",
    "idle_timeout": "the answer stops half way",
    "total_timeout": "no whole answer within a minute",
    "finish_length": "the answer ends at the token limit; raise head_room",
    "finish_call_filter": "it calls a function that it does not have; look at options",
    "finish_content_filter": "its filter withholds an ordinary answer; look at the filter's settings",
    "over_limit": "it does not keep the token limit; check limit_field",
    "empty": "the answer has no text; raise head_room if the model reasons",
    "unreadable": "the address answers with something else than a chat completion; check base_url",
    "stream_error": "it reports an error within the answer; see its own words",
    "cut_off": "the answer ends half way",
}


class Finding(BaseModel):
    """The check's result for a model. `settings` are fields for LPSTREAM_LLM_PROVIDERS that it needs."""

    provider: str
    model: str
    tiers: list[str]
    ok: bool = False
    outcome: str
    meaning: str = ""
    words: str = ""
    first_token_ms: int | None = None
    total_ms: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_jpy: float | None = None
    settings: list[str] = []
    notes: list[str] = []


async def check_providers(settings: Settings) -> list[Finding]:
    """Ask each configured model for one section, one after another."""
    return [
        await _check(settings, provider, model, tiers)
        for provider in settings.llm_providers
        for model, tiers in _models(provider)
    ]


def _models(provider: LlmProvider) -> Iterator[tuple[LlmModel, list[str]]]:
    """Yield each model with the tiers that it serves.

    A model with other options or prices in the other tier comes twice.
    """
    if provider.fast == provider.high:
        yield provider.fast, list(TIERS)
    else:
        yield from ((getattr(provider, tier), [tier]) for tier in TIERS)


async def _check(settings: Settings, provider: LlmProvider, model: LlmModel, tiers: list[str]) -> Finding:
    finding = Finding(provider=provider.name, model=model.id, tiers=tiers, outcome="no_key")
    try:
        endpoint = endpoint_of(settings, provider, model)
    except SettingError as error:
        return finding.model_copy(update={"meaning": str(error)})
    patience = Patience(cap_s=LONGEST_S)
    candidate = Candidate(endpoint, ProviderPool(endpoint, 1, patience), patience, Watchers())
    brief = brief_of(GenerationRequest.model_validate(REQUEST))
    try:
        reply = await _ask(candidate, brief)
    finally:
        await candidate.pool.client.close()
    return _found(finding, settings, candidate, reply, _error(brief, reply))


async def _ask(candidate: Candidate, brief: Brief) -> Reply:
    """Return the model's answer; ask again while the token limit is too low."""
    limits = Limits(LONGEST_S, LONGEST_S, LONGEST_S)
    for _ in range(TRIES):
        limit = candidate.dialect.most_tokens(most_tokens(SECTION))
        call = Call(candidate.pool.client, candidate.endpoint, candidate.dialect, limits)
        reply = await call.run(messages(brief, SECTION), limit, str(uuid4()), strict_schema(SECTION))
        if not candidate.give_room(reply, most_tokens(SECTION)):
            break
    return reply


def _error(brief: Brief, reply: Reply) -> str:
    """Return why the text is no section; nothing if it is one."""
    if reply.outcome != "ok":
        return ""
    try:
        parse(brief.fields, SECTION, reply.text)
    except DecodeError as error:
        return str(error)
    return ""


def _found(finding: Finding, settings: Settings, candidate: Candidate, reply: Reply, error: str) -> Finding:
    usage, first_s = reply.usage, reply.first_token_s
    outcome: str = "invalid" if error else reply.outcome
    return finding.model_copy(
        update={
            "ok": outcome == "ok",
            "outcome": outcome,
            "meaning": f"the text is no valid section: {error}" if error else _meaning(outcome),
            "words": reply.refusal.words if reply.refusal else "",
            "first_token_ms": None if first_s is None else round(first_s * 1000),
            "total_ms": round(reply.total_s * 1000),
            "input_tokens": usage and usage.prompt_tokens,
            "output_tokens": usage and usage.completion_tokens,
            "cost_jpy": None if usage is None else candidate.endpoint.cost(usage) / MICRO,
            "settings": [text for change in candidate.dialect.learned if (text := _setting(change))],
            "notes": list(_notes(settings, candidate.endpoint, reply)),
        }
    )


def _meaning(outcome: str) -> str:
    return next((words for begin, words in MEANINGS.items() if outcome.startswith(begin)), "")


def _setting(change: str) -> str:
    """Return a learned option as a field of the settings; nothing if there is no such field."""
    name, equals, value = change.partition("=")
    if not equals:
        return ""
    if name == "omit":
        return f'"omit": ["{value}"]'
    return f'"{name}": {value}' if value.isdigit() else f'"{name}": "{value}"'


def _notes(settings: Settings, endpoint: Endpoint, reply: Reply) -> Iterator[str]:
    if reply.outcome == "ok" and reply.usage is None:
        yield "it reports no usable token counts: each call is booked at its largest possible price"
    if reply.outcome == "ok" and reply.total_s > settings.lp_deadline_s - PUBLISH_S:
        yield f"it is too slow for a page within LPSTREAM_LP_DEADLINE_S={settings.lp_deadline_s:g}"
    if endpoint.micro_jpy_output == 0:
        yield "its price is 0: caps do not bound its calls"
