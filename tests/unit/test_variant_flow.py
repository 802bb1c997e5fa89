"""Requests for variants through the worker's handlers, on stores in memory and with scripted models."""

import json
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from page_requests import full
from patience import SLACK_S
from variant_pages import OF, asked, source_of

from infra.caps import Caps
from infra.llm.router import NoAnswer, Question
from infra.redis.budget import Payer
from infra.redis.results import StepState
from infra.s3.objects import StoredObject
from schemas.errors import Retryable
from schemas.generation import (
    REQUESTS,
    RESULTS,
    STEP_RESULTS,
    STEPS,
    Attempt,
    GenerationRequest,
    Result,
    VariantRequest,
    decode_model,
    encode_model,
    lp_id_of,
)
from schemas.plan import Source
from streams.generation import publish, requests, steps
from streams.generation.arrivals import Arrivals
from streams.generation.copywriting import Copywriter
from streams.pictures.stored import UNPUBLISHED, erased_key, html_key, source_key
from streams.runtime.settings import Settings

HANDLERS = {REQUESTS: requests.handle, STEPS: steps.handle, STEP_RESULTS: publish.handle}
CAPS = Caps(10**12, 10**12, 10**12)
NEW = {
    "catch": "深夜にともる、麺屋の灯り",
    "lead": "遅くなった夜にも、熱いスープを用意して待っています。一日の終わりをどうぞ。",
}
CLOSING = {
    "heading": "今夜の一杯を、どうぞ",
    "text": "お仕事の帰りにも、気軽にお立ち寄りください。お待ちしております。",
}
Ask = Callable[[Question], str]


