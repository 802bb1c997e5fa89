"""The handler of step results: join, integrate, optimise, publish.

The handler of the copy's result publishes the page. It waits a little for the results of the other steps, then does
without them: the plan has the template, and the pictures can be stored again at no cost. A page whose copy is there
already needs no steps.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from processors.pages.page import integrate, optimise, page_warnings
from processors.pages.variants import difference
from schemas.copywriting import Copy
from schemas.errors import LpstreamError, Retryable
from schemas.generation import (
    RESULTS,
    CacheLayer,
    Failure,
    GenerationRequest,
    Result,
    Status,
    StepName,
    StepResult,
    Timings,
    Warning_,
    decode_model,
    encode_model,
    lp_id_of,
    model_from_object,
)
from schemas.plan import Plan, Source
from streams.generation.deadline import ASSETS_S, GIVE_UP_S, LEAST_S, PUBLISH_S, left_s, now_ms, until_deadline
from streams.generation.plans import plan_of
from streams.generation.services import GenerationServices
from streams.generation.steps import copy_output, put_pictures, step_result
from streams.pictures.cards import card_key
from streams.pictures.stored import UNPUBLISHED, erased_key, html_key, source_key
from streams.runtime import metrics

log = logging.getLogger(__name__)

PAGE_CACHE, PRIVATE = "public, max-age=3600", "private, no-store"
STAND_IN_S = ASSETS_S + 0.5
PAGE_STORE = "page_store"
NOT_STORED = Warning_(code="pictures_not_stored", detail="S3 did not take the page's pictures in time; ask again")

Parts = dict[StepName, StepResult]


@dataclass(slots=True)
class Publication:
    """A page that is being published: its plan, its parts, and how long each stage took (ms)."""

    plan: Plan
    parts: Parts
    copy: Copy
    timings: dict[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, parts: Parts) -> "Publication":
        """Build a publication; raise DecodeError if the copy in its step's result is invalid."""
        copy = model_from_object(Copy, parts[StepName.COPY].output.get("copy"))
        return cls(plan, parts, copy)

    @property
    def request(self) -> GenerationRequest:
        """The page's request."""
        return self.plan.request

    @property
    def lp_id(self) -> str:
        """The page's id."""
        return _lp_id(self.plan)


def _lp_id(plan: Plan) -> str:
    return lp_id_of(plan.request.tenant_id, plan.request.request_id)


async def handle(services: GenerationServices, message: Any) -> None:
    """Handle one record of `lp.step-results`.

    A redelivery joins and publishes again. This is idempotent: the page has the same address, and the first stored
    result wins.
    """
    part = decode_model(StepResult, message.value or b"")
    plan = plan_of(part.output.get("plan"))
    if part.step is StepName.COPY:
        await _publish(services, Publication.of(plan, await _join(services, plan, part)))
        return
    with contextlib.suppress(Retryable):  # the copy's handler makes up for a missing result
        await services.results.join(_lp_id(plan), part.step, encode_model(part))
    services.arrivals.tell(part.request_id)


async def publish_ready(services: GenerationServices, plan: Plan, copy: Copy, warnings: Sequence[Warning_]) -> None:
    """Publish a page whose copy is there already. The other steps are too short for records of their own."""
    part = step_result(plan, StepName.COPY, "ok", copy_output(copy, warnings))
    await _publish(services, Publication(plan, {StepName.COPY: part}, copy))


async def _join(services: GenerationServices, plan: Plan, copy: StepResult) -> Parts:
    """Return the results of all steps, or those that have arrived when the wait is over."""
    until = time.monotonic() + min(STAND_IN_S, left_s(plan, keep_s=PUBLISH_S))
    with services.arrivals.expect(copy.request_id) as arrived:
        while True:
            arrived.clear()
            try:
                stored = await services.results.join(_lp_id(plan), copy.step, encode_model(copy))
            except Retryable:
                return {copy.step: copy}
            parts = {StepName(name): decode_model(StepResult, value) for name, value in stored.items()}
            if len(parts) == len(StepName) or time.monotonic() >= until:
                return parts
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                    await arrived.wait()


