"""The parallel steps: template, copy, assets. A finished step is never done again."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from infra.llm import Writer
from processors.copywriting import assemble, copy_fields, groups, messages, parse
from processors.page import choose_template, pictures
from schemas.copywriting import CopyFields
from schemas.errors import DecodeError
from schemas.generation import (
    STEP_RESULTS,
    Attempt,
    GenerationRequest,
    Step,
    StepName,
    StepResult,
    decode_model,
    encode_model,
    model_from_object,
)
from streams import metrics

if TYPE_CHECKING:
    from streams.generation import Clients

log = logging.getLogger(__name__)

COPY_BUDGET_MS = 5_000
IMMUTABLE = "public, max-age=31536000, immutable"
Outcome = tuple[str, dict[str, Any], list[Attempt]]


async def handle(clients: "Clients", message: Any) -> None:
    """One record of `lp.steps`."""
    step = decode_model(Step, message.value or b"")
    request = model_from_object(GenerationRequest, step.input.get("request"))
    value = await clients.results.finished_step(step.step_id)
    if value is None:
        started = time.monotonic()
        status, output, attempts = await WORK[step.step](clients, request, step.deadline_ms)
        elapsed = time.monotonic() - started
        metrics.STAGE_SECONDS.labels(step.step.value).observe(elapsed)
        value = encode_model(
            StepResult.model_validate(
                {
                    "request_id": step.request_id,
                    "step_id": step.step_id,
                    "step": step.step,
                    "status": status,
                    "output": output,
                    "elapsed_ms": int(elapsed * 1000),
                    "attempts": attempts,
                }
            )
        )
        await clients.results.finish_step(step.step_id, value)
    await clients.send(STEP_RESULTS, str(step.request_id).encode(), value)


async def _template(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    template, reason = choose_template(request)
    log.info("request %s: template %s, because %s", request.request_id, template, reason)
    return "ok", {"template": template}, []


async def _copy(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    fields = copy_fields(request)
    budget_ms = min(deadline_ms, int(time.time() * 1000) + COPY_BUDGET_MS)
    names = groups(fields)
    written = await asyncio.gather(
        *(_group(clients.writers[request.quality], fields, name, budget_ms) for name in names)
    )
    parts = {name: part for name, (part, _) in zip(names, written, strict=True) if part is not None}
    copy = assemble(fields, parts)
    by_model = len(parts) == len(names)
    output = {"copy": copy.model_dump(), "by": "model" if by_model else "template"}
    return "ok" if by_model else "fallback", output, [attempt for _, tried in written for attempt in tried]


async def _group(
    writer: Writer, fields: CopyFields, group: str, budget_ms: int
) -> tuple[dict[str, Any] | None, list[Attempt]]:
    if not writer.configured:
        return None, []
    text, attempts = await writer.write(messages(fields, group), budget_ms)
    for attempt in attempts:
        metrics.MODEL_CALLS.labels(attempt.provider, attempt.outcome).inc()
        metrics.COST.inc(attempt.cost_micro_jpy)
    if text is None:
        return None, attempts
    try:
        return parse(fields, group, text), attempts
    except DecodeError as error:
        invalid = attempts[-1].model_copy(update={"outcome": f"invalid: {error.field}"[:80]})
        return None, [*attempts[:-1], invalid]


async def _assets(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    wanted = pictures(request, choose_template(request)[0])
    await asyncio.gather(*(clients.objects.put(one.key, one.body, one.content_type, IMMUTABLE) for one in wanted))
    return "ok", {"keys": [one.key for one in wanted]}, []


WORK = {StepName.TEMPLATE: _template, StepName.COPY: _copy, StepName.ASSETS: _assets}