class Stores:
    """S3, results, locks and the cache of copy, in memory. No variant may use the cache."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False
        self.answers: dict[UUID, bytes] = {}
        self.digests: dict[UUID, set[str]] = {}
        self.finished: dict[UUID, bytes] = {}
        self.parts: dict[str, dict[str, bytes]] = {}

    async def get(self, key: Any, *_: Any, **__: Any) -> Any:
        if isinstance(key, UUID):
            return self.answers.get(key)
        if not key.startswith(("pages/", "variants/", "uploads/")):
            return None  # the cache of copy is empty
        if self.away:
            raise Retryable("S3: away")
        return StoredObject(self.objects[key], "", "e") if key in self.objects else None

    async def put(self, key: Any, body: bytes = b"", *_: str) -> None:
        assert isinstance(key, str), "copy of a variant may not be cached"
        self.objects[key] = body

    async def delete(self, keys: list[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    async def near(self, *_: Any) -> AsyncIterator[Any]:
        raise AssertionError("a variant borrows no copy")
        yield

    async def refused(self, key: str) -> bool:
        return False

    async def take(self, key: str, owner: str, hold_s: float) -> bool:
        return True

    async def release(self, key: str, owner: str) -> None:
        pass

    async def begin(
        self, request_id: UUID, digest: str, _: Result | None, *, of_fields: str
    ) -> tuple[set[str], bytes | None]:
        return self.digests.setdefault(request_id, {digest, of_fields}), self.answers.get(request_id)

    async def first(self, result: Result) -> bytes:
        return self.answers.setdefault(result.request_id, encode_model(result))

    async def step(self, request_id: UUID, step_id: UUID) -> StepState:
        return StepState(self.finished.get(step_id), {}, answered=request_id in self.answers)

    async def finish_step(self, step_id: UUID, value: bytes) -> bytes:
        return self.finished.setdefault(step_id, value)

    async def finish_part(self, step_id: UUID, name: str, value: bytes) -> None:
        pass

    async def join(self, lp_id: str, step: Any, value: bytes) -> dict[str, bytes]:
        return self.parts.setdefault(lp_id, {}) | {step.value: self.parts[lp_id].setdefault(step.value, value)}


class Models:
    """A model that answers by a script. Without a script no provider is configured."""

    def __init__(self, ask: Ask | None) -> None:
        self.configured = ask is not None
        self.script = ask
        self.questions: list[Question] = []

    async def ask(self, question: Question) -> str:
        assert self.script is not None
        self.questions.append(question)
        question.trail.attempts.append(Attempt(provider="one", model="m", outcome="ok", total_ms=1, cost_micro_jpy=50))
        return self.script(question)


class Worker:
    """A generation worker whose topics are lists."""

    def __init__(self, ask: Ask | None = None) -> None:
        self.stores = Stores()
        self.model = Models(ask)
        by_tier: Any = {"fast": self.model, "high": self.model}
        self.settings = Settings()
        stores: Any = self.stores
        self.objects = self.results = stores
        self.copywriter = Copywriter(by_tier, stores, stores, stores, Payer("_cache", "x", CAPS))
        self.routers = SimpleNamespace(by_tier=by_tier)
        self.tenants = SimpleNamespace(caps=lambda _: CAPS)
        self.arrivals, self.put_before = Arrivals(), dict[str, bool]()
        self.waiting: list[tuple[str, bytes]] = []
        self.sent: list[Result] = []

    def progress(self, *_: Any, **__: Any) -> None:
        pass

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        if topic == RESULTS:
            self.sent.append(decode_model(Result, value))
        else:
            self.waiting.append((topic, value))

    async def run(self, request: GenerationRequest | VariantRequest, age_s: float = 0.0) -> Result:
        """Handle the request and all that follows; return its result."""
        self.waiting = [(REQUESTS, encode_model(request))]
        last: list[tuple[str, bytes]] = []
        while self.waiting or last:
            topic, value = self.waiting.pop(0) if self.waiting else last.pop()
            if topic == STEP_RESULTS and json.loads(value)["step"] == "copy" and (self.waiting or last):
                last.append((topic, value))  # the copy's handler waits for the others
                continue
            message: Any = SimpleNamespace(value=value, timestamp=time.time() - age_s)
            services: Any = self
            await HANDLERS[topic](services, message)
        return self.sent[-1]


async def with_parent(ask: Ask | None = None, parent: Source | None = None) -> Worker:
    worker = Worker(ask)
    worker.stores.objects[source_key(OF)] = encode_model(parent or source_of())
    return worker


def writes(*heroes: dict[str, str]) -> Ask:
    """Return a script that gives one hero an answer, the last again and again."""
    texts = [
        json.dumps({"hero": {**hero, "call": "予約する"}, "closing": CLOSING}, ensure_ascii=False) for hero in heroes
    ]
    return lambda _: texts.pop(0) if len(texts) > 1 else texts[0]


def lp_of(request: VariantRequest) -> str:
    return lp_id_of(request.tenant_id, request.request_id)


@pytest.mark.parametrize("change", ["copy", "order", "design", "call"])
async def test_a_variant_is_made_and_stays_unpublished(change: str) -> None:
    worker, request = await with_parent(), asked(change)
    result = await worker.run(request)
    lp_id = lp_of(request)
    assert (result.status, result.lp_id, result.page_url) == ("completed", lp_id, None)
    assert result.preview_url and str(request.request_id) in result.preview_url
    assert result.variant is not None and (result.variant.of, result.variant.change) == (OF, change)
    stored = {key for key in worker.stores.objects if lp_id in key}
    assert stored == {html_key(lp_id, variant=True), source_key(lp_id, variant=True)}
    assert worker.stores.objects[erased_key(lp_id)] == UNPUBLISHED
    source = decode_model(Source, worker.stores.objects[source_key(lp_id, variant=True)])
    assert source.request.variant == request.variant and source.request.business == full().business


async def test_a_variant_of_a_variant_is_made() -> None:
    worker, first = await with_parent(), asked("order", "faq", "problems")
    await worker.run(first)
    second = asked("copy", "hero", number=8)
    second = second.model_copy(update={"variant": second.variant.model_copy(update={"of": lp_of(first)})})
    result = await worker.run(second)
    assert result.status == "completed" and result.variant is not None and result.variant.of == lp_of(first)
    source = decode_model(Source, worker.stores.objects[source_key(lp_of(second), variant=True)])
    assert source.order.index("faq") < source.order.index("problems")


async def test_a_request_that_comes_again_changes_nothing() -> None:
    worker, request = await with_parent(), asked("copy")
    first = await worker.run(request)
    before = dict(worker.stores.objects)
    worker.stores.objects.pop(source_key(OF))  # the parent was erased meanwhile
    assert await worker.run(request) == first and len(worker.sent) == 2
    assert {**before} == {**worker.stores.objects, source_key(OF): before[source_key(OF)]}


async def test_a_steps_record_that_comes_again_gives_the_same_copy() -> None:
    worker, request = await with_parent(writes(NEW)), asked("copy", "hero")
    first = await worker.run(request)
    worker.stores.answers.clear()  # killed after the copy step, before the result
    again = await worker.run(request)
    assert len(worker.model.questions) == 1 and again.variant == first.variant


async def test_a_models_text_takes_the_place_of_the_parents() -> None:
    worker = await with_parent(writes(NEW))
    result = await worker.run(asked("copy", "hero", brief="夜の客に向けて"))
    assert result.status == "completed" and result.variant is not None and result.variant.differs == "the text of hero"
    source = decode_model(Source, worker.stores.objects[source_key(result.lp_id or "", variant=True)])
    assert source.copy_.hero.catch == NEW["catch"] and source.copy_.closing == source_of().copy_.closing
    [question] = worker.model.questions
    assert "夜の客に向けて" in question.messages[1]["content"] and "夜の客" not in question.messages[0]["content"]


async def test_a_text_like_the_parents_is_asked_again_once_with_the_reason() -> None:
    parent = source_of().copy_.hero.model_dump()
    worker = await with_parent(writes({**parent, "lead": parent["lead"].replace("〔題材〕", "")}, NEW))
    result = await worker.run(asked("copy", "hero"))
    assert result.status == "completed" and len(worker.model.questions) == 2
    assert "currentとほとんど同じ" in worker.model.questions[1].messages[-1]["content"]


async def test_a_text_that_stays_like_the_parents_is_refused() -> None:
    parent = source_of().copy_.hero.model_dump()
    worker = await with_parent(writes({**parent, "lead": parent["lead"].replace("〔題材〕", "")}))
    result = await worker.run(asked("copy", "hero"))
    assert result.status == "failed" and result.error is not None and len(worker.model.questions) == 2
    assert (result.error.code, result.error.field) == ("variant_like_parent", "variant")
    assert (result.lp_id, result.page_url, result.variant, result.cost_micro_jpy) == (None, None, None, 100)
    assert [attempt.outcome for attempt in result.attempts] == ["alike: hero", "alike: hero"]
    assert not any(key.startswith("variants/") for key in worker.stores.objects)


async def test_of_all_sections_one_that_stays_the_same_is_named() -> None:
    parent = source_of().copy_.hero.model_dump()
    script = writes({**parent, "lead": parent["lead"].replace("〔題材〕", "")})

    def hero_only(question: Question) -> str:
        if "catch" not in json.dumps(question.schema):
            raise NoAnswer("providers_failed")
        return script(question)

    result = await (await with_parent(hero_only)).run(asked("copy"))
    assert result.variant is not None and "hero" not in result.variant.sections and "faq" in result.variant.sections
    assert {"parent_copy", "template_copy"} <= {warning.code for warning in result.warnings}


async def test_forbidden_words_give_built_in_text_instead() -> None:
    worker = await with_parent(writes({**NEW, "catch": "地域No.1、必ず満足の一杯"}))
    result = await worker.run(asked("copy", "hero", brief="必ず「地域No.1」と書くこと"))
    assert result.status == "degraded" and result.warnings[0].code == "template_copy"
    source = decode_model(Source, worker.stores.objects[source_key(result.lp_id or "", variant=True)])
    assert "No.1" not in source.model_dump_json(include={"copy_"}) and source.copy_.hero != source_of().copy_.hero


async def test_without_an_answer_a_variant_borrows_nothing() -> None:
    def nothing(_: Question) -> str:
        raise NoAnswer("providers_failed")

    result = await (await with_parent(nothing)).run(asked("copy", "hero", "faq"))
    assert result.status == "degraded" and result.variant is not None and result.variant.sections == ["hero", "faq"]


@pytest.mark.parametrize("parent", [None, source_of(full(tenant_id="rival"))])
async def test_an_unknown_or_foreign_parent_is_refused_alike(parent: Source | None) -> None:
    worker = await with_parent(parent=parent)
    if parent is None:
        worker.stores.objects.clear()
    result = await worker.run(asked("copy"))
    assert result.status == "rejected" and result.error is not None
    assert (result.error.field, result.error.detail) == ("variant.of", f"tenant t1 has no page {OF} that was made here")


async def test_a_parent_that_cannot_be_read_names_its_field() -> None:
    worker = await with_parent()
    worker.stores.objects[source_key(OF)] = b"{"
    result = await worker.run(asked("copy"))
    assert result.error is not None and result.error.field == "variant.of"


async def test_while_s3_is_away_a_request_waits_until_its_deadline() -> None:
    worker = await with_parent()
    worker.stores.away = True
    for age_s, least_s in ((9.0, 0.4), (60.0, 0.0)):
        started = time.monotonic()
        result = await worker.run(asked("copy"), age_s=age_s)
        assert (result.status, result.error and result.error.code) == ("failed", "page_store")
        assert least_s <= time.monotonic() - started < SLACK_S


async def test_another_request_with_the_id_of_its_parent_overwrites_nothing() -> None:
    worker = await with_parent()
    before = dict(worker.stores.objects)
    result = await worker.run(asked("copy", request_id=str(UUID(int=1))))
    assert result.status == "rejected" and result.error is not None and result.error.field == "request_id"
    assert worker.stores.objects == before
