"""The handler of the parallel steps: template, copy, assets. A finished copy step is not repeated."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from infra.redis.budget import Payer
from infra.redis.results import StepState
from processors.pages.page import Asset, pictures
from processors.pages.rewriting import rewrite_of
from schemas.copywriting import Copy
from schemas.errors import LpstreamError, Retryable
from schemas.generation import (
    STEP_RESULTS,
    Attempt,
    Step,
    StepName,
    StepResult,
    Warning_,
    decode_model,
    encode_model,
    step_id_of,
)
from schemas.plan import Plan
from streams.generation.copywriting import Order
from streams.generation.deadline import AGAIN_S, assets_s, copy_until
from streams.generation.plans import plan_of
from streams.generation.services import GenerationServices
from streams.pictures.cards import IMMUTABLE
from streams.runtime import metrics

log = logging.getLogger(__name__)


NOTHING_KNOWN = StepState(None, {}, answered=False)
Outcome = tuple[Literal["ok", "fallback", "error"], dict[str, Any], list[Attempt]]


async def handle(services: GenerationServices, message: Any) -> None:
    """Handle one record of `lp.steps`."""
    step = decode_model(Step, message.value or b"")
    plan = plan_of(step.input.get("plan"))
    value = await (_copy_once(services, plan) if step.step is StepName.COPY else _work(services, plan, step.step))
    if value is not None:
        await services.send(STEP_RESULTS, str(step.request_id).encode(), value)


async def _copy_once(services: GenerationServices, plan: Plan) -> bytes | None:
    """Run the copy step and return its result; None if the request is answered already.

    If the step was finished before, return its stored result. The other steps' results are not stored: they are free
    to recompute from the request.
    """
    step_id = step_id_of(plan.request.request_id, StepName.COPY)
    try:
        state = await services.results.step(plan.request.request_id, step_id)
    except Retryable:
        state = NOTHING_KNOWN
    if state.answered:
        return None
    if state.finished is not None:
        return state.finished
    value = await _work(services, plan, StepName.COPY, state)
    try:
        return await services.results.finish_step(step_id, value)
    except Retryable:
        return value


async def _work(services: GenerationServices, plan: Plan, name: StepName, state: StepState = NOTHING_KNOWN) -> bytes:
    started = time.monotonic()
    status, output, attempts = await WORK[name](services, plan, state)
    elapsed = time.monotonic() - started
    metrics.STAGE_SECONDS.labels(name.value).observe(elapsed)
    return encode_model(step_result(plan, name, status, output, attempts, elapsed))


def step_result(
    plan: Plan,
    name: StepName,
    status: Literal["ok", "fallback", "error"],
    output: dict[str, Any],
    attempts: Sequence[Attempt] = (),
    elapsed_s: float = 0.0,
) -> StepResult:
    """Return a step's result, with the plan inside."""
    request_id = plan.request.request_id
    return StepResult(
        request_id=request_id,
        step_id=step_id_of(request_id, name),
        step=name,
        status=status,
        output={"plan": plan.model_dump(mode="json"), **output},
        elapsed_ms=round(elapsed_s * 1000),
        attempts=list(attempts),
    )


async def _template(services: GenerationServices, plan: Plan, state: StepState) -> Outcome:
    brief = plan.brief
    log.info("request %s: template %s, because %s", plan.request.request_id, brief.template, brief.reason)
    return "ok", {"template": brief.template}, []


async def _copy(services: GenerationServices, plan: Plan, state: StepState) -> Outcome:
    request = plan.request

    async def on_section(name: str, done: int, of: int) -> None:
        keep_for = request.tenant_id if done in (1, of) else None
        services.progress(request.request_id, 10 + 60 * done // of, "copy", section=name, keep_for=keep_for)

    order = Order(
        brief=plan.brief,
        payer=Payer(request.tenant_id, str(request.request_id), services.tenants.caps(request.tenant_id)),
        step_id=step_id_of(request.request_id, StepName.COPY),
        until=copy_until(plan),
        finished=state.parts,
        on_section=on_section,
        rewrite=rewrite_of(plan),
    )
    written = await services.copywriter.write(order)
    output = copy_output(written.copy, written.warnings)
    if written.refusal is not None:
        output["refusal"] = written.refusal.model_dump(mode="json")
    return written.status, {**output, "cache": written.cache, "provider_ms": written.provider_ms}, written.attempts


def copy_output(copy: Copy, warnings: Iterable[Warning_]) -> dict[str, Any]:
    """Return the output of a copy step, whether a model or the cache gave the copy."""
    dumped = [warning.model_dump(mode="json") for warning in warnings]
    return {"copy": copy.model_dump(mode="json"), "warnings": dumped}


async def _assets(services: GenerationServices, plan: Plan, state: StepState) -> Outcome:
    stored = await put_pictures(services, plan)
    return "ok" if stored else "error", {"keys": [asset.key for asset in pictures(plan.brief)]}, []


async def put_pictures(services: GenerationServices, plan: Plan) -> bool:
    """Store the pictures of the page; return False if the time for assets is over first."""
    try:
        async with asyncio.timeout(assets_s(plan)):
            await _put_assets(services, pictures(plan.brief))
    except TimeoutError:
        return False
    return True


async def _put_assets(services: GenerationServices, assets: Sequence[Asset]) -> None:
    """Store files whose names are hashes of their bytes; skip those that this process has stored before."""
    missing = [asset for asset in assets if asset.key not in services.put_before]
    while missing:
        work = (services.objects.put(asset.key, asset.body, asset.content_type, IMMUTABLE) for asset in missing)
        done = await asyncio.gather(*work, return_exceptions=True)
        for asset, outcome in zip(missing, done, strict=True):
            if outcome is None:
                services.put_before[asset.key] = True
            elif not isinstance(outcome, LpstreamError):
                raise outcome
        if missing := [asset for asset, outcome in zip(missing, done, strict=True) if outcome is not None]:
            await asyncio.sleep(AGAIN_S)


WORK = {StepName.TEMPLATE: _template, StepName.COPY: _copy, StepName.ASSETS: _assets}