async def _publish(services: GenerationServices, page: Publication) -> None:
    """Publish the page and its result. If the page is published already, send its stored result again."""
    result: Result | None = None
    with contextlib.suppress(Retryable):
        stored = await services.results.get(page.request.request_id)
        # a rejection may be that of an earlier body under this id, which made nothing
        if stored is not None and (found := decode_model(Result, stored)).status != "rejected":
            result = found
    if result is None and (refusal := page.parts[StepName.COPY].output.get("refusal")) is not None:
        result = _outcome(page, status="failed", error=model_from_object(Failure, refusal))
    if result is None:
        try:
            await _put_page(services, page)
            assets = page.parts.get(StepName.ASSETS)
            late = (assets is None or assets.status == "error") and not await put_pictures(services, page.plan)
            result = _result(services, page, [NOT_STORED] if late else [])
        except LpstreamError as error:
            log.warning("request %s failed: the page could not be stored: %s", page.request.request_id, error)
            result = _failed(page, error)
    await _send_page(services, page, result)


async def _put_page(services: GenerationServices, page: Publication) -> None:
    """Build the page and store it; raise Retryable or Refused if S3 does not accept it in time."""
    request, brief, base_url = page.request, page.plan.brief, services.settings.page_base_url
    services.progress(request.request_id, 75, "integrate")
    marks = [time.monotonic()]
    og_key = card_key(page.lp_id, "og")
    uploads = page.plan.uploads
    html = integrate(request, brief, page.copy, uploads, lp_id=page.lp_id, base_url=base_url, og_key=og_key)
    marks.append(time.monotonic())
    body = optimise(html)
    marks.append(time.monotonic())
    public, *private = _objects(page, body)
    # the page comes last: if it cannot be stored as a whole, nobody may see a part that no result names
    await asyncio.gather(*(_put(services, page.plan, *item) for item in private))
    await _put(services, page.plan, *public)
    marks.append(time.monotonic())
    for stage, start, end in zip(("integrate", "optimize", "preview"), marks, marks[1:], strict=False):
        page.timings[stage] = round((end - start) * 1000)
        metrics.STAGE_SECONDS.labels(stage).observe(end - start)


def _objects(page: Publication, html: bytes) -> list[tuple[str, bytes, str, str]]:
    """Return the objects of a page or a variant, its HTML first: key, body, type and caching."""
    brief, variant = page.plan.brief, page.plan.parent is not None
    source = Source(
        request=page.request,
        copy_=page.copy,
        uploads=page.plan.uploads,
        template=brief.template,
        order=brief.order,
        calls=brief.calls,
    )
    mark = [(erased_key(page.lp_id), UNPUBLISHED, "text/plain", PRIVATE)] if variant else []
    return [
        (html_key(page.lp_id, variant=variant), html, "text/html; charset=utf-8", PAGE_CACHE),
        (source_key(page.lp_id, variant=variant), encode_model(source), "application/json", PRIVATE),
        *mark,
    ]


async def _remove(services: GenerationServices, page: Publication) -> None:
    """Remove a page that failed, as far as S3 answers.

    A call that failed may have stored its object all the same.
    """
    variant = page.plan.parent is not None
    try:
        async with asyncio.timeout(LEAST_S):
            await services.objects.delete([key(page.lp_id, variant=variant) for key in (html_key, source_key)])
    except (LpstreamError, TimeoutError) as error:
        log.warning("the failed page %s may be left on S3: %s", page.lp_id, error or "no answer in time")


async def _put(
    services: GenerationServices, plan: Plan, key: str, body: bytes, content_type: str, caching: str
) -> None:
    """Store an object; retry until shortly before the deadline, then raise Retryable."""
    put = partial(services.objects.put, key, body, content_type, caching)
    await until_deadline(put, plan.deadline_ms, keep_s=GIVE_UP_S)


async def send_result(services: GenerationServices, result: Result) -> bytes | None:
    """Store the result and publish it; a result that is stored already wins.

    Return the stored result. Without Redis the result is only published. `restore` stores it later, from the topic.
    """
    stored = None
    try:
        stored = await services.results.first(result)
    except Retryable as error:
        log.warning("result of %s is published but not stored: %s", result.request_id, error)
    value = encode_model(result) if stored is None else stored
    await services.send(RESULTS, str(result.request_id).encode(), value)
    services.progress(result.request_id, 100, "done")
    metrics.RESULTS.labels(result.status, result.cache).inc()
    return stored


async def _send_page(services: GenerationServices, page: Publication, result: Result) -> None:
    """Send the result of a page, and count the time that it took.

    Remove the page if its stored result has none.
    """
    stored = await send_result(services, result)
    # another delivery may have published the page, so only the stored result decides
    if stored is not None and (error := decode_model(Result, stored).error) is not None and error.code == PAGE_STORE:
        await _remove(services, page)
    total, provider = result.timings_ms.total or 0, result.timings_ms.provider or 0
    metrics.TOTAL_SECONDS.labels(result.status).observe(total / 1000)
    metrics.OWN_SECONDS.observe(max(0, total - provider) / 1000)
    if now_ms() > page.plan.deadline_ms:
        metrics.LATE.inc()


def _timings(page: Publication) -> Timings:
    plan, copy = page.plan, page.parts[StepName.COPY]
    steps = {name.value: part.elapsed_ms for name, part in page.parts.items()}
    if plan.cache != "miss":
        steps["copy"] = None  # type: ignore[assignment]  # it did not run
    times = {
        "validate": plan.validate_ms,
        "cache": plan.cache_ms,
        **steps,
        **page.timings,
        "provider": copy.output.get("provider_ms"),
        "total": now_ms() - plan.created_ms,
    }
    return Timings.model_validate(times)


def _result(services: GenerationServices, page: Publication, notices: list[Warning_]) -> Result:
    """Return the result; `degraded` if a provider is configured but did not write all of the copy.

    Without a provider, built-in copy is the normal case. `notices` join the warnings.
    """
    settings, request, copy = services.settings, page.request, page.parts[StepName.COPY]
    configured = services.routers.by_tier[request.quality].configured
    status: Status = "degraded" if copy.status == "fallback" and configured else "completed"
    copy_warnings = [Warning_.model_validate(warning) for warning in copy.output.get("warnings", [])]
    return _outcome(
        page,
        status=status,
        lp_id=page.lp_id,
        page_url=f"{settings.page_base_url}/lp/{page.lp_id}" if page.plan.parent is None else None,
        preview_url=f"{settings.api_base_url}/lp/requests/{request.request_id}/preview",
        thumbnail_url=f"{settings.page_base_url}/{card_key(page.lp_id, 'small')}",
        warnings=[*copy_warnings, *_left_out(page.plan), *notices, *page_warnings(request, page.plan.brief)],
        variant=difference(page.plan, page.copy),
    )


def _left_out(plan: Plan) -> list[Warning_]:
    """Return a warning for each upload that the request names and that could not be read in time."""
    return [
        Warning_(code="picture_left_out", detail=f"assets.{name}: the upload could not be read in time; ask again")
        for name in ("picture", "logo")
        if getattr(plan.request.assets, name) and not getattr(plan.uploads, name)
    ]


def _failed(page: Publication, error: LpstreamError) -> Result:
    failure = Failure(code=PAGE_STORE, detail=f"the page could not be stored: {error}")
    return _outcome(page, status="failed", error=failure)


def _outcome(page: Publication, **rest: Any) -> Result:
    """Return a result with the page's times, the origin of its copy and its calls of models."""
    copy = page.parts[StepName.COPY]
    layer: CacheLayer = page.plan.cache if page.plan.cache != "miss" else copy.output.get("cache", "miss")
    attempts = copy.attempts
    return Result(
        request_id=page.request.request_id,
        tenant_id=page.request.tenant_id,
        cache=layer,
        timings_ms=_timings(page),
        attempts=attempts,
        cost_micro_jpy=sum(attempt.cost_micro_jpy for attempt in attempts),
        **rest,
    )
